"""`humangov approve`: lets a tenant go on that reached its erasure limit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import click

from humangov.api.counts import counted
from humangov.api.erasure_limit import (
    APPROVE_ERASURES_ANNOTATION,
    APPROVE_FIELD_MANAGER,
    Reached,
    is_approved,
    reached_in,
)
from humangov.api.signatures import signature_of
from humangov.api.spec import KIND
from humangov.api.times import timestamp
from humangov.cli import lookup, options, terminal
from humangov.cli.signing import signed_by
from humangov.kube.client import KubeError
from humangov.kube.kube import Kube
from humangov.kube.tenants import by_name


@dataclass(frozen=True, kw_only=True)
class GivenApproval:
    """The occurrence that is approved. records: handed back until now. before: it was approved already."""

    tenant: str
    reached_at: str
    records: int
    before: bool


@click.command("approve", context_settings=options.CONTEXT)
@click.argument("tenant")
@click.option("-n", "--namespace", show_default="the context's", help="Namespace of a TENANT given as NAME.")
@click.option(
    "--reached-at", metavar="TIME", show_default="the present one",
    help="Approve only if the limit was reached at this time, as status.erasureLimit names it.",
)  # fmt: skip
@options.output()
def command(**given: Any) -> None:
    """Let a state erase again after its erasure limit.

    TENANT is NAME or NAMESPACE/NAME. The function counts from zero again, and handles the records that it returned to
    Lambda: a file that a record names stays. If the records were removed by mistake, restore the table before you
    approve. The approval is for this occurrence only. To approve a sweep's orphan list, see its condition
    SweepSucceeded.

    Exit code 0: approved. 1: an error, or the limit was not reached.
    """
    namespace, name = lookup.which(given["tenant"], given["namespace"])
    try:
        done = asyncio.run(_approve(namespace, name, reached_at=given["reached_at"]))
    except KubeError as error:
        raise click.ClickException(str(error)) from error
    terminal.show_result(_fields(done), [_line(done)], form=given["form"])


async def _approve(namespace: str, name: str, *, reached_at: str | None) -> GivenApproval:
    """Raises KubeError, ClickException."""
    kube, key = Kube(), f"{namespace}/{name}"
    try:
        resource = await kube.read(by_name(namespace, name))
        if resource is None:
            raise click.ClickException(f"{KIND} {key} does not exist in this cluster")
        reached = reached_in(resource.get("status") or {})
        if reached is None:
            raise click.ClickException(f"{key}: the erasure limit was not reached, so there is nothing to approve")
        at = _meant(reached, reached_at=reached_at, key=key)
        if is_approved(reached, resource["metadata"].get("annotations") or {}):
            return GivenApproval(tenant=key, reached_at=at, records=reached.limited, before=True)
        approval = {APPROVE_ERASURES_ANNOTATION: at, **await signed_by(kube, signature_of(APPROVE_ERASURES_ANNOTATION))}
        await kube.annotate(resource, approval, field_manager=APPROVE_FIELD_MANAGER)
    finally:
        await kube.close()
    return GivenApproval(tenant=key, reached_at=at, records=reached.limited, before=False)


def _line(done: GivenApproval) -> str:
    if done.before:
        return f"{done.tenant}: approved already, the operator starts the function"
    return (
        f"{done.tenant}: approved. The function had reached its limit at {done.reached_at} and returned "
        f"{counted(done.records, 'record')} to Lambda; the operator starts it again, with its count at zero"
    )


def _fields(done: GivenApproval) -> dict[str, Any]:
    return {
        "tenant": done.tenant,
        "reachedAt": done.reached_at,
        "recordsHandedBack": done.records,
        "approvedBefore": done.before,
    }


def _meant(reached: Reached, *, reached_at: str | None, key: str) -> str:
    """The time that is approved. Raises ClickException if another occurrence was meant."""
    at = timestamp(reached.at)
    if reached_at not in (None, at):
        raise click.ClickException(f"{key}: the limit was reached at {at}, not at {reached_at}: nothing was approved")
    return at
