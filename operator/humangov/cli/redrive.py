"""`humangov redrive`: failed invocations, handled once more."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from humangov import logs
from humangov.api.names import Names
from humangov.aws.data_plane import connect
from humangov.aws.receipt_log import NoReceiptError
from humangov.cli import lookup, options
from humangov.cli.options import TenantOptions
from humangov.cli.signals import exit_code, stopping
from humangov.redrive import output
from humangov.redrive.redrive import RefusedError, redrive
from humangov.redrive.result import RedriveResult


@dataclass(frozen=True, kw_only=True)
class RedriveOptions(TenantOptions):
    """Whether anything is done, and how it is told."""

    dry_run: bool
    as_json: bool


@click.command("redrive", context_settings=options.CONTEXT)
@options.tenant_options
@click.option("--dry-run", is_flag=True, help="Only tell what waits; nothing is erased or removed.")
@options.as_json()
def command(**given: Any) -> None:
    """Handle what the cleanup function could not: the failed invocations under aws/lambda/ in the bucket of failures.

    TENANT is NAME or NAMESPACE/NAME. Each record goes through the function's own guards again: no file that a live
    record names is erased, and of a file written since the removal nothing is. Receipts go to the function's log
    group. What is handled is removed from the bucket; it may be run again at any time.

    It needs rights of its own to records and files, which the operator does not have. What --allowed-names of the
    operator say is not known here.

    Exit code 0: nothing of this tenant is left. 2: something is. 1: it could not be done. 130, 143: stopped.
    """
    asked = RedriveOptions(**given)
    logs.configure(log_format="text", level="warning")
    names = lookup.names(asked)
    with stopping() as stopped_by:
        summary = _redrive(names, dry_run=asked.dry_run, stop=lambda: stopped_by() is not None)
        number = stopped_by()
    if asked.as_json:
        click.echo(json.dumps(output.as_json(summary, names)))
    else:
        click.echo("\n".join(output.lines(summary, names, dry_run=asked.dry_run)))
    sys.exit(exit_code(number, otherwise=2 if summary.left else 0))


def _redrive(names: Names, *, dry_run: bool, stop: Callable[[], bool]) -> RedriveResult:
    """Raises ClickException."""
    try:
        return redrive(
            connect(region=names.identity.region), names, dry_run=dry_run, stop=stop,
            progress=lambda line: click.echo(line, err=True),
        )  # fmt: skip
    except (RefusedError, NoReceiptError) as error:
        raise click.ClickException(str(error)) from error
    except (ClientError, BotoCoreError) as error:
        raise click.ClickException(
            f"bucket {names.tenant.failures.bucket}: {error}. What was done is done; run it again"
        ) from error
