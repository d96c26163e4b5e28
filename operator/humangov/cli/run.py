"""`humangov run`: runs the operator."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from humangov import logs
from humangov.api.allowed_names import AllowedNames
from humangov.cli import options
from humangov.cli.options import OperatorOptions, Seconds
from humangov.kube import client
from humangov.manager import manager
from humangov.reconcile.settings import Settings


@dataclass(frozen=True, kw_only=True)
class RunOptions(OperatorOptions):
    """What the process watches, and how it runs."""

    namespaces: tuple[str, ...]
    operator_namespace: str | None
    allowed_names: Path | None
    resync_seconds: float
    workers: int
    probe_address: str
    sweep_template: str | None
    maximum_concurrent_sweeps: int
    leader_elect: bool


@click.command("run", context_settings=options.CONTEXT)
@options.operator_options
@options.namespaces("Namespace to watch. Repeatable (environment: separated by spaces).")
@click.option(
    "--operator-namespace", envvar="HUMANGOV_OPERATOR_NAMESPACE", show_default="the pod's, else humangov",
    help="The operator's own namespace. Without --allowed-names, only HumanGovStates in it are allowed, "
    "with any names.",
)  # fmt: skip
@click.option(
    "--allowed-names", envvar="HUMANGOV_ALLOWED_NAMES", type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file with the allowed names: the tables and buckets that each namespace may name, such as "
    "{florida: {tables: [humangov-florida-*], buckets: [humangov-florida-*]}}.",
)  # fmt: skip
@click.option(
    "--resync", "resync_seconds", envvar="HUMANGOV_RESYNC", type=Seconds(min=1), default=600.0,
    metavar="SECONDS",
    help="Interval between reconciliations of a settled tenant, plus or minus 10 %. They correct drift.",
)  # fmt: skip
@click.option(
    "--workers", envvar="HUMANGOV_WORKERS", type=click.IntRange(2, 64), default=10,
    help="Number of tenants that are reconciled at once.",
)  # fmt: skip
@click.option(
    "--probe-address", envvar="HUMANGOV_PROBE_ADDRESS", default="127.0.0.1:8080", metavar="HOST:PORT",
    help="Address of /healthz, /readyz and /metrics; 'off' disables them.",
)  # fmt: skip
@click.option(
    "--sweep-template", envvar="HUMANGOV_SWEEP_TEMPLATE", metavar="NAME", show_default="no sweep is started",
    help="Suspended CronJob in the operator's namespace. Its pod template is used for all sweeps.",
)  # fmt: skip
@click.option(
    "--maximum-concurrent-sweeps", envvar="HUMANGOV_MAXIMUM_CONCURRENT_SWEEPS", type=click.IntRange(1, 1000),
    default=10, help="Number of sweeps that run at once in the cluster. Others wait, the oldest first.",
)  # fmt: skip
@click.option(
    "--leader-elect/--no-leader-elect", envvar="HUMANGOV_LEADER_ELECT", default=True,
    help="Use leader election with the Lease humangov-operator in the operator's namespace. Without it, never run "
    "two operators.",
)  # fmt: skip
def command(**given: Any) -> None:
    """Run the operator.

    It watches HumanGovStates and keeps their AWS resources as declared, until SIGTERM.
    """
    arguments = RunOptions(**given)
    logs.configure(log_format=arguments.log_format, level=arguments.log_level)
    settings = _settings(arguments)
    run_settings = _run_settings(arguments, own_namespace=settings.own_namespace)
    try:
        sys.exit(manager.run(settings, run_settings))
    except client.KubeError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"--probe-address {arguments.probe_address}: {error}") from error


def _settings(arguments: RunOptions) -> Settings:
    """The operator's settings. Raises UsageError."""
    own = arguments.operator_namespace or client.own_namespace() or "humangov"
    allowed = arguments.allowed_names
    return Settings(
        region=options.required_region(arguments.region),
        allowed=options.read_allowed_names(allowed) if allowed else AllowedNames.only(own),
        namespaces=arguments.namespaces,
        default_tags=options.parse_tags(arguments.tags),
        permissions_boundary_arn=arguments.permissions_boundary,
        sweep_template=arguments.sweep_template or None,
        maximum_concurrent_sweeps=arguments.maximum_concurrent_sweeps,
        own_namespace=own,
    )


def _run_settings(arguments: RunOptions, *, own_namespace: str) -> manager.RunSettings:
    """The process's settings. Raises UsageError."""
    host, port = _address(arguments.probe_address)
    return manager.RunSettings(
        cluster_name=arguments.cluster_name,
        resync_seconds=arguments.resync_seconds,
        workers=arguments.workers,
        probe_host=host,
        probe_port=port,
        lease_namespace=own_namespace if arguments.leader_elect else None,
    )


def _address(text: str) -> tuple[str, int | None]:
    if text == "off":
        return "", None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.UsageError(f"--probe-address {text!r}: expected HOST:PORT or 'off'")
    return host or "0.0.0.0", int(port)  # noqa: S104 - what an empty host means
