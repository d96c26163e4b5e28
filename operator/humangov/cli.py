"""`humangov run | plan | uninstall-check`: arguments in, exit codes out."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import boto3
import click
import yaml

from humangov import __version__, controller, kube, logs, uninstall
from humangov.admission import AllowedNames
from humangov.plan import PlanError, plan_manifest
from humangov.settings import Settings
from humangov.tenant import InvalidSpecError

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
    help="Where /healthz and /readyz answer; 'off' for none.",
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
    leader_elect: bool,
) -> None:
    """Watch HumanGovStates and keep their AWS objects as declared, until SIGTERM."""
    logs.configure(log_format=log_format, level=log_level)
    own = operator_namespace or kube.own_namespace() or "humangov"
    settings = Settings(
        region=_region(region),
        allowed=_allowed(allowed_names) if allowed_names else AllowedNames.only(own),
        namespaces=namespaces,
        default_tags=_tags(tags),
        permissions_boundary_arn=permissions_boundary,
    )
    host, port = _address(probe_address)
    run_settings = controller.RunSettings(
        cluster_name=cluster_name,
        resync_seconds=resync_seconds,
        workers=workers,
        probe_host=host,
        probe_port=port,
        lease_namespace=own if leader_elect else None,
    )
    try:
        sys.exit(controller.run(settings, run_settings))
    except kube.KubeError as error:
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
    try:
        manifests = list(yaml.safe_load_all(sys.stdin if str(filename) == "-" else filename.read_text()))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{filename}: {error}") from error
    changes = False
    for manifest in manifests:
        if manifest is None:
            continue
        try:
            lines, differs = asyncio.run(
                plan_manifest(
                    manifest, settings=settings, cluster_name=cluster_name, namespace=namespace, offline=offline
                )
            )
        except (PlanError, InvalidSpecError, kube.KubeError) as error:
            raise click.ClickException(f"{filename}: {error}") from error
        click.echo("\n".join(lines))
        changes = changes or differs
    sys.exit(2 if changes else 0)


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
    except kube.KubeError as error:
        unknown = (
            "whether HumanGovStates still need the operator is not known; to uninstall without knowing: --no-hooks"
        )
        raise click.ClickException(f"{error}; {unknown}") from error
    click.echo(uninstall.answer(held, namespaces=namespaces, undo=undo))
    sys.exit(1 if held else 0)


async def _held(namespaces: tuple[str, ...]) -> list[str]:
    api = kube.Kube(identity="uninstall-check")
    try:
        return uninstall.holding(await api.list_resources(namespaces))
    except kube.KubeError as error:
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
