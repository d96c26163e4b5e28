"""Redrive: handles failed invocations once more with the function's own code, then removes their records.

Lambda writes the whole event of a failed invocation, of any mapping, to the tenant's failures bucket. The redrive
handles it as the function does: same checks, same receipts, in the same log group. It can be killed anywhere and run
again: a record is removed after everything in it was handled, and handling it twice is harmless.

docs/security.md lists the permissions that it needs; tests/lambda/test_permissions.py checks them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from humangov.api.names import Names
from humangov.api.spec import Tenant
from humangov.api.stop import STOP_ANNOTATION, why_not_erase
from humangov.aws.data_plane import AwsClients
from humangov.cleanup.outcomes import BatchResult, FileOutcome, failed
from humangov.cleanup.receipt_log import ReceiptLog
from humangov.redrive import failure_bucket, invocation
from humangov.redrive.failure_bucket import InvocationRecord
from humangov.redrive.handling import handle_here
from humangov.redrive.invocation import Invocation, UnreadableError
from humangov.redrive.result import RedriveResult

_PROGRESS_EVERY_SECONDS = 5.0


class RefusedError(Exception):
    """No file of this tenant may be erased now; the message says why and what to do."""


def redrive(
    clients: AwsClients,
    names: Names,
    *,
    dry_run: bool = False,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[str], None] = lambda _line: None,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> RedriveResult:
    """One run. stop: called before each call that starts anything.

    Ends early if receipts can't be stored: the result's `unstored` says why. Raises RefusedError, NoReceiptError if
    nothing was handled, and ClientError or BotoCoreError if the failures bucket can't be read.
    """
    if not dry_run:
        refuse(names.tenant)
    bucket, owner = names.tenant.failures.bucket, names.identity.account_id
    receipts = ReceiptLog(
        clients.logs, log_group=names.tenant.log_group_name, now=now, pause=pause, prefix="redrive"
    )  # fmt: skip
    result = RedriveResult()
    shown_at = now()
    for one in failure_bucket.invocation_records(clients.patient_s3, bucket=bucket, owner=owner):
        if stop():
            break
        read = _read(clients, one, names)
        result += read.counted
        if read.invocation is not None and not dry_run:
            receipts.open()
            handled = handle_here(
                read.invocation.records, clients=clients, names=names, receipts=receipts, stop=stop, now=now,
                pause=pause,
            )  # fmt: skip
            result += replace(_counted(handled), log_stream=receipts.stream_name)
            if stop() or handled.unstored:
                break
            result += _failed(one, handled) or _removed(clients, one, bucket=bucket, owner=owner)
        if now() - shown_at >= _PROGRESS_EVERY_SECONDS:
            shown_at = now()
            progress(f"{result.found:,} invocation records read, {result.removed:,} removed")
    return replace(result, stopped=stop())


def refuse(tenant: Tenant) -> None:
    """Raises RefusedError where the spec, or what a sweep found, forbids to erase; of a stop the StopSwitch knows."""
    if tenant.hold is not None:
        raise RefusedError(
            f"{tenant.key}: {why_not_erase(tenant)}, so nothing is erased. What the hold keeps is redriven when it ends"
        )
    if STOP_ANNOTATION in tenant.annotations:
        raise RefusedError(f"{tenant.key}: annotation {STOP_ANNOTATION} is set, so nothing is erased. Start it first")
    if not tenant.trigger.enabled:
        raise RefusedError(f"{tenant.key}: spec.trigger.enabled is false, so nothing is erased. Set it to true first")
    if tenant.files_shared and tenant.table.file_names == "Unique":
        raise RefusedError(
            f"{tenant.key}: more than one record names {tenant.files_shared:,} files, so nothing is erased. The "
            "condition Ready says what to do"
        )
    if tenant.suspend:
        raise RefusedError(f"{tenant.key}: spec.suspend is true, so nothing is erased. Set it to false first")


class _Read(NamedTuple):
    """What one record contains, and how it counts. invocation: if it is the tenant's own."""

    counted: RedriveResult
    invocation: Invocation | None = None


def _read(clients: AwsClients, one: InvocationRecord, names: Names) -> _Read:
    found = RedriveResult(found=1)
    bucket, owner = names.tenant.failures.bucket, names.identity.account_id
    try:
        stored = failure_bucket.body(clients.patient_s3, one, bucket=bucket, owner=owner)
        if stored is None:
            return _Read(found)
        own = invocation.read(stored, function_arn=names.function_arn, table_arn=names.table_arn)
    except UnreadableError as error:
        return _Read(replace(found, unreadable={one.key: str(error)}))
    if own is None:
        return _Read(replace(found, others=1))
    counted = replace(
        found,
        own=1,
        by_condition=Counter({own.condition: 1}),
        by_mapping=Counter({one.mapping: 1}),
        oldest=one.written,
        records=len(own.records),
    )
    return _Read(counted, own)


def _counted(handled: BatchResult) -> RedriveResult:
    outcomes = {outcome: number for outcome, number in handled.outcomes.items() if not outcome.is_failure}
    return RedriveResult(outcomes=Counter(outcomes), malformed=handled.malformed, unstored=handled.unstored)


def _failed(one: InvocationRecord, handled: BatchResult) -> RedriveResult | None:
    """None if all of its stream records were handled."""
    if not handled.hand_back:
        return None
    reasons: list[FileOutcome] = [outcome for outcome in handled.outcomes if outcome.is_failure]
    reasons.sort(key=lambda outcome: outcome.detail)
    return RedriveResult(failed={one.key: reasons or [failed("see the log")]})


def _removed(clients: AwsClients, one: InvocationRecord, *, bucket: str, owner: str) -> RedriveResult:
    reason = failure_bucket.remove(clients.patient_s3, one, bucket=bucket, owner=owner)
    return RedriveResult(kept={one.key: reason}) if reason else RedriveResult(removed=1)
