"""`humangov plan`: what the operator would change in AWS for a manifest."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from humangov import logs
from humangov.api.allowed_names import AllowedNames
from humangov.api.spec import InvalidSpecError
from humangov.cli import options, terminal
from humangov.cli.manifests import read_manifests
from humangov.cli.options import OperatorOptions
from humangov.kube import client
from humangov.reconcile import plan
from humangov.reconcile.plan import PlanError, Planned, plan_manifest
from humangov.reconcile.settings import Settings


@dataclass(frozen=True, kw_only=True)
class PlanOptions(OperatorOptions):
    """Which manifest, whether the API server validates it, and the form of the output."""

    filename: Path
    namespace: str
    offline: bool
    assume_role: bool
    form: str


@click.command("plan", context_settings=options.CONTEXT)
@options.operator_options
@click.option(
    "-f", "--filename", required=True, type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Manifest with one or more HumanGovStates. - is standard input.",
)  # fmt: skip
@click.option("-n", "--namespace", default="default", help="Namespace of HumanGovStates without metadata.namespace.")
@click.option("--offline", is_flag=True, help="Do not validate the manifest with an API server (needs --cluster-name).")
@options.assume_role()
@options.output()
def command(**given: Any) -> None:
    """Show what the operator would change in AWS.

    The command reads one or more manifests and writes nothing.

    Without --cluster-name it takes the name that the operator recorded in the HumanGovState's status, and for a new
    HumanGovState the UID of namespace kube-system.

    It does not check the operator's allowed names, or conflicts with older HumanGovStates. Only the operator does.

    Exit code 0: in sync, no changes. 2: changes. 1: an error.
    """
    arguments = PlanOptions(**given)
    logs.configure(
        log_format=arguments.log_format, level="warning" if arguments.log_level == "info" else arguments.log_level
    )
    if arguments.offline and not arguments.cluster_name:
        raise click.UsageError("--offline needs --cluster-name: the ownership tags contain the cluster's name")
    settings = Settings(
        region=options.required_region(arguments.region),
        allowed=AllowedNames({}),
        default_tags=options.parse_tags(arguments.tags),
        permissions_boundary_arn=arguments.permissions_boundary,
        moved_from=frozenset(arguments.moved_from),
    )
    manifests = [manifest for manifest in read_manifests(arguments.filename) if manifest is not None]
    every = terminal.show_each(
        (_planned(manifest, settings, arguments) for manifest in manifests),
        form=arguments.form,
        show_one=lambda one: terminal.show(*plan.lines(one)),
        whole=lambda plans: {"plans": [plan.fields(one) for one in plans]},
    )
    sys.exit(0 if all(one.in_sync for one in every) else 2)


def _planned(manifest: Any, settings: Settings, arguments: PlanOptions) -> Planned:
    """Raises ClickException."""
    try:
        return asyncio.run(
            plan_manifest(
                manifest,
                settings=settings,
                cluster_name=arguments.cluster_name,
                namespace=arguments.namespace,
                offline=arguments.offline,
                assume_role=arguments.assume_role,
            )
        )
    except (PlanError, InvalidSpecError, client.KubeError) as error:
        raise click.ClickException(f"{arguments.filename}: {error}") from error
