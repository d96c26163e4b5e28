"""`humangov final-read`: the stream of a tenant that is being deleted, read once more. For the operator's Jobs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from humangov import logs
from humangov.api.spec import InvalidSpecError
from humangov.aws.identity import UnknownTenantError
from humangov.aws.receipt_log import NoReceiptError
from humangov.cli import lookup, options
from humangov.cli.options import PodOptions
from humangov.cli.signals import exit_code, stopping
from humangov.final_read.cluster import read_stream_in_cluster, status_fields
from humangov.final_read.final_read import FinalRead
from humangov.kube.client import KubeError
from humangov.kube.tenant_in_cluster import TenantGoneError, TenantInCluster
from humangov.proof import receipts
from humangov.redrive.redrive import RefusedError


@dataclass(frozen=True, kw_only=True)
class FinalReadOptions(PodOptions):
    """Whose stream, from when on, and how it is told."""

    tenant: str
    namespace: str | None
    region: str | None
    cluster_name: str | None
    since: str
    as_json: bool


@click.command("final-read", context_settings=options.CONTEXT, hidden=True)
@options.tenant_of_cluster_options
@click.option("--since", metavar="TIME", default="15m", help="From when on, as 15m or RFC 3339.")
@options.pod_options
@options.as_json()
def command(**given: Any) -> None:
    """Read the stream of a table once more, whose trigger is gone: in two minutes at most.

    TENANT is NAME or NAMESPACE/NAME. What the function would have erased is erased, by its own guards; receipts go to
    its log group.

    Exit code 0: all was read, and none failed. 2: something is left. 1: it could not be done. 130, 143: stopped.
    """
    asked = FinalReadOptions(**given)
    logs.configure(log_format="text", level="warning")
    try:
        since = receipts.moment(asked.since, now=datetime.now(UTC))
    except receipts.WhenError as error:
        raise click.UsageError(str(error)) from error
    with stopping() as stopped_by:
        found = _read(asked, since=since, stop=lambda: stopped_by() is not None)
        number = stopped_by()
    fields = status_fields(found, now=datetime.now(UTC))
    click.echo(json.dumps(fields) if asked.as_json else fields["message"])
    sys.exit(exit_code(number, otherwise=0 if found.complete else 2))


def _read(asked: FinalReadOptions, *, since: datetime, stop: Callable[[], bool]) -> FinalRead:
    """Raises ClickException."""
    namespace, name = lookup.which(asked.tenant, asked.namespace)
    try:
        with TenantInCluster(namespace=namespace, name=name, uid=asked.uid) as cluster:
            return read_stream_in_cluster(
                cluster, since=since, default_region=options.sdk_region(asked.region),
                cluster_name=asked.cluster_name, report_status=asked.report_status, stop=stop,
            )  # fmt: skip
    except (RefusedError, TenantGoneError, UnknownTenantError, InvalidSpecError, KubeError, NoReceiptError) as error:
        raise click.ClickException(str(error)) from error
    except (ClientError, BotoCoreError) as error:
        raise click.ClickException(f"{error}. What was done is done") from error
