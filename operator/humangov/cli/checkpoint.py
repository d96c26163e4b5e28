"""`humangov checkpoint`: states where the chains of receipts end, so that a removed end shows later."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import boto3
import click

from humangov import logs
from humangov.api.counts import counted
from humangov.api.spec import InvalidSpecError
from humangov.aws.data_plane import connect_to_sign
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.aws.identity import UnknownTenantError, names_of
from humangov.cli import account_role, lookup, options, report_bucket, terminal
from humangov.cli.lookup import Found
from humangov.cli.options import EveryOptions
from humangov.cli.report_bucket import Opened, StoringOptions
from humangov.proof import checkpoint_store, signature
from humangov.proof.checkpoint import SETTLES_AFTER_MINUTES
from humangov.proof.checkpoint_store import OvertakenError
from humangov.proof.receipts import milliseconds
from humangov.proof.signature import SigningKeyError

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions(EveryOptions, StoringOptions):
    """Of which tenants, in which bucket, signed by which key, and the form of the output."""

    signing_key: str | None
    account_role: str | None
    minimum_age: int
    form: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of one tenant's checkpoint. code: as the command's. place: None if none was written; message: why.

    until: lines that are dated up to then are covered.
    """

    tenant: str
    code: int
    message: str | None = None
    place: str | None = None
    until: str | None = None
    log_streams: int = 0
    findings: tuple[str, ...] = ()


@click.command("checkpoint", context_settings=options.CONTEXT)
@options.tenant_options
@options.every_option
@report_bucket.reading_options(required=True, what="checkpoints")
@report_bucket.storing_options
@account_role.option()
@click.option(
    "--signing-key", envvar="HUMANGOV_REPORTS_SIGNING_KEY", show_default="no signature",
    help="Asymmetric KMS key that signs the checkpoint: its ID, alias or ARN, in the region of --region.",
)  # fmt: skip
@click.option(
    "--minimum-age", type=click.IntRange(min=0, max=1440), default=SETTLES_AFTER_MINUTES, metavar="MINUTES",
    help="Cover lines that are at least this old. CloudWatch Logs may show a line some time after it was stored: with "
    "less than an hour, `humangov verify` may call such a line inserted.",
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
    minimum_age = timedelta(minutes=arguments.minimum_age)
    if arguments.signing_key is not None:
        sign = partial(signature.signed, connect_to_sign(region=region), arguments.signing_key)
    every = terminal.show_each(
        (
            _written(found, opened, sign=sign, minimum_age=minimum_age, now=datetime.now(UTC))
            for found in _found(arguments)
        ),
        form=arguments.form,
        show_one=_show,
        whole=lambda written: {"checkpoints": [_fields(one) for one in written]},
    )
    codes = [one.code for one in every]
    sys.exit(1 if 1 in codes else max(codes, default=0))


def _unsigned(content: bytes) -> bytes:
    return content


def _found(arguments: CheckpointOptions) -> Iterator[Found | Written]:
    """Each HumanGovState; or why there is no checkpoint of it. Raises ClickException."""
    region = options.sdk_region(arguments.region)

    def session_of(resource: Mapping[str, Any]) -> boto3.Session | None:
        return account_role.session(resource, name=arguments.account_role, default_region=region)

    if not arguments.every:
        yield account_role.found(arguments, name=arguments.account_role)
        return
    for resource, cluster in lookup.every(arguments):
        if not lookup.is_provisioned(resource):
            yield Written(tenant=_key(resource), code=0, message=lookup.NOT_PROVISIONED)
            continue
        try:
            session = session_of(resource)
            names = names_of(resource, default_region=region, cluster=cluster, session=session)
            yield Found(resource, names, session)
        except (UnknownTenantError, InvalidSpecError) as error:
            message = account_role.with_remedy(str(error), resource, name=arguments.account_role)
            yield Written(tenant=_key(resource), code=1, message=message)


def _key(resource: Mapping[str, Any]) -> str:
    return f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"


def _written(
    found: Found | Written, opened: Opened, *, sign: Sign, minimum_age: timedelta, now: datetime
) -> Written:  # fmt: skip
    if isinstance(found, Written):
        return found
    names, key = found.names, found.names.tenant.key
    try:
        place, chain, readers, group = report_bucket.chain_of(names, opened, session=found.session)
        following = checkpoint_store.following(
            readers.logs, chain, group, tenant=names.owner, minimum_age=minimum_age, now=now
        )
        if following is None:
            return _too_early(key, chain.until_ms, now=now)
        written = checkpoint_store.store(opened.s3, place, following, after=chain, sign=sign, now=now)
    except OvertakenError as error:
        return Written(tenant=key, code=0, message=str(error))
    except SDK_ERRORS as error:
        return Written(tenant=key, code=1, message=without_names(error))
    except SigningKeyError as error:
        return Written(tenant=key, code=1, message=str(error))
    return Written(
        tenant=key, code=2 if following.problems else 0, place=f"s3://{opened.bucket.name}/{written}",
        until=_shown(following.until_ms), log_streams=len(following.streams), findings=tuple(following.problems),
    )  # fmt: skip


def _too_early(key: str, until_ms: int, *, now: datetime) -> Written:
    """No checkpoint follows one that covers later times. One that is dated in the future stops all that would follow:
    no clock of ours dates one so, and a removed line would show to nobody."""
    if until_ms <= milliseconds(now):
        return Written(tenant=key, code=0, message="the last one covers all lines that are old enough (--minimum-age)")
    return Written(
        tenant=key, code=1, message=f"the last one is dated {_shown(until_ms)}, which is in the future: its writer's "
        "clock was wrong, or somebody else wrote it. Until then no checkpoint follows it. Look at it, keep a copy, and "
        "write the next ones under another --prefix, or in another bucket",
    )  # fmt: skip


def _shown(until_ms: int) -> str:
    return f"{datetime.fromtimestamp(until_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _show(one: Written) -> None:
    if one.place is None:
        terminal.show(
            f"{one.tenant}: no checkpoint: {one.message}", err=one.code == 1 or one.message == lookup.NOT_PROVISIONED
        )
        return
    terminal.show(
        f"{one.tenant}: {counted(one.log_streams, 'log stream')} in {one.place}",
        f"  covers lines up to {one.until}; the next one covers later ones",
    )
    terminal.show(*(f"  {finding}" for finding in one.findings))


def _fields(one: Written) -> dict[str, Any]:
    return {
        "tenant": one.tenant,
        "checkpoint": one.place,
        "until": one.until,
        "logStreams": one.log_streams,
        "findings": list(one.findings),
        "message": one.message,
        "failed": one.code == 1,
    }
