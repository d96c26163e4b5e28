"""The bucket of reports and checkpoints, as options name it, and as it is found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import boto3
import click

from humangov.api.names import Names
from humangov.aws.clients import Clients
from humangov.aws.data_plane import Readers, connect_to_read
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.aws.errors import AwsError
from humangov.cli import options, terminal
from humangov.proof import checkpoint_store, surroundings
from humangov.proof.checkpoint import Chain
from humangov.proof.checkpoint_store import Place
from humangov.proof.report_bucket import MODES, Lock, ReportBucket, lock_configuration, lock_for
from humangov.proof.signature import Check
from humangov.proof.surroundings import LogGroup


@dataclass(frozen=True, kw_only=True)
class BucketOptions:
    """Which bucket. bucket_owner None: the account of the credentials."""

    bucket: str | None
    prefix: str
    bucket_owner: str | None


@dataclass(frozen=True, kw_only=True)
class StoringOptions(BucketOptions):
    """How objects are stored there. retention_days None: as the bucket says."""

    kms_key: str | None
    retention_days: int | None
    retention_mode: str


class Opened(NamedTuple):
    """The bucket with a client for it."""

    s3: Any
    bucket: ReportBucket


def reading_options(*, required: bool, what: str) -> options.Option[Any]:
    """what: is stored there, for the help."""
    return options.all_of(
        click.option("--bucket", envvar="HUMANGOV_REPORTS_BUCKET", required=required, help=f"The bucket of {what}."),
        click.option(
            "--prefix", default="", envvar="HUMANGOV_REPORTS_PREFIX", help="Prefix of its keys, such as humangov/."
        ),
        click.option(
            "--bucket-owner", metavar="ACCOUNT", envvar="HUMANGOV_REPORTS_BUCKET_OWNER",
            show_default="the account of your credentials", help="The account that the bucket must belong to.",
        ),
    )  # fmt: skip


storing_options = options.all_of(
    click.option(
        "--kms-key", envvar="HUMANGOV_REPORTS_KMS_KEY", show_default="as the bucket is configured",
        help="KMS key that encrypts the objects in the bucket: its ID, alias or ARN.",
    ),
    click.option(
        "--retention-days", type=click.IntRange(min=1, max=36500), metavar="DAYS",
        envvar="HUMANGOV_REPORTS_RETENTION_DAYS", show_default="as the bucket is configured",
        help="How long Object Lock retains the objects, if the bucket has it.",
    ),
    click.option(
        "--retention-mode", type=click.Choice(MODES), default=MODES[0], envvar="HUMANGOV_REPORTS_RETENTION_MODE",
        help="With COMPLIANCE, nobody can delete them earlier.",
    ),
)  # fmt: skip


def to_read(given: BucketOptions, *, region: str) -> Opened:
    """Raises ClickException."""
    try:
        owner = given.bucket_owner or Clients(region=region).identity(cluster="").account_id
    except AwsError as error:
        raise click.ClickException(str(error)) from error
    return Opened(
        connect_to_read(region=region).s3, ReportBucket(name=str(given.bucket), prefix=given.prefix, owner=owner)
    )  # fmt: skip


def to_store(given: StoringOptions, *, region: str) -> Opened:
    """Says so where objects are to be retained and the bucket has no Object Lock. Raises ClickException."""
    s3, bucket = to_read(given, region=region)
    if given.retention_days is None:
        return Opened(s3, replace(bucket, kms_key=given.kms_key))
    try:
        found = lock_configuration(s3, bucket)
    except SDK_ERRORS as error:
        raise click.ClickException(f"bucket {bucket.name}: {without_names(error)}") from error
    if found is None:
        terminal.show(
            f"bucket {bucket.name} has no Object Lock: nothing retains what is stored there, and whoever may delete "
            "its objects can remove reports and checkpoints. Enable Object Lock on the bucket",
            err=True,
        )
    lock = lock_for(found, Lock(given.retention_days, given.retention_mode))
    return Opened(s3, replace(bucket, kms_key=given.kms_key, lock=lock))


class ChainOf(NamedTuple):
    """What checkpoint and verify begin with: the checkpoints of a tenant, and its log group."""

    place: Place
    chain: Chain
    readers: Readers
    group: LogGroup


def chain_of(
    names: Names, opened: Opened, *, session: boto3.Session | None = None, check: Check | None = None,
    signed_since_ms: int = 0,
) -> ChainOf:  # fmt: skip
    """session: as whom receipts are read; None: as the caller. Raises what the SDK raises."""
    region = names.identity.region
    place, readers = Place(bucket=opened.bucket, tenant=names.owner), connect_to_read(region=region, session=session)
    group = surroundings.log_group(readers.logs, name=names.tenant.log_group_name, region=region)
    chain = checkpoint_store.read(opened.s3, place, check=check, signed_since_ms=signed_since_ms)
    return ChainOf(place, chain, readers, group)
