"""A thousand tenants at work, and leaders that are killed or stopped meanwhile: is anything lost, or there twice?

The fake AWS is that of the scale bench, with AWS's limits. Unlike AWS it takes a second mapping of the same function
and stream, so that one that is made twice is seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.aio.client.exceptions import ApiException as UntypedApiException

from bench import rig, scale_rig, soak_replicas
from bench.measure import Report, Table
from bench.rig import NotMeasuredError, Say
from bench.scale_rig import FakeAws, Kubernetes
from sandbox import emulator, local_operator
from sandbox.handle import Sandbox
from sandbox.local_operator import LocalOperator
from sandbox.session import sandbox_up

TENANTS, EDITED, NEW, DELETED = 1_000, 30, 10, 10
BEFORE_THE_END_SECONDS = 4.0
"""From the first change on: some are done by then, some in progress, some not begun."""

WITHIN_SECONDS = 900.0
DEFAULT_MIB, MEMORY_MIB = 512, (256, 768)
"""What the edits of the first and of the second leader declare."""

_NOT_FOUND = 404
ApiException: Any = UntypedApiException  # the library has no types there


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """memory: of all tenants that are to be there, in MiB. deleted: those of which nothing is to be left."""

    memory: Mapping[str, int]
    deleted: Sequence[str]


def run(*, say: Say, tenants: int) -> Report:
    """Raises SandboxError, OperatorError or NotMeasuredError."""
    with sandbox_up(say) as (sandbox, _), scale_rig.place(sandbox) as (namespace, folder, aws):
        names = scale_rig.settled(sandbox, namespace, folder, aws, tenants, resync_seconds=600, say=say)
        return _under_load(sandbox, namespace, folder, aws, names, say=say)


def _under_load(
    sandbox: Sandbox, namespace: str, folder: Path, aws: FakeAws, names: Sequence[str], *, say: Say
) -> Report:  # fmt: skip
    memory = dict.fromkeys(names, DEFAULT_MIB)
    deleted: list[str] = []
    spare = iter(names)
    seconds: dict[str, float] = {}
    with _operators(sandbox, namespace, folder, aws) as running:
        for number, end in enumerate(("killed", "stopped")):
            leader = _leader(running)
            edited, removed = ([next(spare) for _ in range(count)] for count in (EDITED, DELETED))
            new = [f"young-{number}{place:04}" for place in range(NEW)]
            say(f"{EDITED} edits, {NEW} new and {DELETED} deletions at once; the leader is {end} meanwhile")
            asyncio.run(_changes(sandbox, namespace, edited, new, removed, memory_mib=MEMORY_MIB[number]))
            time.sleep(BEFORE_THE_END_SECONDS)
            _end(leader, end)
            ended = time.monotonic()
            running.remove(leader)
            _leader(running)
            seconds[end] = time.monotonic() - ended
            running.append(_started(sandbox, namespace, folder, aws))
            memory |= {**dict.fromkeys(edited, MEMORY_MIB[number]), **dict.fromkeys(new, DEFAULT_MIB)}
            deleted += removed
        for name in deleted:
            del memory[name]
        wanted = Wanted(memory=memory, deleted=deleted)
        say("until all are Ready, and what was deleted is gone")
        asyncio.run(_settled(sandbox, namespace, wanted))
    state = aws.ask("state")
    if state["unknown"]:
        raise NotMeasuredError(f"the fake AWS does not know {state['unknown']}: teach it (bench/scale_aws.py)")
    return report(wanted, aws.ask("inventory"), seconds=seconds, throttled=state["throttled"])


def report(
    wanted: Wanted, found: Mapping[str, Any], *, seconds: Mapping[str, float], throttled: Mapping[str, int]
) -> Report:  # fmt: skip
    """Pure. found: the fake AWS's inventory."""
    lost, twice, left = _compared(wanted, found)
    figures = {
        "tenants": len(wanted.memory), "deleted": len(wanted.deleted), "lost": len(lost), "twice": len(twice),
        "left": len(left), "throttled": sum(throttled.values()),
        **{f"next_leader_after_{end}_s": value for end, value in seconds.items()},
    }  # fmt: skip
    rows = [(kind, one) for kind, all_of in (("lost", lost), ("twice", twice), ("left", left)) for one in all_of]
    return Report(
        tables=[
            Table("What is not as declared", ("WHAT", "WHICH"), rows or [("nothing", "")]),
            Table("Throttled calls", ("CALL", "NUMBER"), [(name, str(number)) for name, number in throttled.items()]),
        ],
        notes=["lost: not there, or not as declared. twice: a second mapping. left: of a tenant that was deleted."],
        figures=figures,
    )


