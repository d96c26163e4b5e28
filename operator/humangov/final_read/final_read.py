"""The final stream read: what no invocation will handle any more, after the trigger's deletion, is handled here.

A stream that the operator enabled is disabled before, so that every shard has an end. A backlog is read whatever its
age. A record may have moved to another id since an old event, in another shard. So beside the function's own checks a
reading of the whole table decides: what any record names stays. What was handled already is handled again; that is
harmless.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.cleanup.calls import NoReceiptError, error_code
from humangov.cleanup.outcomes import BatchResult, FileOutcome
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.reading.progress import FailedError, StoppedError
from humangov.reading.shards import StreamAccess, stream_arns, stream_pages
from humangov.reading.unnamed import freed_keys, read_named
from humangov.redrive.handling import handle_here

READ_WITHIN_SECONDS, HANDLE_WITHIN_SECONDS = 600.0, 900.0
"""Of the streams, and of what was read of them, since the start."""

_BATCH = 1000
_RECORDS_AT_ONCE, _BYTES_AT_ONCE = 10_000, 32 * 1024 * 1024
"""They share one reading of the table, and are held in memory."""

_LATE = "it was stopped, or its time limit was over"
_NO_TABLE = "ResourceNotFoundException"


@dataclass(frozen=True, kw_only=True)
class FinalRead:
    """What a final stream read found and did.

    shards    that were to be read
    open      streams that stay enabled: they have no end, and were read up to the present
    unread    shards that were not read to their end, by reason: AWS's code, or OutOfTime
    records   that were read; handled: of these, or they freed no file; failed: of the handled ones, Lambda would retry
    malformed, unresolved  of the handled ones, as in a BatchResult
    outcomes  number of files by outcome, without failures
    problem   why it ended early
    """

    shards: int = 0
    open: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    records: int = 0
    outcomes: Counter[FileOutcome] = field(default_factory=Counter)
    handled: int = 0
    failed: int = 0
    malformed: int = 0
    unresolved: int = 0
    problem: str | None = None
    log_stream: str | None = None

    @property
    def erased(self) -> int:
        return sum(number for outcome, number in self.outcomes.items() if outcome.kind == "erased")

    @property
    def unhandled(self) -> int:
        """Records that were read, and not begun."""
        return self.records - self.handled

    @property
    def complete(self) -> bool:
        """Whether every shard was read to its end, and every record handled."""
        return not (self.open or self.unread or self.failed or self.unhandled or self.problem)

    def __add__(self, other: FinalRead) -> FinalRead:
        return FinalRead(
            shards=self.shards + other.shards,
            open=self.open + other.open,
            unread=self.unread + other.unread,
            records=self.records + other.records,
            outcomes=self.outcomes + other.outcomes,
            handled=self.handled + other.handled,
            failed=self.failed + other.failed,
            malformed=self.malformed + other.malformed,
            unresolved=self.unresolved + other.unresolved,
            problem=self.problem or other.problem,
            log_stream=other.log_stream or self.log_stream,
        )


def read_stream(
    clients: AwsClients,
    names: Names,
    *,
    may_erase: Callable[[], str | None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> FinalRead:
    """Handles every record of the table's streams as the function does, for 15 minutes at most.

    may_erase: called before the table is read and before every batch; the reason not to erase, or None. Whatever ends
    it early is the result's `problem`; it raises nothing of AWS.
    """
    began = now()
    receipts = ReceiptLog(
        clients.logs, log_group=names.tenant.log_group_name, now=now, pause=pause, prefix="final-read"
    )  # fmt: skip
    run = _Run(
        clients=clients, names=names, receipts=receipts, may_erase=may_erase, now=now, pause=pause,
        late=lambda: stop() or may_erase() is not None or now() >= began + HANDLE_WITHIN_SECONDS,
    )  # fmt: skip
    access = StreamAccess(clients.streams, lambda: stop() or now() >= began + READ_WITHIN_SECONDS, pause)
    found = FinalRead()
    try:
        for group in _groups(access, _streams(clients, names)):
            found += group.counted
            for handled in _handled(run, group.records) if found.problem is None else ():
                found += handled
    except (NoReceiptError, FailedError, *SDK_ERRORS) as error:
        found += FinalRead(problem=without_names(error))
    return found


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What all steps use. late: once true, nothing new is handled."""

    clients: AwsClients
    names: Names
    receipts: ReceiptLog
    may_erase: Callable[[], str | None]
    late: Callable[[], bool]
    now: Callable[[], float]
    pause: Callable[[float], None]


