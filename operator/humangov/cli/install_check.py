"""`humangov install-check`: checks whether an installation works, as `helm test` runs it in a pod."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from humangov.api.spec import PLURAL
from humangov.api.times import parse_time
from humangov.cli import options, terminal
from humangov.kube import client
from humangov.kube.kube import Kube
from humangov.kube.leases import Leases

_ASKED_EVERY_SECONDS = 2.0
_REQUEST_SECONDS = 5.0
# Two nodes' clocks may differ so much without an alarm.
_CLOCK_SKEW = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One part of the installation. problem: what is wrong and what to do; None: it works, as `found` says."""

    part: str
    found: str = ""
    problem: str | None = None


@click.command("install-check", context_settings=options.CONTEXT)
@options.namespaces("Namespace that the operator watches. Repeatable (environment: separated by spaces).")
@options.operator_namespace()
@options.region("AWS region to ask.")
@click.option(
    "--sweep-template", envvar="HUMANGOV_SWEEP_TEMPLATE", metavar="NAME", show_default="not checked",
    help="CronJob with the pod template of sweeps.",
)  # fmt: skip
@click.option(
    "--leader-elect/--no-leader-elect", envvar="HUMANGOV_LEADER_ELECT", default=True,
    help="Whether a leader must hold the Lease humangov-operator.",
)  # fmt: skip
@options.output_or_json()
@click.option(
    "--wait", "wait_seconds", type=options.Seconds(min=0), default=60.0, metavar="SECONDS",
    help="How long to wait until every check succeeds. 0: do not wait.",
)  # fmt: skip
def command(
    *,
    namespaces: tuple[str, ...],
    operator_namespace: str | None,
    region: str | None,
    sweep_template: str | None,
    leader_elect: bool,
    wait_seconds: float,
    form: str,
    as_json: bool,
) -> None:
    """Check whether an installation of the operator works.

    The command checks that the definition exists, the operator may read HumanGovStates, a leader holds the Lease, the
    sweeps' template exists, and AWS accepts the credentials. It only reads.

    Exit code 0: every check succeeded. 1: a check failed.
    """
    own = operator_namespace or client.own_namespace() or "humangov"
    asked_region = options.required_region(region)

    def look() -> list[Check]:
        return [
            *asyncio.run(in_cluster(own, namespaces, sweep_template=sweep_template, leader_elect=leader_elect)),
            in_aws(asked_region),
        ]

    checks = until_all_work(look, seconds=wait_seconds)
    terminal.show_result(
        {"checks": [asdict(check) for check in checks]},
        map(line, checks),
        form=options.form_of(form=form, as_json=as_json),
    )
    sys.exit(1 if any(check.problem for check in checks) else 0)


def until_all_work(look: Callable[[], Sequence[Check]], *, seconds: float) -> Sequence[Check]:
    """The last look: when all works, or the time is up. A pod that starts needs a moment to become the leader."""
    deadline = time.monotonic() + seconds
    while True:
        checks = look()
        if not any(check.problem for check in checks) or time.monotonic() >= deadline:
            return checks
        time.sleep(_ASKED_EVERY_SECONDS)


def line(check: Check) -> str:
    return f"✗ {check.part}: {check.problem}" if check.problem else f"✓ {check.part}: {check.found}"


async def in_cluster(
    own: str, namespaces: Sequence[str], *, sweep_template: str | None, leader_elect: bool
) -> list[Check]:
    """What the API server answers to the operator's service account."""
    kube = Kube()
    try:
        checks = [await _states(kube, namespaces)]
        if leader_elect:
            checks.append(await _leader(own))
        if sweep_template:
            checks.append(await _template(kube, own, sweep_template))
        return checks
    finally:
        await kube.close()


async def _states(kube: Kube, namespaces: Sequence[str]) -> Check:
    where = ", ".join(namespaces) or "all namespaces"
    try:
        number = len(await kube.list_resources(namespaces))
    except client.KubeError as error:
        missing = " Install the definition: value crds.install." if error.status == 404 else ""
        return Check(part="HumanGovStates", problem=f"{error}.{missing}")
    return Check(part="HumanGovStates", found=f"{number} {PLURAL} in {where}")


async def _leader(own: str) -> Check:
    from humangov.manager.leader_election import LEASE_NAME

    leases = Leases()
    try:
        lease = await leases.read_lease(namespace=own, name=LEASE_NAME, timeout_seconds=_REQUEST_SECONDS)
    except client.KubeError as error:
        return Check(part="leader", problem=f"{error}.")
    finally:
        await leases.close()
    return leader(lease, now=datetime.now(UTC), where=f"{own}/{LEASE_NAME}")


def leader(lease: Mapping[str, Any] | None, *, now: datetime, where: str) -> Check:
    """Whether somebody holds the Lease and has renewed it lately."""
    remedy = "See the log of the operator's pods: kubectl logs -n NAMESPACE deployment/NAME."
    spec = (lease or {}).get("spec") or {}
    holder, renewed = spec.get("holderIdentity"), parse_time(spec.get("renewTime"))
    if not holder or renewed is None:
        return Check(part="leader", problem=f"no operator holds the Lease {where}. {remedy}")
    age = now - renewed
    if age > timedelta(seconds=spec.get("leaseDurationSeconds") or 0) + _CLOCK_SKEW:
        return Check(
            part="leader",
            problem=f"{holder} has not renewed the Lease {where} for {age.total_seconds():.0f} s. {remedy}",
        )
    return Check(part="leader", found=str(holder))


async def _template(kube: Kube, own: str, name: str) -> Check:
    from humangov.reconcile.sweep_jobs import template_named

    try:
        found = await template_named(kube, namespace=own, name=name)
    except client.KubeError as error:
        return Check(part="sweeps", problem=f"{error}.")
    return Check(part="sweeps", found=f"their template is CronJob {own}/{found['metadata']['name']}")


def in_aws(region: str) -> Check:
    """Whether AWS accepts the operator's credentials."""
    from humangov.aws.clients import Clients
    from humangov.aws.errors import AwsError

    try:
        identity = Clients(region=region).identity(cluster="")
    except AwsError as error:
        return Check(
            part="AWS", problem=f"{error}. Give the operator's service account its role (deploy/iam/README.md)."
        )
    return Check(part="AWS", found=f"account {identity.account_id}, region {identity.region}")
