"""What is judged in the end: what every event came to, orphans that nobody names, erasures that no outcome tells of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from typing import Any

from humangov.cleanup.receipt_lines import parse, spell
from humangov.proof import receipts
from humangov.sweep.result import DELETE
from humangov.sweep.run import EndedSweep

from testing.event_source.source import EventSource
from testing.world.account import Account
from testing.world.audit import SWEPT
from testing.world.jobs import files_of, own_invocations
from testing.world.promises import LOST, RECEIPT, SILENT
from testing.world.stream import StreamRecord

_OTHER = "aws/lambda/99999999-2222-3333-4444-555555555555/shardId-1/2026/03/01/"


def foreign_objects(account: Account) -> None:
    """What others keep in the failures bucket: a record that only they can decrypt, one of another function, a note."""
    other = {
        "requestContext": {"functionArn": "arn:aws:lambda:us-east-1:123456789012:function:other", "condition": "x"},
        "DDBStreamBatchInfo": {"streamArn": "arn:aws:dynamodb:us-east-1:123456789012:table/other/stream/1"},
        "payload": json.dumps({"Records": [{}]}),
    }
    for name, body in {"other": json.dumps(other).encode(), "note": b"hello", "secret": b"\x00"}.items():
        account.bucket.put(f"{_OTHER}{name}", body, at=account.clock.now)
    account.foreign.add(f"{_OTHER}secret")
    account.weather.note("S3: another team's key")


def judge_events(account: Account, *, sources: Sequence[EventSource], unstored: Set[str]) -> None:
    """After the last event and a redrive: what Lambda counts as done has an outcome, or is a failed invocation."""
    waiting = _numbers_that_wait(account)
    for change in account.table.changes.values():
        if change.number in unstored or change.number in waiting:
            continue
        for key in change.freed:
            if account.bucket.data(key) and not account.table.named(key) and not account.audit.is_settled(change, key):
                account.audit.broken(
                    SILENT, "an event counts as handled, and nothing says what became of its file",
                    f"{key}, {change.event_id}",
                )  # fmt: skip
    _judge_erasures(account, open_events=unstored | waiting)


def judge_rest(account: Account, *, orphans: frozenset[str] | None, last: EndedSweep | None) -> None:
    """After quiet nights: what no record names is in the last orphan list; what a record names is not hidden.

    In mode Delete nothing is left that no record names, unless the last sweep says why.
    """
    left = [key for key in files_of(account) if not account.table.named(key)]
    for key in left:
        if key not in (orphans or ()):
            account.audit.broken(SILENT, "a file that no record names is in no orphan list", key)
    if last is not None and last.result.mode == DELETE and left and not _says_why(last):
        account.audit.broken(SILENT, "quiet nights have passed, and a sweep in mode Delete left orphans", str(left))
    _judge_sweeps_erasures(account)
    _judge_hidden(account)


def _says_why(last: EndedSweep) -> bool:
    result = last.result
    return bool(last.problem or result.failed_checks or result.approved or result.erased.unfinished)


def _judge_sweeps_erasures(account: Account) -> None:
    """What a sweep erased, be it one that was killed, some sweep's receipt says in the end."""
    receipts_of: dict[str, list[receipts.Receipt]] = {}
    for one in receipts.joined(_as_read(account)):
        receipts_of.setdefault(one.key, []).append(one)
    for erasure in account.audit.erasures:
        outcomes = {one.outcome for one in receipts_of.get(erasure.key, ()) if one.event == SWEPT}
        if erasure.of_sweep and not any(one != receipts.CUT_OFF and _admits(one) for one in outcomes):
            why = "a sweep erased a file, and no receipt says so"
            if outcomes == {receipts.CUT_OFF}:
                why = "a sweep that was cut off had erased a file, and no later one has settled it"
            account.audit.broken(RECEIPT, why, f"{erasure.key}: {sorted(outcomes)}, {erasure.events}")


def judge_deleted(account: Account) -> None:
    _judge_hidden(account)


def _judge_hidden(account: Account) -> None:
    for key in account.table.namers:
        if account.bucket.data(key) and not account.bucket.is_there(key):
            account.audit.broken(LOST, "a delete marker of ours hides a live file", key)


def _judge_erasures(account: Account, *, open_events: Set[str]) -> None:
    """Every file that went has an outcome which says so, unless its events have not come to their end."""
    admitted = {(one.event_id, one.key) for one in receipts.joined(_as_read(account)) if _admits(one.outcome)}
    open_ids = {account.table.changes[one].event_id for one in open_events}
    for erasure in account.audit.erasures:
        if (
            not erasure.of_sweep
            and not open_ids.issuperset(erasure.events)
            and not any((event_id, erasure.key) in admitted for event_id in erasure.events)
        ):
            what = f"{erasure.key}, {erasure.events}"
            account.audit.broken(RECEIPT, "a file was erased, and no receipt says so", what)


def _as_read(account: Account) -> Iterator[dict[str, Any]]:
    """The log, as `humangov receipts` reads it."""
    for one in account.logs.events:
        yield {"logStreamName": one.stream, "timestamp": one.timestamp, "message": one.message}


def _admits(outcome: str) -> bool:
    """Whether a receipt says that the file was erased, or may have been by an attempt that was cut off or failed."""
    plain = parse(outcome.removesuffix(receipts.AFTER_CUT_OFF).removesuffix(receipts.AFTER_FAILURE))
    return plain is None or plain.kind == "erased" or outcome != spell(plain)


def _numbers_that_wait(account: Account) -> set[str]:
    """Sequence numbers of the changes in failed invocations that are still stored."""
    bodies = [account.bucket.data(key)[-1].body for key in own_invocations(account)]
    records: list[StreamRecord] = []
    for body in bodies:
        for one in json.loads(json.loads(body)["payload"])["Records"]:
            records.append(account.table.changes[one["dynamodb"]["SequenceNumber"]])
    return {one.number for one in records}
