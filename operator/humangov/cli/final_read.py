"""`humangov final-read`: reads the streams of a tenant that is being deleted once more. For the operator's Jobs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from humangov import logs
from humangov.api.spec import InvalidSpecError
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.aws.identity import UnknownTenantError
from humangov.cli import lookup, options, terminal
from humangov.cli.options import PodOptions
from humangov.cli.signals import exit_code, stopping
from humangov.final_read.cluster import FinalHandling, handle_finally_in_cluster, status_fields
from humangov.kube.client import KubeError
from humangov.kube.tenant_in_cluster import TenantInCluster, TenantNotFoundError


@dataclass(frozen=True, kw_only=True)
class FinalReadOptions(PodOptions):
    """Which tenant, and the form of the output."""

    tenant: str
    namespace: str | None
    region: str | None
    cluster_name: str | None
    operator_namespace: str | None
    as_json: bool
    form: str


@click.command("final-read", context_settings=options.CONTEXT, hidden=True)
@options.tenant_of_cluster_options
@options.operator_namespace()
@options.pod_options
@options.output_or_json()
def command(**given: Any) -> None:
    """Read the table's streams once more after the trigger was deleted, then redrive: for 20 minutes at most.

    TENANT is NAME or NAMESPACE/NAME. The command erases what the function would have erased, with the same checks, and
    nothing that any record of the table names. Receipts go to the function's log group.

    Exit code 0: all records were read and handled, and no failed invocation is left. 2: some were not, or that is
    unknown. 1: an error. 130, 143: stopped by a signal.
    """
    arguments = FinalReadOptions(**given)
    logs.configure(log_format="text", level="warning")
    with stopping() as stopped_by:
        found = _handle(arguments, stop=lambda: stopped_by() is not None)
        number = stopped_by()
    fields = status_fields(found, now=datetime.now(UTC))
    terminal.show_result(
        fields, [fields["message"]], form=options.form_of(form=arguments.form, as_json=arguments.as_json)
    )
    sys.exit(exit_code(number, otherwise=0 if found.complete else 2))


def _handle(arguments: FinalReadOptions, *, stop: Callable[[], bool]) -> FinalHandling:
    """Raises ClickException."""
    namespace, name = lookup.which(arguments.tenant, arguments.namespace)
    try:
        with TenantInCluster(
            namespace=namespace, name=name, uid=arguments.uid, operator_namespace=arguments.operator_namespace
        ) as cluster:
            return handle_finally_in_cluster(
                cluster, default_region=options.sdk_region(arguments.region), cluster_name=arguments.cluster_name,
                report_status=arguments.report_status, stop=stop,
            )  # fmt: skip
    except (TenantNotFoundError, UnknownTenantError, InvalidSpecError, KubeError) as error:
        raise click.ClickException(str(error)) from error
    except SDK_ERRORS as error:
        raise click.ClickException(f"{without_names(error)}. Files erased before this error stay erased") from error
