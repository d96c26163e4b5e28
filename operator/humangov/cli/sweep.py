"""`humangov sweep`: files that no record names, found and erased."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from humangov import logs
from humangov.api.allowed_names import AllowedNames
from humangov.api.spec import InvalidSpecError
from humangov.aws.data_plane import sweep_session
from humangov.aws.identity import UnknownTenantError
from humangov.cli import lookup, options
from humangov.cli.options import PodOptions, TenantOptions
from humangov.cli.signals import exit_code, stopping
from humangov.kube.client import KubeError
from humangov.kube.tenant_in_cluster import TenantInCluster
from humangov.sweep import output
from humangov.sweep.cluster import sweep_tenant_in_cluster
from humangov.sweep.progress import Progress
from humangov.sweep.run import EndedSweep, NotNowError, SweepRequest, sweep_tenant_of_manifest


@dataclass(frozen=True, kw_only=True)
class SweepOptions(TenantOptions, PodOptions):
    """How a tenant is swept, and who may have it swept."""

    mode: str | None
    dry_run: bool
    approve: str | None
    allowed_names: Path | None
    operator_namespace: str | None
    watched: tuple[str, ...]
    as_json: bool


@click.command("sweep", context_settings=options.CONTEXT)
@options.tenant_options
@click.option(
    "--mode", type=click.Choice(["report", "delete"], case_sensitive=False), show_default="spec.sweep.mode",
    help="report: only tell, and keep the list in the bucket. delete: erase what two sweeps have seen.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Write nothing at all, not even the list in the bucket.")
@click.option(
    "--approve", metavar="SHA256", show_default="annotation humangov.io/approve-sweep",
    help="Let go the list in the manifest of this checksum, in spite of the brakes that an approval releases.",
)  # fmt: skip
@click.option(
    "--allowed-names", envvar="HUMANGOV_ALLOWED_NAMES", type=click.Path(dir_okay=False, path_type=Path),
    help="As of `humangov run`: what the tenant's namespace may name.",
)  # fmt: skip
@click.option(
    "--operator-namespace", envvar="HUMANGOV_OPERATOR_NAMESPACE",
    help="As of `humangov run`: it may name anything unless --allowed-names is given.",
)  # fmt: skip
@click.option(
    "--watched-namespace", "watched", envvar="HUMANGOV_NAMESPACE", multiple=True, show_default="all",
    help="Namespaces to look in for an older HumanGovState that names the same.",
)  # fmt: skip
@options.pod_options
@options.as_json()
def command(**given: Any) -> None:
    """Find the files that no record names, and in mode delete erase those that two sweeps have seen.

    TENANT is NAME or NAMESPACE/NAME. First the bucket is listed, then the table is read, consistently; a file that is
    old enough and named by no record is an orphan. Its list is kept in the bucket under .humangov/sweeps/. Before
    anything is erased the table is read a second time. Failed invocations are redriven first.

    It runs as spec.account.sweepRoleARN where one is named, else with your credentials: rights that the operator does
    not have (deploy/iam/sweep-policy.json).

    Exit code 0: nothing is left to do. 2: orphans are left (0 with --report-status). 3: something looks wrong, and
    nothing was erased. 1: it could not be done. 130, 143: stopped.
    """
    asked = SweepOptions(**given)
    logs.configure(log_format="text", level="warning")
    with stopping() as stopped_by:
        try:
            ended = _sweep(asked, stopped_by)
        except NotNowError as error:
            click.echo(str(error), err=True)
            sys.exit(0 if asked.report_status else 1)
        except (UnknownTenantError, InvalidSpecError, KubeError) as error:
            raise click.ClickException(str(error)) from error
        number = stopped_by()
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    click.echo(_json(ended) if asked.as_json else _lines(ended))
    left_is_told = ended.exit_code == 2 and asked.report_status
    sys.exit(exit_code(number, otherwise=0 if left_is_told else ended.exit_code))


def _sweep(asked: SweepOptions, stopped_by: Callable[[], int | None]) -> EndedSweep:
    """Raises NotNowError, UnknownTenantError, InvalidSpecError, KubeError, ClickException."""
    allowed = _allowed(asked)
    request = SweepRequest(
        mode=asked.mode.capitalize() if asked.mode else None,
        dry_run=asked.dry_run,
        approved=asked.approve,
        interrupted=lambda: f"signal {stopped_by()}" if stopped_by() is not None else None,
        progress=_show_progress,
    )
    if asked.filename is not None:
        return sweep_tenant_of_manifest(lookup.names_of_file(asked.filename, asked, session_of=sweep_session), request)
    namespace, name = lookup.which(asked.tenant, asked.namespace)
    with TenantInCluster(namespace=namespace, name=name, uid=asked.uid) as cluster:
        return sweep_tenant_in_cluster(
            cluster, request, default_region=options.sdk_region(asked.region), cluster_name=asked.cluster_name,
            allowed=allowed, namespaces=asked.watched, report_status=asked.report_status,
        )  # fmt: skip


def _allowed(asked: SweepOptions) -> AllowedNames | None:
    """None: it is not known here. Raises UsageError."""
    if asked.allowed_names:
        return options.read_allowed_names(asked.allowed_names)
    return AllowedNames.only(asked.operator_namespace) if asked.operator_namespace else None


def _json(ended: EndedSweep) -> str:
    fields = output.as_json(ended.result, ended.names, word=ended.word, trouble=ended.trouble, now=ended.ended)
    return json.dumps(fields | {"note": ended.note})


def _lines(ended: EndedSweep) -> str:
    lines = output.lines(ended.result, ended.names, word=ended.word, trouble=ended.trouble)
    return "\n".join([*lines, *([ended.note] if ended.note else [])])


def _show_progress(progress: Progress) -> None:
    """One line that is written over on a terminal, JSON lines elsewhere."""
    left = progress.seconds_left
    if not sys.stderr.isatty():
        fields = {
            "stage": progress.stage, "done": progress.done, "total": progress.total,
            "per_second": round(progress.per_second), "seconds_left": None if left is None else round(left),
        }  # fmt: skip
        click.echo(json.dumps(fields), err=True)
        return
    total = "" if progress.total is None else f" of about {progress.total:,}"
    ahead = "" if left is None else f", about {timedelta(seconds=round(left))} left"
    click.echo(
        f"\r\x1b[K{progress.stage}: {progress.done:,}{total}, {progress.per_second:,.0f}/s{ahead}", nl=False, err=True
    )
