"""`humangov checkpoint`: states where the chains of receipts end, so that a removed end shows later."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from humangov import logs
from humangov.api.counts import counted
from humangov.api.names import Names
from humangov.api.spec import InvalidSpecError
from humangov.aws.data_plane import connect_to_sign
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.aws.identity import UnknownTenantError, names_of
from humangov.cli import lookup, options, report_bucket, terminal
from humangov.cli.options import EveryOptions
from humangov.cli.report_bucket import Opened, StoringOptions
from humangov.proof import checkpoint_store, signature
from humangov.proof.signature import SigningKeyError

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions(EveryOptions, StoringOptions):
    """Of which tenants, in which bucket, signed by which key, and the form of the output."""

    signing_key: str | None
    form: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of one tenant's checkpoint. code: as the command's. place: None if none was written; message: why."""

    tenant: str
    code: int
    message: str | None = None
    place: str | None = None
    log_streams: int = 0
    findings: tuple[str, ...] = ()


@click.command("checkpoint", context_settings=options.CONTEXT)
@options.tenant_options
@options.every_option
@report_bucket.reading_options(required=True, what="checkpoints")
@report_bucket.storing_options
@click.option(
    "--signing-key", envvar="HUMANGOV_REPORTS_SIGNING_KEY", show_default="no signature",
    help="Asymmetric KMS key that signs the checkpoint: its ID, alias or ARN, in the region of --region.",
)  # fmt: skip
@options.output()
def command(**given: Any) -> None:
    """Write a checkpoint of receipts to a bucket.

    A checkpoint states the last line of each log stream. With it, `humangov verify` finds lines and log streams that
    were removed later. Write one each day.

    TENANT is NAME or NAMESPACE/NAME.

    Exit code 0: written. 2: written, but lines do not follow the checkpoint before; it states which. 1: an error.
    """
    arguments = CheckpointOptions(**given)
    logs.configure(log_format="text", level="warning")
    if arguments.every and (arguments.tenant or arguments.filename):
        raise click.UsageError("--all needs no TENANT or --filename: give only one of them")
    region = options.required_region(arguments.region)
    opened = report_bucket.to_store(arguments, region=region)
    sign: Sign = _unsigned
    if arguments.signing_key is not None:
        sign = partial(signature.signed, connect_to_sign(region=region), arguments.signing_key)
    every = terminal.show_each(
        (_written(names, opened, sign=sign, now=datetime.now(UTC)) for names in _names(arguments)),
        form=arguments.form,
        show_one=_show,
        whole=lambda written: {"checkpoints": [_fields(one) for one in written]},
    )
    codes = [one.code for one in every]
    sys.exit(1 if 1 in codes else max(codes, default=0))


def _unsigned(content: bytes) -> bytes:
    return content


def _names(arguments: CheckpointOptions) -> Iterator[Names | Written]:
    """Of each HumanGovState; or why there is no checkpoint of it. Raises ClickException."""
    if not arguments.every:
        yield lookup.names(arguments)
        return
    for resource, cluster in lookup.every(arguments):
        if not lookup.is_provisioned(resource):
            yield Written(tenant=_key(resource), code=0, message=lookup.NOT_PROVISIONED)
            continue
        try:
            yield names_of(resource, default_region=options.sdk_region(arguments.region), cluster=cluster)
        except (UnknownTenantError, InvalidSpecError) as error:
            yield Written(tenant=_key(resource), code=1, message=str(error))


def _key(resource: Mapping[str, Any]) -> str:
    return f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"


def _written(names: Names | Written, opened: Opened, *, sign: Sign, now: datetime) -> Written:
    if isinstance(names, Written):
        return names
    key = names.tenant.key
    try:
        place, chain, readers, group = report_bucket.chain_of(names, opened)
        found = checkpoint_store.following(readers.logs, chain, group, tenant=names.owner, now=now)
        if found is None:
            return Written(tenant=key, code=0, message="the last one is less than an hour old")
        written = checkpoint_store.store(opened.s3, place, found, sign=sign, now=now)
    except SDK_ERRORS as error:
        return Written(tenant=key, code=1, message=without_names(error))
    except SigningKeyError as error:
        return Written(tenant=key, code=1, message=str(error))
    return Written(
        tenant=key, code=2 if found.problems else 0, place=f"s3://{opened.bucket.name}/{written}",
        log_streams=len(found.streams), findings=tuple(found.problems),
    )  # fmt: skip


def _show(one: Written) -> None:
    if one.place is None:
        terminal.show(
            f"{one.tenant}: no checkpoint: {one.message}", err=one.code == 1 or one.message == lookup.NOT_PROVISIONED
        )
        return
    terminal.show(f"{one.tenant}: {counted(one.log_streams, 'log stream')} in {one.place}")
    terminal.show(*(f"  {finding}" for finding in one.findings))


def _fields(one: Written) -> dict[str, Any]:
    return {
        "tenant": one.tenant,
        "checkpoint": one.place,
        "logStreams": one.log_streams,
        "findings": list(one.findings),
        "message": one.message,
        "failed": one.code == 1,
    }
