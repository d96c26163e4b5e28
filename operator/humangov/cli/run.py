"""`humangov run`: runs the operator."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from humangov import logs
from humangov.api.allowed_names import AllowedNames
from humangov.aws import limits
from humangov.cli import options
from humangov.cli.options import OperatorOptions, Seconds
from humangov.kube import client
from humangov.manager import manager
from humangov.manager.run_settings import RunSettings
from humangov.reconcile.code_rollout import Pace
from humangov.reconcile.settings import Settings


@dataclass(frozen=True, kw_only=True)
class RunOptions(OperatorOptions):
    """What the process watches, and how it runs."""

    namespaces: tuple[str, ...]
    operator_namespace: str | None
    allowed_names: Path | None
    resync_seconds: float
    workers: int
    aws_limits_share: float
    probe_address: str
    sweep_template: str | None
    maximum_concurrent_sweeps: int
    code_rollout: bool
    code_rollout_first: tuple[str, ...]
    code_rollout_minutes: float
    code_rollout_share: float
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
    help="YAML file with the allowed names: what each namespace may name (docs/security.md#allowed-names), such as "
    "{florida: {tables: [humangov-florida-*], buckets: [humangov-florida-*]}}.",
)  # fmt: skip
@click.option(
    "--resync", "resync_seconds", envvar="HUMANGOV_RESYNC", type=Seconds(min=1), default=600.0,
    metavar="SECONDS",
    help="Interval between reconciliations of a settled tenant, plus or minus 10 %. They correct drift. docs/scale.md "
    "says what to set.",
)  # fmt: skip
@click.option(
    "--workers", envvar="HUMANGOV_WORKERS", type=click.IntRange(2, 64), default=10,
    help="Number of tenants that are reconciled at once.",
)  # fmt: skip
@click.option(
    "--aws-limits-share", envvar="HUMANGOV_AWS_LIMITS_SHARE", type=click.FloatRange(0, 90), default=50.0,
    metavar="PERCENT",
    help="Share of AWS's API limits that resyncs of settled HumanGovStates may use. Changes, deletions and stops may "
    "use 90 %. 0: the operator ignores the limits. With an AWS_ENDPOINT_URL that is not AWS's, "
    "they apply only after a call was throttled.",
)  # fmt: skip
@click.option(
    "--probe-address", envvar="HUMANGOV_PROBE_ADDRESS", default="127.0.0.1:8080", metavar="HOST:PORT",
    help="Address of /healthz, /readyz and /metrics; 'off' disables them.",
)  # fmt: skip
@click.option(
    "--sweep-template", envvar="HUMANGOV_SWEEP_TEMPLATE", metavar="NAME", show_default="no sweep is started",
    help="Suspended CronJob in the operator's namespace, whose pod template all sweeps use. Its name without the "
    "prefix or suffix that kustomize added also works.",
)  # fmt: skip
@click.option(
    "--maximum-concurrent-sweeps", envvar="HUMANGOV_MAXIMUM_CONCURRENT_SWEEPS", type=click.IntRange(1, 1000),
    default=10, help="Number of sweeps that run at once in the cluster. Others wait, the oldest first.",
)  # fmt: skip
@click.option(
    "--code-rollout/--no-code-rollout", envvar="HUMANGOV_CODE_ROLLOUT", default=True,
    help="After an upgrade, give the function's new code to one HumanGovState first, then to a share of them, then "
    "to all; restore the former code in all if batches fail. Without it, each gets the new code in its next "
    "reconciliation, and nothing restores the former code.",
)  # fmt: skip
@click.option(
    "--code-rollout-first", envvar="HUMANGOV_CODE_ROLLOUT_FIRST", multiple=True, metavar="NAMESPACE/NAME",
    help="HumanGovState that gets new code before others. Repeatable (environment: separated by spaces).",
)  # fmt: skip
@click.option(
    "--code-rollout-minutes", envvar="HUMANGOV_CODE_ROLLOUT_MINUTES", type=click.FloatRange(min=0, min_open=True),
    default=10.0, metavar="MINUTES", help="Time limit of each stage. The first two end earlier when batches have "
    "succeeded.",
)  # fmt: skip
@click.option(
    "--code-rollout-share", envvar="HUMANGOV_CODE_ROLLOUT_SHARE", type=click.FloatRange(0, 100), default=10.0,
    metavar="PERCENT", help="Share of the HumanGovStates that get new code in the second stage.",
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
        code_rollout=_pace(arguments),
        moved_from=frozenset(arguments.moved_from),
    )


def _pace(arguments: RunOptions) -> Pace | None:
    """Raises UsageError."""
    for key in arguments.code_rollout_first:
        if key.count("/") != 1:
            raise click.UsageError(f"--code-rollout-first {key!r}: expected NAMESPACE/NAME")
    pace = Pace(
        first=arguments.code_rollout_first,
        minutes=arguments.code_rollout_minutes,
        share_percent=arguments.code_rollout_share,
    )
    return pace if arguments.code_rollout else None


def _run_settings(arguments: RunOptions, *, own_namespace: str) -> RunSettings:
    """The process's settings. Raises UsageError."""
    host, port = _address(arguments.probe_address)
    return RunSettings(
        cluster_name=arguments.cluster_name,
        resync_seconds=arguments.resync_seconds,
        workers=arguments.workers,
        aws_limits_share=arguments.aws_limits_share / 100,
        aws_limits_published=limits.are_kept_at(os.environ.get("AWS_ENDPOINT_URL", "")),
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
