"""`humangov uninstall-check`: may the operator be taken away?"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from humangov.api.spec import FINALIZER, PLURAL
from humangov.cli import options
from humangov.kube import client
from humangov.kube.tenants import Tenants

_SHOWN = 10


@click.command("uninstall-check", context_settings=options.CONTEXT)
@options.namespaces("Namespace to look at; may be given often (environment: separated by spaces).")
@click.option("--undo", metavar="COMMAND", help="Command by which the operator is kept after all; shown to people.")
def command(*, namespaces: tuple[str, ...], undo: str | None) -> None:
    """Tell whether the operator may be uninstalled: not while HumanGovStates have AWS objects that only it removes.

    Exit code 0: it may. 1: it may not, or that could not be told.
    """
    try:
        held = holding(asyncio.run(_states(namespaces)))
    except client.KubeError as error:
        unknown = (
            "whether HumanGovStates still need the operator is not known; to uninstall without knowing: --no-hooks"
        )
        raise click.ClickException(f"{error}; {unknown}") from error
    click.echo(answer(held, namespaces=namespaces, undo=undo))
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
    """`namespace/name` of each HumanGovState that only the operator can let go."""
    return sorted(
        f"{metadata['namespace']}/{metadata['name']}"
        for metadata in (resource["metadata"] for resource in resources)
        if FINALIZER in (metadata.get("finalizers") or ())
    )


def answer(held: Sequence[str], *, namespaces: Sequence[str], undo: str | None = None) -> str:
    """What a person is told about the HumanGovStates that `holding` found in these namespaces (none named: in all).

    `undo` is the command by which the operator is kept after all.
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
    back = ["", "To keep the operator after all, tell Helm so; until then it refuses upgrades.", f"  {undo}"]
    return "\n".join(
        [
            f"{len(held)} HumanGovState{'s need' if len(held) > 1 else ' needs'} the operator:",
            *shown,
            "Without it their AWS objects would go on running with nobody to remove them, and `kubectl delete` of",
            "these HumanGovStates would hang. There are two ways to uninstall.",
            "",
            "(a) Remove the AWS objects: delete the HumanGovStates, wait until they are gone, and uninstall again.",
            *delete,
            "",
            "(b) Keep the AWS objects working, and let go of them: set deletionPolicy first, then delete as in (a).",
            *retain,
            "",
            "To come back later, uninstall with --no-hooks: HumanGovStates and AWS objects stay as they are, and an",
            "operator that is installed again finds all of them by their tags.",
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
