"""`humangov verify`: what is altered, inserted or removed up to the last checkpoint is found; what expired is not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from humangov.cleanup import log_lines
from humangov.cleanup.calls import NoReceiptError
from humangov.cleanup.environment import FunctionSettings
from humangov.cleanup.outcomes import ERASED, BatchResult
from humangov.cleanup.receipt_chain import EMPTY, linked
from humangov.proof import checkpoint
from humangov.proof.chain_check import ChainCheck
from humangov.proof.checkpoint import EMPTY_CHAIN, Chain, CheckpointError, extended, of_lines
from humangov.proof.verification import Verification, verify
from hypothesis import given, settings
from hypothesis import strategies as some

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY_MS = 86_400_000
DAYS = 4
Event = dict[str, Any]


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def stream_of(name: str, puts: Sequence[tuple[int, int]], *, first: str = "") -> list[Event]:
    """puts: (minutes since START, number of lines), sorted."""
    events, end, number = [], EMPTY, 0
    for minutes, many in puts:
        for _ in range(many):
            number += 1
            message, end = linked({"receipt": "intent", "key": f"{first}{number}", "id": f"{name}-{number}"}, after=end)
            events.append(
                {"logStreamName": name, "timestamp": ms(START + timedelta(minutes=minutes)), "message": message}
            )
    return events


def checked(events: Sequence[Event], chain: Chain) -> ChainCheck:
    check = ChainCheck(chain.covered)
    for event in sorted(events, key=lambda one: int(one["timestamp"])):
        check.take(event)
    check.finish()
    return check


def daily(
    events: Sequence[Event],
    *,
    days: int = DAYS,
    retention: int | None = 400,
    chain: Chain = EMPTY_CHAIN,
    first: int = 1,
) -> tuple[Chain, list[bytes]]:
    """The checkpoints at the end of each day, each of the lines of the day and the one before it."""
    stored = []
    for day in range(first, days + 1):
        until = ms(START) + day * DAY_MS
        since = chain.until_ms - DAY_MS
        check = checked([one for one in events if since <= one["timestamp"] <= until], chain)
        one = of_lines(
            check, chain, tenant="c/n/x", log_group="g", region="r", until_ms=until, retention_days=retention
        )  # fmt: skip
        stored.append(checkpoint.spell(one))
        chain = extended(chain, checkpoint.parse(stored[-1]), content=stored[-1], place=f"day {day}")
    return chain, stored


def verified(
    events: Sequence[Event], chain: Chain, *, retention: int | None = 400, now: int = ms(START) + (DAYS + 1) * DAY_MS
) -> Verification:  # fmt: skip
    return verify(checked(events, chain), chain, retention_days=retention, now_ms=now)


puts = some.lists(
    some.tuples(some.integers(0, DAYS * 1440), some.integers(1, 4)), min_size=1, max_size=8,
    unique_by=lambda put: put[0],
).map(sorted)  # fmt: skip
logs = some.lists(puts, min_size=1, max_size=4).map(
    lambda several: [stream_of(f"receipts/2026/03/01/{number}", one) for number, one in enumerate(several)]
)


def flat(streams: Sequence[Sequence[Event]]) -> list[Event]:
    return [event for stream in streams for event in stream]


@settings(max_examples=60, deadline=None)
@given(logs)
def test_verify_proves_every_line_of_unaltered_receipts(streams: list[list[Event]]) -> None:
    chain, _ = daily(flat(streams))
    found = verified(flat(streams), chain)
    assert found.findings == ()
    assert found.verified == len(flat(streams))
    assert (found.expired, found.later) == (0, {})


def _altered(stream: list[Event], place: int) -> list[Event]:
    message = json.loads(stream[place]["message"]) | {"key": "other"}
    return [*stream[:place], {**stream[place], "message": json.dumps(message)}, *stream[place + 1 :]]


def _altered_and_chained(stream: list[Event], place: int) -> list[Event]:
    """By somebody who may write to the stream, and computes all that follows."""
    return _chained_again(_altered(stream, place))


def _removed(stream: list[Event], place: int) -> list[Event]:
    return [*stream[:place], *stream[place + 1 :]]


def _removed_and_chained(stream: list[Event], place: int) -> list[Event]:
    return _chained_again(_removed(stream, place))


def _inserted_and_chained(stream: list[Event], place: int) -> list[Event]:
    return _chained_again([*stream[:place], stream[place], *stream[place:]])


def _last_lines_removed(stream: list[Event], place: int) -> list[Event]:
    return stream[:place]


def _first_lines_removed(stream: list[Event], place: int) -> list[Event]:
    return stream[place + 1 :]


def _stream_removed(_stream: list[Event], _place: int) -> list[Event]:
    return []


def _stream_replaced(stream: list[Event], _place: int) -> list[Event]:
    return _chained_again([_altered(stream, 0)[0], *stream[1:]])


def _appended(stream: list[Event], _place: int) -> list[Event]:
    """A line more, dated as the last one."""
    return _chained_again([*stream, stream[-1]])


def _chained_again(stream: list[Event]) -> list[Event]:
    chained, end = [], EMPTY
    for event in stream:
        line = {name: value for name, value in json.loads(event["message"]).items() if name not in ("line", "previous")}
        message, end = linked(line, after=end)
        chained.append({**event, "message": message})
    return chained


def _done_to_one(
    streams: list[list[Event]], deed: Callable[[list[Event], int], list[Event]], data: Any
) -> tuple[int, int, list[Event]]:
    """One stream and one of its lines at random, and the stream after the deed."""
    which = data.draw(some.integers(0, len(streams) - 1))
    place = data.draw(some.integers(0, len(streams[which]) - 1))
    return which, place, deed(streams[which], place)


@settings(max_examples=150, deadline=None)
@given(
    logs,
    some.sampled_from(
        [
            _altered, _altered_and_chained, _removed, _removed_and_chained, _inserted_and_chained, _last_lines_removed,
            _first_lines_removed, _stream_removed, _stream_replaced, _appended,
        ]
    ),
    some.data(),
)  # fmt: skip
def test_whatever_is_altered_inserted_or_removed_is_found_in_its_stream(
    streams: list[list[Event]], deed: Callable[[list[Event], int], list[Event]], data: Any
) -> None:
    chain, _ = daily(flat(streams))
    which, _, changed = _done_to_one(streams, deed, data)
    found = verified(flat([*streams[:which], changed, *streams[which + 1 :]]), chain)
    assert {one.stream for one in found.findings} == {f"receipts/2026/03/01/{which}"}
    assert found.verified <= len(flat(streams)) - len(streams[which])


def _its_link_altered_too(stream: list[Event], place: int) -> list[Event]:
    message = json.loads(stream[place]["message"]) | {"key": "other", "previous": "f" * 64}
    return [*stream[:place], {**stream[place], "message": json.dumps(message)}, *stream[place + 1 :]]


@settings(max_examples=150, deadline=None)
@given(logs, some.sampled_from([_altered, _its_link_altered_too]), some.data())
def test_the_line_that_was_altered_is_named_and_no_other(
    streams: list[list[Event]], deed: Callable[[list[Event], int], list[Event]], data: Any
) -> None:
    """Up to the last checkpoint, which proves the lines after it."""
    chain, _ = daily(flat(streams))
    which, place, changed = _done_to_one(streams, deed, data)
    found = verified(flat([*streams[:which], changed, *streams[which + 1 :]]), chain).findings
    named = {int(number) for one in found for number in re.findall(r"line ([\d,]+)", one.message)}
    sure = [one for one in found if f"line {place + 1} was altered" in one.message]
    if place + 1 < len(changed):
        assert [(one.kind, one.message) for one in found] == [("Broken", f"line {place + 1} was altered")]
    else:  # no line after it holds its hash: the checkpoint does
        assert sure
        assert named <= {place, place + 1}


@settings(max_examples=100, deadline=None)
@given(logs, some.data())
def test_the_line_that_was_removed_or_stored_again_is_named(streams: list[list[Event]], data: Any) -> None:
    chain, _ = daily(flat(streams))
    long = [number for number, stream in enumerate(streams) if len(stream) > 1]
    if not long:
        return
    which = data.draw(some.sampled_from(long))
    stream = streams[which]
    place = data.draw(some.integers(0, len(stream) - 2))
    rest = flat([*streams[:which], *streams[which + 1 :]])
    removed = verified([*rest, *_removed(stream, place)], chain)
    if place:
        assert [(one.kind, one.message) for one in removed.findings] == [("Broken", f"line {place + 1} is missing")]
    else:
        assert [(one.kind, one.message) for one in removed.findings] == [("Removed", "line 1 is removed")]
    again = verified([*rest, *stream[:place], stream[place], *stream[place:]], chain)
    [one] = again.findings
    assert (one.kind, one.message) == ("Broken", f"line {place + 1} is stored again after line {place + 1}")


@settings(max_examples=100, deadline=None)
@given(puts, some.integers(1, 10_000), some.data())
def test_a_line_that_was_inserted_is_named_by_the_line_before_it(several: Any, number: int, data: Any) -> None:
    """Dated between two lines. Those after it follow the line before it, which shows that they are as they were."""
    stream = stream_of("receipts/2026/03/01/0", several)
    gaps = [n for n in range(1, len(stream)) if stream[n]["timestamp"] > stream[n - 1]["timestamp"] + 1]
    if not gaps:
        return
    place = data.draw(some.sampled_from(gaps))
    forged = {
        **stream[place], "timestamp": stream[place]["timestamp"] - 1,
        "message": json.dumps({"receipt": "outcome", "line": number, "previous": "e" * 64}),
    }  # fmt: skip
    chain, _ = daily(stream)
    found = verified([*stream[:place], forged, *stream[place:]], chain).findings
    broken = [one.message for one in found if one.kind == "Broken"]
    assert broken == [f"a line that calls itself line {number:,} was inserted after line {place}"]


def test_of_two_lines_that_do_not_fit_after_the_last_checkpoint_both_are_named() -> None:
    events = one_stream()
    chain, _ = daily(events, days=1)  # it covers 3 lines
    later = [verified(_altered(events, place), chain, now=ms(START) + 2 * DAY_MS).findings for place in (3, 4, 6)]
    assert [[one.message for one in found] for found in later] == [
        ["line 4 or line 5 was altered"], ["line 5 or line 6 was altered"], ["line 7 or line 8 was altered"],
    ]  # fmt: skip
    [first] = verified(_its_link_altered_too(events, 3), chain, now=ms(START) + 2 * DAY_MS).findings
    assert first.message == "line 4 was altered; line 4 or line 5 was altered"


def test_of_two_altered_lines_the_one_before_a_line_that_is_not_proven_is_not_named_alone() -> None:
    events = one_stream()
    chain, _ = daily(events)
    [found] = verified(_altered(_altered(events, 1), 5), chain).findings
    assert found.message == "line 2 or line 3 was altered; line 6 was altered"


def test_a_line_that_is_no_receipt_is_counted_in_its_stream() -> None:
    events = one_stream()
    chain, _ = daily(events)
    found = verified([*events[:3], {**events[3], "message": "{}"}, *events[4:]], chain).findings
    assert [(one.kind, one.stream, one.message) for one in found] == [
        ("Broken", "receipts/2026/03/01/a", "line 4 is missing"),
        ("Unread", "receipts/2026/03/01/a", "1 line among its receipts: no receipts"),
    ]


LAMBDAS = "2026/03/01/[$LATEST]a"


@pytest.mark.parametrize("receipt", ['"receipt"', '"\\u0072eceipt"'])
def test_a_line_that_calls_itself_a_receipt_in_a_log_stream_without_a_chain_is_a_finding(receipt: str) -> None:
    events = one_stream()
    chain, _ = daily(events)
    forged = [
        {**events[0], "logStreamName": name, "message": events[0]["message"].replace('"receipt"', receipt)}
        for name in (LAMBDAS, LAMBDAS, "other")
    ]  # fmt: skip
    found = verified([*forged, *events], chain)
    assert [(one.kind, one.stream, one.message) for one in found.findings] == [
        ("NotChained", LAMBDAS, "2 lines call themselves receipts, and this log stream has no chain: not counted"),
        ("NotChained", "other", "1 line calls itself a receipt, and this log stream has no chain: not counted"),
    ]
    assert found.verified == len(events)


NAMED = {"record_key": {"receipt": {"S": "intent"}}, "receipts": {"receipt": "outcome"}}
FUNCTION = FunctionSettings(tenant="c/n/x", table="records", bucket="files")
PRINTED = (
    log_lines.batch_line(
        BatchResult(
            records=1, outcomes={ERASED: 1}, malformed=0, unresolved=0, failed=0, unhandled=0, hand_back=(),
            latencies_ms=(5,), started=1.0, ended=2.0,
        ),
        settings=FUNCTION,
    ),
    log_lines.malformed_line("no key", "1", "e", settings=FUNCTION, **NAMED),
    log_lines.unresolved_line('{"receipt": "outcome"}', "1", "e", settings=FUNCTION, **NAMED),
    log_lines.no_receipt_line(NoReceiptError('{"receipt": "outcome"}'), number=1, settings=FUNCTION),
    log_lines.limit_line(1, maximum=1, settings=FUNCTION),
    log_lines.bug_line(ValueError(), ["1"], settings=FUNCTION),
)  # fmt: skip
"""What a function prints to Lambda's own log stream; no receipt is among it."""


