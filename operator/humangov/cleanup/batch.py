"""One invocation: read the records → check each file at stake → erase → tell Lambda what to bring again."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from . import guard, receipts
from .calls import Calls, Line
from .erase import KEYS_PER_CALL, erase
from .names import is_reserved
from .records import Change, MalformedError, RecordKey, Stake, read_change, sequence_number, stakes
from .settings import Settings

DEADLINE_MARGIN_MS = 10_000
LISTINGS_AT_ONCE = 16


@dataclass
class Tally:
    """What this invocation has found so far."""

    changes: list[Change] = field(default_factory=list)
    malformed: int = 0
    failed: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[int] = field(default_factory=list)


def deadline(remaining_ms: Callable[[], int]) -> Callable[[], bool]:
    """Whether it is time to stop: 10 s before the end, or at half of a time-out that is shorter than 20 s.

    One attempt of a call, at most 9 s by the handler's time-outs, fits into the 10 s. It does not fit into half of
    a time-out under 18 s: there a slow call can overrun, its intents stay without outcomes and the batch comes again.
    """
    margin_ms = min(DEADLINE_MARGIN_MS, remaining_ms() // 2)
    return lambda: remaining_ms() <= margin_ms


def run(event: Any, *, settings: Settings, calls: Calls) -> dict[str, list[dict[str, str]]]:
    """Handles every record and returns those to bring again, in their order.

    Lambda goes back to the lowest of them, so everything here can be done twice. What was not begun is
    reported by its first record alone.
    https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
    """
    started = calls.now()
    records = event.get("Records") if isinstance(event, Mapping) else None
    records = records if isinstance(records, list) else []
    tally = Tally()
    for record in records:
        _read(record, tally=tally, settings=settings, calls=calls)
    left = _handle(stakes(tally.changes), tally=tally, settings=settings, calls=calls)
    unhandled = {claim.sequence_number for stake in left for claim in stake.claims}

    order = list(dict.fromkeys(filter(None, map(sequence_number, records))))
    first_unhandled = next((number for number in order if number in unhandled), None)
    again = [number for number in order if number in tally.failed or number == first_unhandled]
    calls.write([_summary(records, tally, len(unhandled), started, settings, calls)])
    return {"batchItemFailures": [{"itemIdentifier": number} for number in again]}


def _read(record: Any, *, tally: Tally, settings: Settings, calls: Calls) -> None:
    number = sequence_number(record)
    try:
        change = read_change(record, settings=settings)
    except MalformedError as error:
        tally.malformed += 1
        calls.write([_malformed(settings, number, str(error), record.get("eventID") if number else None)])
    except Exception as error:
        tally.failed.add(number)
        calls.write([_bug(settings, error, [number])])
    else:
        tally.changes.append(change)
        tally.malformed += bool(change.problems)
        calls.write(
            {**_malformed(settings, number, problem, change.event_id), "record_key": change.record_key}
            for problem in change.problems
        )


def _handle(at_stake: list[Stake], *, tally: Tally, settings: Settings, calls: Calls) -> Sequence[Stake]:
    """Settles the files, as many at a time as one DeleteObjects takes. Returns those not begun in time."""
    namers = _namers(tally.changes, {stake.key for stake in at_stake})
    for start in range(0, len(at_stake), KEYS_PER_CALL):
        if calls.out_of_time():
            return at_stake[start:]
        part = at_stake[start : start + KEYS_PER_CALL]
        outcomes: dict[str, str] = {}
        try:
            _settle(part, outcomes, namers=namers, settings=settings, calls=calls)
        except Exception as error:
            numbers = [claim.sequence_number for stake in part for claim in stake.claims]
            calls.write([_bug(settings, error, numbers)])
            for stake in part:
                outcomes.setdefault(stake.key, receipts.failed(type(error).__name__))
        _report(part, outcomes, tally=tally, settings=settings, calls=calls)
    return ()


def _settle(
    part: Sequence[Stake],
    outcomes: dict[str, str],
    *,
    namers: Mapping[str, Mapping[str, RecordKey]],
    settings: Settings,
    calls: Calls,
) -> None:
    """Fills in each file's outcome.

    The live read comes last: what it cannot see is a record written in the milliseconds before the erasure.
    """
    now = calls.now()
    for stake in part:
        if is_reserved(stake.key, key_prefix=settings.key_prefix):
            outcomes[stake.key] = receipts.KEPT_RESERVED

    late = [stake for stake in _open(part, outcomes) if guard.is_late(stake.removed_at, now=now)]
    if late:
        with ThreadPoolExecutor(LISTINGS_AT_ONCE) as pool:
            verdicts = pool.map(partial(guard.late_verdict, calls, bucket=settings.bucket), late)
            outcomes.update({stake.key: one for stake, one in zip(late, verdicts, strict=True) if one})

    undecided = _open(part, outcomes)
    record_keys = [key for stake in undecided for key in namers[stake.key].values()]
    sight = guard.look(calls, settings=settings, record_keys=record_keys)
    for stake in undecided:
        if result := guard.verdict(stake, record_ids=namers[stake.key], sight=sight):
            outcomes[stake.key] = result

    doomed = _open(part, outcomes)
    calls.write(receipts.intent(claim, stake.key, settings=settings) for stake in doomed for claim in stake.claims)
    outcomes.update(erase(calls, bucket=settings.bucket, keys=[stake.key for stake in doomed]))


def _open(part: Sequence[Stake], outcomes: Mapping[str, str]) -> list[Stake]:
    return [stake for stake in part if stake.key not in outcomes]


def _namers(changes: Iterable[Change], keys: set[str]) -> dict[str, dict[str, RecordKey]]:
    """File at stake → every record of the batch that freed it or was given it (moved to a new id)."""
    namers: dict[str, dict[str, RecordKey]] = {key: {} for key in keys}
    for change in changes:
        for key in keys.intersection(change.frees) | (keys & change.names):
            namers[key][change.record_id] = change.record_key
    return namers


def _report(
    part: Sequence[Stake], outcomes: Mapping[str, str], *, tally: Tally, settings: Settings, calls: Calls
) -> None:
    at = calls.now()
    lines: list[Line] = []
    for stake in part:
        result = outcomes[stake.key]
        tally.outcomes[result] += 1
        for claim in stake.claims:
            lines.append(receipts.outcome(claim, stake.key, result, settings=settings, at=at))
            if receipts.is_failure(result):
                tally.failed.add(claim.sequence_number)
            elif result == receipts.ERASED and claim.removed_at is not None:
                tally.latencies_ms.append(round((at - claim.removed_at) * 1000))
    calls.write(lines)


def _summary(
    records: Sequence[Any], tally: Tally, unhandled: int, started: float, settings: Settings, calls: Calls
) -> Line:
    """files: outcome → number. max_latency_ms: from the removal, known to the second, to the erasure."""
    return {
        "level": "INFO",
        "message": "batch",
        "tenant": settings.tenant,
        "records": len(records),
        "files": dict(tally.outcomes),
        "malformed": tally.malformed,
        "failed": len(tally.failed),
        "unhandled": unhandled,
        "max_latency_ms": max(tally.latencies_ms, default=None),
        "duration_ms": round((calls.now() - started) * 1000),
    }


def _malformed(settings: Settings, number: str, reason: str, event_id: Any) -> dict[str, Any]:
    return {
        "level": "WARN",
        "message": "malformed record let through",
        "tenant": settings.tenant,
        "reason": reason,
        "event_id": event_id,
        "sequence_number": number,
    }


def _bug(settings: Settings, error: Exception, numbers: Sequence[str]) -> Line:
    """An error of ours. Only its kind and place: its text could quote a record."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "level": "ERROR",
        "message": "unexpected error, the records will be retried",
        "tenant": settings.tenant,
        "error": type(error).__name__,
        "place": [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames],
        "sequence_numbers": list(numbers)[:10],
        "records": len(numbers),
    }
