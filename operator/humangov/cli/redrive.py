"""`humangov redrive`: handles failed invocations once more."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from humangov import logs
from humangov.api.names import Names
from humangov.aws.data_plane import connect
from humangov.cleanup.calls import NoReceiptError
from humangov.cli import lookup, options, terminal
from humangov.cli.options import TenantOptions
from humangov.cli.signals import exit_code, stopping
from humangov.redrive import output
from humangov.redrive.redrive import RefusedError, redrive
from humangov.redrive.result import RedriveResult


@dataclass(frozen=True, kw_only=True)
class RedriveOptions(TenantOptions):
    """Whether anything is changed, and the form of the output."""

    dry_run: bool
    operator_namespace: str | None
    as_json: bool


@click.command("redrive", context_settings=options.CONTEXT)
@options.tenant_options
@click.option("--dry-run", is_flag=True, help="Only list failed invocations; erase and remove nothing.")
@options.operator_namespace()
@options.as_json()
def command(**given: Any) -> None:
    """Handle failed invocations once more: those under aws/lambda/ in the failures bucket.

    TENANT is NAME or NAMESPACE/NAME. Each record passes the function's own checks again. A file stays if a record
    still names it, or if it was written after the removal. Receipts go to the function's log group. Handled
    invocations are removed from the bucket. You can run the command again at any time.

    It uses your credentials. They need permissions for records and files that the operator does not have. The command
    does not check the operator's allowed names.

    Exit code 0: no failed invocations of this tenant remain. 2: some remain. 1: an error. 130, 143: stopped by a
    signal.
    """
    arguments = RedriveOptions(**given)
    logs.configure(log_format="text", level="warning")
    names = lookup.names(arguments)
    with stopping() as stopped_by:
        with _why_stop(arguments, names, stopped_by) as why_stop:
            summary = _redrive(names, dry_run=arguments.dry_run, stop=lambda: why_stop() is not None)
            reason = why_stop() if summary.stopped else None
        number = stopped_by()
    if reason:
        click.echo(f"stopped: {reason}", err=True)
    if arguments.as_json:
        terminal.show(json.dumps(output.as_json(summary, names)))
    else:
        terminal.show(*output.lines(summary, names, dry_run=arguments.dry_run))
    sys.exit(exit_code(number, otherwise=1 if summary.unstored else 2 if summary.left else 0))


@contextmanager
def _why_stop(
    arguments: RedriveOptions, names: Names, stopped_by: Callable[[], int | None]
) -> Iterator[Callable[[], str | None]]:
    """What tells at any time why to stop; of a manifest, or where nothing is erased, a signal alone can.

    Raises ClickException if the tenant is stopped now.
    """
    from humangov.kube.stop_switch import StopSwitch  # takes a second to load
    from humangov.kube.tenant_in_cluster import TenantInCluster

    def interrupted() -> str | None:
        return "a signal" if stopped_by() is not None else None

    if arguments.filename is not None or arguments.dry_run:
        yield interrupted
        return
    tenant = names.tenant
    with TenantInCluster(
        namespace=tenant.namespace, name=tenant.name, uid=tenant.uid, operator_namespace=arguments.operator_namespace
    ) as cluster:
        switch = StopSwitch(cluster, interrupted=interrupted)
        if reason := switch.erasing():
            raise click.ClickException(f"{tenant.key}: nothing is erased: {reason}")
        yield switch.erasing


def _redrive(names: Names, *, dry_run: bool, stop: Callable[[], bool]) -> RedriveResult:
    """Raises ClickException."""
    try:
        return redrive(
            connect(region=names.identity.region), names, dry_run=dry_run, stop=stop,
            progress=lambda line: terminal.show(line, err=True),
        )  # fmt: skip
    except (RefusedError, NoReceiptError) as error:
        raise click.ClickException(str(error)) from error
    except (ClientError, BotoCoreError) as error:
        raise click.ClickException(
            f"bucket {names.tenant.failures.bucket}: {error}. Run the command again to continue"
        ) from error