@pytest.mark.parametrize(
    "message",
    [
        "START RequestId: 1", "{", "[1]", '{"line": 7}', '{"receipt": "none"}',
        *map(json.dumps, PRINTED),
    ],
)  # fmt: skip
def test_other_lines_in_log_streams_without_a_chain_are_no_finding(message: str) -> None:
    events = one_stream()
    chain, _ = daily(events)
    assert verified([{**events[0], "logStreamName": LAMBDAS, "message": message}, *events], chain).findings == ()


def test_a_line_that_nests_too_deep_is_no_receipt_and_ends_no_reading() -> None:
    events = one_stream()
    chain, _ = daily(events)
    deep = f'{{"receipt": "intent", "line": 1, "previous": {"[" * 100_000}{"]" * 100_000}}}'
    for stream, kinds in ((LAMBDAS, []), (events[0]["logStreamName"], ["Unread"])):
        found = verified([{**events[0], "logStreamName": stream, "message": deep}, *events], chain)
        assert [one.kind for one in found.findings] == kinds


@settings(max_examples=60, deadline=None)
@given(logs, puts)
def test_a_stream_that_is_inserted_with_earlier_dates_is_found(streams: list[list[Event]], more: Any) -> None:
    chain, _ = daily(flat(streams))
    forged = stream_of("receipts/2026/03/01/forged", more)
    found = verified([*flat(streams), *forged], chain)
    assert [(one.kind, one.stream) for one in found.findings] == [("Inserted", "receipts/2026/03/01/forged")]


