"""One sweep: list the bucket, then read the table; what no record names, twice, a day apart, is erased.

In this order a reference that was there before the scan is seen: the application uploads a file before it writes the
record. Every step before the erasure only reads, or writes under `.humangov/`; killed anywhere, the next sweep begins
anew with what the manifests in the bucket say of earlier ones, never with a decision.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import translate
from functools import partial

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.aws.receipt_log import Receipts
from humangov.cleanup.calls import Calls
from humangov.cleanup.references import MAXIMUM_KEY_BYTES, mentioned, object_key, reserved_prefixes
from humangov.redrive.redrive import RefusedError, redrive
from humangov.redrive.redrive import Summary as Redriven
from humangov.sweep import bucket_claim, erasure, orphan_list, shared_files
from humangov.sweep.erasure import Erased
from humangov.sweep.listing import Stored, list_bucket
from humangov.sweep.orphan_list import Head, Kept
from humangov.sweep.progress import FailedError, Steps, s3_time
from humangov.sweep.safety_checks import SHRUNKEN_PERCENT, Brake, Facts, brakes
from humangov.sweep.scratch_db import APPROVED, Scratch
from humangov.sweep.snapshot import Item, Table, describe, scan

REPORT, DELETE = "Report", "Delete"
_LARGEST = 10


@dataclass
class Summary:
    """What a sweep has found and done. Numbers are files, if nothing else is said; times are S3's.

    listed      under the key prefix, and of spec.sweep.include
    too_young   younger than spec.sweep.minimumAge
    live        of the others, named by a record
    orphans     named by none
    confirmed   of those, seen so by an earlier sweep long enough ago
    spared      confirmed, and named after all when the table was read again
    brakes      why nothing was erased; in mode Report: why nothing would be
    """

    run: str
    mode: str
    dry_run: bool
    started: datetime
    records: int = 0
    listed: int = 0
    too_young: int = 0
    live: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    confirmed: int = 0
    spared: int = 0
    shared: tuple[str, ...] = ()
    largest: Sequence[Stored] = ()
    brakes: Sequence[Brake] = ()
    approved: bool = False
    redriven: Redriven | None = None
    erased: Erased = field(default_factory=Erased)
    manifest: Kept | None = None
    log_stream: str | None = None
    earlier: Kept | None = None

    @property
    def left(self) -> int:
        """Orphans that are still there."""
        return self.orphans - self.erased.count("erased") - self.erased.count("absent")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a sweep needs of the outside beside AWS.

    may_erase  asked before the second scan and before every batch: the reason not to, or None
    approved   sha256 of the manifest whose orphans a person lets go
    """

    steps: Steps = field(default_factory=Steps)
    may_erase: Callable[[], str | None] = lambda: None
    approved: str | None = None
    now: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep


def begin(*, mode: str, dry_run: bool = False, now: float) -> Summary:
    """The summary of a run that is about to be. now: seconds since the epoch."""
    return Summary(run=secrets.token_hex(4), mode=mode, dry_run=dry_run, started=datetime.fromtimestamp(now, UTC))


def sweep(clients: AwsClients, names: Names, summary: Summary, *, around: Surroundings) -> None:
    """One run; what it finds and does goes into `summary`, as it goes.

    Raises ClaimedError, FailedError, StoppedError, NoReceiptError, sqlite3.Error, and ClientError or BotoCoreError
    where the bucket or the table can't be read. Whatever it raises, nothing was erased on what it could not see.
    """
    steps = around.steps
    steps.check()
    asked = {"Bucket": names.tenant.bucket.name, "ExpectedBucketOwner": names.identity.account_id}
    versioning = clients.patient_s3.get_bucket_versioning(**asked)
    versioned = versioning.get("Status") in ("Enabled", "Suspended")
    began = s3_time(versioning)  # files are aged by S3's clock, from before the listing
    table = _ready(describe(clients.patient_dynamodb, names))
    bucket_claim.claim(clients.patient_s3, names, write=not summary.dry_run)
    if not summary.dry_run:
        summary.redriven = _redrive(clients, names, around)
    with Scratch() as scratch:
        strangers = _list(clients, names, scratch, summary, began=began, versioned=versioned, steps=steps)
        steps.begin("reading the table", total=table.records or None)
        summary.records = _scan(clients, names, table, around, partial(_keep_names, names=names, scratch=scratch))
        counts = scratch.join()
        summary.live, summary.orphans, summary.orphan_bytes = counts.live, counts.orphans, counts.orphan_bytes
        unique = names.tenant.table.file_names == "Unique"
        doubles = scratch.named_twice(limit=shared_files.MOST) if unique else []
        scratch.forget_names()
        summary.largest = scratch.largest(_LARGEST)
        if doubles:
            once_more = partial(_scan, clients, names, table, around)
            summary.shared = shared_files.really_shared(
                clients, names, doubles, table=table, scan=once_more, pause=around.pause
            )
        _same(table, describe(clients.patient_dynamodb, names))

        ended = s3_time(clients.patient_s3.get_bucket_versioning(**asked))
        earlier = _earlier(clients, names, scratch, around, table_id=table.table_id, began=began)
        summary.earlier = earlier.last
        found = brakes(_facts(names, summary, table, earlier, strangers=strangers, now=began))
        released = [brake for brake in found if brake.approval and earlier.approved]
        summary.approved = bool(released)
        summary.brakes = [brake for brake in found if brake not in released]
        if earlier.compared:
            summary.confirmed = scratch.confirm(earlier.compared, approved_only=summary.approved)
        if not summary.dry_run:
            summary.manifest = orphan_list.write(
                clients.patient_s3, _head(names, summary, table_id=table.table_id, at=ended, brakes=found),
                scratch.orphans(), owner=names.identity.account_id, folder=scratch.folder,
            )  # fmt: skip
            if summary.mode == DELETE and not summary.brakes and summary.confirmed:
                _erase(
                    clients, names, table, scratch, summary, around,
                    listed_in=summary.manifest.key, versioned=versioned,
                )  # fmt: skip


