"""`humangov report`: what was erased in a month, what was not, and what can't be shown, for a person to file."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import click

from humangov import logs
from humangov.api.counts import counted
from humangov.api.names import Names
from humangov.api.spec import InvalidSpecError
from humangov.api.times import timestamp_milliseconds
from humangov.aws.data_plane import Readers, connect_to_read
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.aws.identity import UnknownTenantError, names_of
from humangov.cli import account_role, lookup, options, report_bucket, report_outcome, terminal
from humangov.cli.options import EveryOptions
from humangov.cli.report_bucket import Opened, StoringOptions
from humangov.cli.report_outcome import COUNTED, ReportOutcome, exit_code
from humangov.proof import checkpoint_store, orphan_lists, page, period, receipts, report_files, states, surroundings
from humangov.proof.checkpoint import EMPTY_CHAIN
from humangov.proof.checkpoint_store import Place
from humangov.proof.ledger import Ledger
from humangov.proof.period import Period
from humangov.proof.receipts import WhenError
from humangov.proof.report import Report, Subject, build
from humangov.proof.report_files import Files
from humangov.proof.states import State
from humangov.proof.verification import Stated


@dataclass(frozen=True, kw_only=True)
class ReportOptions(EveryOptions, StoringOptions):
    """Whose report, of which period, where it is written, and the form of the output. output: the folder of files."""

    log_group: str | None
    month: str | None
    since: str | None
    until: str | None
    output: Path
    appendix: int
    bucket_only: bool
    accept_gaps: bool
    account_role: str | None
    form: str


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where a report's facts are. names None: only the log group is known. session None: read as the caller."""

    subject: Subject
    log_group: str
    names: Names | None
    resource: Mapping[str, Any] | None
    session: boto3.Session | None = None


class _Written(NamedTuple):
    """A report, its files, and where they are in the bucket, if there is one."""

    report: Report
    files: Files
    folder: str


@click.command("report", context_settings=options.CONTEXT)
@options.tenant_options
@options.every_option
@click.option("--log-group", help="Read this log group, for example of a deleted HumanGovState. Needs no TENANT.")
@click.option("--month", metavar="YYYY-MM", show_default="the last one", help="A month, in UTC.")
@click.option("--since", metavar="TIME", help="Instead of a month: start time, as 7d, 2026-01-31 or RFC 3339.")
@click.option("--until", metavar="TIME", show_default="now", help="With --since: end time, in the same forms.")
@click.option(
    "-d", "--output-directory", "output", default=".", type=click.Path(file_okay=False, path_type=Path),
    help="Where the files are written.",
)  # fmt: skip
@click.option(
    "--appendix", type=click.IntRange(min=0), default=5000, metavar="NUMBER",
    help="Maximum number of receipts in the page. The database always has all.",
)  # fmt: skip
@report_bucket.reading_options(
    required=False, what="reports, where the files are also stored; existing objects are never overwritten"
)
@report_bucket.storing_options
@account_role.option()
@click.option("--bucket-only", is_flag=True, help="With --bucket: keep no local files.")
@click.option(
    "--accept-gaps", is_flag=True,
    help="Exit with code 0 even if something could not be shown. A state without any report is still an error.",
)  # fmt: skip
@options.output()
def command(**given: Any) -> None:
    """Write a report of erasures, from receipts and orphan lists.

    It writes a page (HTML, also for print), the same as JSON, and the database of receipts that its figures are counted
    from. They hold names of records and files. With --all, a table of all states leads to the reports.

    TENANT is NAME or NAMESPACE/NAME.

    Exit code 0: written. 2: written, and it says what could not be shown. 1: an error.
    """
    arguments = ReportOptions(**given)
    logs.configure(log_format="text", level="warning")
    now = datetime.now(UTC)
    of = _period(arguments, now=now)
    opened = None
    if arguments.bucket:
        opened = report_bucket.to_store(arguments, region=options.required_region(arguments.region))
    try:
        with _output(arguments) as folder:
            write = _all if arguments.every else _one
            every = terminal.show_each(
                write(replace(arguments, output=folder), of, opened, now=now),
                form=arguments.form,
                show_one=report_outcome.show,
                whole=lambda outcomes: report_outcome.fields(outcomes, of),
            )
    except (OSError, sqlite3.Error) as error:
        raise click.ClickException(f"the report could not be written: {error}") from error
    sys.exit(exit_code(every, accept_gaps=arguments.accept_gaps))


@contextmanager
def _output(arguments: ReportOptions) -> Iterator[Path]:
    """Where files are written; with --bucket-only a folder that goes again. Raises OSError."""
    if arguments.bucket_only:
        with tempfile.TemporaryDirectory(prefix="humangov-report-") as folder:
            yield Path(folder)
    else:
        arguments.output.mkdir(parents=True, exist_ok=True)
        yield arguments.output


