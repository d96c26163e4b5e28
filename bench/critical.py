"""The critical path: how close to AWS's own pace a state is Ready, and gone, where AWS lets things ripen.

Each call takes 35 ms. Lambda knows a role after so many seconds, sets a function up for 2 s and a mapping for 3 s, and
takes 3 s to delete one (sandbox/weather). The *chain* is what stands on one another: these times, and half a second for
kubectl and for the calls between them. How often the operator asks decides what comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import rig
from bench.measure import Phase, Report, Table
from bench.rig import Rig, Say
from sandbox.proxy import Handler, Layer, Request, Response
from sandbox.weather import Forecast, Weather, layer

ROLE_SECONDS: Sequence[float] = (5.0, 8.0, 10.0, 16.0)
FIFTY_ROLE_SECONDS = 8.0
PENDING_SECONDS, CREATING_SECONDS, DELETING_SECONDS = 2.0, 3.0, 3.0
CALL_MS = 35
BETWEEN_SECONDS = 0.5
"""kubectl, the API server, and the calls of the chain: a script that knows each wait beforehand needs as much."""

MOST_ONE, MOST_FIFTY, MOST_CALLS, MOST_DELETE_ONE, MOST_DELETE_FIFTY = 1.07, 1.25, 24, 1.15, 1.5
NEVER = 3600.0
YOUNG_SECONDS = 32.0  # a younger tenant's absence is read once more, after 2 s
PATIENCE_SECONDS = 300.0

_NOTES = """
Kubernetes: the real API server. AWS: MiniStack behind sandbox/weather, in 35 ms a call; it throttles nothing.
The ratio: from the beginning of kubectl's command to the last one Ready, or gone, by the chain.
Many are deleted by `kubectl delete --all`: by their names, kubectl itself takes eight seconds for fifty.
Calls: from the apply to Ready. One that is alone is asked for more often: nobody else's role tells it anything.
""".strip().splitlines()


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """So many states at once. Seconds from the beginning of kubectl's command."""

    states: int
    first: float
    last: float
    deleted: float
    applied: Phase
    removed: Phase


@dataclass(kw_only=True)
class Measured:
    """One tenant by the role's seconds, and many at once."""

    one: dict[float, list[float]] = field(default_factory=dict)
    one_calls: dict[float, list[int]] = field(default_factory=dict)
    deleted: list[float] = field(default_factory=list)
    deleted_calls: list[int] = field(default_factory=list)
    crowd: Crowd | None = None


class Sky:
    """A layer whose weather changes between two measurements."""

    def __init__(self) -> None:
        self.turn(role_seconds=0.0)

    def turn(self, *, role_seconds: float) -> None:
        self._layer: Layer = layer(Weather(forecast=forecast(role_seconds), seed=1))

    async def layer(self, request: Request, forward: Handler) -> Response:
        return await self._layer(request, forward)


def forecast(role_seconds: float) -> Forecast:
    return Forecast(
        name=f"role after {role_seconds:g} s", delay_ms=CALL_MS, role_seconds=role_seconds,
        pending_seconds=PENDING_SECONDS, mapping_creating_seconds=CREATING_SECONDS,
        mapping_deleting_seconds=DELETING_SECONDS, strict=True, steady=True,
    )  # fmt: skip


def chain(role_seconds: float) -> float:
    """Seconds from the apply to Ready that no operator can save."""
    return role_seconds + PENDING_SECONDS + CREATING_SECONDS + BETWEEN_SECONDS


def delete_chain() -> float:
    return DELETING_SECONDS + BETWEEN_SECONDS


def run(*, say: Say, repeats: int, states: int, arguments: Sequence[str] = ()) -> Report:
    """Takes four minutes. arguments: of `humangov run`. Raises SandboxError, OperatorError or NotMeasuredError."""
    measured, sky = Measured(), Sky()
    with rig.opened(say=say, layers=[sky.layer]) as bench:
        with bench.operator(resync_seconds=NEVER, arguments=arguments):
            _one_by_one(bench, sky, measured, repeats=repeats)
        if states:
            with bench.operator(resync_seconds=NEVER, arguments=arguments):
                measured.crowd = _at_once(bench, sky, states=states)
    return report(measured)