def _compared(wanted: Wanted, found: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    functions: Mapping[str, int] = found["functions"]
    mappings: Mapping[str, list[str]] = found["mappings"]
    roles, groups, streams = (set(found[kind]) for kind in ("roles", "groups", "streams"))
    lost, twice = [], []
    expected: dict[str, set[str]] = {"functions": set(), "roles": set(), "groups": set(), "streams": set()}
    for name, memory in wanted.memory.items():
        function, role = f"humangov-{name}-delete-file", f"humangov-{name}-delete-file-{emulator.REGION}"
        group, table = f"/aws/lambda/{function}", rig.table(name)
        for kind, one in zip(expected, (function, role, group, table), strict=True):
            expected[kind].add(one)
        states = mappings.get(function, [])
        if functions.get(function) != memory:
            lost.append(f"{function}: {functions.get(function)} MiB instead of {memory}")
        lost += [
            f"{kind} of {name}"
            for kind, there in (
                ("role", role in roles), ("log group", group in groups), ("stream", table in streams),
                ("mapping", states[:1] == ["Enabled"]),
            )
            if not there
        ]  # fmt: skip
        twice += [f"{function}: {states}"] if len(states) > 1 else []
    left = [*functions.keys() - expected["functions"], *roles - expected["roles"], *groups - expected["groups"]]
    left += [*streams - expected["streams"]]
    left += [name for name, states in mappings.items() if states and name not in expected["functions"]]
    return lost, twice, sorted(left)


@contextmanager
def _operators(sandbox: Sandbox, namespace: str, folder: Path, aws: FakeAws) -> Iterator[list[LocalOperator]]:
    running = [_started(sandbox, namespace, folder, aws), _started(sandbox, namespace, folder, aws)]
    try:
        yield running
    finally:
        for one in running:
            one.kill()


def _started(sandbox: Sandbox, namespace: str, folder: Path, aws: FakeAws) -> LocalOperator:
    return local_operator.start(
        sandbox, namespace=namespace, folder=folder, until=soak_replicas.UP,
        arguments=["--leader-elect", "--region", emulator.REGION, "--log-level", "info", "--aws-limits-share", "50"],
        environment={**scale_rig.CREDENTIALS, **scale_rig.endpoints(aws.url)},
    )  # fmt: skip


def _leader(running: Sequence[LocalOperator]) -> LocalOperator:
    """The one that works, as soon as one does. Raises NotMeasuredError."""
    began = time.monotonic()
    while time.monotonic() - began < WITHIN_SECONDS:
        alive = (one for one in running if one.process.poll() is None)
        leader = next((one for one in alive if soak_replicas.WORKS in one.log.read_bytes()), None)
        if leader is not None:
            return leader
        time.sleep(0.1)
    raise NotMeasuredError(f"no operator worked within {WITHIN_SECONDS:.0f} s")


def _end(leader: LocalOperator, how: str) -> None:
    if how == "killed":
        leader.kill()
    elif (code := leader.stop()) != 0:
        raise NotMeasuredError(f"the leader that was stopped ended with exit code {code}")


async def _changes(
    sandbox: Sandbox, namespace: str, edited: Sequence[str], new: Sequence[str], removed: Sequence[str], *,
    memory_mib: int,
) -> None:  # fmt: skip
    async with Kubernetes(sandbox, namespace) as kube:
        change = {"spec": {"function": {"memoryMiB": memory_mib}}}
        await asyncio.gather(
            *(kube.patch(name, change) for name in edited),
            *(kube.create(rig.manifest(name, namespace=namespace)) for name in new),
            *(kube.delete(name) for name in removed),
        )


async def _settled(sandbox: Sandbox, namespace: str, wanted: Wanted) -> None:
    async with Kubernetes(sandbox, namespace) as kube:
        began = time.monotonic()
        for name in wanted.memory:
            generation = (await kube.get(name))["metadata"]["generation"]
            await kube.ready(name, generation, since=began, within_seconds=WITHIN_SECONDS)
        for name in wanted.deleted:
            while await _is_there(kube, name):
                if time.monotonic() - began > WITHIN_SECONDS:
                    raise NotMeasuredError(f"{name} was not deleted within {WITHIN_SECONDS:.0f} s")
                await asyncio.sleep(0.2)


async def _is_there(kube: Kubernetes, name: str) -> bool:
    try:
        await kube.get(name)
    except ApiException as error:
        if error.status == _NOT_FOUND:
            return False
        raise
    return True
