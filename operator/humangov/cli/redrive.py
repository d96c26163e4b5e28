"""`humangov redrive`: handles failed invocations once more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from humangov import logs
from humangov.api.names import Names
from humangov.aws import trigger
from humangov.aws.clients import Clients
from humangov.aws.data_plane import connect
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.aws.errors import AwsError
from humangov.aws.event_source_mapping import reads_table
from humangov.cleanup.calls import NoReceiptError
from humangov.cli import lookup, options, terminal
from humangov.cli.options import TenantOptions
from humangov.cli.signals import exit_code, stopping
from humangov.redrive import output, receipt_group
from humangov.redrive.redrive import RefusedError, Surroundings, redrive
from humangov.redrive.result import RedriveResult


@dataclass(frozen=True, kw_only=True)
class RedriveOptions(TenantOptions):
    """Whether anything is changed, and the form of the output."""

    dry_run: bool
    mapping: tuple[str, ...]
    operator_namespace: str | None
    as_json: bool
    form: str


@click.command("redrive", context_settings=options.CONTEXT)
@options.tenant_options
@click.option("--dry-run", is_flag=True, help="Only list failed invocations; erase and remove nothing.")
@click.option(
    "--mapping", metavar="UUID", multiple=True,
    help="UUID of an event source mapping that was this tenant's, if no record of that exists. Repeatable.",
)  # fmt: skip
@options.operator_namespace()
@options.output_or_json()
def command(**given: Any) -> None:
    """Retry failed invocations.

    Lambda stores them under aws/lambda/ in the failures bucket.

    TENANT is NAME or NAMESPACE/NAME. Only what this tenant's event source mappings wrote is read. Each record passes
    the function's own checks again, and the whole table is read: a file stays if any record names it, or if it was
    written after the removal. Receipts go to the function's log group. Handled invocations are removed from the bucket.
    You can run the command again at any time.

    With --filename it also works after the HumanGovState was deleted: it re-creates a deleted log group.

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
            summary = _redrive(names, arguments, stop=lambda: stopped_by() is not None, may_erase=why_stop)
            reason = why_stop() if summary.stopped or summary.problem else None
        number = stopped_by()
    if reason:
        terminal.show(f"stopped: {reason}", err=True)
    terminal.show_result(
        output.as_json(summary, names),
        output.lines(summary, names, dry_run=arguments.dry_run),
        form=options.form_of(form=arguments.form, as_json=arguments.as_json),
    )
    sys.exit(exit_code(number, otherwise=_exit_code(summary)))


def _exit_code(result: RedriveResult) -> int:
    if result.unstored:
        return 1
    if result.left:
        return 2
    return 1 if result.problem else 0


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


def _redrive(
    names: Names, arguments: RedriveOptions, *, stop: Callable[[], bool], may_erase: Callable[[], str | None]
) -> RedriveResult:
    """Raises ClickException."""
    try:
        around = Surroundings(stop=stop, may_erase=may_erase, progress=_show, mappings=arguments.mapping)
        if arguments.filename is not None:  # there may be no HumanGovState, and so neither its status nor its operator
            clients = Clients(region=names.identity.region)
            around = replace(
                around,
                mappings=(*arguments.mapping, *_present_mappings(clients, names)),
                before_receipts=partial(_make_log_group, clients, names),
            )
        return redrive(connect(region=names.identity.region), names, dry_run=arguments.dry_run, around=around)
    except (RefusedError, NoReceiptError, AwsError) as error:
        raise click.ClickException(str(error)) from error
    except SDK_ERRORS as error:
        raise click.ClickException(
            f"bucket {names.tenant.failures.bucket}, table {names.tenant.table.name}: {without_names(error)}. "
            "Run the command again to continue"
        ) from error


def _present_mappings(clients: Clients, names: Names) -> list[str]:
    """UUIDs of the function's mappings that read this table; none if Lambda does not tell, which is said."""
    try:
        mappings = trigger.observe(clients, names, deep=False).mappings
    except AwsError as error:
        _show(f"the function's event source mappings are unknown, so only recorded ones count: {error}")
        return []
    return [mapping.uuid for mapping in mappings if reads_table(mapping, names)]


def _make_log_group(clients: Clients, names: Names) -> None:
    """Raises AwsError."""
    if receipt_group.ensure(clients, names, now=datetime.now(UTC)):
        _show(
            f"log group {names.tenant.log_group_name} did not exist: created with a retention of "
            f"{names.tenant.logs.retention_days} days, for the receipts of this redrive"
        )


def _show(line: str) -> None:
    terminal.show(line, err=True)
