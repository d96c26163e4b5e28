"""One invocation: read the records → check each file at stake → erase → tell Lambda what to bring again."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from . import guard, receipt_lines
from .calls import Calls, Line
from .embedded_metrics import metrics
from .environment import Settings
from .erase import KEYS_PER_CALL, erase, erase_versions
from .receipt_lines import Result, counted_as
from .records import Change, MalformedError, RecordKey, Stake, read_change, sequence_number, stakes
from .references import is_reserved
from .versions import Versions, keeps_versions, list_versions

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
    """Handles every record and returns those to bring again, in their order. Empties the event.

    Lambda goes back to the lowest of them, so everything here can be done twice. What was not begun is
    reported by its first record alone.
    https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
    """
    started = calls.now()
    given = event.pop("Records", None) if isinstance(event, dict) else None
    records = given[::-1] if isinstance(given, list) else []
    del given
    order = list(dict.fromkeys(filter(None, map(sequence_number, reversed(records)))))
    total = len(records)
    tally = Tally()
    while records:  # each image goes as soon as it is read: ten thousand of them are most of what a batch takes
        _read(records.pop(), tally=tally, settings=settings, calls=calls)
    left = _handle(stakes(tally.changes), tally=tally, settings=settings, calls=calls)
    unhandled = {claim.sequence_number for stake in left for claim in stake.claims}

    first_unhandled = next((number for number in order if number in unhandled), None)
    again = [number for number in order if number in tally.failed or number == first_unhandled]
    calls.write([_summary(total, tally, len(unhandled), started, settings, calls)])
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
    for start in range(0, len(at_stake), KEYS_PER_CALL):
        if calls.out_of_time():
            return at_stake[start:]
        part = at_stake[start : start + KEYS_PER_CALL]
        namers = _namers(tally.changes, {stake.key for stake in part})
        outcomes: dict[str, Result] = {}
        try:
            _settle(part, outcomes, namers=namers, settings=settings, calls=calls)
        except Exception as error:
            numbers = [claim.sequence_number for stake in part for claim in stake.claims]
            calls.write([_bug(settings, error, numbers)])
            for stake in part:
                outcomes.setdefault(stake.key, Result(receipt_lines.failed(type(error).__name__)))
        _report(part, outcomes, tally=tally, settings=settings, calls=calls)
    return ()


def _settle(
    part: Sequence[Stake],
    outcomes: dict[str, Result],
    *,
    namers: Mapping[str, Mapping[str, RecordKey]],
    settings: Settings,
    calls: Calls,
) -> None:
    """Fills in each file's outcome; where the bucket turns out to keep versions, at a second go."""
    for stake in part:
        if is_reserved(stake.key, key_prefix=settings.key_prefix):
            outcomes[stake.key] = Result(receipt_lines.KEPT_RESERVED)
        elif settings.shared:
            outcomes[stake.key] = Result(receipt_lines.LEFT_TO_SWEEP)
    left = _open(part, outcomes)
    if not left:
        return
    go = partial(_go, outcomes=outcomes, namers=namers, settings=settings, calls=calls)
    marked = go(left, by_version=calls.keeps_versions(), intended=frozenset())
    if marked:
        go([stake for stake in left if stake.key in marked], by_version=True, intended=marked.keys())
    for key, still_there in marked.items():
        if still_there and receipt_lines.kind(outcomes[key].outcome) == "kept":
            # What stays is hidden by our marker.
            outcomes[key] = Result(receipt_lines.failed(still_there))


