"""`humangov run | plan | sweep | redrive | receipts | collect | uninstall-check`: arguments in, exit codes out."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import boto3
import click
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from humangov import __version__, logs
from humangov.api.allowed_names import AllowedNames
from humangov.api.names import Names
from humangov.api.spec import InvalidSpecError
from humangov.aws.clients import Clients
from humangov.aws.data_plane import connect, sweep_session
from humangov.aws.errors import AwsError
from humangov.aws.identity import UnknownTenantError
from humangov.aws.receipt_log import NoReceiptError
from humangov.cli import lookup
from humangov.cli import uninstall_check as uninstall
from humangov.final_read import cluster as final_read
from humangov.kube import client
from humangov.kube.blocking import TenantGoneError, TenantInCluster
from humangov.leaks import remove
from humangov.proof import receipt_table, receipts
from humangov.reconcile.plan import PlanError, plan_manifest
from humangov.reconcile.settings import Settings
from humangov.redrive import output
from humangov.redrive.redrive import RefusedError
from humangov.redrive.redrive import redrive as run_redrive
from humangov.sweep import output as sweep_output
from humangov.sweep.cluster import sweep_tenant_in_cluster
from humangov.sweep.progress import Progress
from humangov.sweep.run import NotNowError, SweepOptions, sweep_tenant_of_manifest

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True}


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="humangov")
def main() -> None:
    """The HumanGovState operator: the files of deleted records are erased, one manifest a tenant.

    AWS credentials come from where every AWS SDK looks for them (environment, IRSA, Pod Identity, profile); the
    cluster is the pod's own, or that of KUBECONFIG.
    """


def _shared(command: Any) -> Any:
    """Options that `run` and `plan` have in common."""
    for option in reversed(
        (
            click.option(
                "--region", envvar=["HUMANGOV_REGION", "AWS_REGION"], show_default="the AWS SDK's: AWS_REGION, profile",
                help="AWS region of tenants that name none.",
            ),
            click.option(
                "--cluster-name", envvar="HUMANGOV_CLUSTER_NAME", show_default="the UID of namespace kube-system",
                help="Name of this cluster in the ownership tag humangov.io/tenant.",
            ),
            click.option(
                "--tag", "tags", envvar="HUMANGOV_TAGS", multiple=True, metavar="KEY=VALUE",
                help="A tag for every AWS object that is made; may be given often (environment: separated by spaces).",
            ),
            click.option(
                "--permissions-boundary", envvar="HUMANGOV_PERMISSIONS_BOUNDARY", metavar="ARN",
                help="Permissions boundary for every IAM role that is made.",
            ),
            click.option(
                "--log-format", type=click.Choice(["json", "text"]), default="json", envvar="HUMANGOV_LOG_FORMAT",
                help="Form of the log on standard error.",
            ),
            click.option(
                "--log-level", type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
                default="info", envvar="HUMANGOV_LOG_LEVEL", help="debug also shows every read of AWS.",
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@main.command(context_settings=_CONTEXT)
@_shared
@click.option(
    "--namespace", "namespaces", envvar="HUMANGOV_NAMESPACE", multiple=True, show_default="all",
    help="Namespace to watch; may be given often (environment: separated by spaces).",
)  # fmt: skip
@click.option(
    "--operator-namespace", envvar="HUMANGOV_OPERATOR_NAMESPACE", show_default="the pod's, else humangov",
    help="The operator's own namespace, which may name any table and bucket unless --allowed-names is given.",
)  # fmt: skip
@click.option(
    "--allowed-names", envvar="HUMANGOV_ALLOWED_NAMES", type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file that says which namespace may name which tables and buckets: "
    "{florida: {tables: [humangov-florida-*], buckets: [humangov-florida-*]}}.",
)  # fmt: skip
@click.option(
    "--resync", "resync_seconds", envvar="HUMANGOV_RESYNC", type=click.FloatRange(min=1), default=600.0,
    metavar="SECONDS", help="How often a settled tenant is looked at again, give or take a tenth; finds drift.",
)  # fmt: skip
@click.option(
    "--workers", envvar="HUMANGOV_WORKERS", type=click.IntRange(2, 64), default=10,
    help="How many tenants are worked on at once.",
)  # fmt: skip
@click.option(
    "--probe-address", envvar="HUMANGOV_PROBE_ADDRESS", default="127.0.0.1:8080", metavar="HOST:PORT",
    help="Where /healthz, /readyz and /metrics answer; 'off' for none.",
)  # fmt: skip
@click.option(
    "--sweep-template", envvar="HUMANGOV_SWEEP_TEMPLATE", metavar="NAME", show_default="no sweep is started",
    help="A suspended CronJob in the operator's namespace; each HumanGovState's sweeps are made from its pods.",
)  # fmt: skip
@click.option(
    "--leader-elect/--no-leader-elect", envvar="HUMANGOV_LEADER_ELECT", default=True,
    help="Work only while holding the Lease humangov-operator in the operator's namespace; else there must be one "
    "operator at most.",
)  # fmt: skip
def run(
    *,
    region: str | None,
    cluster_name: str | None,
    tags: tuple[str, ...],
    permissions_boundary: str | None,
    log_format: str,
    log_level: str,
    namespaces: tuple[str, ...],
    operator_namespace: str | None,
    allowed_names: Path | None,
    resync_seconds: float,
    workers: int,
    probe_address: str,
    sweep_template: str | None,
    leader_elect: bool,
) -> None:
    """Watch HumanGovStates and keep their AWS objects as declared, until SIGTERM."""
    from humangov.manager import manager  # with kopf behind it, half of what any other command would load

    logs.configure(log_format=log_format, level=log_level)
    own = operator_namespace or client.own_namespace() or "humangov"
    settings = Settings(
        region=_region(region),
        allowed=_allowed(allowed_names) if allowed_names else AllowedNames.only(own),
        namespaces=namespaces,
        default_tags=_tags(tags),
        permissions_boundary_arn=permissions_boundary,
        sweep_template=sweep_template or None,
        own_namespace=own,
    )
    host, port = _address(probe_address)
    run_settings = manager.RunSettings(
        cluster_name=cluster_name,
        resync_seconds=resync_seconds,
        workers=workers,
        probe_host=host,
        probe_port=port,
        lease_namespace=own if leader_elect else None,
    )
    try:
        sys.exit(manager.run(settings, run_settings))
    except client.KubeError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"--probe-address {probe_address}: {error}") from error


@main.command(context_settings=_CONTEXT)
@_shared
@click.option("-f", "--filename", required=True, type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
              help="Manifest with one or more HumanGovStates; - for standard input.")  # fmt: skip
@click.option("-n", "--namespace", default="default", help="Namespace of manifests that name none.")
@click.option("--offline", is_flag=True, help="Don't ask a cluster to check the manifest (needs --cluster-name).")
def plan(
    *,
    filename: Path,
    namespace: str,
    offline: bool,
    region: str | None,
    cluster_name: str | None,
    tags: tuple[str, ...],
    permissions_boundary: str | None,
    log_format: str,
    log_level: str,
) -> None:
    """Show what the operator would change in AWS for a manifest. Reads only.

    Whether the operator's --allowed-names permit the manifest, and whether an older HumanGovState names the same, only
    the operator itself can tell.

    Exit code 0: in step. 2: there are changes. 1: it could not be told.
    """
    logs.configure(log_format=log_format, level="warning" if log_level == "info" else log_level)
    if offline and not cluster_name:
        raise click.UsageError("--offline needs --cluster-name: the ownership tags hold the cluster's name")
    settings = Settings(
        region=_region(region),
        allowed=AllowedNames({}),
        default_tags=_tags(tags),
        permissions_boundary_arn=permissions_boundary,
    )
    changes = False
    for manifest in _manifests(filename):
        if manifest is None:
            continue
        try:
            lines, differs = asyncio.run(
                plan_manifest(
                    manifest, settings=settings, cluster_name=cluster_name, namespace=namespace, offline=offline
                )
            )
        except (PlanError, InvalidSpecError, client.KubeError) as error:
            raise click.ClickException(f"{filename}: {error}") from error
        click.echo("\n".join(lines))
        changes = changes or differs
    sys.exit(2 if changes else 0)


def _of_one_tenant(command: Any) -> Any:
    """Which tenant, and where: options that `redrive` and `receipts` have in common."""
    for option in reversed(
        (
            click.option(
                "-n", "--namespace", show_default="the context's", help="Namespace of a TENANT that names none.",
            ),
            click.option(
                "-f", "--filename", "--file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
                help="Manifest that holds the HumanGovState, in place of the cluster (needs --cluster-name); "
                "- for standard input.",
            ),
            click.option(
                "--region", envvar=["HUMANGOV_REGION", "AWS_REGION"], show_default="the AWS SDK's: AWS_REGION, profile",
                help="AWS region of a tenant that names none and was never provisioned.",
            ),
            click.option(
                "--cluster-name", envvar="HUMANGOV_CLUSTER_NAME", show_default="what the tenant's status says",
                help="Name of the cluster in the ownership tag humangov.io/tenant.",
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def _of_a_pod(command: Any) -> Any:
    """Options that the operator gives to the pods that it starts."""
    for option in reversed(
        (
            click.option("--uid", help="Only if the HumanGovState has this UID; else it was made anew."),
            click.option(
                "--report-status", is_flag=True, help="Tell the result in the HumanGovState's status, as the pods do.",
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@main.command("sweep", context_settings=_CONTEXT)
@click.argument("tenant", required=False)
@_of_one_tenant
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
@_of_a_pod
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
def sweep_command(
    *,
    tenant: str | None,
    namespace: str | None,
    filename: Path | None,
    region: str | None,
    cluster_name: str | None,
    mode: str | None,
    dry_run: bool,
    approve: str | None,
    allowed_names: Path | None,
    operator_namespace: str | None,
    watched: tuple[str, ...],
    uid: str | None,
    report_status: bool,
    as_json: bool,
) -> None:
    """Find the files that no record names, and in mode delete erase those that two sweeps have seen.

    TENANT is NAME or NAMESPACE/NAME. First the bucket is listed, then the table is read, consistently; a file that is
    old enough and named by no record is an orphan. Its list is kept in the bucket under .humangov/sweeps/. Before
    anything is erased the table is read a second time. Failed invocations are redriven first.

    It runs as spec.account.sweepRoleARN where one is named, else with your credentials: rights that the operator does
    not have (deploy/iam/sweep-policy.json).

    Exit code 0: nothing is left to do. 2: orphans are left (0 with --report-status). 3: something looks wrong, and
    nothing was erased. 1: it could not be done. 130, 143: stopped.
    """
    logs.configure(log_format="text", level="warning")
    allowed = None
    if allowed_names:
        allowed = _allowed(allowed_names)
    elif operator_namespace:
        allowed = AllowedNames.only(operator_namespace)
    place = region or boto3.Session().region_name
    with _stopping() as stopped_by:
        options = SweepOptions(
            mode=mode.capitalize() if mode else None,
            dry_run=dry_run,
            approved=approve,
            interrupted=lambda: f"signal {stopped_by()}" if stopped_by() is not None else None,
            progress=_tell_progress,
        )
        try:
            if filename is None:
                where, name = _which(tenant, namespace)
                with TenantInCluster(namespace=where, name=name, uid=uid, identity="sweep") as cluster:
                    done = sweep_tenant_in_cluster(
                        cluster, options, default_region=place, cluster_name=cluster_name, allowed=allowed,
                        namespaces=watched, report_status=report_status,
                    )  # fmt: skip
            else:
                done = sweep_tenant_of_manifest(
                    _manifest_names(filename, tenant, namespace=namespace, region=place, cluster_name=cluster_name,
                                    as_sweep=True),
                    options,
                )  # fmt: skip
        except NotNowError as error:
            click.echo(str(error), err=True)
            sys.exit(0 if report_status else 1)
        except (UnknownTenantError, InvalidSpecError, client.KubeError) as error:
            raise click.ClickException(str(error)) from error
        number = stopped_by()
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    if as_json:
        fields = sweep_output.as_json(
            done.result, done.names, word=done.word, trouble=done.trouble, now=done.ended
        )  # fmt: skip
        click.echo(json.dumps(fields | {"note": done.note}))
    else:
        lines = sweep_output.lines(done.result, done.names, word=done.word, trouble=done.trouble)
        click.echo("\n".join([*lines, *([done.note] if done.note else [])]))
    if number is not None:
        sys.exit(128 + number)
    sys.exit(0 if done.exit_code == 2 and report_status else done.exit_code)


def _tell_progress(progress: Progress) -> None:
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


@main.command(context_settings=_CONTEXT)
@click.argument("tenant", required=False)
@_of_one_tenant
@click.option("--dry-run", is_flag=True, help="Only tell what waits; nothing is erased or removed.")
@click.option(
    "--from-stream", is_flag=True,
    help="In place of the bucket: the table's stream, whose trigger is gone; two minutes at most.",
)  # fmt: skip
@click.option("--since", metavar="TIME", default="15m", help="With --from-stream: from when on, as 15m or RFC 3339.")
@_of_a_pod
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
def redrive(
    *,
    tenant: str | None,
    namespace: str | None,
    filename: Path | None,
    region: str | None,
    cluster_name: str | None,
    dry_run: bool,
    from_stream: bool,
    since: str,
    uid: str | None,
    report_status: bool,
    as_json: bool,
) -> None:
    """Handle what the cleanup function could not: the failed invocations under aws/lambda/ in the bucket of failures.

    TENANT is NAME or NAMESPACE/NAME. Each record goes through the function's own guards again: no file that a live
    record names is erased, and of a file written since the removal nothing is. Receipts go to the function's log
    group. What is handled is removed from the bucket; it may be run again at any time.

    It needs rights of its own to records and files, which the operator does not have. What --allowed-names of the
    operator say is not known here.

    Exit code 0: nothing of this tenant is left. 2: something is. 1: it could not be done. 130, 143: stopped.
    """
    logs.configure(log_format="text", level="warning")
    if from_stream:
        _final_read(
            tenant, namespace=namespace, region=region, cluster_name=cluster_name, since=since, uid=uid,
            report_status=report_status, as_json=as_json,
        )  # fmt: skip
    names = _names(tenant, namespace=namespace, filename=filename, region=region, cluster_name=cluster_name)
    with _stopping() as stopped_by:
        try:
            summary = run_redrive(
                connect(region=names.identity.region), names, dry_run=dry_run,
                stop=lambda: stopped_by() is not None, progress=lambda line: click.echo(line, err=True),
            )  # fmt: skip
        except (RefusedError, NoReceiptError) as error:
            raise click.ClickException(str(error)) from error
        except (ClientError, BotoCoreError) as error:
            raise click.ClickException(
                f"bucket {names.tenant.failures.bucket}: {error}. What was done is done; run it again"
            ) from error
        number = stopped_by()
    lines = [json.dumps(output.as_json(summary, names))] if as_json else output.lines(summary, names, dry_run=dry_run)
    click.echo("\n".join(lines))
    if number is not None:
        sys.exit(128 + number)
    sys.exit(2 if summary.left else 0)


def _final_read(
    tenant: str | None,
    *,
    namespace: str | None,
    region: str | None,
    cluster_name: str | None,
    since: str,
    uid: str | None,
    report_status: bool,
    as_json: bool,
) -> NoReturn:
    try:
        from_when = receipts.moment(since, now=datetime.now(UTC))
    except receipts.WhenError as error:
        raise click.UsageError(str(error)) from error
    where, name = _which(tenant, namespace)
    place = region or boto3.Session().region_name
    with _stopping() as stopped_by:
        try:
            with TenantInCluster(namespace=where, name=name, uid=uid, identity="sweep") as cluster:
                found = final_read.read_stream_in_cluster(
                    cluster, since=from_when, default_region=place, cluster_name=cluster_name,
                    report_status=report_status, stop=lambda: stopped_by() is not None,
                )  # fmt: skip
        except (
            RefusedError, TenantGoneError, UnknownTenantError, InvalidSpecError, client.KubeError, NoReceiptError,
        ) as error:  # fmt: skip
            raise click.ClickException(str(error)) from error
        except (ClientError, BotoCoreError) as error:
            raise click.ClickException(f"{error}. What was done is done") from error
        number = stopped_by()
    fields = final_read.status_fields(found, now=datetime.now(UTC))
    click.echo(json.dumps(fields) if as_json else fields["message"])
    sys.exit(128 + number if number is not None else 0 if found.complete else 2)


@main.command("receipts", context_settings=_CONTEXT)
@click.argument("tenant", required=False)
@_of_one_tenant
@click.option("--log-group", help="The log group itself, where the HumanGovState is gone; needs no TENANT.")
@click.option("--since", default="7d", metavar="TIME", help="From when on: 7d, 36h, 2026-01-31 or RFC 3339.")
@click.option("--until", metavar="TIME", show_default="now", help="Until when, likewise.")
@click.option(
    "--record", metavar="ID", help="Only this record: a value of its primary key, or the key in DynamoDB JSON."
)
@click.option("--key", help="Only this object key.")
@click.option("--csv", "form", flag_value="csv", help="Every field, for a spreadsheet.")
@click.option("--json", "form", flag_value="json", help="Every field, a JSON object a line.")
def receipts_command(
    *,
    tenant: str | None,
    namespace: str | None,
    filename: Path | None,
    region: str | None,
    cluster_name: str | None,
    log_group: str | None,
    since: str,
    until: str | None,
    record: str | None,
    key: str | None,
    form: str | None,
) -> None:
    """Show what was erased, when, and what proves it: the receipts in the function's log group.

    TENANT is NAME or NAMESPACE/NAME.

    Exit code 0: there are some. 2: none. 1: they could not be read.
    """
    logs.configure(log_format="text", level="warning")
    now = datetime.now(UTC)
    try:
        span = receipts.moment(since, now=now), receipts.moment(until, now=now) if until else now
    except receipts.WhenError as error:
        raise click.UsageError(str(error)) from error
    if log_group:
        group, place = log_group, _region(region)
    else:
        names = _names(tenant, namespace=namespace, filename=filename, region=region, cluster_name=cluster_name)
        group, place = names.tenant.log_group_name, names.identity.region
    found = 0

    def of_interest() -> Iterator[receipts.Receipt]:
        nonlocal found
        events = receipts.read(connect(region=place).logs, group=group, since=span[0], until=span[1])
        for one in receipts.joined(events):
            if receipts.wanted(one, record=record, key=key):
                found += 1
                yield one

    lines = {None: receipt_table.table_lines, "csv": receipt_table.csv_lines, "json": receipt_table.json_lines}[form]
    try:
        for line in lines(of_interest()):
            click.echo(line)
    except (ClientError, BotoCoreError) as error:
        raise click.ClickException(f"log group {group} in {place}: {error}") from error
    if not found:
        click.echo(
            f"No receipt in log group {group} from {span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M} UTC. "
            "--since reaches further back, as far as the group keeps its lines",
            err=True,
        )  # fmt: skip
    sys.exit(0 if found else 2)


def _names(
    tenant: str | None, *, namespace: str | None, filename: Path | None, region: str | None, cluster_name: str | None
) -> Names:
    place = region or boto3.Session().region_name
    try:
        if filename is None:
            where, name = _which(tenant, namespace)
            return asyncio.run(lookup.of_cluster(where, name, default_region=place, cluster_name=cluster_name))
        return _manifest_names(filename, tenant, namespace=namespace, region=place, cluster_name=cluster_name)
    except (UnknownTenantError, InvalidSpecError, client.KubeError) as error:
        raise click.ClickException(str(error)) from error


def _which(tenant: str | None, namespace: str | None) -> tuple[str, str]:
    """Namespace and name. Raises NotToldError."""
    if tenant is None:
        raise click.UsageError("which TENANT? NAME or NAMESPACE/NAME, or a manifest with --filename")
    try:
        return lookup.split(tenant, namespace=namespace, default=client.context_namespace())
    except UnknownTenantError as error:
        raise click.ClickException(str(error)) from error


def _manifest_names(
    filename: Path,
    tenant: str | None,
    *,
    namespace: str | None,
    region: str | None,
    cluster_name: str | None,
    as_sweep: bool = False,
) -> Names:
    """as_sweep: in the account of spec.account.sweepRoleARN, where one is named."""
    if not cluster_name:
        raise click.UsageError("--filename needs --cluster-name: receipts and tags hold the cluster's name")
    return lookup.of_manifests(
        _manifests(filename), tenant, namespace=namespace, default_region=region, cluster_name=cluster_name,
        session_of=sweep_session if as_sweep else None,
    )  # fmt: skip


@contextmanager
def _stopping() -> Iterator[Callable[[], int | None]]:
    """The number of the signal that asked us to stop, once it has. A second one ends the process at once."""
    received: list[int] = []

    def note(number: int, _frame: Any) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _manifests(filename: Path) -> list[Any]:
    try:
        return list(yaml.safe_load_all(sys.stdin if str(filename) == "-" else filename.read_text()))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{filename}: {error}") from error


@main.command("collect", context_settings=_CONTEXT)
@click.argument("tenant", required=False)
@click.option(
    "-n", "--namespace", "namespaces", envvar="HUMANGOV_NAMESPACE", multiple=True, show_default="all",
    help="Look only for tenants of this namespace; may be given often (environment: separated by spaces).",
)  # fmt: skip
@click.option("--delete", is_flag=True, help="Remove what is found, in the order of a deletion; else it is only told.")
@click.option(
    "--delete-logs", is_flag=True,
    help="With --delete: remove log groups too. They hold the receipts; else they only lose the operator's mark.",
)  # fmt: skip
@click.option(
    "--definition-is-gone", is_flag=True,
    help="The definition was removed from the cluster, and every HumanGovState with it.",
)  # fmt: skip
@click.option(
    "--trust-cluster-name", is_flag=True,
    help="With --delete: take --cluster-name as it is, though nothing in this cluster shows that it has that name.",
)  # fmt: skip
@click.option(
    "--region", envvar=["HUMANGOV_REGION", "AWS_REGION"], show_default="the AWS SDK's: AWS_REGION, profile",
    help="AWS region to look in.",
)  # fmt: skip
@click.option(
    "--cluster-name", envvar="HUMANGOV_CLUSTER_NAME", show_default="the UID of namespace kube-system",
    help="As of `humangov run`: the cluster's name in the ownership tag humangov.io/tenant.",
)  # fmt: skip
def collect_command(
    *,
    tenant: str | None,
    namespaces: tuple[str, ...],
    delete: bool,
    delete_logs: bool,
    definition_is_gone: bool,
    trust_cluster_name: bool,
    region: str | None,
    cluster_name: str | None,
) -> None:
    """Find what AWS still has of tenants whose HumanGovState is gone, and with --delete remove it.

    TENANT (NAME or NAMESPACE/NAME) limits it to one. Such leftovers come to be when a HumanGovState's finalizer is
    taken off by hand. They are known by their tag; of the cluster it is asked anew which HumanGovStates there are.
    Tables, buckets, and other clusters' objects are not touched. It works with your credentials, in one account and
    region, and may be stopped and repeated at any time.

    Exit code 0: nothing is left over. 2: something is. 1: it could not be told or done. 130, 143: stopped.
    """
    logs.configure(log_format="text", level="error")
    if delete_logs and not delete:
        raise click.UsageError("--delete-logs needs --delete")
    place, key = _region(region), None
    if tenant is not None:
        if len(namespaces) > 1:
            raise click.UsageError("a TENANT has one --namespace at most")
        namespace, name = _which(tenant, namespaces[0] if namespaces else None)
        key, namespaces = f"{namespace}/{name}", (namespace,)
    asked = remove.Asked(
        cluster=cluster_name, region=place, namespaces=namespaces, key=key, definition_is_gone=definition_is_gone
    )
    with _stopping() as stopped_by:
        try:
            left = _collect(
                asked, delete=delete, keep_logs=not delete_logs, trust=trust_cluster_name,
                stop=lambda: stopped_by() is not None,
            )  # fmt: skip
        except (remove.NotToldError, client.KubeError) as error:
            raise click.ClickException(str(error)) from error
        except AwsError as error:
            remedy = f". {error.remedy}" if error.remedy else ""
            raise click.ClickException(f"{error}{remedy}. What was done is done; run it again") from error
        number = stopped_by()
    if number is not None:
        sys.exit(128 + number)
    sys.exit(2 if left else 0)


def _collect(asked: remove.Asked, *, delete: bool, keep_logs: bool, trust: bool, stop: Callable[[], bool]) -> bool:
    """Whether something is left over. Raises KubeError, AwsError, NotToldError."""
    cluster, clients = remove.Cluster(asked), Clients(region=asked.region)
    found = remove.find(cluster, clients, asked)
    for lines in remove.heading(found):
        click.echo(lines)
    if delete and found.leftovers and not (found.proven or trust):
        raise remove.NotToldError(
            f"nothing in this cluster shows that its name is, or was, {found.identity.cluster}; another cluster may "
            "live under it. If you are sure, say --trust-cluster-name"
        )
    left = False
    for key in found.leftovers:
        if stop():
            return True
        if not delete:
            remnants = remove.remnants(clients, found, key, keep_logs=keep_logs)
            click.echo("\n".join(remove.told(found, key, remnants, keep_logs=keep_logs)))
            left = True
            continue
        done = remove.remove(cluster, clients, found, key, keep_logs=keep_logs, stop=stop)
        click.echo("\n".join(remove.result(key, done)))
        left = left or done.waiting is not None
    if left and not delete:
        click.echo("Nothing was changed. --delete removes it")
    return left


@main.command(context_settings=_CONTEXT)
@click.option(
    "--namespace", "namespaces", envvar="HUMANGOV_NAMESPACE", multiple=True, show_default="all",
    help="Namespace to look at; may be given often (environment: separated by spaces).",
)  # fmt: skip
@click.option("--undo", metavar="COMMAND", help="Command by which the operator is kept after all; shown to people.")
def uninstall_check(*, namespaces: tuple[str, ...], undo: str | None) -> None:
    """Tell whether the operator may be uninstalled: not while HumanGovStates have AWS objects that only it removes.

    Exit code 0: it may. 1: it may not, or that could not be told.
    """
    try:
        held = asyncio.run(_held(namespaces))
    except client.KubeError as error:
        unknown = (
            "whether HumanGovStates still need the operator is not known; to uninstall without knowing: --no-hooks"
        )
        raise click.ClickException(f"{error}; {unknown}") from error
    click.echo(uninstall.answer(held, namespaces=namespaces, undo=undo))
    sys.exit(1 if held else 0)


async def _held(namespaces: tuple[str, ...]) -> list[str]:
    api = client.Kube(identity="uninstall-check")
    try:
        return uninstall.holding(await api.list_resources(namespaces))
    except client.KubeError as error:
        if error.status == 404:  # without the definition there are none
            return []
        raise
    finally:
        await api.close()


def _region(region: str | None) -> str:
    found = region or boto3.Session().region_name
    if not found:
        raise click.UsageError("no AWS region: give --region, or set HUMANGOV_REGION or AWS_REGION")
    return str(found)


def _tags(pairs: tuple[str, ...]) -> dict[str, str]:
    tags = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--tag {pair!r}: expected KEY=VALUE")
        if key.startswith(("aws:", "humangov.io/")):
            raise click.UsageError(f"--tag {pair!r}: keys beginning with aws: or humangov.io/ are reserved")
        tags[key] = value
    return tags


def _allowed(path: Path) -> AllowedNames:
    try:
        return AllowedNames.parse(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise click.UsageError(f"--allowed-names {path}: {error}") from error


def _address(text: str) -> tuple[str, int | None]:
    if text == "off":
        return "", None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.UsageError(f"--probe-address {text!r}: expected HOST:PORT or 'off'")
    return host or "0.0.0.0", int(port)  # noqa: S104 - what an empty host says


if __name__ == "__main__":
    main()