def _streams(clients: AwsClients, names: Names) -> list[str]:
    """Raises what the SDK raises."""
    table = names.tenant.table.name
    try:
        latest = clients.patient_dynamodb.describe_table(TableName=table)["Table"].get("LatestStreamArn")
    except ClientError as error:
        if error_code(error) != _NO_TABLE:
            raise
        latest = None  # the streams of a deleted table can still be read
    return stream_arns(clients.streams, table=table, table_arn=names.table_arn, latest=latest)


@dataclass(frozen=True)
class _Group:
    """What was read, and the records that share one reading of the table, once they are complete."""

    counted: FinalRead = field(default_factory=FinalRead)
    records: tuple[Mapping[str, Any], ...] = ()


def _groups(access: StreamAccess, arns: Sequence[str]) -> Iterator[_Group]:
    waiting, size = list[Mapping[str, Any]](), 0
    for page in stream_pages(access, arns):
        unread = Counter([page.unread] if page.unread else [])
        counted = FinalRead(shards=page.shards, open=page.open, unread=unread, records=len(page.records))
        waiting += page.records
        size += sum(int(record["dynamodb"].get("SizeBytes") or 0) for record in page.records)
        full = len(waiting) >= _RECORDS_AT_ONCE or size >= _BYTES_AT_ONCE
        yield _Group(counted, tuple(waiting) if full else ())
        waiting, size = ([], 0) if full else (waiting, size)
    yield _Group(records=tuple(waiting))


def _handled(run: _Run, records: Sequence[Mapping[str, Any]]) -> Iterator[FinalRead]:
    """Reads the table, then handles the records. Raises NoReceiptError, FailedError, and what the SDK raises."""
    keys = freed_keys(records, run.names)
    if not keys:
        yield FinalRead(handled=len(records))
        return
    if reason := run.may_erase():
        yield FinalRead(problem=reason)
        return
    try:
        table = read_named(
            run.clients, run.names, keys, why_stop=lambda: _LATE if run.late() else None, now=run.now, pause=run.pause
        )  # fmt: skip
    except StoppedError as error:
        yield FinalRead(problem=str(error))
        return
    run.receipts.open()
    for start in range(0, len(records), _BATCH):
        if reason := run.may_erase() or (_LATE if run.late() else None):
            yield FinalRead(problem=reason)
            return
        batch = records[start : start + _BATCH]
        try:
            table.read_on(now=run.now())
        except StoppedError as error:
            yield FinalRead(problem=str(error))
            return
        handled = handle_here(
            batch, clients=run.clients, names=run.names, receipts=run.receipts,
            why_kept=lambda key: table.why_kept(key, now=run.now()), stop=run.late, now=run.now, pause=run.pause,
        )  # fmt: skip
        yield replace(_counted(handled), handled=len(batch), log_stream=run.receipts.stream_name)
        if handled.unstored:
            return


def _counted(handled: BatchResult) -> FinalRead:
    outcomes = {outcome: number for outcome, number in handled.outcomes.items() if not outcome.is_failure}
    problem = f"receipts could not be stored: {handled.unstored}" if handled.unstored else None
    return FinalRead(
        outcomes=Counter(outcomes), failed=handled.failed + handled.unhandled, malformed=handled.malformed,
        unresolved=handled.unresolved, problem=problem,
    )  # fmt: skip
