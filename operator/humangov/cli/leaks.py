"""`humangov leaks`: what AWS still has of tenants whose HumanGovState is gone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from humangov import logs
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.cli import lookup, options
from humangov.cli.signals import exit_code, stopping
from humangov.kube import client
from humangov.leaks import remove


@dataclass(frozen=True, kw_only=True)
class LeaksOptions:
    """Whose AWS objects are looked for, and what is done to them."""

    tenant: str | None
    namespaces: tuple[str, ...]
    delete: bool
    delete_logs: bool
    crd_removed: bool
    trust_cluster_name: bool
    region: str | None
    cluster_name: str | None


@click.command("leaks", context_settings=options.CONTEXT)
@click.argument("tenant", required=False)
@click.option(
    "-n", "--namespace", "namespaces", envvar="HUMANGOV_NAMESPACE", multiple=True, show_default="all",
    help="Look only for tenants of this namespace; may be given often (environment: separated by spaces).",
)  # fmt: skip
@click.option("--delete", is_flag=True, help="Remove what is found, in the order of a deletion; else it is only told.")
@click.option(
    "--delete-logs", is_flag=True,
    help="With --delete: remove log groups too. They hold the receipts; else they only lose the operator's mark.",
)  # fmt: skip
@click.option(
    "--crd-removed", is_flag=True,
    help="The definition was removed from the cluster, and every HumanGovState with it.",
)  # fmt: skip
@click.option(
    "--trust-cluster-name", is_flag=True,
    help="With --delete: take --cluster-name as it is, though nothing in this cluster shows that it has that name.",
)  # fmt: skip
@options.region("AWS region to look in.")
@options.cluster_name(
    "As of `humangov run`: the cluster's name in the ownership tag humangov.io/tenant.",
    default="the UID of namespace kube-system",
)
def command(**given: Any) -> None:
    """Find what AWS still has of tenants whose HumanGovState is gone, and with --delete remove it.

    TENANT (NAME or NAMESPACE/NAME) limits it to one. Such leftovers come to be when a HumanGovState's finalizer is
    taken off by hand. They are known by their tag; of the cluster it is asked anew which HumanGovStates there are.
    Tables, buckets, and other clusters' objects are not touched. It works with your credentials, in one account and
    region, and may be stopped and repeated at any time.

    Exit code 0: nothing is left over. 2: something is. 1: it could not be told or done. 130, 143: stopped.
    """
    asked = LeaksOptions(**given)
    logs.configure(log_format="text", level="error")
    if asked.delete_logs and not asked.delete:
        raise click.UsageError("--delete-logs needs --delete")
    wanted = _wanted(asked)
    with stopping() as stopped_by:
        try:
            left = _leaks(wanted, asked, stop=lambda: stopped_by() is not None)
        except (remove.UncertainLeakError, client.KubeError) as error:
            raise click.ClickException(str(error)) from error
        except AwsError as error:
            remedy = f". {error.remedy}" if error.remedy else ""
            raise click.ClickException(f"{error}{remedy}. What was done is done; run it again") from error
        number = stopped_by()
    sys.exit(exit_code(number, otherwise=2 if left else 0))


def _wanted(asked: LeaksOptions) -> remove.LeakSearch:
    """What is looked for. Raises ClickException."""
    region, key, namespaces = options.required_region(asked.region), None, asked.namespaces
    if asked.tenant is not None:
        if len(namespaces) > 1:
            raise click.UsageError("a TENANT has one --namespace at most")
        namespace, name = lookup.which(asked.tenant, namespaces[0] if namespaces else None)
        key, namespaces = f"{namespace}/{name}", (namespace,)
    return remove.LeakSearch(
        cluster=asked.cluster_name, region=region, namespaces=namespaces, key=key,
        crd_removed=asked.crd_removed,
    )  # fmt: skip


def _leaks(wanted: remove.LeakSearch, asked: LeaksOptions, *, stop: Callable[[], bool]) -> bool:
    """Whether something is left over. Raises KubeError, AwsError, UncertainLeakError."""
    api_server, clients, keep_logs = remove.ApiServer(wanted), Clients(region=wanted.region), not asked.delete_logs
    found = remove.search_leaks(api_server, clients, wanted)
    for lines in remove.heading(found):
        click.echo(lines)
    if asked.delete and found.leaked and not (found.proven or asked.trust_cluster_name):
        raise remove.UncertainLeakError(
            f"nothing in this cluster shows that its name is, or was, {found.identity.cluster}; another cluster may "
            "live under it. If you are sure, say --trust-cluster-name"
        )
    left = False
    for key in found.leaked:
        if stop():
            return True
        if asked.delete:
            done = remove.remove(api_server, clients, found, key, keep_logs=keep_logs, stop=stop)
            click.echo("\n".join(remove.result(key, done)))
            left = left or done.waiting is not None
        else:
            names = remove.names_of(clients, found, key, keep_logs=keep_logs)
            click.echo("\n".join(remove.description(found, key, names, keep_logs=keep_logs)))
            left = True
    if left and not asked.delete:
        click.echo("Nothing was changed. --delete removes it")
    return left
