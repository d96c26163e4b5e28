"""So many tenants on a fake AWS that keeps AWS's limits: a restart, edits and new tenants meanwhile, then rest.

The tenants are settled (scale_rig.py) when an operator starts on all of them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import rig
from bench.measure import Report, Table, percentile, writes_by
from bench.rig import NotMeasuredError, Say
from bench.scale_limits import LIMITS, tightest
from bench.scale_rig import ANSWER_SECONDS, FakeAws, Kubernetes, Usage, operator, place, settled
from sandbox import local_operator
from sandbox.handle import Sandbox
from sandbox.session import sandbox_up

SIZES = (100, 1_000, 3_000, 10_000)
REST_SECONDS = 60.0
SCRAPE_EVERY_SECONDS = 5.0
EDITS, NEW = 40, 3
_NEW = "young-"
_KIB = 1024


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What was measured at one size."""

    tenants: int
    resync_seconds: float
    restart_seconds: float
    restart_calls: int
    throttled: int
    restart_status_writes: int
    edits: Sequence[float]
    new: Sequence[float]
    rest_seconds: float
    rest_reconciles: int
    rest_calls: Mapping[str, int]
    rest_cpu_seconds: float
    status_writes_at_rest: int
    usage: Usage
    scrape_seconds: float

    def figures(self, *, empty: Usage) -> dict[str, Any]:
        reconciles = max(1, self.rest_reconciles)
        return {
            "resync_calls_per_tenant": sum(self.rest_calls.values()) / reconciles,
            "cpu_ms_per_reconcile": 1000 * self.rest_cpu_seconds / reconciles,
            "cpu_percent_at_rest": 100 * self.rest_cpu_seconds / self.rest_seconds,
            "restart_seconds": self.restart_seconds,
            "restart_calls": self.restart_calls,
            "throttled": self.throttled,
            "restart_status_writes": self.restart_status_writes,
            "edit_p99_s": percentile(self.edits, 0.99),
            "new_max_s": max(self.new),
            "status_writes_at_rest": self.status_writes_at_rest,
            "rss_mib": self.usage.rss_kib / _KIB,
            "peak_mib": self.usage.peak_kib / _KIB,
            "kib_per_tenant": (self.usage.rss_kib - empty.rss_kib) / self.tenants,
            "scrape_ms": 1000 * self.scrape_seconds,
            "resync_s": self.resync_seconds,
        }


def run(*, say: Say, sizes: Sequence[int], resync_seconds: float) -> Report:
    """Of each size about three resyncs, and a minute. Raises SandboxError, OperatorError or NotMeasuredError."""
    with sandbox_up(say) as (running, _):
        empty = _at_none(running, say)
        found = [_measured(running, size, resync_seconds, say=say) for size in sizes]
    return report(found, empty=empty)


def _at_none(sandbox: Sandbox, say: Say) -> Usage:
    say("no tenant: memory")
    with place(sandbox) as (namespace, folder, aws):
        # The first one after a change compiles the modules, which leaves it with up to 80 MiB more.
        with operator(sandbox, namespace, folder, aws.url, resync_seconds=600):
            pass
        with operator(sandbox, namespace, folder, aws.url, resync_seconds=600) as running:
            time.sleep(15)
            return running.usage()


def _measured(sandbox: Sandbox, tenants: int, resync_seconds: float, *, say: Say) -> Scale:
    with place(sandbox) as (namespace, folder, aws):
        names = settled(sandbox, namespace, folder, aws, tenants, resync_seconds=resync_seconds, say=say)
        return _restarted(sandbox, namespace, folder, aws, names, resync_seconds, say=say)


def _restarted(
    sandbox: Sandbox, namespace: str, folder: Path, aws: FakeAws, names: Sequence[str], resync: float, *, say: Say
) -> Scale:  # fmt: skip
    say(f"{len(names)} tenants: restart, with edits and new tenants meanwhile")
    audit = sandbox.audit_log
    assert audit is not None
    begun, offset = time.monotonic(), audit.stat().st_size
    with operator(sandbox, namespace, folder, aws.url, resync_seconds=resync) as running:
        edited = random.Random(7).sample(list(names), k=min(EDITS, len(names)))  # noqa: S311 - repeatable
        edits, new = asyncio.run(_disturbed(sandbox, namespace, edited))
        while running.reconciles() < len(names) + EDITS:
            if time.monotonic() - begun > 3 * resync + 600 + 0.2 * len(names):
                raise NotMeasuredError("not every tenant was reconciled after the restart")
            time.sleep(SCRAPE_EVERY_SECONDS)
        seconds, state = time.monotonic() - begun, aws.ask("state")
        restart_writes = unexplained_writes(_status_writes(audit, offset, namespace), edited=edited)
        say(f"{len(names)} tenants: until each has been read once, and a snapshot confirms it")
        time.sleep(max(REST_SECONDS, resync))
        say(f"{len(names)} tenants: at rest")
        aws.ask("clear")
        before, reconciles, offset = running.usage(), running.reconciles(), audit.stat().st_size
        rest = max(REST_SECONDS, resync)
        time.sleep(rest)
        after, at_rest = running.usage(), aws.ask("state")
        if unknown := {**state["unknown"], **at_rest["unknown"]}:  # the operator would do without what it was refused
            raise NotMeasuredError(f"the fake AWS does not know {unknown}: teach it (bench/scale_aws.py)")
        return Scale(
            tenants=len(names), resync_seconds=resync, restart_seconds=seconds,
            restart_calls=sum(state["calls"].values()), throttled=sum(state["throttled"].values()),
            restart_status_writes=restart_writes, edits=edits, new=new,
            rest_seconds=rest, rest_reconciles=running.reconciles() - reconciles, rest_calls=at_rest["calls"],
            rest_cpu_seconds=after.cpu_seconds - before.cpu_seconds,
            status_writes_at_rest=_status_writes(audit, offset, namespace).total(), usage=after,
            scrape_seconds=min(running.scrape_seconds() for _ in range(5)),
        )  # fmt: skip


