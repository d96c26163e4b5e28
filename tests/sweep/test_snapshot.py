"""A reading of the table is a snapshot: a scan that the table's stream completes; and what happens where it can't.

The world's scan is DynamoDB's: what moves from a place that is still to be read to one that was read slips through.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from humangov.cleanup.outcomes import FileOutcome
from humangov.reading import snapshot
from humangov.reading.named_files import ready_table
from humangov.reading.progress import Steps, StoppedError
from humangov.reading.table_reading import TableReading, read_completely
from humangov.reading.unnamed import NAMED_MEANWHILE, READING_TOO_OLD, read_named
from humangov.sweep import erasure
from humangov.sweep.output import lines
from humangov.sweep.result import SweepResult, word_for
from humangov.sweep.second_reading import _TOO_OLD
from humangov.sweep.status import message
from hypothesis import Phase, given, settings
from hypothesis import strategies as some

from testing import samples
from testing.sweep.dynamodb import place_of
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld, clients
from testing.world.pool import Pool

VIEWS = ("NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE", "KEYS_ONLY")
PROBES = 2
"""Deletes by which a sweep tests whether S3 heeds conditions."""

ACTIONS = ("move", "move", "move", "hire", "fire", "change", "split", "minutes", "other segment")


@contextmanager
def segments(world: SweepWorld, number: int, chance: random.Random | None = None) -> Any:
    """The scan's threads, one page of any of them after the other."""
    pools: list[Pool] = []

    def pool(*_: Any, **_more: Any) -> Pool:
        pools.append(Pool(chance or random.Random(0)))  # noqa: S311
        return pools[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "ThreadPoolExecutor", pool)
        patch.setattr(snapshot, "_SEGMENTS", number)
        patch.setattr(snapshot, "_FEW_RECORDS", 0 if number > 1 else 1_000_000)
        yield pools


def read(world: SweepWorld, *, now: Callable[[], float] | None = None) -> tuple[TableReading, set[str]]:
    """The reading, and every key that it names."""
    named: set[str] = set()

    def keep(records: Iterable[Sequence[bytes]]) -> None:
        keep_since(key for keys in records for key in keys)

    def keep_since(keys: Iterable[bytes]) -> None:
        named.update(key.decode() for key in keys)

    with world.behind(clients()) as sdk:
        reading = read_completely(
            sdk, world.names, keep, keep_since=keep_since, table=ready_table(sdk, world.names), steps=Steps(),
            now=now or (lambda: world.now), pause=world.pause,
        )  # fmt: skip
    return reading, named


class Application:
    """Does what is planned when the scan asks for its n-th page."""

    def __init__(self, world: SweepWorld, planned: dict[int, list[tuple[str, int]]], pools: list[Pool]) -> None:
        self.world, self.planned, self.pools = world, planned, pools
        self.pages, self.number = 0, 0

    def meanwhile(self, operation: str) -> None:
        if operation == "Scan":
            self.pages += 1
            for kind, which in self.planned.pop(self.pages, ()):
                self.act(kind, which)

    def act(self, kind: str, which: int) -> None:
        world, records = self.world, sorted(self.world.records)
        self.number += 1
        if kind == "minutes":
            world.now += 60.0 * (which % 30)
        elif kind == "split" and world.stream is not None and len(world.stream.shards) < 8:
            world.stream.split()
        elif kind == "hire":
            world.hire(f"new-{which}", f"new-{self.number}.pdf")
        elif kind == "other segment" and self.pools:
            self.pools[-1].one()
        elif records:
            one = records[which % len(records)]
            if kind == "move":
                world.move(one, f"{which}-{self.number}")
            elif kind == "fire":
                world.fire(one)
            elif kind == "change":
                world.hire(one, f"changed-{self.number}.pdf")


actions = some.dictionaries(
    some.integers(1, 8), some.lists(some.tuples(some.sampled_from(ACTIONS), some.integers(0, 99)), max_size=3)
)


