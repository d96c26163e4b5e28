"""One invocation: read the records → settle the files that they free → report the records that Lambda must retry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

from .calls import Calls, Line, NoReceiptError
from .environment import FunctionSettings
from .erase import KEYS_PER_CALL
from .hand_back import hand_back
from .log_lines import bug_line, limit_line, malformed_line, no_receipt_line, unresolved_line
from .outcomes import ERASED, BatchResult, FileOutcome, FileResult, OutcomeKind
from .receipt_lines import outcome_line
from .records import FreedFile, MalformedError, RecordChange, freed_files, read_change, sequence_number, unread_change
from .settle import settle

DEADLINE_MARGIN_MS = 10_000


def deadline(remaining_ms: Callable[[], int]) -> Callable[[], bool]:
    """Whether it is time to stop: 10 s before the timeout, or at half of a timeout below 20 s.

    One attempt of a call takes at most 9 s by the handler's timeouts, so it fits into the 10 s. It does not fit into
    half of a timeout below 18 s: a slow call can overrun. Its intents have no outcomes, and Lambda retries the batch.
    """
    margin_ms = min(DEADLINE_MARGIN_MS, remaining_ms() // 2)
    return lambda: remaining_ms() <= margin_ms


def run(event: Any, *, settings: FunctionSettings, calls: Calls) -> BatchResult:
    """Handles every record. Empties the event, which frees each image as soon as it is read.

    Lambda retries from the lowest record that is handed back, so everything here can be repeated. Of the records that
    were not started, only the first is handed back, with what protects the files of those that follow.
    """
    started = calls.now()
    given = event.pop("Records", None) if isinstance(event, dict) else None
    records = given[::-1] if isinstance(given, list) else []
    del given
    order = list(dict.fromkeys(filter(None, map(sequence_number, reversed(records)))))
    total = len(records)

    read = _read_all(records, settings=settings, calls=calls)
    settled = _settle_all(freed_files(read.changes), changes=read.changes, settings=settings, calls=calls)

    failures = read.failures | settled.failures
    if settled.limited and calls.limit:
        calls.write([limit_line(len(settled.limited), maximum=calls.limit.maximum, settings=settings)])
    unhandled = {change.sequence_number for file in settled.not_begun for change in file.freed_by}
    first_unhandled = [number for number in order if number in unhandled][:1]
    return BatchResult(
        records=total,
        outcomes=settled.outcomes,
        malformed=read.malformed,
        unresolved=read.unresolved,
        failed=len(failures - settled.limited - settled.held),
        unhandled=len(unhandled),
        hand_back=hand_back(read.changes, order=order, failed=[*failures, *first_unhandled]),
        latencies_ms=tuple(settled.latencies_ms),
        started=started,
        ended=calls.now(),
        limited=len(settled.limited),
        unstored=settled.unstored,
    )


class _ReadRecord(NamedTuple):
    """failures: sequence numbers of records that could not be read because of a bug."""

    changes: list[RecordChange]
    malformed: int
    unresolved: int
    failures: set[str]


def _read_all(records: list[Any], *, settings: FunctionSettings, calls: Calls) -> _ReadRecord:
    """Removes the records from the list while it reads them: ten thousand images are most of a batch's memory."""
    changes: list[RecordChange] = []
    malformed, unresolved, failures = 0, 0, set[str]()
    while records:
        record = records.pop()
        number = sequence_number(record)
        try:
            change = read_change(record, settings=settings)
        except MalformedError as error:
            malformed += 1
            event_id = record.get("eventID") if number else None
            calls.write([malformed_line(str(error), number, event_id, settings=settings)])
        except Exception as error:
            failures.add(number)
            calls.write([bug_line(error, [number], settings=settings)])
            if unread := unread_change(record):
                changes.append(unread)
        else:
            changes.append(change)
            malformed += bool(change.problems)
            unresolved += bool(change.unresolved)
            calls.write(_doubts(change, settings))
    return _ReadRecord(changes, malformed, unresolved, failures)


def _doubts(change: RecordChange, settings: FunctionSettings) -> Iterator[Line]:
    """A line for each name that frees no file; none has the name itself."""
    for write, reasons in ((malformed_line, change.problems), (unresolved_line, change.unresolved)):
        for reason in reasons:
            yield write(
                reason, change.sequence_number, change.event_id, settings=settings, record_key=change.record_key
            )  # fmt: skip


class _Settled(NamedTuple):
    """outcomes: of files, undated. failures: sequence numbers.

    limited, held: those of them that only the limit of erasures, or only a legal hold, holds back
    not_begun: not started in time. unstored: why receipts could not be stored.
    """

    outcomes: Counter[FileOutcome]
    failures: set[str]
    latencies_ms: list[int]
    limited: Set[str] = frozenset()
    held: Set[str] = frozenset()
    unstored: str | None = None
    not_begun: Sequence[FreedFile] = ()


def _settle_all(
    files: Sequence[FreedFile], *, changes: Sequence[RecordChange], settings: FunctionSettings, calls: Calls
) -> _Settled:
    """Settles as many files at once as one DeleteObjects allows."""
    parts: list[_Settled] = []
    for start in range(0, len(files), KEYS_PER_CALL):
        if calls.out_of_time():
            parts.append(_Settled(Counter(), set(), [], not_begun=files[start:]))
            break
        part = files[start : start + KEYS_PER_CALL]
        results = settle(part, changes=changes, settings=settings, calls=calls)
        parts.append(_report(part, results, settings=settings, calls=calls))
    return _Settled(
        outcomes=sum((part.outcomes for part in parts), Counter()),
        failures=set[str]().union(*(part.failures for part in parts)),
        latencies_ms=[latency for part in parts for latency in part.latencies_ms],
        limited=set[str]().union(*(part.limited for part in parts)),
        held=set[str]().union(*(part.held for part in parts)),
        unstored=next((part.unstored for part in parts if part.unstored), None),
        not_begun=parts[-1].not_begun if parts else (),
    )


def _report(
    files: Sequence[FreedFile], results: Mapping[str, FileResult], *, settings: FunctionSettings, calls: Calls
) -> _Settled:
    """Stores each file's outcome, once for each change that freed it, and counts them.

    An outcome that is not stored fails its record: the next delivery stores what is so then.
    """
    at = calls.now()
    each = [(file, change, results[file.key]) for file in files for change in file.freed_by]
    lines = [outcome_line(change, file.key, result, settings=settings, at=at) for file, change, result in each]
    unstored = _store(lines, settings=settings, calls=calls)
    failures = {change.sequence_number for _, change, result in each if unstored or result.outcome.is_failure}

    def only(kind: OutcomeKind) -> Set[str]:
        """Of the failures, those with no other one than of this kind."""
        return failures - {
            change.sequence_number for _, change, result in each
            if unstored or (result.outcome.is_failure and result.outcome.kind != kind)
        }  # fmt: skip

    return _Settled(
        outcomes=Counter(results[file.key].outcome.undated for file in files),
        failures=failures,
        limited=only("limited"),
        held=only("held"),
        unstored=unstored,
        latencies_ms=[
            round((at - change.removed_at) * 1000)
            for _, change, result in each
            if result.outcome == ERASED and change.removed_at is not None
        ],
    )


def _store(lines: Sequence[Line], *, settings: FunctionSettings, calls: Calls) -> str | None:
    """Why these lines could not be stored; None if they are."""
    try:
        calls.store(lines)
    except NoReceiptError as error:
        calls.write([no_receipt_line(error, number=len(lines), settings=settings)])
        return str(error)
    return None