def _ready(table: Table) -> Table:
    if table.status != "ACTIVE" or table.restoring:
        state = "being restored" if table.restoring else table.status
        raise FailedError(f"the table is {state}, not ACTIVE: swept again at the next run")
    return table


def _same(before: Table, after: Table) -> None:
    if before.table_id != after.table_id or after.status != "ACTIVE":
        raise FailedError("the table was removed or made anew while it was read; nothing is concluded from that")


def _redrive(clients: AwsClients, names: Names, around: Surroundings) -> Redriven | None:
    """What the function could not handle comes first: with its guards and receipts, whatever the sweep's mode."""
    try:
        return redrive(
            clients, names, stop=lambda: around.steps.why_stop() is not None, now=around.now, pause=around.pause
        )
    except RefusedError:
        return None  # the emergency stop, or suspended


def _list(
    clients: AwsClients,
    names: Names,
    scratch: Scratch,
    summary: Summary,
    *,
    began: float,
    versioned: bool,
    steps: Steps,
) -> list[str]:
    """Into `scratch` goes what may be an orphan by its name and age. Returns other tenants' claims on these files."""
    bucket, options = names.tenant.bucket, names.tenant.sweep
    oldest_young = began - options.minimum_age_seconds
    included = re.compile("|".join(translate(pattern) for pattern in options.include))
    length, ours, reserved = len(bucket.key_prefix), bucket_claim.key_of(names), reserved_prefixes(bucket.key_prefix)
    strangers: list[str] = []

    def sink(page: Sequence[Stored]) -> None:
        old = []
        for one in page:
            if one.key.startswith(reserved):
                continue
            if one.key.endswith(bucket_claim.PLACE) and one.key != ours:
                strangers.append(one.key)
            elif included.match(one.key, length):
                summary.listed += 1
                if one.modified > oldest_young:
                    summary.too_young += 1
                else:
                    old.append(one)
        scratch.store(old)

    steps.begin("listing")
    list_bucket(
        clients.patient_s3, bucket=bucket.name, owner=names.identity.account_id, prefix=bucket.key_prefix,
        versioned=versioned, sink=sink, steps=steps,
    )  # fmt: skip
    return strangers


def _scan(
    clients: AwsClients, names: Names, table: Table, around: Surroundings, sink: Callable[[Sequence[Item]], None],
    more: Iterable[str] = (),
) -> int:  # fmt: skip
    """more: attributes beside those that name files."""
    return scan(
        clients.patient_dynamodb, table=table, name=names.tenant.table.name,
        attributes=[*names.tenant.table.file_attributes, *more], sink=sink, steps=around.steps, pause=around.pause,
    )  # fmt: skip


def keys_of(item: Item, names: Names) -> Iterator[bytes]:
    """Every object key that a record mentions, once; generous, as what is named is kept."""
    prefix = names.tenant.bucket.key_prefix
    for name in mentioned(item, attributes=names.tenant.table.file_attributes):
        with suppress(UnicodeEncodeError):  # no key of S3's
            key = object_key(name, key_prefix=prefix).encode()
            if len(key) <= MAXIMUM_KEY_BYTES:
                yield key


def _keep_names(items: Sequence[Item], *, names: Names, scratch: Scratch) -> None:
    scratch.name([key for item in items for key in keys_of(item, names)])


def _facts(
    names: Names, summary: Summary, table: Table, earlier: _Earlier, *, strangers: Sequence[str], now: float
) -> Facts:
    return Facts(
        records=summary.records,
        earlier_records=earlier.most_records(table.table_id),
        counted_records=table.records,
        listed=summary.listed,
        live=summary.live,
        orphans=summary.orphans,
        shared=len(summary.shared),
        may_share=names.tenant.table.file_names == "Shared",
        maximum_orphan_percent=names.tenant.sweep.maximum_orphan_percent,
        table_id=table.table_id,
        earlier_table_id=earlier.last.head.table_id if earlier.last else None,
        restored_at=table.restored_at,
        strangers=strangers,
        now=datetime.fromtimestamp(now, UTC),
    )


