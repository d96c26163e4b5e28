"""`humangov uninstall-check`: may the operator be taken away? Pure, but for the list that it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from humangov.api.spec import FINALIZER, PLURAL

_SHOWN = 10


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
