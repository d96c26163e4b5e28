"""`humangov uninstall-check`: checks whether the operator can be uninstalled."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from humangov.api.counts import counted
from humangov.api.spec import FINALIZER, PLURAL
from humangov.cli import options, terminal
from humangov.kube import client
from humangov.kube.tenants import Tenants

_SHOWN = 10


@click.command("uninstall-check", context_settings=options.CONTEXT)
@options.namespaces("Namespace to check. Repeatable (environment: separated by spaces).")
@click.option(
    "--undo",
    metavar="COMMAND",
    help="Command that keeps the operator. If the check fails, its output shows this command.",
)
@options.output()
def command(*, namespaces: tuple[str, ...], undo: str | None, form: str) -> None:
    """Check whether the operator can be uninstalled.

    It can't while HumanGovStates have its finalizer.

    Exit code 0: it can. 1: it can't, or an error.
    """
    try:
        held = holding(asyncio.run(_states(namespaces)))
    except client.KubeError as error:
        unknown = "so it is unknown whether HumanGovStates need the operator. To uninstall anyway, use --no-hooks"
        raise click.ClickException(f"{error}; {unknown}") from error
    terminal.show_result(
        {"uninstallable": not held, "held": held},
        answer(held, namespaces=namespaces, undo=undo).split("\n"),
        form=form,
    )
    sys.exit(1 if held else 0)


async def _states(namespaces: Sequence[str]) -> list[client.Resource]:
    """Raises KubeError."""
    api = Tenants()
    try:
        return await api.list_resources(namespaces)
    except client.KubeError as error:
        if error.status == 404:  # without the definition there are none
            return []
        raise
    finally:
        await api.close()


def holding(resources: Iterable[Mapping[str, Any]]) -> list[str]:
    """`namespace/name` of each HumanGovState with the operator's finalizer."""
    return sorted(
        f"{metadata['namespace']}/{metadata['name']}"
        for metadata in (resource["metadata"] for resource in resources)
        if FINALIZER in (metadata.get("finalizers") or ())
    )


def answer(held: Sequence[str], *, namespaces: Sequence[str], undo: str | None = None) -> str:
    """The text about the HumanGovStates that `holding` found in these namespaces (empty: in all).

    undo: the command that cancels the uninstallation.
    """
    if not held:
        where = ", ".join(namespaces) or "any namespace"
        return f"No HumanGovState in {where} needs the operator: it can be uninstalled."
    shown = [f"  {key}" for key in held[:_SHOWN]]
    if len(held) > _SHOWN:
        shown.append(f"  and {len(held) - _SHOWN} more")
    places = [f"-n {namespace}" for namespace in namespaces] or ["-A"]
    delete = [f"  kubectl delete {PLURAL} --all {flags}" for flags in places]
    retain = [line for flags in places for line in _retain(flags)]
    back = ["", "To keep the operator, run this command. Until then, Helm refuses upgrades.", f"  {undo}"]
    return "\n".join(
        [
            f"{counted(len(held), 'HumanGovState needs', plural='HumanGovStates need')} the operator:",
            *shown,
            "Without the operator, nothing deletes their AWS resources, and `kubectl delete` of these HumanGovStates",
            "hangs. You can uninstall in two ways.",
            "",
            "(a) Delete the AWS resources: delete the HumanGovStates, wait for that, and uninstall again.",
            *delete,
            "",
            "(b) Release the AWS resources, and they keep working: set deletionPolicy first, then delete as in (a).",
            *retain,
            "",
            "To reinstall the operator later, uninstall with --no-hooks: HumanGovStates and AWS resources stay as they",
            "are, and the new operator finds all resources by their tags.",
            *(back if undo else ()),
        ]
    )


def _retain(flags: str) -> list[str]:
    path = '{range .items[*]}{.metadata.namespace} {.metadata.name}{"\\n"}{end}'
    return [
        f"  kubectl get {PLURAL} {flags} -o jsonpath='{path}' |",
        "    while read -r namespace name; do",
        f'      kubectl patch {PLURAL} -n "$namespace" "$name" --type merge \\',
        '        -p \'{"spec":{"deletionPolicy":"Retain"}}\' </dev/null',
        "    done",
    ]