@settings(max_examples=60, deadline=None)
@given(logs, some.integers(0, DAYS * 24))
def test_lines_whose_retention_is_over_have_expired_and_are_not_called_removed(
    streams: list[list[Event]], hours: int
) -> None:
    """CloudWatch Logs removes lines by their own dates, and whole streams with their last."""
    chain, _ = daily(flat(streams), retention=3)
    now = ms(START) + (hours + 72) * 3_600_000
    left = [one for one in flat(streams) if one["timestamp"] > now - 3 * DAY_MS]
    found = verify(checked(left, chain), chain, retention_days=3, now_ms=now)
    assert [one for one in found.findings if one.stream] == []
    assert found.verified == len(left)
    assert found.expired == len(flat(streams)) - len(left)


@settings(max_examples=60, deadline=None)
@given(logs, some.data())
def test_a_line_that_has_not_expired_is_removed_and_not_called_expired(streams: list[list[Event]], data: Any) -> None:
    """An hour's lines expire together at the latest: the checkpoint dates lines by the hour."""
    chain, _ = daily(flat(streams), retention=3)
    now = ms(START) + 5 * DAY_MS
    over = now - 3 * DAY_MS
    left = [[one for one in stream if one["timestamp"] > over] for stream in streams]
    kept = [
        number
        for number, stream in enumerate(left)
        if stream and stream[-1]["timestamp"] // 3_600_000 > over // 3_600_000
    ]
    if not kept:
        return
    which = data.draw(some.sampled_from(kept))
    left[which] = []
    found = verify(checked(flat(left), chain), chain, retention_days=3, now_ms=now)
    assert [(one.kind, one.stream) for one in found.findings if one.stream] == [
        ("Removed", f"receipts/2026/03/01/{which}")
    ]


