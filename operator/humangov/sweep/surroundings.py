"""What the steps of one sweep share: what it needs from outside, what it knows from its start, and how it reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.cleanup.calls import Calls, Line
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.reading.followed_stream import Keep
from humangov.reading.progress import Steps
from humangov.reading.snapshot import TableDescription
from humangov.reading.table_reading import KeepByRecord, TableReading, read_completely


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a sweep needs from outside, apart from AWS.

    may_erase  called before the second scan, before every batch, and throughout the redrive: the reason not to erase,
               or None
    approved   sha256 of the orphan list that a person approved
    approver   who that was, by the signature beside it; None: not known
    """

    steps: Steps = field(default_factory=Steps)
    may_erase: Callable[[], str | None] = lambda: None
    approved: str | None = None
    approver: str | None = None
    now: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep


@dataclass(frozen=True, kw_only=True)
class Run:
    """What all steps of a run use. began: S3's time before the listing, in seconds since the epoch."""

    clients: AwsClients
    names: Names
    around: Surroundings
    table: TableDescription
    versioned: bool
    began: float


def read(run: Run, keep: KeepByRecord, *, keep_since: Keep, stage: str, total: int | None) -> TableReading:
    """Hands the keys that each record may mean to `keep`, and what the stream names to `keep_since`."""
    around = run.around
    around.steps.begin(stage, total=total)
    return read_completely(
        run.clients, run.names, keep, keep_since=keep_since, table=run.table, steps=around.steps, now=around.now,
        pause=around.pause,
    )  # fmt: skip


class ReadOn(NamedTuple):
    """The table just before a batch.

    is_snapshot: whether the stream completes the scan. too_old: why nothing more may be erased by this reading, if so.
    """

    is_snapshot: bool
    too_old: str | None = None

    @property
    def kind(self) -> str:
        """As receipts say it."""
        return "snapshot" if self.is_snapshot else "scan"


def receipts_of(run: Run) -> ReceiptLog:
    """The log stream of its receipts."""
    return ReceiptLog(
        run.clients.logs, log_group=run.names.tenant.log_group_name, now=run.around.now, pause=run.around.pause,
        prefix="sweep",
    )  # fmt: skip


def calls_of(run: Run) -> Calls:
    """The calls of the function's code, in this process."""
    return Calls(
        dynamodb=run.clients.dynamodb, s3=run.clients.s3, bucket_owner=run.names.identity.account_id,
        out_of_time=lambda: False, pause=run.around.pause, now=run.around.now, write=_lines_ignored,
        keeps_versions=lambda: run.versioned,
    )  # fmt: skip


def _lines_ignored(_lines: Iterable[Line]) -> None:
    """Discards the log of failed calls: the outcome's line has the code."""