def _head(names: Names, summary: Summary, *, table_id: str, at: float, brakes: Sequence[Brake]) -> Head:
    options = names.tenant.sweep
    return Head(
        tenant=names.owner,
        table=names.table_arn,
        table_id=table_id,
        bucket=names.tenant.bucket.name,
        key_prefix=names.tenant.bucket.key_prefix,
        run=summary.run,
        mode=summary.mode,
        at=at,
        include=options.include,
        minimum_age_seconds=options.minimum_age_seconds,
        records=summary.records,
        listed=summary.listed,
        too_young=summary.too_young,
        live=summary.live,
        orphans=summary.orphans,
        orphan_bytes=summary.orphan_bytes,
        shared=summary.shared,
        brakes=tuple(brake.name for brake in brakes),
        sighting=not any(brake.doubtful for brake in brakes),
    )


@dataclass(frozen=True, kw_only=True)
class _Earlier:
    """The sweeps before this one, the youngest first. Their lists are in `scratch`.

    approved  a person has let go the list of one of them
    compared  how many manifests an orphan must be in to be confirmed; 0: none is old enough
    """

    all: Sequence[Kept]
    approved: bool
    compared: int

    @property
    def last(self) -> Kept | None:
        return self.all[0] if self.all else None

    def most_records(self, table_id: str) -> int:
        return max((one.head.records for one in self.all if one.head.table_id == table_id), default=0)


def _earlier(
    clients: AwsClients, names: Names, scratch: Scratch, around: Surroundings, *, table_id: str, began: float
) -> _Earlier:
    """An orphan is confirmed by the youngest sweep that is old enough, and by every one since."""
    found: list[Kept] = []
    approved, old_enough, compared = False, False, 0
    for kept, path in orphan_list.earlier(clients.patient_s3, names, now=began, folder=scratch.folder):
        around.steps.check()
        found.append(kept)
        of_this_table = kept.head.table_id == table_id
        is_approved = of_this_table and kept.sha256 == around.approved
        if is_approved:
            approved = True
            scratch.sighted(APPROVED, orphan_list.read(path))
        # What a person has looked at counts, however doubtful the scan was.
        if of_this_table and (kept.head.sighting or is_approved) and not old_enough:
            scratch.sighted(compared, orphan_list.read(path))
            compared += 1
            old_enough = began - kept.head.at >= names.tenant.sweep.confirm_after_seconds
        path.unlink()
    return _Earlier(all=found, approved=approved, compared=compared if old_enough else 0)


def _erase(
    clients: AwsClients,
    names: Names,
    table: Table,
    scratch: Scratch,
    summary: Summary,
    around: Surroundings,
    *,
    listed_in: str,
    versioned: bool,
) -> None:
    """The second scan, then the erasure of what is still named by no record. listed_in: the manifest's key."""
    if reason := around.may_erase():
        summary.erased.unfinished = reason
        return
    around.steps.begin("reading the table again", total=summary.records)

    def spare(items: Sequence[Item]) -> None:
        scratch.spare(key for item in items for key in keys_of(item, names))

    records = _scan(clients, names, table, around, spare)
    _same(table, describe(clients.patient_dynamodb, names))
    if records < summary.records * SHRUNKEN_PERCENT / 100:
        raise FailedError(
            f"the second scan saw {records:,} records and the first {summary.records:,}: nothing is erased on that"
        )
    still = scratch.confirmed_number()
    summary.spared = summary.confirmed - still
    receipts = Receipts(
        clients.logs, log_group=names.tenant.log_group_name, now=around.now, pause=around.pause, prefix="sweep"
    )
    receipts.open()
    summary.log_stream = receipts.stream_name
    calls = Calls(
        dynamodb=clients.dynamodb, s3=clients.s3, out_of_time=lambda: False, pause=around.pause, now=around.now,
        write=erasure.lines_ignored, keeps_versions=lambda: versioned,
    )  # fmt: skip
    summary.erased = erasure.erase(
        scratch.confirmed(limit=names.tenant.sweep.maximum_erasures),
        names=names, run=summary.run, manifest=listed_in, versioned=versioned, calls=calls,
        patient_s3=clients.patient_s3, receipts=receipts, steps=around.steps, may_go_on=around.may_erase,
    )  # fmt: skip
    limit = names.tenant.sweep.maximum_erasures
    if still > limit and summary.erased.unfinished is None:
        summary.erased.unfinished = (
            f"{still - limit:,} are left to the next sweep (spec.sweep.maximumErasures is {limit:,})"
        )
