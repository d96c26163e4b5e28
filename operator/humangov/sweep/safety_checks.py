"""Safety checks: reasons for a sweep to erase nothing. Pure: facts in, sentences out; CHECKS is the list.

Each message says what looks wrong and what to do. An approval of an orphan list (annotation humangov.io/approve-sweep)
overrides some checks for that list. It never overrides a check that means that the scan itself is unreliable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

RESTORED_WITHIN = timedelta(days=14)
"""As long as an earlier sighting is valid."""

SHRUNKEN_PERCENT = 50


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a sweep knows before it would erase.

    records          seen by this scan; earlier_records: the most that a recent sweep of the same table saw;
                     counted_records: DynamoDB's own count, up to hours old
    listed           keys in the bucket that are the tenant's files; live, orphans: of those old enough
    shared           keys that two records name; may_share: spec.table.fileNames is Shared
    earlier_table_id the table's ID in the last sweep; None if there was no recent one
    other_claims     keys of other tenants' claims on this tenant's files
    now              S3's time
    """

    records: int
    earlier_records: int
    counted_records: int
    listed: int
    live: int
    orphans: int
    shared: int
    may_share: bool
    maximum_orphan_percent: int
    table_id: str
    earlier_table_id: str | None
    restored_at: datetime | None
    other_claims: Sequence[str]
    now: datetime


@dataclass(frozen=True, kw_only=True)
class SafetyCheck:
    """A check that failed. approval: a person can override it for one orphan list.

    doubtful: the scan is unreliable, so it is no valid sighting.
    """

    name: str
    message: str
    approval: bool = False
    doubtful: bool = False


def overlap(facts: Facts) -> SafetyCheck | None:
    if not facts.other_claims:
        return None
    return SafetyCheck(
        name="Overlap",
        message="another tenant's sweep has claimed files under this key prefix "
        f"({', '.join(facts.other_claims[:3])}), so their owner is unclear. Give each tenant its own "
        "spec.bucket.keyPrefix",
        doubtful=True,
    )


def empty_scan(facts: Facts) -> SafetyCheck | None:
    if not _is_empty(facts):
        return None
    return SafetyCheck(
        name="EmptyScan",
        message=f"the table has no records, but the bucket has {facts.listed:,} files. Check spec.table.name. "
        "If it is correct and the files are no longer needed, delete them by hand",
        doubtful=True,
    )


def nothing_named(facts: Facts) -> SafetyCheck | None:
    if _is_empty(facts) or facts.live > 0 or facts.orphans == 0:
        return None
    return SafetyCheck(
        name="NothingNamed",
        message=f"no record names any of the {facts.orphans:,} files. Check that table, bucket, spec.bucket.keyPrefix "
        "and spec.table.fileAttributes match. If they do and the files are no longer needed, delete them "
        "by hand",
        doubtful=True,
    )


def table_changed(facts: Facts) -> SafetyCheck | None:
    if facts.earlier_table_id in (None, facts.table_id):
        return None
    return SafetyCheck(
        name="TableChanged",
        message="the table was re-created since the last sweep. If that was intended, do nothing: the next sweep "
        "expects the new table",
    )


def restored(facts: Facts) -> SafetyCheck | None:
    if facts.restored_at is None or facts.now - facts.restored_at.astimezone(UTC) >= RESTORED_WITHIN:
        return None
    return SafetyCheck(
        name="Restored",
        message=f"the table was restored from a backup at {facts.restored_at:%Y-%m-%d %H:%M} UTC. Records written "
        "after that backup are missing, so their files look like orphans",
        approval=True,
    )


def shrunken_scan(facts: Facts) -> SafetyCheck | None:
    expected = max(facts.earlier_records, facts.counted_records)
    if not 0 < facts.records < expected * SHRUNKEN_PERCENT / 100:
        return None
    return SafetyCheck(
        name="ShrunkenScan",
        message=f"the scan read only {facts.records:,} records, but the table recently had {expected:,}",
        approval=True,
        doubtful=True,
    )


def too_many_orphans(facts: Facts) -> SafetyCheck | None:
    if facts.orphans * 100 <= facts.listed * facts.maximum_orphan_percent:
        return None
    percent = 100 * facts.orphans / max(facts.listed, 1)
    return SafetyCheck(
        name="TooManyOrphans",
        message=f"{facts.orphans:,} of {facts.listed:,} files ({percent:.0f} %) are orphans, more than "
        f"spec.sweep.maximumOrphanPercent ({facts.maximum_orphan_percent}) allows",
        approval=True,
    )


def files_shared(facts: Facts) -> SafetyCheck | None:
    if not facts.shared or facts.may_share:
        return None
    return SafetyCheck(
        name="FilesShared",
        message=f"{facts.shared:,} files are named by more than one record, but spec.table.fileNames is not Shared",
    )


CHECKS: tuple[Callable[[Facts], SafetyCheck | None], ...] = (
    overlap,
    empty_scan,
    nothing_named,
    table_changed,
    restored,
    shrunken_scan,
    too_many_orphans,
    files_shared,
)
"""The most serious first."""


def failed_checks(facts: Facts) -> list[SafetyCheck]:
    """Every reason to erase nothing, the most serious first."""
    return [failed for check in CHECKS if (failed := check(facts)) is not None]


def _is_empty(facts: Facts) -> bool:
    return facts.records == 0 and facts.listed > 0