def _period(arguments: ReportOptions, *, now: datetime) -> Period:
    """Raises UsageError."""
    if arguments.every and (arguments.tenant or arguments.log_group or arguments.filename):
        raise click.UsageError("--all needs no TENANT, --log-group or --filename: give only one of them")
    if arguments.month and (arguments.since or arguments.until):
        raise click.UsageError("--month contradicts --since and --until: give only one of them")
    if arguments.until and not arguments.since:
        raise click.UsageError("--until needs --since")
    if arguments.bucket_only and not arguments.bucket:
        raise click.UsageError("--bucket-only needs --bucket")
    try:
        if arguments.since:
            return period.span(arguments.since, arguments.until, now=now)
        return period.month(arguments.month) if arguments.month else period.last_month(now)
    except WhenError as error:
        raise click.UsageError(str(error)) from error


def _one(arguments: ReportOptions, of: Period, opened: Opened | None, *, now: datetime) -> Iterator[ReportOutcome]:
    """Raises ClickException."""
    source = _source_of_group(arguments) if arguments.log_group else _source_of_found(arguments)
    try:
        written = _write(source, of, arguments, opened, now=now)
    except SDK_ERRORS as error:
        raise click.ClickException(f"{source.subject.tenant}: {without_names(error)}") from error
    yield _outcome(written, opened)


def _all(arguments: ReportOptions, of: Period, opened: Opened | None, *, now: datetime) -> Iterator[ReportOutcome]:
    """The same of all, and of their table, in which also a HumanGovState is of which no report can be written.

    Raises ClickException.
    """
    found, stored = [], []
    for resource, cluster in lookup.every(arguments):
        metadata = resource["metadata"]
        tenant = f"{metadata['namespace']}/{metadata['name']}"
        if not lookup.is_provisioned(resource):
            found.append(states.without_resources(tenant, problem=lookup.NOT_PROVISIONED))
            stored.append(found[-1])
            yield ReportOutcome(title=tenant, tenant=tenant, problem=lookup.NOT_PROVISIONED)
            continue
        try:
            session = _session(resource, arguments)
            names = names_of(
                resource, default_region=options.sdk_region(arguments.region), cluster=cluster, session=session
            )
            written = _write(_source_of(resource, names, session), of, arguments, opened, now=now)
        except (UnknownTenantError, InvalidSpecError, *SDK_ERRORS) as error:
            problem = account_role.with_remedy(without_names(error), resource, name=arguments.account_role)
            found.append(states.without_report(tenant, problem=problem))
            stored.append(found[-1])
            yield ReportOutcome(title=tenant, tenant=tenant, problem=problem, failed=True)
        else:
            name = written.files.page.name
            found.append(states.of_report(written.report, page=name))
            stored.append(replace(found[-1], page=f"{_UP}{written.folder}{name}"))
            yield _outcome(written, opened)
    try:
        yield _table(found, stored, of, arguments, opened, now=now)
    except SDK_ERRORS as error:
        raise click.ClickException(f"the table of states: {without_names(error)}") from error


_UP = "../../../../"
"""From the table of states in the bucket, reports/all/<period>/<time>/, to what is before reports/."""


def _table(
    found: Sequence[State], stored: Sequence[State], of: Period, arguments: ReportOptions, opened: Opened | None, *,
    now: datetime,
) -> ReportOutcome:  # fmt: skip
    """The table of all. stored: with the pages' places in the bucket. Raises what the SDK raises, OSError."""
    title = f"Report of erasures: {arguments.namespace or ', '.join(arguments.namespaces) or 'all states'}"
    files = report_files.files_in(arguments.output, name=f"all-{of.name}")
    both = (files.page, files.data)

    def write(every: Sequence[State]) -> None:
        ordered = states.worst_first(every)
        report_files.write_text(files.page, page.of_all(ordered, title=title, period=of.title, written=now))
        report_files.write_json(
            files.data, {"humangovStates": 1, "period": of.title, "states": states.as_json(ordered)}
        )  # fmt: skip

    place = None
    if opened:
        write(stored)
        folder = f"reports/all/{of.name}/{timestamp_milliseconds(now)}/"
        report_files.upload(opened.s3, both, opened.bucket, folder=folder, now=now)
        place = f"s3://{opened.bucket.name}/{opened.bucket.prefix}{folder}"
    if not arguments.bucket_only:
        write(found)
    kept = () if arguments.bucket_only else tuple(map(str, both))
    return ReportOutcome(title=counted(len(found), "state"), tenant=None, files=kept, stored=place)