def one_stream() -> list[Event]:
    return stream_of("receipts/2026/03/01/a", [(60, 3), (1500, 2), (3000, 4)])


def test_lowered_retention_is_distinguished_from_removed_lines() -> None:
    events = one_stream()
    chain, _ = daily(events, retention=400)
    now = ms(START) + 5 * DAY_MS
    left = [one for one in events if one["timestamp"] > now - DAY_MS]
    found = verify(checked(left, chain), chain, retention_days=1, now_ms=now)
    assert [one.kind for one in found.findings if one.stream] == ["RetentionLowered"]


def test_lines_after_the_last_checkpoint_are_named_and_not_proven() -> None:
    events = one_stream()
    chain, _ = daily(events, days=1)
    found = verified(events, chain, now=ms(START) + 2 * DAY_MS)
    assert found.findings == ()
    assert (found.verified, found.later) == (3, {"receipts/2026/03/01/a": 6})
    [broken] = verified(_removed(events, 5), chain, now=ms(START) + 2 * DAY_MS).findings
    assert broken.kind == "Broken"


def test_verify_without_a_checkpoint_reports_that_nothing_is_proven() -> None:
    found = verified(one_stream(), EMPTY_CHAIN)
    assert [one.kind for one in found.findings] == ["NoCheckpoint"]
    assert found.verified == 0


