"""Redrive: what the function could not handle goes through its own code once more, then its record is removed.

Lambda writes the whole event of an invocation that it gives up, whatever mapping brought it, into the tenant's bucket
of failures. Each is handled as the function handles it: same guards, same receipts, in the same log group. It can be
killed anywhere and run again: a record is removed after all in it was handled, and handling twice does no harm.

Which rights it needs stands in docs/security.md, and tests/lambda/test_rights.py holds them to it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from humangov.api.names import Names
from humangov.api.spec import Tenant
from humangov.aws import function
from humangov.aws.data_plane import AwsClients
from humangov.aws.receipt_log import Receipts
from humangov.cleanup import batch
from humangov.cleanup.calls import Calls, Line
from humangov.cleanup.environment import read_settings
from humangov.cleanup.receipt_lines import is_failure
from humangov.redrive import invocation
from humangov.redrive.failure_bucket import Waiting, body, remove, waiting
from humangov.redrive.invocation import Invocation, UnreadableError

_PROGRESS_EVERY_SECONDS = 5.0


class RefusedError(Exception):
    """Nothing may be erased for this tenant now; the message says why and what to do."""


@dataclass
class Summary:
    """What a run has found and done. Counts of invocation records, if nothing else is said.

    by_condition, by_mapping  of ours: Lambda's word for why it gave up; the UUID of the mapping that wrote it
    records     stream records in ours
    outcomes    of files: outcome → how many
    malformed   stream records that no retry can cure: let through, as the function does
    failed      left whole, as some of its stream records failed: key → why
    unreadable  left, whoever it is of: key → why
    kept        handled, but S3 does not let go of it: key → why
    """

    found: int = 0
    not_ours: int = 0
    ours: int = 0
    by_condition: Counter[str] = field(default_factory=Counter)
    by_mapping: Counter[str] = field(default_factory=Counter)
    oldest: datetime | None = None
    records: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    malformed: int = 0
    removed: int = 0
    failed: dict[str, list[str]] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    log_stream: str | None = None

    @property
    def left(self) -> int:
        """Of ours, and of what may be ours."""
        return self.ours - self.removed + len(self.unreadable)


def redrive(
    clients: AwsClients,
    names: Names,
    *,
    dry_run: bool = False,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[str], None] = lambda _line: None,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> Summary:
    """One run. stop: asked before each call that begins anything.

    Raises RefusedError, NoReceiptError, and ClientError or BotoCoreError where the bucket of failures can't be read.
    """
    if not dry_run:
        _refuse(names.tenant)
    summary = Summary()
    receipts = Receipts(
        clients.logs, log_group=names.tenant.log_group_name, now=now, pause=pause, prefix="redrive"
    )  # fmt: skip
    place = {"bucket": names.tenant.failures.bucket, "owner": names.identity.account_id}
    told_at = now()
    for one in waiting(clients.patient_s3, **place):
        if stop():
            break
        summary.found += 1
        invocation = _read(clients, one, names, summary, place)
        if invocation is not None and not dry_run:
            receipts.open()
            summary.log_stream = receipts.stream_name
            again = _handle(invocation, clients, names, summary, receipts=receipts, stop=stop, now=now, pause=pause)
            if stop():
                break
            if again:
                summary.failed[one.key] = again
            elif reason := remove(clients.patient_s3, one, **place):
                summary.kept[one.key] = reason
            else:
                summary.removed += 1
        if now() - told_at >= _PROGRESS_EVERY_SECONDS:
            told_at = now()
            progress(f"{summary.found:,} invocation records looked at, {summary.removed:,} removed")
    summary.stopped = stop()
    return summary


def _refuse(tenant: Tenant) -> None:
    if not tenant.trigger.enabled:
        raise RefusedError(f"{tenant.key}: spec.trigger.enabled is false, so nothing is erased. Set it to true first")
    if tenant.files_shared and tenant.table.file_names == "Unique":
        raise RefusedError(
            f"{tenant.key}: {tenant.files_shared:,} files are named by more than one record (condition Ready says what "
            "to do), so nothing is erased"
        )
    if tenant.suspend:
        raise RefusedError(f"{tenant.key}: spec.suspend is true, so nothing is erased. Set it to false first")


def _read(
    clients: AwsClients, one: Waiting, names: Names, summary: Summary, place: Mapping[str, str]
) -> Invocation | None:
    """The invocation if it is ours, counted."""
    try:
        stored = body(clients.patient_s3, one, bucket=place["bucket"], owner=place["owner"])
        if stored is None:
            return None
        found = invocation.read(stored, function_arn=names.function_arn, table_arn=names.table_arn)
    except UnreadableError as error:
        summary.unreadable[one.key] = str(error)
        return None
    if found is None:
        summary.not_ours += 1
        return None
    summary.ours += 1
    summary.by_condition[found.condition] += 1
    summary.by_mapping[one.mapping] += 1
    summary.oldest = min(filter(None, (summary.oldest, one.written)))
    summary.records += len(found.records)
    return found


def _handle(
    invocation: Invocation,
    clients: AwsClients,
    names: Names,
    summary: Summary,
    *,
    receipts: Receipts,
    stop: Callable[[], bool],
    now: Callable[[], float],
    pause: Callable[[float], None],
) -> list[str]:
    """What the function does with this event. Returns why some of its records failed; empty if none did."""
    files: Counter[str] = Counter()

    def write(lines: Iterable[Line]) -> None:
        told = list(lines)
        receipts.write(told)
        for line in told:
            if line.get("message") == "batch":
                files.update(line["files"])
                summary.malformed += line["malformed"]

    calls = Calls(
        dynamodb=clients.dynamodb,
        s3=clients.s3,
        out_of_time=stop,
        pause=pause,
        now=now,
        write=write,
        keeps_versions=lambda: True,  # every file is erased by exactly the versions that were listed
    )
    answer = batch.run(invocation.event, settings=read_settings(function.environment(names)), calls=calls)
    summary.outcomes.update({name: number for name, number in files.items() if not is_failure(name)})
    failed = sorted(filter(is_failure, files))
    return (failed or ["failed: see the log"]) if answer["batchItemFailures"] else []