def _go(
    part: Sequence[Stake],
    *,
    by_version: bool,
    intended: Collection[str],
    outcomes: dict[str, Result],
    namers: Mapping[str, Mapping[str, RecordKey]],
    settings: Settings,
    calls: Calls,
) -> Mapping[str, str]:
    """One go at files that are open; intended: those whose intents are written. Returns what `erase` says of markers.

    Versions are listed before the live read, and only those go: what is written later is out of reach. The live
    read comes last: what it cannot see is a record written in the milliseconds before the erasure.
    """
    now = calls.now()
    late = {stake.key: guard.is_late(stake.removed_at, now=now) for stake in part}
    asked = [stake for stake in part if by_version or late[stake.key]]
    seen: dict[str, Versions] = {}
    with ThreadPoolExecutor(LISTINGS_AT_ONCE) as pool:
        listings = pool.map(partial(_list, calls, settings.bucket), asked) if asked else ()
        for stake, listed in zip(asked, listings, strict=True):
            if isinstance(listed, str):
                outcomes[stake.key] = Result(listed)
                continue
            age = guard.age_verdict(listed, removed_at=stake.removed_at, late=late[stake.key])
            if age:
                outcomes[stake.key] = Result(age)
            elif by_version or keeps_versions(listed):
                seen[stake.key] = listed

    undecided = _open(part, outcomes)
    record_keys = [key for stake in undecided for key in namers[stake.key].values()]
    sight = guard.look(calls, settings=settings, record_keys=record_keys)
    for stake in undecided:
        if result := guard.verdict(stake, record_ids=namers[stake.key], sight=sight):
            outcomes[stake.key] = Result(result)

    doomed = _open(part, outcomes)
    calls.write(
        receipt_lines.intent(claim, stake.key, settings=settings)
        for stake in doomed if stake.key not in intended for claim in stake.claims
    )  # fmt: skip
    with_versions = {stake.key: seen[stake.key] for stake in doomed if stake.key in seen}
    if with_versions:
        outcomes.update(erase_versions(calls, bucket=settings.bucket, seen=with_versions))
    done, marked = erase(calls, bucket=settings.bucket, keys=[one.key for one in doomed if one.key not in seen])
    outcomes.update(done)
    return marked


def _list(calls: Calls, bucket: str, stake: Stake) -> Versions | str:
    """What S3 holds of the file, or the outcome if that cannot be known."""
    try:
        return list_versions(calls, bucket=bucket, key=stake.key)
    except Exception as error:
        return receipt_lines.failed(calls.failed("ListObjectVersions", error))


def _open(part: Sequence[Stake], outcomes: Mapping[str, Result]) -> list[Stake]:
    return [stake for stake in part if stake.key not in outcomes]


def _namers(changes: Iterable[Change], keys: set[str]) -> dict[str, dict[str, RecordKey]]:
    """File at stake → every record of the batch that freed it or was given it (moved to a new id)."""
    namers: dict[str, dict[str, RecordKey]] = {key: {} for key in keys}
    for change in changes:
        for key in keys.intersection(change.frees) | (keys & change.names):
            namers[key][change.record_id] = change.record_key
    return namers


def _report(
    part: Sequence[Stake], outcomes: Mapping[str, Result], *, tally: Tally, settings: Settings, calls: Calls
) -> None:
    at = calls.now()
    lines: list[Line] = []
    for stake in part:
        result = outcomes[stake.key]
        tally.outcomes[counted_as(result.outcome)] += 1
        for claim in stake.claims:
            lines.append(receipt_lines.outcome(claim, stake.key, result, settings=settings, at=at))
            if receipt_lines.is_failure(result.outcome):
                tally.failed.add(claim.sequence_number)
            elif result.outcome == receipt_lines.ERASED and claim.removed_at is not None:
                tally.latencies_ms.append(round((at - claim.removed_at) * 1000))
    calls.write(lines)


def _summary(records: int, tally: Tally, unhandled: int, started: float, settings: Settings, calls: Calls) -> Line:
    """files: outcome → number. max_latency_ms: from the removal, known to the second, to the erasure."""
    kinds: Counter[str] = Counter()
    for outcome, number in tally.outcomes.items():
        kinds[receipt_lines.kind(outcome)] += number
    counts = {"erased": kinds["erased"], "kept": kinds["kept"], "retained": kinds["retained"]}
    counts |= {"malformed": tally.malformed, "failed": len(tally.failed)}
    return {
        "level": "INFO",
        "message": "batch",
        "tenant": settings.tenant,
        "records": records,
        "files": dict(tally.outcomes),
        "unhandled": unhandled,
        "max_latency_ms": max(tally.latencies_ms, default=None),
        "duration_ms": round((calls.now() - started) * 1000),
        **metrics(counts, latencies_ms=tally.latencies_ms, at=calls.now()),
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
