"""What the cleanup function makes of a poison record, and of a hundred thousand stream events with faults.

Behind an event source that behaves as Lambda's (testing/event_source), on its clock: a day passes in seconds. The
function is the zip's code in this process; table and bucket are in memory, and say of themselves what they can't show.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Report, Table, spread
from bench.rig import NotMeasuredError, Say
from testing.event_source.decisions import Reading
from testing.event_source.story import Code, Step, Story, cleanup_code, operator_settings, random_faults, walkthrough

EVENTS = 100_000
FAULTS = 0.05
SHARDS = 4
POISON = "poison.pdf"
_IDS = 5_000
_WITH_THE_POISON = 5
_REMOVED_AFTER_SECONDS = (1, 10, 60, 600, 3600, 6 * 3600, 12 * 3600, 23 * 3600)
_STEPS_A_TURN = 20
_SAY_EVERY = 20_000
_MOST_REDELIVERIES = 6

_HEADER = (
    "FUNCTION AND MAPPING", "ATTEMPTS", "DISCARDED AFTER", "WITH IT, MEDIAN", "LATER, MEDIAN", "LATER, MAX",
    "NEVER ERASED",
)  # fmt: skip

_NOTES = """
Time is the event source's own. Lambda publishes no pauses between attempts: 1 s, doubled up to 60 s, is an assumption.
A poison file is one that S3 refuses. Ours: the mapping that the operator makes. The walkthrough's: Lambda's defaults.
"Halves" and "rest": what Lambda's pages leave open of a bisected batch whose first record has failed.
With it: removed at the same moment, in its batch. Later: 1 s to 23 h after it, in the same shard.
Attempts: invocations that held the poison record; those that only bisect use up no retries.
Faults: calls (throttled, answer lost, function killed at its deadline) and single keys in calls, drawn from the seed.
Redelivery: what went to the failures destination, sent to the function once more; nothing goes wrong then. What the
erasure limit (20,000 an hour) holds back is sent again an hour later.
""".strip().splitlines()


@dataclass(frozen=True)
class Blocked:
    """What a poison record does to its shard. Waits in seconds, from a record's removal to its file's end."""

    attempts: int
    discarded_after: float
    together: Sequence[float]
    later: Sequence[float]
    never: int


@dataclass(frozen=True)
class Flood:
    """What is left after all events, and what happened on the way."""

    events: Mapping[str, int]
    invocations: int
    failed: int
    faults: Mapping[str, int]
    to_destination: int
    live: int
    lost: int
    orphans_before: int
    orphans_after: int
    missing: int
    simulated_hours: float
    seconds: float


def run(*, say: Say, events: int, faults: float, seed: int) -> Report:
    """Takes about a minute. Raises NotMeasuredError."""
    with tempfile.TemporaryDirectory(prefix="humangov-bench-") as directory:
        code = cleanup_code(Path(directory))
        say("a poison record, our mapping and function")
        blocked = {
            f"ours, {reading.name.lower()}": poison(code, operator_settings(), reading=reading) for reading in Reading
        }
        say("a poison record, Lambda's default mapping and the walkthrough's function")
        blocked["walkthrough"] = poison(walkthrough(), {})
        flood = measure_flood(say, code, events=events, share=faults, seed=seed)
    return report(blocked, flood, share=faults, seed=seed)


def poison(code: Code, settings: Mapping[str, Any], *, reading: Reading = Reading.HALVES) -> Blocked:
    """A file that S3 refuses, its record removed with others, and further ones removed after it."""
    story = Story(code, settings, faults=_refusing, reading=reading)
    tenant, clock = story.tenant, story.clock
    together = [f"with-{number}" for number in range(_WITH_THE_POISON)]
    later = [f"after-{seconds}" for seconds in _REMOVED_AFTER_SECONDS]
    for one in ("poison", *together, *later):
        tenant.upload(f"{one}.pdf")
        tenant.write(one, f"{one}.pdf")
    story.source.run()
    clock.advance(60)
    begun, before = clock.now, len(story.source.invocations)
    removed_at = dict.fromkeys(("poison", *together), begun)
    for one in removed_at:
        tenant.remove(one)
    for one, seconds in zip(later, _REMOVED_AFTER_SECONDS, strict=True):
        story.source.run(until=begun + seconds)
        removed_at[one] = clock.now
        tenant.remove(one)
    story.source.run()
    if tenant.is_there(POISON) is False:
        raise NotMeasuredError("the poison file was deleted after all")
    number = next(number for one in story.source.discarded for number in one.numbers)
    attempts = [one for one in story.source.invocations[before:] if number in one.numbers]

    def waits(ids: Sequence[str]) -> list[float]:
        ends = {one: tenant.erased_at.get(f"{one}.pdf") for one in ids}
        return [end - removed_at[one] for one, end in ends.items() if end is not None]

    return Blocked(
        attempts=len(attempts),
        discarded_after=attempts[-1].ended - begun,
        together=waits(together),
        later=waits(later),
        never=len(together) + len(later) - len(waits(together)) - len(waits(later)),
    )


def _refusing(operation: str, subject: str, _attempt: int) -> str | None:
    calls = {"DeleteObject": f"call {POISON}", "DeleteObjects": f"key {POISON}"}
    return "AccessDenied" if calls.get(operation) == subject else None


def measure_flood(
    say: Say, code: Code, *, events: int, share: float, seed: int, settings: Mapping[str, Any] | None = None
) -> Flood:
    """A tenant's life with faults, until all its events are through and what failed was redelivered."""
    begun = time.monotonic()
    story = Story(code, settings or operator_settings(), faults=random_faults(seed, share), shards=SHARDS)
    started = story.clock.now
    counted: Counter[str] = Counter()
    publish = story.tenant.publish

    def count(record: dict[str, Any], shard: str) -> None:
        counted[record["eventName"]] += 1
        if counted.total() % _SAY_EVERY == 0:
            say(f"{counted.total():,} of {events:,} events, {len(story.source.invocations):,} invocations")
        publish(record, shard)

    story.tenant.publish = count
    story.steps = steps_of(story, counted, events=events, seed=seed)
    story.run()
    tenant = story.tenant
    orphans_before = len(tenant.files - tenant.live_files)
    say(f"redelivering {len(tenant.failures):,} invocation records")
    _redeliver(story)
    return Flood(
        events=dict(counted),
        invocations=len(story.source.invocations),
        failed=sum(one.failed_from is not None for one in story.source.invocations),
        faults=dict(tenant.faulty),
        to_destination=sum(len(one.records) for one in story.source.discarded),
        live=len(tenant.live_files),
        lost=len(tenant.lost),
        orphans_before=orphans_before,
        orphans_after=len(tenant.files - tenant.live_files),
        missing=len(tenant.live_files - tenant.files),
        simulated_hours=(story.clock.now - started) / 3600,
        seconds=time.monotonic() - begun,
    )


