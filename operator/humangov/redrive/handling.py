"""Runs the function's own code in this process: same checks, same receipts, in the same log group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.cleanup import batch
from humangov.cleanup.calls import Calls, Line, NoReceiptError
from humangov.cleanup.log_lines import batch_line
from humangov.cleanup.outcomes import BatchResult, FileOutcome
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.reading.unnamed import function_settings


def handle_here(
    records: Sequence[Any],
    *,
    clients: AwsClients,
    names: Names,
    receipts: ReceiptLog,
    why_kept: Callable[[str], FileOutcome | None],
    stop: Callable[[], bool],
    now: Callable[[], float],
    pause: Callable[[float], None],
) -> BatchResult:
    """Handles these stream records as the function would, in this process.

    why_kept: why a key stays; None: the function's own checks decide. stop: called before each attempt of a call; once
    true, nothing new starts. The result's `unstored` says why receipts could not be stored: the caller then starts
    nothing more.
    """

    def note(lines: Iterable[Line]) -> None:
        # These lines prove nothing: without them the receipts are complete.
        with suppress(NoReceiptError):
            receipts.write(lines, stop=stop)

    settings = function_settings(names)
    calls = Calls(
        dynamodb=clients.dynamodb,
        s3=clients.s3,
        bucket_owner=names.identity.account_id,
        out_of_time=stop,
        pause=pause,
        now=now,
        write=note,
        store=partial(receipts.write, stop=stop),
        keeps_versions=lambda: True,  # exactly the listed versions of every file are erased
        why_kept=why_kept,
    )
    result = batch.run({"Records": list(records)}, settings=settings, calls=calls)
    note([batch_line(result, settings=settings)])
    return result
