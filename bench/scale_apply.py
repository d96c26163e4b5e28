"""A thousand tenants applied at once: seconds, processor time and calls; and how long AWS's limits would make it last.

The fake AWS is that of the scale bench, without limits and without anything that ripens: what is left is the operator.
"""

from __future__ import annotations

import asyncio
import time

from humangov.aws.token_bucket import MOST

from bench import rig, scale_rig
from bench.measure import Report, Table
from bench.rig import NotMeasuredError, Say
from bench.scale_limits import tightest
from bench.scale_rig import Kubernetes
from sandbox.handle import Sandbox
from sandbox.session import sandbox_up

TENANTS, AT_ONCE = 1_000, 8
WITHIN_SECONDS = 900.0


def run(*, say: Say, tenants: int) -> Report:
    """Raises SandboxError, OperatorError or NotMeasuredError."""
    with sandbox_up(say) as (sandbox, _), scale_rig.place(sandbox, aws=()) as (namespace, folder, aws):
        with scale_rig.operator(sandbox, namespace, folder, aws.url, resync_seconds=3600, share=0) as running:
            say(f"{tenants} tenants: apply")
            before, began = running.usage(), time.monotonic()
            asyncio.run(_applied(sandbox, namespace, tenants))
            applied = time.monotonic() - began
            while (ready := running.counted("humangov_tenants", condition="Ready", status="True")) < tenants:
                if time.monotonic() - began > WITHIN_SECONDS:
                    raise NotMeasuredError(f"{tenants - ready} were not Ready within {WITHIN_SECONDS:.0f} s")
                time.sleep(0.5)
            seconds, cpu = time.monotonic() - began, running.usage().cpu_seconds - before.cpu_seconds
        calls = aws.ask("state")["calls"]
    limit, limited = tightest(calls)
    figures = {
        "tenants": tenants, "seconds": seconds, "cpu_seconds": cpu, "applied_seconds": applied,
        "calls_per_tenant": sum(calls.values()) / tenants, "limited_seconds": limited / MOST,
    }  # fmt: skip
    return Report(
        tables=[Table("Applied at once", ("WHAT", "FOUND"), [(key, f"{one:.4g}") for key, one in figures.items()])],
        notes=[
            "cpu_seconds: of the operator, from the first apply to the last one Ready.",
            f"limited_seconds: what {limit} alone makes of it, at {MOST:.0%} of that limit; by arithmetic.",
        ],
        figures=figures,
    )


async def _applied(sandbox: Sandbox, namespace: str, tenants: int) -> None:
    some = asyncio.Semaphore(AT_ONCE)
    async with Kubernetes(sandbox, namespace) as kube:

        async def apply(name: str) -> None:
            async with some:
                await kube.create(rig.manifest(name, namespace=namespace))

        await asyncio.gather(*(apply(f"tenant-{number:05}") for number in range(tenants)))
