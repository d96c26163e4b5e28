"""The sweeps of a period by their orphan lists in the bucket, and by the numbers that are left of expired ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from humangov.api.names import Names
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.proof.period import Period
from humangov.reading.progress import FailedError
from humangov.sweep import orphan_list
from humangov.sweep.list_expiry import OWN_NAME, read_numbers
from humangov.sweep.list_lines import is_count, is_text, is_time
from humangov.sweep.orphan_list import FOLDER, SUFFIX, OrphanList

MOST = 2000
"""As many lists as one report reads, the oldest first: five a day for a year."""


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """One orphan list. at: S3's time, RFC 3339. names_expired: only its numbers are left.

    orphans: found by this sweep, before it erased any. sha256: of the list, as receipts, status and approvals quote it.
    """

    run: str
    at: str
    mode: str
    records: int
    listed: int
    too_young: int
    live: int
    orphans: int
    orphan_bytes: int
    failed_checks: tuple[str, ...]
    names_expired: bool
    key: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SweepRuns:
    """In the order of their times. unread: objects there that are no list of this tenant's, or could not be read.

    problem: why lists are missing here; None: all of the period were read
    """

    runs: tuple[SweepRun, ...] = ()
    unread: int = 0
    problem: str | None = None


def read(s3: Any, names: Names, period: Period, *, folder: Path) -> SweepRuns:
    """folder: for a copy of one list at a time. Raises OSError; what AWS refuses is told in `problem`."""
    runs: list[SweepRun] = []
    unread = 0
    try:
        for key in _keys(s3, names, period):
            if len(runs) == MOST:
                return SweepRuns(
                    runs=tuple(runs), unread=unread,
                    problem=f"there are more than {MOST:,} orphan lists, of which the oldest were read",
                )  # fmt: skip
            found = _read_list(s3, names, key, folder) if key.endswith(SUFFIX) else _read_numbers(s3, names, key)
            if found is None:
                unread += 1
            else:
                runs.append(found)
    except (FailedError, *SDK_ERRORS) as error:
        return SweepRuns(
            runs=tuple(runs), unread=unread,
            problem=f"orphan lists in bucket {names.tenant.bucket.name} could not be read: {without_names(error)}",
        )  # fmt: skip
    several = {one.run: one for one in sorted(runs, key=lambda one: not one.names_expired)}  # a list before its numbers
    return SweepRuns(runs=tuple(sorted(several.values(), key=lambda one: (one.at, one.run))), unread=unread)


def as_json(runs: SweepRuns) -> dict[str, Any]:
    return {"lists": [asdict(one) for one in runs.runs], "unread": runs.unread, "problem": runs.problem}


def _keys(s3: Any, names: Names, period: Period) -> Iterator[str]:
    """Raises what the SDK raises."""
    prefix = f"{names.tenant.bucket.key_prefix}{FOLDER}"
    within = orphan_list.keys_between(s3, names, since=period.since, until=period.until)
    return (key for key in within if OWN_NAME.fullmatch(key.removeprefix(prefix)))


def _read_list(s3: Any, names: Names, key: str, folder: Path) -> SweepRun | None:
    path = folder / "orphan-list"
    try:
        found = orphan_list.fetch(s3, names, key=key, path=path)
    finally:
        path.unlink(missing_ok=True)
    return None if found is None else _of_list(found)


def _of_list(found: OrphanList) -> SweepRun:
    head = found.head
    return SweepRun(
        run=head.run, at=_time(head.at), mode=head.mode, records=head.records, listed=head.listed,
        too_young=head.too_young, live=head.live, orphans=head.orphans, orphan_bytes=head.orphan_bytes,
        failed_checks=head.failed_checks, names_expired=False, key=found.key, sha256=found.sha256,
    )  # fmt: skip


def _read_numbers(s3: Any, names: Names, key: str) -> SweepRun | None:
    """Raises what the SDK raises."""
    kept = read_numbers(s3, names, key=key)
    return None if kept is None else _of_numbers(kept, str(kept["list"]))


def _of_numbers(kept: Mapping[str, Any], whole: str) -> SweepRun | None:
    """None if any value is of another kind than a sweep writes."""
    counts = {name: kept.get(name) for name in ("records", "listed", "too_young", "live", "orphans", "orphan_bytes")}
    texts = {name: kept.get(name) for name in ("run", "mode", "sha256")}
    checks, at = kept.get("failed_checks"), kept.get("at")
    known = all(map(is_count, counts.values())) and all(map(is_text, texts.values())) and is_time(at)
    if not known or not isinstance(checks, list) or not all(map(is_text, checks)):
        return None
    values: dict[str, Any] = {**counts, **texts}
    return SweepRun(**values, at=_time(float(at or 0)), failed_checks=tuple(checks), names_expired=True, key=whole)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
