"""Which tenant owns an AWS resource, according to its ownership tag. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from humangov.api.names import OWNER_TAG, Names


class NotOwnedError(Exception):
    """A resource of that name has no ownership tag, or another owner's. It is not changed; the text says why."""


def is_owned(tags: Mapping[str, str] | None, names: Names) -> bool:
    """Whether the tags, None where they were not read, hold the tenant's ownership tag."""
    return (tags or {}).get(OWNER_TAG) == names.owner


def require_ownership(
    *, kind: str, target: str, tags: Mapping[str, str], names: Names, adoptable: bool = False
) -> None:
    """Raise NotOwnedError unless the tags, which were read and not guessed, hold the tenant's ownership tag.

    `adoptable`: what has no ownership tag may be adopted, if the tenant's spec.adoption says so.
    """
    if is_owned(tags, names) or (adoptable and adopts(tags, names)):
        return
    owner = tags.get(OWNER_TAG)
    ownership = f"is owned by {shown(owner, namespace=names.tenant.namespace)}" if owner else f"has no {OWNER_TAG} tag"
    adoption = ", or set spec.adoption: IfUntagged to adopt it" if adoptable and not owner else ""
    raise NotOwnedError(
        f"{kind} {target} exists, but {ownership}, so it is not changed. Delete it, or choose another "
        f"spec.function.name in a new HumanGovState{adoption}; the tenant then recovers automatically"
    )


def shown(owner: str, *, namespace: str) -> str:
    """The owner for the readers of a namespace: who reads its statuses may not know what is in others.

    owner: `<cluster>/<namespace>/<name>`, as in the ownership tag.
    """
    parts = owner.split("/")
    return owner if len(parts) == 3 and parts[1] == namespace else "a HumanGovState of another namespace"


def adopts(tags: Mapping[str, str], names: Names) -> bool:
    """Whether a resource with these tags, which the tenant does not own yet, is to be adopted."""
    return OWNER_TAG not in tags and names.tenant.adoption == "IfUntagged"


def missing_tags(*, actual: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The tags to set; tags that the operator does not declare are left alone."""
    return {key: value for key, value in wanted.items() if actual.get(key) != value}


def tagging_summary(tags: Mapping[str, str]) -> str:
    """The summary of a change of tags."""
    return f"set tags {', '.join(sorted(tags))}"


def adoption_summary(what: str) -> str:
    """The summary of a change of tags by which an object is adopted."""
    return f"adopt {what}, which had no ownership tag (spec.adoption: IfUntagged)"


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """As IAM and DynamoDB take tags: `[{"Key": …, "Value": …}]`."""
    return [{"Key": name, "Value": tags[name]} for name in sorted(tags)]


def tag_map(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The same, the other way."""
    return {tag["Key"]: tag["Value"] for tag in tags}
