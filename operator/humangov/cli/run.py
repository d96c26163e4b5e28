"""`humangov run`: the operator itself."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from humangov import logs
from humangov.api.allowed_names import AllowedNames
from humangov.cli import options
from humangov.cli.options import OperatorOptions
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
    leader_elect: bool


@click.command("run", context_settings=options.CONTEXT)
@options.operator_options
@options.namespaces("Namespace to watch; may be given often (environment: separated by spaces).")
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
def command(**given: Any) -> None:
    """Watch HumanGovStates and keep their AWS objects as declared, until SIGTERM."""
    asked = RunOptions(**given)
    logs.configure(log_format=asked.log_format, level=asked.log_level)
    settings = _settings(asked)
    run_settings = _run_settings(asked, own_namespace=settings.own_namespace)
    try:
        sys.exit(manager.run(settings, run_settings))
    except client.KubeError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"--probe-address {asked.probe_address}: {error}") from error


def _settings(asked: RunOptions) -> Settings:
    """What the operator does. Raises UsageError."""
    own = asked.operator_namespace or client.own_namespace() or "humangov"
    allowed = asked.allowed_names
    return Settings(
        region=options.required_region(asked.region),
        allowed=options.read_allowed_names(allowed) if allowed else AllowedNames.only(own),
        namespaces=asked.namespaces,
        default_tags=options.parse_tags(asked.tags),
        permissions_boundary_arn=asked.permissions_boundary,
        sweep_template=asked.sweep_template or None,
        own_namespace=own,
    )


def _run_settings(asked: RunOptions, *, own_namespace: str) -> manager.RunSettings:
    """How its process runs. Raises UsageError."""
    host, port = _address(asked.probe_address)
    return manager.RunSettings(
        cluster_name=asked.cluster_name,
        resync_seconds=asked.resync_seconds,
        workers=asked.workers,
        probe_host=host,
        probe_port=port,
        lease_namespace=own_namespace if asked.leader_elect else None,
    )


def _address(text: str) -> tuple[str, int | None]:
    if text == "off":
        return "", None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.UsageError(f"--probe-address {text!r}: expected HOST:PORT or 'off'")
    return host or "0.0.0.0", int(port)  # noqa: S104 - what an empty host says
