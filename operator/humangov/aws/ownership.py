"""Whose an AWS object is, as its ownership tag says. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from humangov.api.names import OWNER_TAG, Names


class NotOwnedError(Exception):
    """An object under our name carries no mark of ours, or another's; it is left alone. The message says what to do."""


def require_ownership(
    *, kind: str, target: str, tags: Mapping[str, str], names: Names, adoptable: bool = False
) -> None:
    """Raise NotOwnedError unless the tags, which were read and not guessed, carry our mark.

    `adoptable`: what carries nobody's mark may be taken over, if the tenant's spec.adoption says so.
    """
    owner = tags.get(OWNER_TAG)
    if owner == names.owner or (adoptable and adopts(tags, names)):
        return
    whose = f"belongs to {owner}" if owner else f"has no {OWNER_TAG} tag"
    take_over = ", or set spec.adoption: IfUntagged to have it taken over" if adoptable and not owner else ""
    raise NotOwnedError(
        f"{kind} {target} exists and {whose}, so it is not touched. Rename or remove it, or give the tenant "
        f"another spec.function.name{take_over}; then this goes on by itself"
    )


def adopts(tags: Mapping[str, str], names: Names) -> bool:
    """Whether an object with these tags, which is not ours yet, is to be taken over."""
    return OWNER_TAG not in tags and names.tenant.adoption == "IfUntagged"


def missing_tags(*, actual: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The tags to set: other people's tags beside ours are theirs."""
    return {key: value for key, value in wanted.items() if actual.get(key) != value}


def setting(tags: Mapping[str, str]) -> str:
    """The summary of a change of tags."""
    return f"set tags {', '.join(sorted(tags))}"


def taking_over(what: str) -> str:
    """The summary of a change of tags by which an object becomes ours."""
    return f"take over {what}, which carried nobody's mark (spec.adoption: IfUntagged)"


def tag_list(tags: Mapping[str, str], *, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: tags[name]} for name in sorted(tags)]
