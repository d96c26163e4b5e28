"""The final stream read: after the trigger's deletion, it handles the records that were deleted just before."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.cleanup.outcomes import BatchResult, FileOutcome
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.final_read.shards import stream_pages
from humangov.redrive.handling import handle_here

WITHIN_SECONDS = 120.0
_BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class FinalRead:
    """What a final stream read found and did.

    records   recent records that were read; failed: of these
    outcomes  number of files by outcome, without failures
    unread    shards that were not read completely, or not at all
    unstored  why receipts could not be stored, and the read ended
    """

    shards: int = 0
    records: int = 0
    outcomes: Counter[FileOutcome] = field(default_factory=Counter)
    failed: int = 0
    unread: int = 0
    log_stream: str | None = None
    unstored: str | None = None

    @property
    def erased(self) -> int:
        return sum(number for outcome, number in self.outcomes.items() if outcome.kind == "erased")

    @property
    def complete(self) -> bool:
        return self.unread == 0 and self.failed == 0 and self.unstored is None

    def __add__(self, other: FinalRead) -> FinalRead:
        return FinalRead(
            shards=self.shards + other.shards,
            records=self.records + other.records,
            outcomes=self.outcomes + other.outcomes,
            failed=self.failed + other.failed,
            unread=self.unread + other.unread,
            log_stream=other.log_stream or self.log_stream,
            unstored=self.unstored or other.unstored,
        )


def read_stream(
    clients: AwsClients,
    names: Names,
    *,
    since: datetime,
    stop: Callable[[], bool] = lambda: False,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> FinalRead:
    """Handles every record of the stream since then as the function does, for two minutes at most.

    Ends early if receipts can't be stored. Raises NoReceiptError if nothing was handled, and ClientError or
    BotoCoreError if the stream can't be described.
    """
    ends_at = now() + WITHIN_SECONDS

    def late() -> bool:
        return stop() or now() >= ends_at

    table = clients.patient_dynamodb.describe_table(TableName=names.tenant.table.name)["Table"]
    arn = table.get("LatestStreamArn")
    if not arn or not (table.get("StreamSpecification") or {}).get("StreamEnabled"):
        return FinalRead()
    receipts = ReceiptLog(
        clients.logs, log_group=names.tenant.log_group_name, now=now, pause=pause, prefix="final-read"
    )  # fmt: skip
    handle = partial(handle_here, clients=clients, names=names, receipts=receipts, stop=late, now=now, pause=pause)
    found = FinalRead()
    for step in _steps(clients.streams, str(arn), since=since, late=late, pause=pause):
        found += step.counted
        if step.batch:
            receipts.open()
            found += _counted(handle(step.batch), log_stream=receipts.stream_name)
            if found.unstored:
                break
    return found


@dataclass(frozen=True)
class _Step:
    """What was read, or a batch: full, or the last one."""

    counted: FinalRead = field(default_factory=FinalRead)
    batch: tuple[Mapping[str, Any], ...] = ()


def _steps(
    streams: Any, arn: str, *, since: datetime, late: Callable[[], bool], pause: Callable[[float], None]
) -> Iterator[_Step]:
    waiting: tuple[Mapping[str, Any], ...] = ()
    for page in stream_pages(streams, arn, since=since, late=late, pause=pause):
        yield _Step(FinalRead(shards=page.shards, unread=page.unread, records=len(page.records)))
        waiting += tuple(page.records)
        while len(waiting) >= _BATCH:
            yield _Step(batch=waiting[:_BATCH])
            waiting = waiting[_BATCH:]
    if waiting:
        yield _Step(batch=waiting)


def _counted(handled: BatchResult, *, log_stream: str | None) -> FinalRead:
    outcomes = {outcome: number for outcome, number in handled.outcomes.items() if not outcome.is_failure}
    return FinalRead(
        outcomes=Counter(outcomes), failed=len(handled.hand_back), log_stream=log_stream, unstored=handled.unstored
    )  # fmt: skip
