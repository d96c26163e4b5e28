"""One history, from its seed: a world is drawn, lives through its steps, comes to rest, and is judged.

Everything that is drawn comes from the seed: the same seed is the same history, step by step, on the same code.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from humangov.aws import trigger as trigger_of
from humangov.sweep.result import DELETE

from testing import samples
from testing.event_source import destination
from testing.event_source.answers import Answer
from testing.event_source.mapping import trigger
from testing.event_source.source import EventSource, ThrottledError
from testing.world import ending
from testing.world.account import Account
from testing.world.actor import SWEEP, Actor
from testing.world.application import Application
from testing.world.audit import Audit
from testing.world.bucket import Bucket
from testing.world.clients import Processes, in_this_world
from testing.world.clock import DAY, HOUR, Hosts, WorldClock
from testing.world.function import Environment
from testing.world.jobs import Jobs
from testing.world.log_group import LogGroup
from testing.world.promises import Violation
from testing.world.report_audit import judge_report
from testing.world.setting import HONOURED, MAPPINGS, Setting, draw
from testing.world.stream import StreamRecord
from testing.world.table import Table
from testing.world.weather import Weather

STEPS = 100
_CHECKED_ONE_IN = 50
_MOST_AT_ONCE = 3
_WAITS = (0.3, 0.3, 1.0, 1.0, 5.0, 60.0, 1000.0, 20_000.0)
_A_NIGHT = (20.1 * HOUR, 22 * HOUR, 24 * HOUR, 26 * HOUR)
_AS_DRAWN: Mapping[str, Any] = {}
_MORE_NIGHTS, _MORE_RESTLESS_NIGHTS = 0.6, 0.8
_QUIET_NIGHTS = {DELETE: 4}
"""In mode Delete: a file that was uploaded in parts is erased two nights after the night that saw it first."""


@dataclass(frozen=True)
class History:
    """What became of one seed. excused: live files that went within the declared limits. trace: its steps, if kept.

    deleting: number of sweeps in mode Delete. swept: files that they erased.
    """

    seed: int
    steps: int
    violations: tuple[Violation, ...]
    faults: Counter[str]
    excused: Counter[str]
    erased: int
    deleting: int = 0
    swept: int = 0
    trace: tuple[str, ...] = ()


class World:
    """keep: whether to keep the steps as text. delete_share: as for `setting.draw`. having: in its place."""

    def __init__(
        self, seed: int, *, keep: bool = False, delete_share: float | None = None, having: Mapping[str, Any] = _AS_DRAWN
    ) -> None:
        def chance(of: str) -> random.Random:
            return random.Random(f"{seed}/{of}")  # noqa: S311

        self.setting: Setting = replace(draw(chance("setting"), delete_share=delete_share), **having)
        self.chance, self.clock = chance("steps"), WorldClock()
        self.checked = seed % _CHECKED_ONE_IN == 0
        self.hosts, self.processes = Hosts(self.clock), Processes(chance("pools"))
        names, setting = self.setting.names, self.setting
        bucket = Bucket(names=names, clock=self.clock, versioning=setting.versioning)
        table = Table(
            names.tenant.table.name, self.clock, setting.view, setting.shards, self._publish,
            age=setting.table_age * DAY,
        )  # fmt: skip
        self.audit = Audit(setting, bucket, table)
        self.weather = Weather(chance("weather"), setting.faults)
        self.account = Account(
            setting, self.clock, self.weather, bucket, table, LogGroup(names.tenant.log_group_name), self.audit,
            chance("between"), between=self._between, trace=self._trace if keep else lambda _text: None,
        )  # fmt: skip
        self.application = Application(self.account, chance("application"))
        self.jobs = Jobs(self.account, self.processes, self.hosts.of("operator"), self.checked)
        self.sources: dict[str, EventSource] = {}
        self.environments: dict[str, Environment] = {}
        self.first: dict[str, tuple[StreamRecord, ...]] = {}
        self.unstored: set[str] = set()
        self.traced: list[str] = []
        self.steps, self.created, self.calm, self.mapped = 0, 0, False, True
        self.account.trace(lambda: f"{self.setting}")
        ending.foreign_objects(self.account) if setting.foreign_objects else None
        self.weather.note("table: young") if setting.table_age < 14 else None
        self.weather.note("table: slow") if setting.slow_table else None
        self.weather.note(f"S3: conditions {setting.conditions}") if setting.conditions != HONOURED else None

    # What happens.

    def step(self) -> None:
        kind = self.chance.choices(list(_HAPPENS), list(_HAPPENS.values()))[0]
        self._happens(lambda: kind(self))

    def _happens(self, do: Callable[[], str | None]) -> None:
        """A step counts if anything came of it."""
        done = do()
        if done is not None:
            self.steps += 1
            number = self.steps
            self.account.trace(lambda: f"step {number}: {done}")

    def _trace(self, text: Callable[[], str]) -> None:
        moment = datetime.fromtimestamp(self.clock.now, UTC)
        self.traced.append(
            f"{self.clock.moment:>6} {moment:%d %H:%M:%S.%f} {'  ' * len(self.processes.running)}{text()}"
        )

    def acts(self) -> str | None:
        self.clock.advance(self.chance.choice((0.0, 0.05, 0.4, 1.5)))
        return self.application.act()

    def turn(self) -> str | None:
        """The event source does what is due next."""
        due = {at: source for source in self.sources.values() if (at := source.due_at) is not None}
        return "a turn of Lambda's" if due and due[min(due)].step() else None

    def wait(self) -> str:
        self._advance(seconds := self.chance.choice(_WAITS))
        return f"{seconds} s pass"

    def _advance(self, seconds: float) -> None:
        """The application finishes in time what it has begun."""
        until = self.clock.now + seconds
        while (due := self.application.first_due) is not None and due <= until:
            self.clock.advance(max(0.0, due - self.clock.now))
            self.application.finish_due()
        self.clock.advance(max(0.0, until - self.clock.now))

    def nights(self) -> str:
        """A night, or several: mostly events are handled before it, and at its end the sweep starts."""
        nights, restless = 0, self.setting.restless
        if restless:
            for _ in range(6):
                self._happens(self.application.hire)
        while not nights or self.chance.random() < (_MORE_RESTLESS_NIGHTS if restless else _MORE_NIGHTS):
            nights += 1
            for source in list(self.sources.values()):
                while self.chance.random() < 0.95 and source.step():
                    pass
            self._advance(self.chance.choice(_A_NIGHT))
            self._happens(self.sweep)
            if self.chance.random() < 0.8:
                self._happens(self.jobs.approve)
            for _ in range(self.chance.randint(0, 3)):
                self._happens(self.acts)
        self.weather.note("nights pass")
        return f"{nights} nights have passed"

    def weeks(self) -> str:
        self._advance(15 * DAY)
        self.weather.note("weeks pass")
        return "15 days pass"

    def redeliver(self) -> str:
        count = self.chance.randint(1, 4)
        for source in self.sources.values():
            source.rewind_invocations(count)
        self.weather.note("Lambda: redelivered")
        return f"what the last {count} invocations of each lane handled comes again"

    def split(self) -> str | None:
        stream = self.account.table.stream
        if not stream.open_shards or len(stream.shards) > 8:
            return None
        parent = self.chance.choice(stream.open_shards)
        children = stream.split(parent, now=self.clock.now)
        if stream.arn in self.sources:
            self.sources[stream.arn].split(parent, *children)
        self.weather.note("Streams: shard split")
        return f"{parent} splits"

    def log_group(self) -> str | None:
        """Somebody deletes the log group; the operator makes it anew."""
        logs = self.account.logs
        if logs.exists and self.setting.faults:
            self.weather.note("Logs: group deleted")
            logs.exists = False
            return "the log group is deleted"
        if logs.exists:
            return None
        logs.recreate()
        return "the log group is made anew"

    def versioning(self) -> str:
        bucket = self.account.bucket
        bucket.versioning = "Suspended" if bucket.versioning == "Enabled" else "Enabled"
        self.weather.note("S3: versioning changed")
        return f"versioning is {bucket.versioning}"

    def set_clock(self) -> str:
        name = self.chance.choice(sorted(self.hosts.clocks))
        self.hosts.of(name).wrong_by = self.chance.choice((-120.0, -4.0, -0.7, 0.0, 0.7, 4.0, 120.0))
        self.weather.note("clock: set")
        return f"the clock of {name} is wrong by {self.hosts.of(name).wrong_by} s"

    def redrive(self) -> str:
        return self.jobs.redrive()

    def sweep(self) -> str:
        return self.jobs.sweep(quiet=False)

    def approve(self) -> str | None:
        return self.jobs.approve()

    def _between(self, actor: Actor, service: str) -> None:
        """What else happens while a process waits for an answer.

        Whoever waits for CloudWatch Logs holds the lock of its receipts: its other threads, which are tasks of one
        thread here, would wait for themselves.
        """
        if self.calm:
            return
        if actor.kind == SWEEP and actor.sweeping.intended and self._killed_while_it_erases(actor):
            return
        if actor.kind == SWEEP and self.setting.restless and self.account.chance.random() < 0.9:
            self._happens(lambda: self.application.dodge(actor.place))
            return
        if self.account.chance.random() >= self.setting.between:
            return
        if actor.kind == SWEEP and self._done_to_sweep(actor):
            return
        dice = self.account.chance.random()
        if actor.pool is not None and dice < 0.25:
            if service != "Logs":
                actor.pool.one()
        elif dice < 0.8 or len(self.processes.running) >= _MOST_AT_ONCE:
            self._happens(self.acts)
        elif dice < 0.97:
            if any(source.due_at is not None and source.due_at <= self.clock.now for source in self.sources.values()):
                self._happens(self.turn)
        elif actor.kind == "function":
            self._happens(self.redrive)

    def _killed_while_it_erases(self, actor: Actor) -> bool:
        """Few calls lie between an intent and the last outcome: half of them are the last one of their process."""
        if not self.setting.faults or self.account.chance.random() < 0.5:
            return False
        self.weather.note("sweep: killed while it erases")
        self.account.kill(actor)
        return True

    def _done_to_sweep(self, actor: Actor) -> bool:
        """Whether something is done to this sweep."""
        dice, sweeping = self.account.chance.random(), actor.sweeping
        if dice < 0.02 and len(self.processes.running) < _MOST_AT_ONCE:
            self.weather.note("sweep: another one beside it")
            self._happens(self.sweep)
        elif 0.02 <= dice < 0.04 and sweeping.stop is None:
            self.weather.note("sweep: stopped")
            sweeping.stop, sweeping.stopped_at = "annotation humangov.io/stop was set", actor.calls
        elif 0.04 <= dice < 0.05:
            self._happens(self.versioning)
        elif dice >= 0.5 and sweeping.listed is not None:
            self._happens(lambda: self.application.upload_listed(self.audit.sweeps.sightings[-1].keys))
        else:
            return False
        return True

    # Lambda.

    def _publish(self, record: StreamRecord) -> None:
        if self.mapped:
            self._source(record.stream).put(record.for_lambda(), shard=record.shard)

    def _source(self, arn: str) -> EventSource:
        if arn not in self.sources:
            names = self.setting.names
            desired = trigger_of.desired(names, samples.context(names), table=None).configuration
            uuid = MAPPINGS[len(self.sources) % len(MAPPINGS)]
            mapping = trigger(
                {**desired, **self.setting.trigger}, stream_arn=arn, uuid=uuid, function_arn=names.function_arn
            )  # fmt: skip
            self.sources[arn] = EventSource(
                mapping, clock=self.clock, invoke=self._invoke, deliver=self._deliver, reading=self.setting.reading
            )  # fmt: skip
        return self.sources[arn]

    def _invoke(self, event: Any) -> Answer:
        changes = self.account.table.changes
        records = tuple(changes[one["dynamodb"]["SequenceNumber"]] for one in event["Records"])
        if self.weather.strikes("Lambda: throttled", share=0.5):
            raise ThrottledError
        for one in records:
            self.first.setdefault(one.number, records)
        if self.first[records[0].number] != records:
            self.weather.note("Lambda: batch in parts, or again")
        shown = {other.number: other for one in records for other in self.first[one.number]}
        environment = self._environment(records[0].shard)
        answer = environment.invoke(event, records, shown=list(shown.values()))
        self.account.trace(lambda: f"function: {[one.number.lstrip('0') for one in records]} → {answer}")
        return answer

    def _environment(self, shard: str) -> Environment:
        found = self.environments.get(shard)
        if found is None or found.dead or self.weather.strikes("Lambda: cold start", share=0.3):
            self.created += 1
            found = self.environments[shard] = Environment(
                self.account, self.processes, host=self.hosts.of(f"environment {shard[-8:]}"), number=self.created,
                checked=self.checked,
            )  # fmt: skip
        return found

    def _deliver(self, key: str, body: bytes) -> None:
        """Lambda stores what it gives up, or fails to, and then nobody ever hears of it."""
        if self.weather.strikes("Lambda: failure not stored", share=1.5):
            self.unstored |= {one["dynamodb"]["SequenceNumber"] for one in destination.event(body)["Records"]}
            self.account.trace(lambda: f"LOST: {key}")
            return
        self.weather.note("Lambda: given up, and stored")
        self.account.bucket.put(key, body, at=self.clock.now)

    # The end.

    def rest(self) -> None:
        """Nothing goes wrong any more; what was begun is finished, and events are drained."""
        self._clears_up()
        self.application.finish()
        while any(source.step() for source in self.sources.values()):
            pass

    def _clears_up(self) -> None:
        self.calm, self.weather.rate = True, 0.0
        if not self.account.logs.exists:
            self.account.logs.recreate()

    def delete(self) -> None:
        """The tenant is deleted: its mapping goes with what waits in it, then the stream is read once more."""
        self.mapped = False
        self.sources.clear()
        self.application.finish()
        self.account.table.stream.disable(now=self.clock.now)
        for last in (False, False, False, True):
            if last:
                self._clears_up()
            self._happens(lambda: self.jobs.final_read(now=datetime.fromtimestamp(self.clock.now, UTC)))


_HAPPENS: Mapping[Callable[[World], str | None], float] = {
    World.acts: 60, World.turn: 26, World.wait: 5, World.redeliver: 2, World.split: 1, World.log_group: 0.7,
    World.versioning: 0.4, World.set_clock: 1, World.redrive: 1, World.sweep: 0.7, World.nights: 1.0, World.weeks: 0.1,
    World.approve: 0.3,
}  # fmt: skip


def run(
    seed: int,
    *,
    steps: int = STEPS,
    keep: bool = False,
    delete_share: float | None = None,
    having: Mapping[str, Any] = _AS_DRAWN,
) -> History:
    """One history to its end. The other arguments: as for a World."""
    world = lived(seed, steps=steps, keep=keep, delete_share=delete_share, having=having)
    return History(
        seed, world.steps, tuple(world.audit.violations), world.weather.struck, world.audit.excused,
        len(world.audit.erasures), world.jobs.deleting, world.audit.swept, tuple(world.traced),
    )  # fmt: skip


def lived(
    seed: int,
    *,
    steps: int = STEPS,
    keep: bool = False,
    delete_share: float | None = None,
    having: Mapping[str, Any] = _AS_DRAWN,
) -> World:
    """The world at the end of its history, judged."""
    world = World(seed, keep=keep, delete_share=delete_share, having=having)
    with in_this_world(world.processes):
        while world.steps < steps:
            world.step()
        if world.setting.deleted_at_end:
            world.delete()
            ending.judge_deleted(world.account)
        else:
            world.rest()
            world._happens(world.redrive)
            ending.judge_events(world.account, sources=list(world.sources.values()), unstored=world.unstored)
            for _ in range(_QUIET_NIGHTS.get(world.setting.mode, 2)):
                world.clock.advance(1.1 * DAY)
                world._happens(lambda: world.jobs.sweep(quiet=True))
                world._happens(world.jobs.approve)
            ending.judge_rest(world.account, orphans=world.jobs.orphans, last=world.jobs.last)
    judge_report(world.account)
    return world