def _session(resource: Mapping[str, Any], arguments: ReportOptions) -> boto3.Session | None:
    """As whom the HumanGovState's AWS resources are read. Raises UnknownTenantError, InvalidSpecError."""
    region = options.sdk_region(arguments.region)
    return account_role.session(resource, name=arguments.account_role, default_region=region)


def _source_of_found(arguments: ReportOptions) -> _Source:
    """Raises ClickException."""
    return _source_of(*account_role.found(arguments, name=arguments.account_role))


def _source_of(resource: Mapping[str, Any], names: Names, session: boto3.Session | None) -> _Source:
    tenant, identity = names.tenant, names.identity
    subject = Subject(
        tenant=tenant.key, owner=names.owner, account_id=identity.account_id, region=identity.region,
        bucket=tenant.bucket.name, key_prefix=tenant.bucket.key_prefix, table=tenant.table.name,
    )  # fmt: skip
    return _Source(
        subject=subject, log_group=tenant.log_group_name, names=names, resource=resource, session=session
    )  # fmt: skip


def _source_of_group(arguments: ReportOptions) -> _Source:
    """Raises UsageError if no region is configured."""
    subject = Subject(
        tenant=f"log group {arguments.log_group}", owner=None, account_id=None,
        region=options.required_region(arguments.region), bucket=None, key_prefix="", table=None,
    )  # fmt: skip
    return _Source(subject=subject, log_group=str(arguments.log_group), names=None, resource=None)


def _write(
    source: _Source, of: Period, arguments: ReportOptions, opened: Opened | None, *, now: datetime
) -> _Written:  # fmt: skip
    """Raises what the SDK raises by storing the files in a bucket, OSError, sqlite3.Error."""
    readers = connect_to_read(region=source.subject.region, session=source.session)
    files = report_files.files_in(arguments.output, name=f"{source.subject.tenant}-{of.name}")
    if opened:
        stored_in = (opened.bucket.name, opened.bucket.prefix)
        source = replace(source, subject=replace(source.subject, stored_in=stored_in))
    stated = _stated(source.names, opened)
    report = _build(source, of, readers, report_files.partial_database(files), stated=stated, now=now)
    report_files.save(report, files, most_rows=arguments.appendix)
    whose = source.subject.owner or source.log_group.strip("/")
    folder = f"reports/{whose}/{of.name}/{timestamp_milliseconds(now)}/"
    if opened:
        report_files.upload(opened.s3, files, opened.bucket, folder=folder, now=now)
    if arguments.bucket_only:
        for path in files:
            path.unlink()
    return _Written(report, files, folder)


def _stated(names: Names | None, opened: Opened | None) -> Stated | None:
    """What the checkpoints in the bucket state; None where the bucket, or the tenant, is not known."""
    if names is None or opened is None:
        return None
    try:
        return Stated(checkpoint_store.read(opened.s3, Place(bucket=opened.bucket, tenant=names.owner)))
    except SDK_ERRORS as error:
        return Stated(EMPTY_CHAIN, problem=without_names(error))


def _build(
    source: _Source, of: Period, readers: Readers, database: Path, *, stated: Stated | None, now: datetime
) -> Report:  # fmt: skip
    names, resource = source.names, source.resource
    with tempfile.TemporaryDirectory(prefix="humangov-report-") as folder:
        sweeps = orphan_lists.read(readers.s3, names, of, folder=Path(folder)) if names else None
    ledger = Ledger(database)
    try:
        return build(
            receipts.around(readers.logs, group=source.log_group, since=of.since, until=of.until),
            ledger,
            subject=source.subject, period=of,
            declared=surroundings.declared(resource, names) if resource and names else None,
            group=surroundings.log_group(readers.logs, name=source.log_group, region=source.subject.region),
            sweeps=sweeps, now=now, stated=stated, progress=_progress(source.subject.tenant),
        )  # fmt: skip
    finally:
        ledger.close()


def _progress(tenant: str) -> Any:
    """On a terminal the line is overwritten; in the log of a Job it is a line each time."""

    def show(lines: int, at: datetime) -> None:
        text = f"{tenant}: {counted(lines, 'line')} of receipts read, up to {at:%Y-%m-%d %H:%M} UTC"
        if sys.stderr.isatty():
            terminal.overwrite(text)
        else:
            terminal.show(text, err=True)

    return show


def _outcome(written: _Written, opened: Opened | None) -> ReportOutcome:
    report, files, folder = written
    found = report.figures
    return ReportOutcome(
        title=f"{report.subject.tenant}, {report.period.title}", tenant=report.subject.tenant,
        numbers={name: found[name] for name in COUNTED} if found else None, gaps=tuple(report.gaps),
        files=tuple(str(path) for path in files if path.exists()),
        stored=f"s3://{opened.bucket.name}/{opened.bucket.prefix}{folder}" if opened else None,
    )  # fmt: skip
