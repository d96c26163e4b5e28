"""`humangov leaks`: AWS resources that deleted HumanGovStates left behind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click

from humangov import logs
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.cli import lookup, options, terminal
from humangov.cli.signals import exit_code, stopping
from humangov.kube import client
from humangov.leaks import output, remove
from humangov.leaks.output import Leak


@dataclass(frozen=True, kw_only=True)
class LeaksOptions:
    """Which tenants, whether their leaked resources are deleted, and the form of the output."""

    tenant: str | None
    namespaces: tuple[str, ...]
    delete: bool
    delete_logs: bool
    crd_removed: bool
    trust_cluster_name: bool
    moved_from: tuple[str, ...]
    region: str | None
    cluster_name: str | None
    form: str


@click.command("leaks", context_settings=options.CONTEXT)
@click.argument("tenant", required=False)
@click.option(
    "-n", "--namespace", "namespaces", envvar="HUMANGOV_NAMESPACE", multiple=True, show_default="all",
    help="Search only for tenants of this namespace. Repeatable (environment: separated by spaces).",
)  # fmt: skip
@click.option("--delete", is_flag=True, help="Delete the leaked resources. Without it, they are only listed.")
@click.option(
    "--delete-logs", is_flag=True,
    help="With --delete: delete log groups too. They contain the receipts. Without it, only their ownership tag is "
    "removed.",
)  # fmt: skip
@click.option(
    "--crd-removed", is_flag=True,
    help="Confirm that the CustomResourceDefinition was removed, and every HumanGovState with it.",
)  # fmt: skip
@click.option(
    "--trust-cluster-name", is_flag=True,
    help="With --delete: accept --cluster-name although nothing in this cluster confirms that name.",
)  # fmt: skip
@options.moved_from(
    "UID of a cluster that no longer runs and that this one replaces: its resources count as this one's."
)
@options.region("AWS region to search.")
@options.cluster_name(
    "Name of the cluster in the ownership tag humangov.io/tenant, as given to `humangov run`.",
    default="the UID of namespace kube-system",
)
@options.output()
def command(**given: Any) -> None:
    """List leaked AWS resources.

    Their HumanGovState no longer exists. Delete them with --delete.

    TENANT (NAME or NAMESPACE/NAME) limits the search to one tenant. Resources leak, for example, when someone removes
    a HumanGovState's finalizer by hand. The command compares their ownership tags with the HumanGovStates in the
    cluster. It never deletes tables, buckets or resources of other clusters. It uses your credentials, in one account
    and region. You can stop and repeat it at any time.

    Exit code 0: no leaked resources. 2: there are some. 1: an error. 130, 143: stopped by a signal.
    """
    arguments = LeaksOptions(**given)
    logs.configure(log_format="text", level="error")
    if arguments.delete_logs and not arguments.delete:
        raise click.UsageError("--delete-logs needs --delete")
    wanted = _wanted(arguments)
    with stopping() as stopped_by:
        try:
            left = _leaks(wanted, arguments, stop=lambda: stopped_by() is not None)
        except (remove.UncertainLeakError, client.KubeError) as error:
            raise click.ClickException(str(error)) from error
        except AwsError as error:
            remedy = f". {error.remedy}" if error.remedy else ""
            raise click.ClickException(f"{error}{remedy}. Run the command again to continue") from error
        number = stopped_by()
    sys.exit(exit_code(number, otherwise=2 if left else 0))


def _wanted(arguments: LeaksOptions) -> remove.LeakSearch:
    """The search that the arguments describe. Raises ClickException."""
    region, key, namespaces = options.required_region(arguments.region), None, arguments.namespaces
    if arguments.tenant is not None:
        if len(namespaces) > 1:
            raise click.UsageError("with TENANT, give --namespace at most once")
        namespace, name = lookup.which(arguments.tenant, namespaces[0] if namespaces else None)
        key, namespaces = f"{namespace}/{name}", (namespace,)
    return remove.LeakSearch(
        cluster=arguments.cluster_name, region=region, namespaces=namespaces, key=key,
        crd_removed=arguments.crd_removed, moved_from=frozenset(arguments.moved_from),
    )  # fmt: skip


def _leaks(wanted: remove.LeakSearch, arguments: LeaksOptions, *, stop: Callable[[], bool]) -> bool:
    """Whether leaked resources remain. Raises KubeError, AwsError, UncertainLeakError."""
    api_server, clients, keep_logs = remove.ApiServer(wanted), Clients(region=wanted.region), not arguments.delete_logs
    found = remove.search_leaks(api_server, clients, wanted)
    if arguments.form == "table":
        terminal.show(*output.heading(found))
    if arguments.delete and found.leaked and not (found.proven or arguments.trust_cluster_name):
        raise remove.UncertainLeakError(
            f"nothing in this cluster shows that its name is, or was, {found.identity.cluster}. Another running "
            "cluster may have that name. If you are sure that none has, add --trust-cluster-name"
        )

    def handled() -> Iterator[Leak]:
        for key, objects in found.leaked.items():
            if stop():
                return
            if arguments.delete:
                done = remove.remove(api_server, clients, found, key, keep_logs=keep_logs, stop=stop)
                yield Leak(key=key, objects=objects, removed=done)
            else:
                names = remove.names_of(clients, found, key, keep_logs=keep_logs)
                yield Leak(key=key, objects=objects, functions=output.functions_of(names))

    every = terminal.show_each(
        handled(),
        form=arguments.form,
        show_one=lambda one: terminal.show(*output.lines(one, keep_logs=keep_logs)),
        whole=lambda leaks: output.as_json(found, leaks),
    )
    if arguments.form == "table" and every and not arguments.delete:
        terminal.show("Nothing was changed. To delete these resources, add --delete")
    return len(every) < len(found.leaked) or any(one.remains for one in every)
