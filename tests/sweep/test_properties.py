"""Any table and bucket, an application that writes meanwhile, any failure or kill at any call: no live file is erased,
and what was begun is receipted in the end.

The application does as HumanGov does: the file first, then the record that names it; names are used once. A record
may also move to another id, which a scan can miss; once a sweep, as a scan that misses it in every one of three reads
is more than any rule here sees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from humangov.cleanup.calls import NoReceiptError
from humangov.reading.progress import FailedError, StoppedError
from humangov.sweep.bucket_claim import ClaimedError
from hypothesis import given, settings
from hypothesis import strategies as some

from testing import samples
from testing.killed import Killed
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld

KINDS = ("hire", "fire", "change", "move", "minutes")
FAULTS = ("AccessDenied", "SlowDown", "InternalError", "lost", "killed before", "killed after")
ENDINGS = (ClientError, BotoCoreError, Killed, FailedError, StoppedError, ClaimedError, NoReceiptError)


class Application:
    """Acts at given calls of the sweep, one step of one action at a time."""

    def __init__(self, world: SweepWorld) -> None:
        self.world, self.number, self.moved = world, 0, set[str]()
        self.uploaded: list[tuple[str, str]] = []  # record, file: not yet written

    def act(self, kind: str, which: int) -> None:
        world, records = self.world, sorted(self.world.records)
        one = records[which % len(records)] if records else None
        self.number += 1
        if kind == "minutes":
            world.now += 60.0 * (which % 20)
        elif kind == "hire":
            self._upload(f"new-{self.number}", f"new-{self.number}.pdf")
        elif one is None:
            return
        elif kind == "fire":
            world.fire(one)
        elif kind == "change":
            self._upload(one, f"changed-{self.number}.pdf")
        elif kind == "move" and one.split("/")[0] not in self.moved:
            self.moved.add(one.split("/")[0])
            names = world.records[one]
            world.fire(one)
            world.hire(f"{one.split('/')[0]}/{self.number}", *names)

    def _upload(self, record: str, name: str) -> None:
        self.world.upload(name)
        self.uploaded.append((record, name))

    def write(self) -> None:
        """The records of what was uploaded follow at some later call."""
        for record, name in self.uploaded:
            self.world.hire(record, name)
        self.uploaded = []


@some.composite
def worlds(draw: some.DrawFn) -> SweepWorld:
    prefix = draw(some.sampled_from(["", "california/", "x"]))
    spec: dict[str, Any] = {"sweep": {"mode": "Delete", "maximumOrphanPercent": draw(some.sampled_from([20, 60, 100]))}}
    world = SweepWorld(
        names=samples.names(bucket={"name": "files", "keyPrefix": prefix}, **spec),
        versioning=draw(some.sampled_from([None, None, "Enabled", "Suspended"])),
        honours=draw(some.sampled_from([True, True, False, None])),
        page=draw(some.sampled_from([2, 3, 5, 1000])),
    )
    for number in range(draw(some.integers(0, 12))):
        world.upload(f"{number}.pdf", age=draw(some.sampled_from([0.0, 2 * DAY, 9 * DAY])))
        world.hire(str(number), f"{number}.pdf")
    for number in range(draw(some.integers(0, 6))):
        name = f"{draw(some.sampled_from(['a', 'é', '0', 'z z']))}-orphan-{number}.pdf"
        world.upload(name, age=draw(some.sampled_from([0.0, 2 * DAY, 9 * DAY])))
        if world.versioning == "Enabled" and draw(some.booleans()):
            world.upload(name, body=b"again", age=2 * DAY)
        if world.versioning and draw(some.booleans()):
            world.remove(name)
    return world


actions = some.lists(some.tuples(some.integers(1, 40), some.sampled_from(KINDS), some.integers(0, 50)), max_size=8)
faults = some.dictionaries(some.integers(1, 60), some.sampled_from(FAULTS), max_size=2)
gaps = some.sampled_from([1 * HOUR, 10 * HOUR, 21 * HOUR, 30 * HOUR])


def test_random_sweeps_erase_no_live_file_and_finally_leave_only_live_files() -> None:
    tried: Counter[str] = Counter()

    @settings(max_examples=80, deadline=None)
    @given(world=worlds(), sweeps=some.lists(some.tuples(gaps, actions, faults), min_size=1, max_size=4))
    def live(world: SweepWorld, sweeps: list[tuple[float, Any, dict[int, str]]]) -> None:
        _sweep_while_all_goes_on(world, sweeps)
        before = world.files
        first = world.sweep(after=15 * DAY)  # nothing that was seen meanwhile counts any more
        second = world.sweep(after=DAY)
        assert (world.lost, world.missing) == ([], set())
        assert _begun_and_not_settled(world) == set()
        if second.failed_checks:
            tried["held"] += 1
            assert world.files == before
        else:
            tried["erased"] += bool(first.orphans)
            assert not first.failed_checks
            assert world.files == world.live

    live()
    # It must not hold for want of anything to erase, or because a safety check always fails.
    assert tried["erased"] > 5, tried
    assert tried["held"] > 5, tried


def _sweep_while_all_goes_on(world: SweepWorld, sweeps: list[tuple[float, Any, dict[int, str]]]) -> None:
    application = Application(world)
    for gap, planned, wrong in sweeps:
        application.moved = set()
        world.meanwhile, world.faults = _plan(application, planned, wrong)
        with suppress(*ENDINGS):
            world.sweep(after=gap)
        world.meanwhile, world.faults = lambda _operation: None, lambda _operation: None
        application.write()
        assert (world.lost, world.missing) == ([], set())


def _begun_and_not_settled(world: SweepWorld) -> set[object]:
    """What a killed sweep has left: objects of its batch, and intents without an outcome."""
    lines = [(line["event_id"], line["key"], line["receipt"]) for line in world.receipts()]
    outcomes = {(event, key) for event, key, kind in lines if kind == "outcome"}
    intents = {(event, key) for event, key, kind in lines if kind == "intent"}
    return {*(intents - outcomes)} | {key for key in world.objects if "/begun/" in key}


def _plan(
    application: Application, planned: list[tuple[int, str, int]], wrong: dict[int, str]
) -> tuple[Callable[[str], None], Callable[[str], str | None]]:
    calls = {"meanwhile": 0, "faults": 0}

    def meanwhile(_operation: str) -> None:
        calls["meanwhile"] += 1
        if calls["meanwhile"] % 7 == 0:
            application.write()
        for at, kind, which in planned:
            if at == calls["meanwhile"]:
                application.act(kind, which)

    def fault(_operation: str) -> str | None:
        calls["faults"] += 1
        return wrong.get(calls["faults"])

    return meanwhile, fault
