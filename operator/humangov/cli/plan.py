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
from humangov.reconcile.plan import PlanError, plan_manifest
from humangov.reconcile.settings import Settings


@dataclass(frozen=True, kw_only=True)
class PlanOptions(OperatorOptions):
    """Which manifest, and whether the API server validates it."""

    filename: Path
    namespace: str
    offline: bool


@click.command("plan", context_settings=options.CONTEXT)
@options.operator_options
@click.option(
    "-f", "--filename", required=True, type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Manifest with one or more HumanGovStates. - is standard input.",
)  # fmt: skip
@click.option("-n", "--namespace", default="default", help="Namespace of HumanGovStates without metadata.namespace.")
@click.option("--offline", is_flag=True, help="Do not validate the manifest with an API server (needs --cluster-name).")
def command(**given: Any) -> None:
    """Show what the operator would change in AWS.

    The command reads one or more manifests and writes nothing.

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
    )
    manifests = [manifest for manifest in read_manifests(arguments.filename) if manifest is not None]
    differ = [_show(manifest, settings, arguments) for manifest in manifests]
    sys.exit(2 if any(differ) else 0)


def _show(manifest: Any, settings: Settings, arguments: PlanOptions) -> bool:
    """Prints the plan of one manifest. Returns whether it has changes. Raises ClickException."""
    try:
        lines, differs = asyncio.run(
            plan_manifest(
                manifest,
                settings=settings,
                cluster_name=arguments.cluster_name,
                namespace=arguments.namespace,
                offline=arguments.offline,
            )
        )
    except (PlanError, InvalidSpecError, client.KubeError) as error:
        raise click.ClickException(f"{arguments.filename}: {error}") from error
    terminal.show(*lines)
    return differs
