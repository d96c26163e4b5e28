"""`humangov sweep`: finds and erases files that no record names."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import click

from humangov import logs
from humangov.api.allowed_names import AllowedNames
from humangov.api.spec import InvalidSpecError, Tenant
from humangov.api.times import duration
from humangov.aws.data_plane import sweep_session
from humangov.aws.identity import UnknownTenantError
from humangov.aws.sessions import RoleOfManifestError, require_consent
from humangov.cli import lookup, options, terminal
from humangov.cli.options import PodOptions, TenantOptions
from humangov.cli.signals import exit_code, stopping
from humangov.kube.client import KubeError
from humangov.kube.tenant_in_cluster import TenantInCluster
from humangov.reading.progress import Progress
from humangov.sweep import output
from humangov.sweep.cluster import sweep_tenant_in_cluster
from humangov.sweep.run import EndedSweep, NotNowError, SweepRequest, begin_process, sweep_tenant_of_manifest


@dataclass(frozen=True, kw_only=True)
class SweepOptions(TenantOptions, PodOptions):
    """Mode and approval of the sweep, and how conflicts are checked."""

    mode: str | None
    dry_run: bool
    approve: str | None
    allowed_names: Path | None
    operator_namespace: str | None
    watched: tuple[str, ...]
    as_json: bool
    form: str
    assume_role: bool


@click.command("sweep", context_settings=options.CONTEXT)
@options.tenant_options
@click.option(
    "--mode", type=click.Choice(["detect", "delete"], case_sensitive=False), show_default="spec.sweep.mode",
    help="detect: report orphans and write the orphan list to the bucket. delete: also erase orphans that an "
    "earlier sweep also found.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Write nothing, not even the orphan list.")
@click.option(
    "--approve", metavar="SHA256", show_default="annotation humangov.io/approve-sweep",
    help="Approve the orphan list with this checksum: erase its files although a safety check failed.",
)  # fmt: skip
@click.option(
    "--allowed-names", envvar="HUMANGOV_ALLOWED_NAMES", type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file with the allowed names, as for `humangov run`.",
)  # fmt: skip
@options.operator_namespace(" Without --allowed-names, it may name any table and bucket.")
@click.option(
    "--watched-namespace", "watched", envvar="HUMANGOV_NAMESPACE", multiple=True, show_default="all",
    help="Namespace to search for conflicting older HumanGovStates. Repeatable (environment: separated by spaces).",
)  # fmt: skip
@options.pod_options
@options.output_or_json()
@options.assume_role()
def command(**given: Any) -> None:
    """Find orphans: files that no record names.

    In mode delete, the sweep erases orphans that two sweeps have found.

    TENANT is NAME or NAMESPACE/NAME. The sweep redrives failed invocations, lists the bucket, then reads the table
    consistently. A file that is old enough and that no record names is an orphan. The orphan list is stored in the
    bucket under .humangov/sweeps/. Before it erases anything, the sweep reads the table a second time.

    It assumes spec.account.sweepRoleARN if set (of a manifest: only with --assume-role), else it uses your credentials.
    They need permissions that the operator does not have (deploy/iam/sweep-policy.json).

    Exit code 0: no orphans remain. 2: orphans remain, or the sweep was stopped (0 with --report-status). 3: a safety
    check failed, so no orphan was erased. 4: files could not be erased. 1: an error. 130, 143: stopped by a signal.
    """
    arguments = SweepOptions(**given)
    logs.configure(log_format="text", level="warning")
    begin_process()
    with stopping() as stopped_by:
        try:
            ended = _sweep(arguments, stopped_by)
        except NotNowError as error:
            terminal.show(str(error), err=True)
            sys.exit(0 if arguments.report_status else 1)
        except (UnknownTenantError, InvalidSpecError, KubeError) as error:
            raise click.ClickException(str(error)) from error
        number = stopped_by()
    if sys.stderr.isatty():
        terminal.overwrite()
    named = terminal.shows_names(in_job=arguments.report_status)
    terminal.show_result(
        _fields(ended, named),
        _lines(ended, named),
        form=options.form_of(form=arguments.form, as_json=arguments.as_json),
    )
    left_is_reported = ended.exit_code == 2 and arguments.report_status
    sys.exit(exit_code(number, otherwise=0 if left_is_reported else ended.exit_code))


def _sweep(arguments: SweepOptions, stopped_by: Callable[[], int | None]) -> EndedSweep:
    """Raises NotNowError, UnknownTenantError, InvalidSpecError, KubeError, ClickException."""
    allowed = _allowed(arguments)
    request = SweepRequest(
        mode=arguments.mode.capitalize() if arguments.mode else None,
        dry_run=arguments.dry_run,
        approved=arguments.approve,
        interrupted=lambda: f"signal {stopped_by()}" if stopped_by() is not None else None,
        progress=_show_progress,
    )
    if arguments.filename is not None:
        session_of = partial(_session_of_manifest, assume_role=arguments.assume_role)
        return sweep_tenant_of_manifest(
            lookup.names_of_file(arguments.filename, arguments, session_of=session_of), request
        )
    namespace, name = lookup.which(arguments.tenant, arguments.namespace)
    with TenantInCluster(
        namespace=namespace, name=name, uid=arguments.uid, operator_namespace=arguments.operator_namespace
    ) as cluster:
        return sweep_tenant_in_cluster(
            cluster, request, default_region=options.sdk_region(arguments.region), cluster_name=arguments.cluster_name,
            allowed=allowed, namespaces=arguments.watched, report_status=arguments.report_status,
        )  # fmt: skip


def _session_of_manifest(tenant: Tenant, *, assume_role: bool) -> boto3.Session:
    """Raises ClickException."""
    try:
        require_consent(tenant.account.sweep_role_arn, field="spec.account.sweepRoleARN", given=assume_role)
    except RoleOfManifestError as error:
        raise click.ClickException(str(error)) from error
    return sweep_session(tenant)


def _allowed(arguments: SweepOptions) -> AllowedNames | None:
    """None: not given. Raises UsageError."""
    if arguments.allowed_names:
        return options.read_allowed_names(arguments.allowed_names)
    return AllowedNames.only(arguments.operator_namespace) if arguments.operator_namespace else None


def _fields(ended: EndedSweep, files_named: bool) -> dict[str, Any]:
    fields = output.as_json(
        ended.result, ended.names, word=ended.word, problem=ended.problem, now=ended.ended, files_named=files_named
    )
    return fields | {"note": ended.note, "unreported": ended.unreported}


def _lines(ended: EndedSweep, files_named: bool) -> list[str]:
    lines = output.lines(
        ended.result, ended.names, word=ended.word, problem=ended.problem, files_named=files_named
    )  # fmt: skip
    return [*lines, *filter(None, (ended.note, ended.unreported))]


def _show_progress(progress: Progress) -> None:
    """One line, overwritten, on a terminal; else JSON lines."""
    left = progress.seconds_left
    if not sys.stderr.isatty():
        fields = {
            "stage": progress.stage, "done": progress.done, "total": progress.total,
            "per_second": round(progress.per_second), "seconds_left": None if left is None else round(left),
        }  # fmt: skip
        terminal.show(json.dumps(fields), err=True)
        return
    total = "" if progress.total is None else f" of about {progress.total:,}"
    ahead = "" if left is None else f", about {duration(round(left))} left"
    terminal.overwrite(f"{progress.stage}: {progress.done:,}{total}, {progress.per_second:,.0f}/s{ahead}")
