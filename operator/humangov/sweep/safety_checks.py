"""Safety checks: reasons for a sweep to erase nothing. Pure: facts in, sentences out; CHECKS is the list.

Each message says what looks wrong and what to do. An approval of an orphan list (annotation humangov.io/approve-sweep)
overrides some checks for that list. It never overrides a check that means that the scan itself is unreliable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

YOUNG_TABLE = timedelta(days=14)
"""The mistake is noticed by then: what a backup or an import lacks, no reading shows."""

SHRUNKEN_PERCENT = 50

_CREATE_AGAIN = "delete this HumanGovState and re-create it with the correct ones: they are immutable"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a sweep knows before it would erase.

    records          seen by this scan; earlier_records: the most that a recent sweep of the same table saw;
                     counted_records: DynamoDB's own count, up to hours old
    listed           keys in the bucket that are the tenant's files; live, orphans: of those old enough
    alike            orphans that a record may mean that names no file of the bucket
    shared           keys that two records name; may_share: spec.table.fileNames is Shared
    created_at       when DynamoDB created the table; None: unknown. backup_at: the time that its backup shows
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
    alike: int
    shared: int
    may_share: bool
    maximum_orphan_percent: int
    table_id: str
    earlier_table_id: str | None
    created_at: datetime | None
    backup_at: datetime | None
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
        f"({', '.join(facts.other_claims[:3])}), so their owner is unclear. If that tenant no longer exists, delete "
        "these objects. Otherwise, delete one of the two HumanGovStates and its claim, and re-create it with a bucket "
        "or a spec.bucket.keyPrefix of its own",
        doubtful=True,
    )


def empty_scan(facts: Facts) -> SafetyCheck | None:
    if not _is_empty(facts):
        return None
    return SafetyCheck(
        name="EmptyScan",
        message=f"the table has no records, but the bucket has {facts.listed:,} files. If spec.table or spec.bucket "
        f"names the wrong one, {_CREATE_AGAIN}. If the records are still to be written, wait for them. If the files "
        "are no longer needed, delete them by hand",
        doubtful=True,
    )


def nothing_named(facts: Facts) -> SafetyCheck | None:
    if _is_empty(facts) or facts.live > 0 or facts.orphans == 0:
        return None
    return SafetyCheck(
        name="NothingNamed",
        message=f"no record names any of the {facts.orphans:,} files. Compare a record with the bucket. If the table, "
        f"spec.table.fileAttributes, the bucket or spec.bucket.keyPrefix is wrong, {_CREATE_AGAIN}. If the files are "
        "no longer needed, delete them by hand",
        doubtful=True,
    )


def table_changed(facts: Facts) -> SafetyCheck | None:
    if facts.earlier_table_id in (None, facts.table_id):
        return None
    return SafetyCheck(
        name="TableChanged",
        message="this is not the table that the last sweep read. If that was intended, do nothing: the next sweep "
        "expects this table",
    )


def young_table(facts: Facts) -> SafetyCheck | None:
    """Whatever the table's history says: what a restore, an import or a copy lacks, no reading shows.

    RestoreSummary has only the time that the backup shows, and a table that was imported or copied has none.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_RestoreSummary.html
    """
    old = facts.created_at is not None and facts.now - facts.created_at.astimezone(UTC) >= YOUNG_TABLE
    if old or facts.orphans == 0:
        return None
    created = "at an unknown time" if facts.created_at is None else f"at {_minute(facts.created_at)}"
    backup = "" if facts.backup_at is None else f", from a backup of {_minute(facts.backup_at)}"
    return SafetyCheck(
        name="YoungTable",
        message=f"the table was created {created}{backup}, and is not known to be older than {YOUNG_TABLE.days} days. "
        "If a restore, an import or a copy left records out, their files look like orphans. Make sure that the table "
        "is complete and that the listed files are orphans, then approve the orphan list",
        approval=True,
    )


def shrunken_scan(facts: Facts) -> SafetyCheck | None:
    expected = max(facts.earlier_records, facts.counted_records)
    if not 0 < facts.records < expected * SHRUNKEN_PERCENT / 100:
        return None
    return SafetyCheck(
        name="ShrunkenScan",
        message=f"the scan read only {facts.records:,} records, but the table recently had {expected:,}. If records "
        "were deleted by mistake, restore them. If that was intended, approve the orphan list",
        approval=True,
        doubtful=True,
    )


def dangling_records(facts: Facts) -> SafetyCheck | None:
    if not facts.alike:
        return None
    return SafetyCheck(
        name="DanglingRecords",
        message=f"{facts.alike:,} orphans may be files of records that name no file of the bucket, but spell the name "
        "differently. The orphan list has that name as `alike` beside each. If it is the same file, correct the "
        "record. If none of them is, approve the orphan list",
        approval=True,
    )


def too_many_orphans(facts: Facts) -> SafetyCheck | None:
    if facts.orphans * 100 <= facts.listed * facts.maximum_orphan_percent:
        return None
    percent = 100 * facts.orphans / max(facts.listed, 1)
    return SafetyCheck(
        name="TooManyOrphans",
        message=f"{facts.orphans:,} of {facts.listed:,} files ({percent:.0f} %) are orphans, more than "
        f"spec.sweep.maximumOrphanPercent ({facts.maximum_orphan_percent}) allows. If the listed files are orphans, "
        "approve the orphan list",
        approval=True,
    )


def files_shared(facts: Facts) -> SafetyCheck | None:
    if not facts.shared or facts.may_share:
        return None
    return SafetyCheck(
        name="FilesShared",
        message=f"{facts.shared:,} files are named by more than one record, but spec.table.fileNames is not Shared. "
        "Give each record a file of its own; or delete this HumanGovState and re-create it with fileNames Shared",
    )


CHECKS: tuple[Callable[[Facts], SafetyCheck | None], ...] = (
    overlap,
    empty_scan,
    nothing_named,
    table_changed,
    young_table,
    shrunken_scan,
    dangling_records,
    too_many_orphans,
    files_shared,
)
"""The most serious first."""


def failed_checks(facts: Facts) -> list[SafetyCheck]:
    """Every reason to erase nothing, the most serious first."""
    return [failed for check in CHECKS if (failed := check(facts)) is not None]


def _is_empty(facts: Facts) -> bool:
    return facts.records == 0 and facts.listed > 0


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
