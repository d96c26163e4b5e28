"""`humangov receipts`: which files were erased, and when."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import click

from humangov import logs
from humangov.aws.data_plane import connect
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.cli import lookup, options, terminal
from humangov.cli.options import TenantOptions
from humangov.proof import receipt_table, receipts
from humangov.proof.log_events import not_chained
from humangov.proof.receipts import Receipt

_FORMS = {
    "table": receipt_table.table_lines,
    "csv": receipt_table.csv_lines,
    "json": receipt_table.json_lines,
    "yaml": receipt_table.yaml_lines,
}


@dataclass(frozen=True, kw_only=True)
class ReceiptsOptions(TenantOptions):
    """Which receipts, and the form of the output."""

    log_group: str | None
    since: str
    until: str | None
    record: str | None
    key: str | None
    form: str
    older_form: str | None


@dataclass(frozen=True, kw_only=True)
class _Where:
    """A log group in a region, and a period."""

    group: str
    region: str
    since: datetime
    until: datetime


@click.command("receipts", context_settings=options.CONTEXT)
@options.tenant_options
@click.option("--log-group", help="Read this log group, for example of a deleted HumanGovState. Needs no TENANT.")
@click.option("--since", default="7d", metavar="TIME", help="Start time: 7d, 36h, 2026-01-31 or RFC 3339.")
@click.option("--until", metavar="TIME", show_default="now", help="End time, in the same forms.")
@click.option(
    "--record",
    metavar="ID",
    help="Show only this record: a value of its primary key, or the whole key in DynamoDB JSON.",
)
@click.option("--key", help="Show only this object key.")
@click.option(
    "-o", "--output", "form", type=click.Choice(list(_FORMS)), default="table",
    help="Output format. json: one object a line. yaml: one document for each receipt.",
)  # fmt: skip
@click.option("--csv", "older_form", flag_value="csv", help="The same as -o csv.")
@click.option("--json", "older_form", flag_value="json", help="The same as -o json.")
def command(**given: Any) -> None:
    """Show which files were erased, and when.

    It prints the receipts in the function's log group.

    TENANT is NAME or NAMESPACE/NAME.

    Exit code 0: receipts found. 2: none found. 1: an error.
    """
    arguments = ReceiptsOptions(**given)
    logs.configure(log_format="text", level="warning")
    where, others = _where(arguments, now=datetime.now(UTC)), Counter[str]()
    try:
        found = _found(arguments, where, others)
        first = next(found, None)
        terminal.show_stored(
            _FORMS[arguments.older_form or arguments.form](found if first is None else chain([first], found))
        )
    except SDK_ERRORS as error:
        raise click.ClickException(f"log group {where.group} in {where.region}: {without_names(error)}") from error
    if others:
        terminal.show(f"{not_chained(others)}. Anybody with the function's role may write there: not shown", err=True)
    if first is None:
        named = arguments.key is not None and arguments.record is None
        terminal.show(
            f"No receipt in log group {where.group} from {where.since:%Y-%m-%d %H:%M} to {where.until:%Y-%m-%d %H:%M} "
            "UTC. Use --since for an earlier start, within the log group's retention"
            + (". --key is the name of a file; a record is named with --record" if named else ""),
            err=True,
        )
    sys.exit(2 if first is None else 0)


def _where(arguments: ReceiptsOptions, *, now: datetime) -> _Where:
    """Raises ClickException."""
    try:
        since = receipts.moment(arguments.since, now=now)
        until = receipts.moment(arguments.until, now=now) if arguments.until else now
    except receipts.WhenError as error:
        raise click.UsageError(str(error)) from error
    if arguments.log_group:
        region = options.required_region(arguments.region)
        return _Where(group=arguments.log_group, region=region, since=since, until=until)
    names = lookup.names(arguments)
    return _Where(group=names.tenant.log_group_name, region=names.identity.region, since=since, until=until)


def _found(arguments: ReceiptsOptions, where: _Where, others: Counter[str]) -> Iterator[Receipt]:
    client = connect(region=where.region).logs
    every = receipts.of_period(client, group=where.group, since=where.since, until=where.until, others=others)
    return (one for one in every if receipts.wanted(one, record=arguments.record, key=arguments.key))