def _one_by_one(bench: Rig, sky: Sky, measured: Measured, *, repeats: int) -> None:
    """Tenants applied one after the other, each alone; deleted when none is young any more."""
    bench.create_holdings("warm-up")
    bench.ready(["warm-up"], since=bench.apply(["warm-up"]))
    names = []
    for repeat in range(1, repeats + 1):
        for seconds in ROLE_SECONDS:
            name = f"one-{seconds:g}-{repeat}"
            bench.create_holdings(name)
            sky.turn(role_seconds=seconds)
            bench.start_counting()
            began = bench.apply([name])
            took = bench.ready([name], since=began)[name] - began
            measured.one.setdefault(seconds, []).append(took)
            measured.one_calls.setdefault(seconds, []).append(bench.phase().aws_calls)
            bench.say(f"a role after {seconds:g} s: Ready after {took:.1f} s, {took / chain(seconds):.2f} x the chain")
            names.append(name)
    time.sleep(YOUNG_SECONDS)
    for name in names:
        bench.start_counting()
        began = bench.delete([name])
        measured.deleted.append(bench.removed([name], since=began)[name] - began)
        measured.deleted_calls.append(bench.phase().aws_calls)
        bench.say(f"gone after {measured.deleted[-1]:.1f} s, {measured.deleted[-1] / delete_chain():.2f} x the chain")
    bench.removed(["warm-up"], since=bench.delete(["warm-up"]))


def _at_once(bench: Rig, sky: Sky, *, states: int) -> Crowd:
    names = [f"state-{number:03}" for number in range(1, states + 1)]
    bench.say(f"{states} states at once: tables and buckets")
    for name in names:
        bench.create_holdings(name)
    sky.turn(role_seconds=FIFTY_ROLE_SECONDS)
    bench.say(f"{states} states at once: apply")
    bench.start_counting()
    began = bench.apply(names)
    ready = bench.ready(names, since=began, within_seconds=PATIENCE_SECONDS)
    applied = bench.phase()
    time.sleep(YOUNG_SECONDS)
    bench.say(f"{states} states at once: delete")
    bench.start_counting()
    began_to_delete = bench.delete(names)
    removed = bench.removed(names, since=began_to_delete, within_seconds=PATIENCE_SECONDS)
    return Crowd(
        states=states, first=min(ready.values()) - began, last=max(ready.values()) - began,
        deleted=max(removed.values()) - began_to_delete, applied=applied, removed=bench.phase(),
    )  # fmt: skip


def report(measured: Measured) -> Report:
    """Pure."""
    one = {seconds: max(took) / chain(seconds) for seconds, took in measured.one.items()}
    rows: list[tuple[object, ...]] = [
        (
            f"one, its role known after {seconds:g} s", f"{chain(seconds):.1f}", f"{max(measured.one[seconds]):.2f}",
            f"{ratio:.3f}", MOST_ONE, max(measured.one_calls[seconds]),
        )
        for seconds, ratio in one.items()
    ]  # fmt: skip
    figures = {"ratio_one": {f"{seconds:g}": ratio for seconds, ratio in one.items()}}
    figures["calls_one"] = {f"{seconds:g}": max(calls) for seconds, calls in measured.one_calls.items()}
    more: dict[str, float] = {"ratio_delete_one": max(measured.deleted) / delete_chain()}
    rows.append(
        (
            "one deleted", f"{delete_chain():.1f}", f"{max(measured.deleted):.2f}", f"{more['ratio_delete_one']:.3f}",
            MOST_DELETE_ONE, max(measured.deleted_calls),
        )
    )  # fmt: skip
    operations: list[tuple[object, ...]] = []
    if crowd := measured.crowd:
        of_crowd, crowd_rows = _of_crowd(crowd)
        more |= of_crowd
        rows += crowd_rows
        operations = [
            (name, f"{number / crowd.states:.2f}") for name, number in crowd.applied.by_operation().items()
        ]  # fmt: skip
    return Report(
        tables=[
            Table("Seconds by AWS's own", ("WHAT", "CHAIN, S", "TOOK, S", "RATIO", "AT MOST", "AWS CALLS"), rows),
            Table("Calls of one of many, from the apply to Ready", ("OPERATION", "A STATE"), operations),
        ],
        notes=_NOTES,
        figures={**figures, **more},
    )


def _of_crowd(crowd: Crowd) -> tuple[dict[str, float], list[tuple[object, ...]]]:
    """Figures and rows."""
    seconds, number = chain(FIFTY_ROLE_SECONDS), crowd.states
    figures = {
        "states": number,
        "first_of_fifty": crowd.first / seconds,
        "ratio_fifty": crowd.last / seconds,
        "ratio_delete_fifty": crowd.deleted / delete_chain(),
        "calls_per_tenant": crowd.applied.aws_calls / number,
        "delete_calls_per_tenant": crowd.removed.aws_calls / number,
    }
    apply_calls, delete_calls = figures["calls_per_tenant"], figures["delete_calls_per_tenant"]
    return figures, [
        (
            f"the last of {number}", f"{seconds:.1f}", f"{crowd.last:.2f}", f"{figures['ratio_fifty']:.3f}",
            MOST_FIFTY, f"{apply_calls:.1f} each, at most {MOST_CALLS}",
        ),
        (
            f"the last of {number} deleted", f"{delete_chain():.1f}", f"{crowd.deleted:.2f}",
            f"{figures['ratio_delete_fifty']:.3f}", MOST_DELETE_FIFTY, f"{delete_calls:.1f} each",
        ),
    ]  # fmt: skip