def _redeliver(story: Story) -> None:
    """All at once, and every hour what the erasure limit still holds back. Raises NotMeasuredError."""
    for _ in range(_MOST_REDELIVERIES):
        if all(answer.result == {"batchItemFailures": []} for answer in story.redrive()):
            return
        story.clock.advance(3600)
    raise NotMeasuredError("a redelivery failed although nothing went wrong")


def steps_of(story: Story, counted: Counter[str], *, events: int, seed: int) -> Iterator[Step]:
    """Steps until there are so many events: hired, changed, removed, brought back; and now and then a redelivery."""
    chance = random.Random(seed)  # noqa: S311
    ids = [f"{number}" for number in range(_IDS)]
    while counted.total() < events:
        one, dice = chance.choice(ids), chance.random()
        if dice < 1 / _STEPS_A_TURN:
            yield ("turn",)
        elif dice < 0.055:
            yield ("redeliver", chance.randint(1, 10))
        elif one not in story.tenant.records:
            yield ("return", one) if dice < 0.3 else ("hire", one, chance.choice((1, 1, 1, 3)))
        elif dice < 0.5:
            yield ("fire", one)
        elif dice < 0.9:
            yield ("edit", one, chance.choice((0, 1, 1, 2)))
        else:
            yield ("shed", one)


def report(blocked: Mapping[str, Blocked], flood: Flood, *, share: float, seed: int) -> Report:
    """Tables, notes and figures of what was measured. Pure."""
    faults = sum(flood.faults.values())
    halves, rest, walkthrough_run = blocked["ours, halves"], blocked["ours, rest"], blocked["walkthrough"]
    figures: dict[str, Any] = {
        "poison_later_wait_s": max(max(halves.later), max(rest.later)),
        "poison_attempts": max(halves.attempts, rest.attempts),
        "poison_never_erased": halves.never + rest.never,
        "walkthrough_poison_later_wait_s": max(walkthrough_run.later, default=0.0),
        "walkthrough_poison_attempts": walkthrough_run.attempts,
        "walkthrough_poison_never_erased": walkthrough_run.never,
        "events": sum(flood.events.values()),
        "events_by_kind": dict(sorted(flood.events.items())),
        "fault_share": share,
        "seed": seed,
        "faults": faults,
        "faults_by_kind": dict(sorted(flood.faults.items())),
        "invocations": flood.invocations,
        "invocations_failed": flood.failed,
        "records_to_destination": flood.to_destination,
        "live_files": flood.live,
        "live_files_lost": flood.lost + flood.missing,
        "orphans_before_redelivery": flood.orphans_before,
        "orphans_left": flood.orphans_after,
        "simulated_hours": flood.simulated_hours,
        "seconds": flood.seconds,
    }
    return Report(
        tables=[
            Table(
                title="A poison record: how long the others of its shard wait",
                header=_HEADER,
                rows=[_row(name, one) for name, one in blocked.items()],
            ),
            Table(
                title=f"{sum(flood.events.values()):,} stream events, {share:.0%} faults",
                header=("WHAT", "NUMBER"),
                rows=[
                    *((f"events: {kind}", f"{number:,}") for kind, number in sorted(flood.events.items())),
                    ("invocations", f"{flood.invocations:,}"),
                    ("  of which failed, or reported records", f"{flood.failed:,}"),
                    *((f"faults: {kind}", f"{number:,}") for kind, number in sorted(flood.faults.items())),
                    ("records sent to the failures bucket", f"{flood.to_destination:,}"),
                    ("files of live records", f"{flood.live:,}"),
                    ("live files lost", f"{flood.lost + flood.missing:,}"),
                    ("orphans before the redelivery", f"{flood.orphans_before:,}"),
                    ("orphans left", f"{flood.orphans_after:,}"),
                    ("simulated hours", f"{flood.simulated_hours:,.0f}"),
                    ("seconds it took", f"{flood.seconds:,.0f}"),
                ],
            ),
        ],
        notes=_NOTES,
        figures=figures,
    )  # fmt: skip


def _row(name: str, one: Blocked) -> tuple[str, ...]:
    def middle(waits: Sequence[float]) -> str:
        return _time(spread(waits).median) if waits else "never"

    return (
        name, str(one.attempts), _time(one.discarded_after), middle(one.together), middle(one.later),
        _time(max(one.later)) if one.later else "never", str(one.never),
    )  # fmt: skip


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 3600 else f"{seconds / 3600:.1f} h"
