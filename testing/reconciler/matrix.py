"""Every flow cut off, and failed, at every call that an undisturbed run of it makes; and what has to come of it.

The points are made from the recorded calls of the undisturbed run, not from a list. What is compared is all of the
tenant in AWS, without what differs between two runs (account, stream labels), and the conditions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any, Literal

from humangov.kube.client import KubeError

from testing.killed import Killed
from testing.reconciler import snapshot
from testing.reconciler.flows import Flow
from testing.reconciler.line import Call, Fault
from testing.reconciler.sdk import answer_lost, denied, error, throttled
from testing.reconciler.world import World

Worlds = Callable[[], World]
_RECONCILIATIONS = 40


@dataclass(frozen=True)
class Run:
    """An undisturbed run: its calls, and what it comes to, before and after the tenant is deleted."""

    flow: Flow
    calls: tuple[Call, ...]
    reached: str
    left: str


@dataclass(frozen=True)
class Crash:
    """The process dies at the call of this number (from 1), with no effect of it or with all of it."""

    number: int
    side: Literal["before", "after"]


@dataclass(frozen=True)
class Failure:
    """The call of this number fails, once, in this way; the process lives on."""

    number: int
    kind: str


Point = Crash | Failure

_NOT_FOUND = {
    "iam:GetRole": ("NoSuchEntity", "The role with name humangov cannot be found."),
    "lambda:GetFunction": ("ResourceNotFoundException", "Function not found: humangov"),
}
_UNABLE: dict[str, Callable[[Call], Exception]] = {
    "throttled": lambda _: throttled(),
    "500": lambda _: error("InternalFailure", "", status=500),
    "denied": lambda call: denied(call.action),
    "unknown": lambda _: error("SomethingNewException", "A word that nobody has heard"),
    "timed out": lambda _: answer_lost(),
}
_KUBE: dict[str, tuple[int | None, str]] = {
    "conflict": (409, "the object has been modified"),
    "500": (500, "etcdserver: leader changed"),
    "forbidden": (403, "humangovstates.humangov.io is forbidden"),
    "reset": (None, "reset"),
}
_LOST = "answer lost"
_STALE = "stale"


def undisturbed(worlds: Worlds, flow: Flow) -> Run:
    """Raises AssertionError if the flow itself does not end well."""
    world = worlds()
    key = _begin(world, flow)
    world.settle(key, reconciliations=_RECONCILIATIONS)
    calls = tuple(world.line.forget())
    assert (key in world.kube.objects) == (flow.ends == "ready"), world.ready(key)
    reached = _reached(world, key)
    return Run(flow=flow, calls=calls, reached=reached, left=_after_deletion(world, key, flow))


def crashes(run: Run) -> list[Crash]:
    return [Crash(number, side) for number in range(1, len(run.calls) + 1) for side in ("before", "after")]


def failures(run: Run) -> list[Failure]:
    return [
        Failure(number, kind)
        for number, call in enumerate(run.calls, 1)
        for kind in _kinds(call)
        if kind not in run.flow.gives_up_at
    ]


def describe(run: Run, point: Point) -> str:
    """A point in words."""
    what = f"dies {point.side}" if isinstance(point, Crash) else point.kind
    return f"{run.flow.name}: call {point.number} ({run.calls[point.number - 1].action}) {what}"


def tried(worlds: Worlds, run: Run, point: Point) -> str | None:
    """None if it came to the same as the undisturbed run; else what did not, in words."""
    world = worlds()
    key = _begin(world, run.flow)
    if isinstance(point, Crash):
        world.line.kill_at = (point.number, point.side)
    else:
        world.line.faults = [_fault(point, run.calls[point.number - 1])]
    try:
        world.settle(key, reconciliations=_RECONCILIATIONS)
        if isinstance(point, Crash):
            return "the process did not die: the call was not made"
        if any(fault.times for fault in world.line.faults):
            return "nothing failed: the call was not made"
    except Killed:
        world.restart_operator()
    except AssertionError as unsettled:
        return str(unsettled)
    try:
        world.settle(key, reconciliations=_RECONCILIATIONS)
        reached = _reached(world, key)
        if reached != run.reached:
            return f"ends otherwise:\n{_difference(run.reached, reached)}"
        if run.flow.ends == "ready":
            world.line.forget()
            world.reconcile_once(key)
            if world.line.writes() + world.line.kube_writes():
                return f"does not come to rest: {world.line.writes() + world.line.kube_writes()}"
        left = _after_deletion(world, key, run.flow)
    except AssertionError as unsettled:
        return str(unsettled)
    return None if left == run.left else f"leaves otherwise:\n{_difference(run.left, left)}"


def _difference(wanted: str, found: str) -> str:
    """The lines that differ."""
    lines = unified_diff(wanted.splitlines(), found.splitlines(), "undisturbed", "this run", n=2, lineterm="")
    return "\n".join(lines)


def _begin(world: World, flow: Flow) -> str:
    key = flow.begin(world)
    if not flow.goes_on:
        world.restart_operator()
    world.line.start_over()
    world.kube.events.clear()
    return key


def _after_deletion(world: World, key: str, flow: Flow) -> str:
    if flow.ends == "ready":
        world.delete(key)
        world.settle(key, reconciliations=_RECONCILIATIONS)
    assert key not in world.kube.objects, "the resource is still there"
    return neutral(world, snapshot.snapshot(world))


def _reached(world: World, key: str) -> str:
    status = (world.kube.objects.get(key) or {}).get("status") or {}
    conditions = {one["type"]: f"{one['status']} {one['reason']}" for one in status.get("conditions", ())}
    return neutral(world, {**snapshot.snapshot(world), "conditions": conditions, "jobs": sorted(world.kube.batch)})


def neutral(world: World, found: dict[str, Any]) -> str:
    """As text, without what differs between two runs."""
    text = json.dumps(found, sort_keys=True, default=str).replace(world.account, "ACCOUNT")
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "MOMENT", text)
    labels = sorted(set(re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", text)))
    for number, label in enumerate(labels, 1):
        text = text.replace(label, f"LABEL-{number}")
    neutral = json.loads(text)
    lists = {kind: sorted(part, key=json.dumps) if isinstance(part, list) else part for kind, part in neutral.items()}
    return json.dumps(lists, sort_keys=True, indent=1)


def _kinds(call: Call) -> Iterator[str]:
    if call.action.startswith("kube:"):
        yield from _KUBE
        yield from (_LOST,) if call.writes else ()
        return
    yield from (kind for kind in _UNABLE if not (call.writes and kind == "timed out"))
    if call.writes:
        yield _LOST
    elif call.action in _NOT_FOUND:
        yield _STALE


def _fault(failure: Failure, call: Call) -> Fault:
    after_effect = failure.kind == _LOST
    return Fault(_nth(failure.number), error=_error(failure.kind, call), after_effect=after_effect, times=1)


def _error(kind: str, call: Call) -> Exception:
    if call.action.startswith("kube:"):
        status, reason = _KUBE["reset" if kind == _LOST else kind]
        return KubeError(call.action, status=status, reason=reason)
    if kind == _STALE:
        code, text = _NOT_FOUND[call.action]
        stale: Exception = error(code, text, status=404)
        return stale
    return _UNABLE["timed out" if kind == _LOST else kind](call)


def _nth(number: int) -> Callable[[Call], bool]:
    seen = 0

    def hits(_: Call) -> bool:
        nonlocal seen
        seen += 1
        return seen == number

    return hits
