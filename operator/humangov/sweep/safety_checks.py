"""What keeps a sweep from erasing anything. Pure: facts in, sentences out; CHECKS is the list.

Each says what looks wrong and what a person can do. Some are overridden for one orphan list by its approval
(annotation humangov.io/approve-sweep); those that mean that the scan itself can't be believed are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

RESTORED_WITHIN = timedelta(days=14)
"""As long as an earlier observe_lease counts."""

SHRUNKEN_PERCENT = 50


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a sweep knows before it would erase.

    records          seen by this scan; earlier_records: the most that a sweep of the same table saw lately;
                     counted_records: DynamoDB's own count, up to hours old
    listed           keys in the bucket that are the tenant's files; live, orphans: of those old enough
    shared           keys that two records name; may_share: spec.table.fileNames is Shared
    earlier_table_id the table's as the last sweep saw it; None if there was none lately
    strangers        places where another tenant's sweep has claimed files of ours
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
    strangers: Sequence[str]
    now: datetime


@dataclass(frozen=True, kw_only=True)
class SafetyCheck:
    """One that failed. approval: a person can override it for one orphan list.

    doubtful: what was seen does not count as a observe_lease.
    """

    name: str
    message: str
    approval: bool = False
    doubtful: bool = False


def overlap(facts: Facts) -> SafetyCheck | None:
    if not facts.strangers:
        return None
    return SafetyCheck(
        name="Overlap",
        message="another tenant's sweep has claimed files under this key prefix "
        f"({', '.join(facts.strangers[:3])}): whose they are can't be told. Give each tenant a "
        "spec.bucket.keyPrefix of its own",
        doubtful=True,
    )


def empty_scan(facts: Facts) -> SafetyCheck | None:
    if not _is_empty(facts):
        return None
    return SafetyCheck(
        name="EmptyScan",
        message=f"the table has no record at all, and the bucket {facts.listed:,} files: is it the right table? If "
        "it is, the files are to be removed by hand",
        doubtful=True,
    )


def nothing_named(facts: Facts) -> SafetyCheck | None:
    if _is_empty(facts) or facts.live > 0 or facts.orphans == 0:
        return None
    return SafetyCheck(
        name="NothingNamed",
        message=f"of {facts.orphans:,} files not one is named by a record: table, bucket, spec.bucket.keyPrefix or "
        "spec.table.fileAttributes do not fit together. If they do, the files are to be removed by hand",
        doubtful=True,
    )


def table_changed(facts: Facts) -> SafetyCheck | None:
    if facts.earlier_table_id in (None, facts.table_id):
        return None
    return SafetyCheck(
        name="TableChanged",
        message="the table was made anew since the last sweep. The next sweep compares with this one",
    )


def restored(facts: Facts) -> SafetyCheck | None:
    if facts.restored_at is None or facts.now - facts.restored_at.astimezone(UTC) >= RESTORED_WITHIN:
        return None
    return SafetyCheck(
        name="Restored",
        message=f"the table was restored from a backup at {facts.restored_at:%Y-%m-%d %H:%M} UTC: records written "
        "after that backup are missing, and their files look like orphans",
        approval=True,
    )


def shrunken_scan(facts: Facts) -> SafetyCheck | None:
    expected = max(facts.earlier_records, facts.counted_records)
    if not 0 < facts.records < expected * SHRUNKEN_PERCENT / 100:
        return None
    return SafetyCheck(
        name="ShrunkenScan",
        message=f"the scan saw {facts.records:,} records, and {expected:,} were there lately",
        approval=True,
        doubtful=True,
    )


def too_many_orphans(facts: Facts) -> SafetyCheck | None:
    if facts.orphans * 100 <= facts.listed * facts.maximum_orphan_percent:
        return None
    percent = 100 * facts.orphans / max(facts.listed, 1)
    return SafetyCheck(
        name="TooManyOrphans",
        message=f"{facts.orphans:,} of {facts.listed:,} files ({percent:.0f} %) are named by no record, more than "
        f"spec.sweep.maximumOrphanPercent ({facts.maximum_orphan_percent}) lets go",
        approval=True,
    )


def files_shared(facts: Facts) -> SafetyCheck | None:
    if not facts.shared or facts.may_share:
        return None
    return SafetyCheck(
        name="FilesShared",
        message=f"{facts.shared:,} files are named by more than one record, though spec.table.fileNames is Unique",
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
"""The gravest first."""


def failed_checks(facts: Facts) -> list[SafetyCheck]:
    """Every reason to erase nothing, the gravest first."""
    return [failed for check in CHECKS if (failed := check(facts)) is not None]


def _is_empty(facts: Facts) -> bool:
    return facts.records == 0 and facts.listed > 0
