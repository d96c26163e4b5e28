"""Fifty states at work for an hour: is the operator's memory flat, is anything lost, is anything left?

An application stores and deletes records, AWS has weather, people change things by hand, leaders are killed, and
releases with other code of the function follow one another. Each life of a leader begins with such changes, and is
measured from then on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from bench import rig, soak_flat
from bench.measure import Report, Table
from bench.rig import NotMeasuredError, Rig, Say
from bench.soak_flat import Flatness, Sample
from bench.soak_load import WAITS_SECONDS, Application, Hands
from bench.soak_replicas import Replicas
from bench.storm import leaked
from sandbox.weather import Weather, layer

MINUTES, LIFE_MINUTES, STATES, SEED = 60.0, 20.0, 50, 7
RESYNC_SECONDS = 120.0
"""Shorter than the operator's default of ten minutes: an hour is then like five."""

WORK_SECONDS, SAMPLE_SECONDS, LOOK_SECONDS, DRIFT_SECONDS = 1.0, 5.0, 20.0, 15.0
WITHIN_SECONDS = 900.0
_NOTES = f"""
Kubernetes: the real API server. AWS: MiniStack behind sandbox/weather; application and hands work without it.
Slope: Theil and Sen's, of samples every {SAMPLE_SECONDS:.0f} s of each leader, without the first quarter of its life.
Flat: memory grows by less than {soak_flat.MEMORY_SHARE:.0%} of its median while it is measured, and by less than one \
thread and one open file.
Lost: a live record's file that is not there. Not erased: a deleted record's file that stays. S3 says both.
""".strip().splitlines()


@dataclass
class Soak:
    """What has happened. lives: samples of each leader, by a name for the picture."""

    states: int
    minutes: float
    forecast: str
    seed: int
    lives: dict[str, list[Sample]] = field(default_factory=dict)
    deleted: int = 0
    longest_erasure_seconds: float = 0.0
    lost: Sequence[str] = ()
    not_erased: Sequence[str] = ()
    drifts: int = 0
    drifts_open: Sequence[str] = ()
    leader_changes: int = 0
    longest_change_seconds: float = 0.0
    upgrades: int = 0
    restarts: int = 0
    other_code: Sequence[str] = ()
    """States whose function does not have the last release's code."""
    aws_calls: int = 0
    failed_calls: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, Sequence[str]] = field(default_factory=dict)
    not_deleted: str = ""


def run(
    *, say: Say, states: int, minutes: float, life_minutes: float, forecast: str, seed: int, picture: Path | None
) -> Report:
    """Raises SandboxError, OperatorError or NotMeasuredError."""
    found = Soak(states=states, minutes=minutes, forecast=forecast, seed=seed)
    with contextlib.ExitStack() as stack:
        weather = Weather.named(forecast, seed=seed)
        bench = stack.enter_context(rig.opened(say=say, layers=[layer(weather)]))
        replicas = Replicas(bench, hours=minutes / 60, arguments=("--resync", str(RESYNC_SECONDS)))
        stack.callback(replicas.stop)
        _measured(found, bench, replicas, life_minutes=life_minutes)
        found.faults = {kind: number for kind, number in weather.counts.most_common() if kind != "passed"}
    if picture:
        soak_flat.draw(found.lives, picture, title=f"The working operator, {states} states, {forecast} weather")
    return report(found)


def _measured(found: Soak, bench: Rig, replicas: Replicas, *, life_minutes: float) -> None:
    names = [f"soak-{number}" for number in range(1, found.states + 1)]
    for name in names:
        bench.create_holdings(name)
    replicas.start()
    bench.say(f"{found.states} states: apply")
    _ready(bench, replicas, names)
    work, hands = Application(bench, names), Hands(bench, names)
    began = time.monotonic()
    while time.monotonic() - began < 60 * found.minutes:
        left = 60 * found.minutes - (time.monotonic() - began)
        _one_life(found, bench, replicas, work, hands, began=began, seconds=min(left, 60 * life_minutes))
    bench.say("the last release is waited for; then the application stops, and what is open is waited for")
    _settled(found, bench, replicas, work, hands, names=names)
    found.deleted, found.longest_erasure_seconds = work.deleted, work.longest_seconds
    found.drifts, found.lost = hands.changes, work.lost()
    found.leader_changes, found.upgrades = replicas.leader_changes, replicas.upgrades
    found.longest_change_seconds = replicas.longest_change_seconds
    bench.say(f"{found.states} states: delete")
    _deleted(found, bench, replicas, names)
    found.restarts = replicas.restarts
    _count(found, bench)
    found.left = leaked(bench.aws, tables=[rig.table(name) for name in names])