def holds(*, with_stream: bool, tried: list[bool]) -> None:
    """The property: whatever goes on during a scan, the reading names every file that a record names at its end."""

    @settings(max_examples=50, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(
        planned=actions, records=some.integers(1, 8), page=some.integers(1, 3), number=some.integers(1, 4),
        view=some.sampled_from(VIEWS), lag=some.sampled_from([0.0, 0.5, 3.0]), empty=some.integers(0, 5),
        seed=some.integers(0, 9),
    )  # fmt: skip
    def complete(
        planned: dict[int, Any], records: int, page: int, number: int, view: str, lag: float, empty: int, seed: int
    ) -> None:
        world = SweepWorld(page=page)
        if with_stream:
            world.with_stream(view=view, lag=lag, empty=empty, page=page)
        for one in range(records):
            world.hire(str(one), f"{one}.pdf")
        world.now += HOUR
        with segments(world, number, random.Random(seed)) as pools:  # noqa: S311
            world.meanwhile = Application(world, planned, pools).meanwhile
            reading, named = read(world)
        assert (reading.scan_alone is None) == with_stream, reading.scan_alone
        tried.append(bool(world.stream and any(one.changes for one in world.stream.shards.values())))
        assert world.live <= named

    complete()


def test_reading_of_the_table_names_every_file_whatever_moves_comes_and_goes_in_any_moment_of_the_scan() -> None:
    tried: list[bool] = []
    holds(with_stream=True, tried=tried)
    assert sum(tried) > 20


def test_scan_alone_misses_a_record_that_moves_so_the_stream_is_what_makes_the_reading_a_snapshot() -> None:
    with pytest.raises(AssertionError, match=r"\.pdf"):
        holds(with_stream=False, tried=[])


# What the stream shows in other ways than at once.


def at_scan(
    world: SweepWorld, page: int, act: Callable[[], None], *, of_scan: Callable[[], bool] = lambda: True
) -> None:
    """Has `act` done once, when the scan asks for this page."""
    pages = iter(range(1, 1000))

    def meanwhile(operation: str) -> None:
        if operation == "Scan" and next(pages) == page:
            act()

    world.meanwhile = meanwhile


def slipping(world: SweepWorld) -> tuple[str, str]:
    """Two ids: the scan's last place, where a record is, and its first, to which the record moves."""
    free = min((f"free-{number}" for number in range(2000)), key=place_of)
    taken = max((f"taken-{number}" for number in range(2000)), key=place_of)
    world.hire(taken, "moved.pdf")
    return taken, free


def staffed(number: int = 6, **more: Any) -> SweepWorld:
    world = SweepWorld(page=2, **more)
    for one in range(number):
        world.upload(f"{one}.pdf", age=30 * DAY)
        world.hire(str(one), f"{one}.pdf")
    return world


def moved_during(world: SweepWorld) -> None:
    """A record moves, during the scan, from its end to its beginning."""
    taken, free = slipping(world)
    at_scan(world, 2, lambda: world.move(taken, free))


def test_record_that_shows_in_the_stream_seconds_late_and_after_empty_pages_is_named() -> None:
    world = staffed()
    world.with_stream(lag=8.0, empty=3)
    moved_during(world)
    reading, named = read(world)
    assert (reading.scan_alone, "moved.pdf" in named) == (None, True)


def test_record_in_a_shard_that_came_during_the_scan_is_named() -> None:
    world = staffed()
    stream = world.with_stream()
    taken, free = slipping(world)

    def act() -> None:
        for _ in range(3):
            stream.split()
        world.move(taken, free)

    at_scan(world, 2, act)
    reading, named = read(world)
    assert (reading.scan_alone, "moved.pdf" in named) == (None, True)


def test_record_of_a_scan_that_outlasts_the_streams_iterators_is_named() -> None:
    world = staffed()
    world.with_stream()
    taken, free = slipping(world)

    def act() -> None:
        world.move(taken, free)
        world.now += 2 * HOUR

    at_scan(world, 2, act)
    reading, named = read(world)
    assert (reading.scan_alone, "moved.pdf" in named) == (None, True)
    assert world.calls["GetShardIterator"] == 2


@pytest.mark.parametrize("wrong_by", [-3600.0, 3600.0])
def test_wrong_clock_of_this_machine_does_not_end_the_reading_of_the_stream_early(wrong_by: float) -> None:
    world = staffed()
    world.with_stream(lag=8.0)
    moved_during(world)
    reading, named = read(world, now=lambda: world.now + wrong_by)
    assert (reading.scan_alone, "moved.pdf" in named) == (None, True)


def test_single_errors_of_the_stream_do_not_cost_the_snapshot() -> None:
    world = staffed()
    world.with_stream()
    moved_during(world)
    asked: list[str] = []

    def every_second(operation: str) -> str | None:
        asked.append(operation)
        wrong = operation in ("DescribeStream", "GetRecords", "GetShardIterator")
        return "InternalServerError" if wrong and asked.count(operation) % 2 else None

    world.faults = every_second
    reading, named = read(world)
    assert (reading.scan_alone, "moved.pdf" in named) == (None, True)


# Where the stream can't complete the scan.


def _none(_: SweepWorld) -> None:
    pass


def _of_a_global_table(world: SweepWorld) -> None:
    world.with_stream()
    world.table["Replicas"] = [{"RegionName": "us-west-2", "ReplicaStatus": "ACTIVE"}]


def _with_another_reader(world: SweepWorld) -> None:
    world.with_stream().readers.append("arn:aws:lambda:us-east-1:123456789012:function:audit")


def _with_unknown_readers(world: SweepWorld) -> None:
    world.with_stream()
    world.faults = lambda operation: "AccessDeniedException" if operation == "ListEventSourceMappings" else None


def _throttled(world: SweepWorld) -> None:
    world.with_stream()
    world.faults = lambda operation: "LimitExceededException" if operation == "GetRecords" else None


def _denied(world: SweepWorld) -> None:
    world.with_stream()
    world.faults = lambda operation: "AccessDeniedException" if operation == "DescribeStream" else None


def _trimmed(world: SweepWorld) -> None:
    world.with_stream()

    def a_day() -> None:
        world.now += 25 * HOUR

    at_scan(world, 2, a_day)


def _trimmed_in_its_shard(world: SweepWorld) -> None:
    world.with_stream()
    asked: list[str] = []

    def from_the_second_page_on(operation: str) -> str | None:
        asked.append(operation)
        return "TrimmedDataAccessException" if operation == "GetRecords" and asked.count(operation) > 1 else None

    world.faults = from_the_second_page_on


def _disabled_meanwhile(world: SweepWorld) -> None:
    stream = world.with_stream()
    at_scan(world, 2, stream.disable)


def _another_one_meanwhile(world: SweepWorld) -> None:
    stream = world.with_stream()

    def act() -> None:
        stream.disable()
        again = world.with_stream()
        again.arn = again.arn.replace("2026-01-01", "2026-02-02")

    at_scan(world, 2, act)


def _of_a_table_that_is_written_too_fast(world: SweepWorld) -> None:
    world.with_stream(page=1)

    def much() -> None:
        for number in range(400):
            world.hire("0", f"{number}.pdf")

    at_scan(world, 2, much)
    of_scan = world.meanwhile

    def meanwhile(operation: str) -> None:
        of_scan(operation)
        world.now += 3.0 if operation == "GetRecords" else 0.0

    world.meanwhile = meanwhile


def _without_dates(world: SweepWorld) -> None:
    world.with_stream()
    world.date = lambda _now: None


UNUSABLE = {
    _none: "its stream is not enabled",
    _of_a_global_table: "it is a replica of a global table, whose stream may have only one reader",
    _with_another_reader: "its stream has other readers than the trigger: 1 event source mappings",
    _with_unknown_readers: "who else reads its stream can't be listed: AccessDeniedException",
    _throttled: "reading its stream failed: LimitExceededException",
    _denied: "reading its stream failed: AccessDeniedException",
    _trimmed: "its stream has not kept all records since the scan began",
    _trimmed_in_its_shard: "reading its stream failed: TrimmedDataAccessException",
    _disabled_meanwhile: "its stream is DISABLED",
    _another_one_meanwhile: "reading its stream failed: ResourceNotFoundException",
    _of_a_table_that_is_written_too_fast: "its stream could not be read up to the present within 15 minutes",
    _without_dates: "its stream answers without a valid Date header",
}


@pytest.mark.parametrize("unusable", UNUSABLE, ids=lambda one: str(one.__name__).strip("_"))
def test_scan_stands_alone_and_says_why_where_the_stream_can_not_complete_it(
    unusable: Callable[[SweepWorld], None],
) -> None:
    world = staffed()
    unusable(world)
    reading, named = read(world)
    assert reading.scan_alone == UNUSABLE[unusable]
    assert world.live <= named
    assert not reading.is_too_old(now=reading.began + 15 * 60)
    assert reading.is_too_old(now=reading.began + 15 * 60 + 1)
    assert reading.is_too_old(now=reading.began - 1), "a clock that was set back tells nothing of its age"


def test_snapshot_does_not_grow_too_old() -> None:
    world = staffed()
    world.with_stream()
    reading, _ = read(world)
    assert not reading.is_too_old(now=reading.began + DAY)


def asked_for(world: SweepWorld, *keys: str, act: Callable[[], None]) -> list[FileOutcome | None]:
    """What redrive and final stream read are told of these keys, after `act` and reading on."""
    with world.behind(clients()) as sdk:
        found = read_named(
            sdk, world.names, keys, why_stop=lambda: None, now=lambda: world.now, pause=world.pause
        )  # fmt: skip
        assert [found.why_kept(key, now=world.now) for key in keys] == [None] * len(keys)
        act()
        found.read_on(now=world.now)
    return [found.why_kept(key, now=world.now) for key in keys]


@pytest.mark.parametrize("view", VIEWS)
def test_key_that_a_record_has_named_since_the_reading_is_kept(view: str) -> None:
    world = staffed()
    world.with_stream(view=view)
    assert asked_for(world, "a.pdf", "b.pdf", act=lambda: world.hire("new", "b.pdf")) == [
        None,
        NAMED_MEANWHILE,
    ]


def test_key_is_kept_fifteen_minutes_after_a_scan_that_stands_alone_and_not_after_a_snapshot() -> None:
    for with_stream, outcome in ((True, None), (False, READING_TOO_OLD)):
        world = staffed()
        world.with_stream() if with_stream else None

        def later(world: SweepWorld = world) -> None:
            world.now += HOUR

        assert asked_for(world, "a.pdf", act=later) == [outcome]


# Sweeps.


def with_orphans(number: int, **more: Any) -> SweepWorld:
    world = staffed(names=samples.names(sweep={"mode": "Delete", "maximumOrphanPercent": 100}), **more)
    world.upload(*(f"orphan-{one}.pdf" for one in range(number)), age=9 * DAY)
    return world


def said(world: SweepWorld, found: SweepResult) -> str:
    word = word_for(found, failed=False, stopped=False)
    return " ".join(
        [
            *lines(found, world.names, word=word, problem=None, files_named=True),
            message(found, world.names, problem=None),
        ]
    )  # fmt: skip


def test_sweep_whose_readings_are_snapshots_erases_orphans_and_its_receipts_say_so() -> None:
    world = with_orphans(3)
    world.with_stream()
    world.sweep()
    found = world.sweep(after=DAY)
    assert (found.erased.count("erased"), found.spared, found.scan_alone) == (3, 0, None)
    assert [line["reading"] for line in world.receipts()] == ["snapshot"] * 6
    assert "scan alone" not in said(world, found)


def test_sweep_whose_stream_can_not_be_read_says_why_and_so_do_its_receipts() -> None:
    world = with_orphans(3)
    world.sweep()
    found = world.sweep(after=DAY)
    assert (found.erased.count("erased"), found.scan_alone) == (3, "its stream is not enabled")
    assert [line["reading"] for line in world.receipts()] == ["scan"] * 6
    sentence = "the table was read by a scan alone, which is no snapshot: its stream is not enabled"
    assert said(world, found).count(sentence) == 2


def test_sweep_of_a_scan_alone_that_began_too_long_ago_leaves_the_rest_to_the_next_and_says_so() -> None:
    world = with_orphans(3)
    world.sweep()

    def slow(operation: str) -> None:
        world.now += 20 * 60 * (operation == "Scan")

    world.meanwhile = slow
    found = world.sweep(after=DAY)
    assert (found.erased.count("erased"), found.confirmed) == (0, 3)
    assert found.erased.unfinished == _TOO_OLD
    text = message(found, world.names, problem=None)
    assert "the table was read by a scan alone, which is no snapshot: its stream is not enabled" in text
    assert _TOO_OLD in text
    assert word_for(found, failed=False, stopped=False) == "ErasureFailed", "nobody stopped it"


def test_file_that_a_record_names_before_its_batch_is_spared_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "BATCH", 1)
    world = with_orphans(3)
    world.with_stream()
    world.sweep()

    def meanwhile(operation: str) -> None:
        if operation == "DeleteObject" and world.calls[operation] == PROBES:
            world.hire("new", "orphan-1.pdf", "orphan-2.pdf")

    world.meanwhile = meanwhile
    found = world.sweep(after=DAY)
    assert (found.erased.count("erased"), found.spared, world.lost) == (1, 2, [])
    assert {line["key"] for line in world.receipts()} == {"orphan-0.pdf"}