def test_an_old_last_checkpoint_is_a_finding() -> None:
    events = one_stream()
    chain, _ = daily(events, days=DAYS)
    found = verified(events, chain, now=ms(START) + (DAYS + 3) * DAY_MS)
    assert [one.kind for one in found.findings] == ["CheckpointOld"]


def test_a_checkpoint_that_is_dated_in_the_future_is_a_finding() -> None:
    events = one_stream()
    chain, _ = daily(events, days=DAYS)
    found = verified(events, chain, now=ms(START) + (DAYS - 1) * DAY_MS)
    assert [one.kind for one in found.findings] == ["Checkpoint"]
    assert "in the future" in found.findings[0].message


@pytest.mark.parametrize("place", range(DAYS))
@pytest.mark.parametrize("deed", ["removed", "altered"])
def test_a_checkpoint_that_was_removed_or_altered_is_found_unless_it_is_the_last(deed: str, place: int) -> None:
    events = one_stream()
    _, stored = daily(events)
    if deed == "removed":
        stored = [*stored[:place], *stored[place + 1 :]]
    else:
        other = replace(checkpoint.parse(stored[place]), retention_days=1)
        stored = [*stored[:place], checkpoint.spell(other), *stored[place + 1 :]]
    chain = EMPTY_CHAIN
    for number, content in enumerate(stored):
        chain = extended(chain, checkpoint.parse(content), content=content, place=f"{number}")
    kinds = {one.kind for one in verified(events, chain).findings}
    assert ("Checkpoint" in kinds) == (place < DAYS - 1)


def test_a_checkpoint_of_changed_lines_says_so_and_the_first_one_still_counts() -> None:
    events = one_stream()
    chain, _ = daily(events, days=2)
    changed = _altered_and_chained(events, 1)
    later, _ = daily(changed, first=3, days=DAYS, chain=chain)
    assert "it is not the one of the last checkpoint" in later.problems[0]
    assert "Checkpoint" in {one.kind for one in verified(changed, later).findings}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"5", b'{"humangovCheckpoint": 2}', b"\xff", b"[" * 100_000])
def test_object_that_is_no_checkpoint_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError):
        checkpoint.parse(content)


@pytest.mark.parametrize("until_ms", [10**18, 10**30, -(10**18)])
def test_checkpoint_of_a_time_that_is_none_is_refused(until_ms: int) -> None:
    one = checkpoint.Checkpoint(
        tenant="c/n/x", log_group="g", region="r", until_ms=until_ms, retention_days=1, previous="0" * 64, streams={}
    )  # fmt: skip
    with pytest.raises(CheckpointError):
        checkpoint.parse(checkpoint.spell(one))


@settings(max_examples=30, deadline=None)
@given(logs)
def test_a_checkpoint_reads_back_as_it_was_written(streams: list[list[Event]]) -> None:
    _, stored = daily(flat(streams))
    for content in stored:
        assert checkpoint.spell(checkpoint.parse(content)) == content


def test_checkpoint_streams_are_those_that_had_lines_since() -> None:
    quiet, busy = stream_of("receipts/a", [(60, 3)]), stream_of("receipts/b", [(60, 1), (4000, 1)])
    _, stored = daily([*quiet, *busy])
    assert [sorted(checkpoint.parse(one).streams) for one in stored] == [
        ["receipts/a", "receipts/b"], [], ["receipts/b"], [],
    ]  # fmt: skip
