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
from humangov.cli import options
from humangov.cli.manifests import read_manifests
from humangov.cli.options import OperatorOptions
from humangov.kube import client
from humangov.reconcile.plan import PlanError, plan_manifest
from humangov.reconcile.settings import Settings


@dataclass(frozen=True, kw_only=True)
class PlanOptions(OperatorOptions):
    """Which manifest is planned, and whether a cluster checks it."""

    filename: Path
    namespace: str
    offline: bool


@click.command("plan", context_settings=options.CONTEXT)
@options.operator_options
@click.option(
    "-f", "--filename", required=True, type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Manifest with one or more HumanGovStates; - for standard input.",
)  # fmt: skip
@click.option("-n", "--namespace", default="default", help="Namespace of manifests that name none.")
@click.option("--offline", is_flag=True, help="Don't ask a cluster to check the manifest (needs --cluster-name).")
def command(**given: Any) -> None:
    """Show what the operator would change in AWS for a manifest. Reads only.

    Whether the operator's --allowed-names permit the manifest, and whether an older HumanGovState names the same, only
    the operator itself can tell.

    Exit code 0: in step. 2: there are changes. 1: it could not be told.
    """
    asked = PlanOptions(**given)
    logs.configure(log_format=asked.log_format, level="warning" if asked.log_level == "info" else asked.log_level)
    if asked.offline and not asked.cluster_name:
        raise click.UsageError("--offline needs --cluster-name: the ownership tags hold the cluster's name")
    settings = Settings(
        region=options.required_region(asked.region),
        allowed=AllowedNames({}),
        default_tags=options.parse_tags(asked.tags),
        permissions_boundary_arn=asked.permissions_boundary,
    )
    manifests = [manifest for manifest in read_manifests(asked.filename) if manifest is not None]
    differ = [_show(manifest, settings, asked) for manifest in manifests]
    sys.exit(2 if any(differ) else 0)


def _show(manifest: Any, settings: Settings, asked: PlanOptions) -> bool:
    """Prints the plan of one manifest; whether it has changes. Raises ClickException."""
    try:
        lines, differs = asyncio.run(
            plan_manifest(
                manifest,
                settings=settings,
                cluster_name=asked.cluster_name,
                namespace=asked.namespace,
                offline=asked.offline,
            )
        )
    except (PlanError, InvalidSpecError, client.KubeError) as error:
        raise click.ClickException(f"{asked.filename}: {error}") from error
    click.echo("\n".join(lines))
    return differs