def test_stream_that_fails_between_two_batches_leaves_a_scan_alone_whose_time_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(erasure, "BATCH", 1)
    world = with_orphans(3)
    stream = world.with_stream()
    world.sweep()

    def meanwhile(operation: str) -> None:
        if operation == "DeleteObject" and world.calls[operation] == PROBES:
            stream.disable()
            world.now += 20 * 60

    world.meanwhile = meanwhile
    found = world.sweep(after=DAY)
    assert (found.erased.count("erased"), found.scan_alone) == (1, "its stream is DISABLED")
    assert found.erased.unfinished == _TOO_OLD


def test_record_that_the_stream_names_beside_the_scan_is_not_taken_for_a_second_one() -> None:
    world = with_orphans(1)
    world.with_stream()
    at_scan(world, 1, lambda: world.hire("new", "new.pdf"))
    world.upload("new.pdf", age=2 * DAY)
    found = world.sweep("Detect")
    assert (found.shared, world.calls["BatchGetItem"], found.orphans) == ((), 0, 1)


def test_sweep_stops_while_it_reads_the_stream() -> None:
    world = with_orphans(1)
    world.with_stream()
    with pytest.raises(StoppedError):
        world.sweep("Detect", why_stop=lambda: "stopped" if world.calls["GetRecords"] > 5 else None)
    assert world.calls["GetRecords"] < 8