async def _disturbed(sandbox: Sandbox, namespace: str, edited: Sequence[str]) -> tuple[list[float], list[float]]:
    """Seconds to Ready of edits, one after the other, and of new tenants beside them."""
    rng = random.Random(7)  # noqa: S311 - repeatable
    async with Kubernetes(sandbox, namespace) as kube:

        async def add(number: int) -> float:
            began = time.monotonic()
            await kube.create(rig.manifest(f"{_NEW}{number:05}", namespace=namespace))
            return await kube.ready(f"{_NEW}{number:05}", 1, since=began, within_seconds=600)

        async def edit(name: str) -> float:
            began = time.monotonic()
            edited = await kube.patch(name, {"spec": {"function": {"memoryMiB": rng.choice([256, 768, 1024])}}})
            return await kube.ready(name, edited["metadata"]["generation"], since=began, within_seconds=600)

        news = [asyncio.create_task(add(number)) for number in range(NEW)]
        edits = [await edit(name) for name in edited]
        return edits, list(await asyncio.gather(*news))


def unexplained_writes(writes: Mapping[str, int], *, edited: Collection[str]) -> int:
    """Status writes beyond one, its result, of each edit. Pure.

    writes: by name. A new tenant's are its own: it is announced, waits for a role, a function and a mapping, and is
    Ready.
    """
    return sum(
        max(0, number - (name in edited)) for name, number in writes.items() if not name.startswith(_NEW)
    )  # fmt: skip


def _status_writes(audit: Path, offset: int, namespace: str) -> Counter[str]:
    """By name."""
    user = f"system:serviceaccount:{namespace}:{local_operator.SERVICE_ACCOUNT}"
    with audit.open() as file:
        file.seek(offset)
        return Counter(one.name for one in writes_by(user, file) if one.resource == f"{rig.RESOURCE}/status")


def report(found: Sequence[Scale], *, empty: Usage) -> Report:
    """Pure."""
    figures = {str(one.tenants): one.figures(empty=empty) for one in found}
    names = list(figures[str(found[0].tenants)])
    answers = f"Kubernetes: the real API server. AWS: a fake that answers in {1000 * ANSWER_SECONDS:.0f} ms"
    notes = [
        f"{answers} and keeps the limits below (bench/scale_aws.py).",
        f"Memory with no tenant: {empty.rss_kib / _KIB:.1f} MiB.",
        "restart_status_writes: beyond one of each edit, and those of the new tenants.",
        "restart_seconds: until there were as many reconciliations as tenants and edits; a few are of new tenants.",
        "scrape_ms: the quickest of five, in which no tenant has changed.",
    ]
    for one in found:
        limit, seconds = tightest(one.rest_calls)
        share = f"{seconds:.1f} s of {one.rest_seconds:.0f}"
        notes.append(f"{one.tenants} tenants: at rest the tightest limit is {limit}, {share}.")
    return Report(
        tables=[
            Table(
                title="By number of tenants", header=("WHAT", *figures),
                rows=[(name, *(f"{figures[size][name]:.4g}" for size in figures)) for name in names],
            ),
            *(
                Table(
                    title=f"Calls at rest, {one.tenants} tenants", header=("CALL", "A RECONCILIATION"),
                    rows=[
                        (name, f"{number / max(1, one.rest_reconciles):.3f}")
                        for name, number in sorted(one.rest_calls.items(), key=lambda item: -item[1])
                    ],
                )
                for one in found
            ),
            Table(
                title="Limits of AWS that the fake keeps", header=("LIMIT", "CALLS/S", "SOURCE", "UNLIKE THE OPERATOR"),
                rows=[(limit.name, limit.per_second, limit.source, limit.why) for limit in LIMITS],
            ),
        ],
        notes=notes,
        figures={"rss_mib_at_none": empty.rss_kib / _KIB, **figures},
    )  # fmt: skip