def _ready(bench: Rig, replicas: Replicas, names: Sequence[str]) -> None:
    """Raises NotMeasuredError."""
    began = bench.apply(names)
    while True:
        replicas.tend()
        try:
            bench.ready(names, since=began, within_seconds=10.0)
        except NotMeasuredError:
            if time.monotonic() - began > WITHIN_SECONDS:
                raise
        else:
            return


def _deleted(found: Soak, bench: Rig, replicas: Replicas, names: Sequence[str]) -> None:
    began, found.not_deleted = bench.delete(names), "-"
    while found.not_deleted and time.monotonic() - began < WITHIN_SECONDS:
        replicas.tend()
        try:
            bench.removed(names, since=began, within_seconds=10.0)
            found.not_deleted = ""
        except NotMeasuredError as error:
            found.not_deleted = str(error)


def _one_life(
    found: Soak, bench: Rig, replicas: Replicas, work: Application, hands: Hands, *, began: float, seconds: float
) -> None:
    """A leader is killed, then a release follows; the application works meanwhile. The leader after that is measured.

    Raises NotMeasuredError.
    """
    ends = time.monotonic() + seconds
    bench.say(f"minute {(time.monotonic() - began) / 60:.0f}: the leader is killed, then a release follows")
    replicas.crash()
    _work_for(work, seconds=min(30.0, seconds / 10))
    replicas.upgrade()
    number = len({name.partition(",")[0] for name in found.lives}) + 1
    due = dict.fromkeys(("sample", "look", "drift"), time.monotonic())
    while (now := time.monotonic()) < ends:
        work.work()
        if now >= due["sample"]:
            replicas.tend()
            if (leader := replicas.leader) is not None:
                name = f"life {number}, process {leader.process.pid}"
                with contextlib.suppress(OSError):  # it ended just now: the next tend() starts another
                    sample = soak_flat.look(leader.process.pid, seconds=now - began)
                    found.lives.setdefault(name, []).append(sample)
            due["sample"] = now + SAMPLE_SECONDS
        if now >= due["look"]:
            work.look()
            _count(found, bench)
            due["look"] = now + LOOK_SECONDS
        if now >= due["drift"]:
            with contextlib.suppress(ClientError):  # such as: the function is just being updated
                hands.change()
            due["drift"] = now + DRIFT_SECONDS
        time.sleep(max(0.0, now + WORK_SECONDS - time.monotonic()))


def _work_for(work: Application, *, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        work.work()
        time.sleep(WORK_SECONDS)


def _settled(
    found: Soak, bench: Rig, replicas: Replicas, work: Application, hands: Hands, *, names: Sequence[str]
) -> None:  # fmt: skip
    """Waits until freed files are gone, changes by hand corrected, functions updated; or for WAITS_SECONDS.

    The application works until all functions are updated: a stage of a release ends when its functions have erased.
    """
    ends = time.monotonic() + WAITS_SECONDS
    while True:
        work.look()
        hands.look()
        found.other_code = _other_code(bench, names, sha256=replicas.code_sha256)
        _count(found, bench)
        if not (work.waiting or hands.open or found.other_code) or time.monotonic() > ends:
            break
        replicas.tend()
        if found.other_code:
            work.work()
        time.sleep(2.0)
    found.not_erased = sorted(f"{state}/{key}" for state, key in work.waiting)
    found.drifts_open = sorted(f"{kind} of {state}" for kind, state in hands.open)


def _count(found: Soak, bench: Rig) -> None:
    """The calls since the last count; the recorder then forgets them, so that a day's do not fill the memory."""
    calls = bench.recorder.calls
    bench.recorder.clear()
    found.aws_calls += len(calls)
    found.failed_calls += sum(not 200 <= call.status < 400 for call in calls)


def _other_code(bench: Rig, names: Sequence[str], *, sha256: str) -> list[str]:
    """Whose function has other code than this."""

    def of(name: str) -> Any:
        found = bench.aws["lambda"].get_function_configuration(FunctionName=f"humangov-{name}-delete-file")
        return found["CodeSha256"]

    return sorted(name for name in names if of(name) != sha256)


def report(soak: Soak) -> Report:
    """Pure. Raises NotMeasuredError if a life was too short to say anything of its slope."""
    long_enough = {name: life for name, life in soak.lives.items() if soak_flat.is_long_enough(life)}
    if not long_enough:
        raise NotMeasuredError("no leader lived long enough for a slope; let lives last longer")
    flatness = {name: soak_flat.flatness(life) for name, life in long_enough.items()}
    left = sum(map(len, soak.left.values()))
    rows = [
        ("records deleted, with a file each", soak.deleted),
        ("  files of live records that are lost", len(soak.lost)),
        ("  files of deleted records that are not erased", len(soak.not_erased)),
        ("  the longest wait, seen every 20 s", f"{soak.longest_erasure_seconds:.0f} s"),
        ("changes by hand", soak.drifts),
        ("  of which are not corrected", len(soak.drifts_open)),
        ("leaders that followed another", soak.leader_changes),
        ("  the longest change", f"{soak.longest_change_seconds:.1f} s"),
        ("operators that ended by themselves, and started again", soak.restarts),
        ("releases with other code of the function", soak.upgrades),
        ("  functions that do not have the last one's", len(soak.other_code)),
        ("AWS calls of the operator", soak.aws_calls),
        ("  of which got no answer, or an error", soak.failed_calls),
        ("faults of the weather", sum(soak.faults.values())),
        ("left in AWS after the deletion of all states", left),
    ]
    return Report(
        tables=[
            Table(f"{soak.states} states, {soak.minutes:g} min, {soak.forecast} weather, seed {soak.seed}",
                  ("WHAT", "FOUND"), rows),
            Table("The leaders", ("LIFE", "MINUTES", "MEASURE", "MEDIAN", "HIGHEST", "SLOPE AN HOUR", "FLAT"),
                  [_row(name, soak.lives[name], one) for name, every in flatness.items() for one in every]),
        ],
        notes=[*_NOTES, *_found(soak)],
        figures=_figures(soak, flatness, left=left),
    )  # fmt: skip


def _row(name: str, life: Sequence[Sample], one: Flatness) -> Sequence[object]:
    samples = soak_flat.settled(life)
    minutes = (samples[-1].seconds - samples[0].seconds) / 60
    flat = "yes" if one.flat else "NO"
    return (name, f"{minutes:.1f}", one.measure, f"{one.median:.1f}", f"{one.highest:.1f}", f"{one.per_hour:+.2f}",
            flat)  # fmt: skip


def _found(soak: Soak) -> list[str]:
    named = {
        "lost": soak.lost, "not erased": soak.not_erased, "not corrected": soak.drifts_open,
        "other code": soak.other_code, **{f"left in AWS: {kind}": names for kind, names in soak.left.items()},
    }  # fmt: skip
    lines = [f"{what}: {', '.join(names[:20])}" for what, names in named.items() if names]
    return [*lines, *([f"not deleted: {soak.not_deleted}"] if soak.not_deleted else [])]


def _figures(soak: Soak, flatness: Mapping[str, Sequence[Flatness]], *, left: int) -> dict[str, Any]:
    every = [one for life in flatness.values() for one in life]

    def steepest(measure: str) -> float:
        return max(one.per_hour for one in every if one.measure == measure)

    return {
        "states": soak.states, "minutes": soak.minutes, "forecast": soak.forecast, "seed": soak.seed,
        "flat": all(one.flat for one in every),
        "memory_mib": max(one.median for one in every if one.measure == "memory_mib"),
        "memory_mib_per_hour": steepest("memory_mib"), "threads_per_hour": steepest("threads"),
        "files_per_hour": steepest("files"), "lives": len(flatness),
        "deleted": soak.deleted, "lost": len(soak.lost), "not_erased": len(soak.not_erased),
        "drifts": soak.drifts, "drifts_open": len(soak.drifts_open), "leader_changes": soak.leader_changes,
        "upgrades": soak.upgrades, "restarts": soak.restarts,
        "other_code": len(soak.other_code), "aws_calls": soak.aws_calls,
        "failed_calls": soak.failed_calls, "faults": dict(soak.faults), "left_over": left,
        "gone": not soak.not_deleted,
    }  # fmt: skip
