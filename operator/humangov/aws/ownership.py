"""Which tenant owns an AWS resource, according to its ownership tag, and who may adopt it if none does. Pure.

A retained log group holds receipts, and a retained function and role still work: the tag of their origin stays, and
only a HumanGovState of the same cluster, namespace and name adopts them again.

Two clusters may have one name, and so write the same ownership tag: by mistake, or while HumanGovStates move from one
to the other. The tag of the cluster's UID says whose it is; a resource without it is from before there was this tag.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from humangov.api.names import CLUSTER_UID_TAG, ORIGIN_TAG, OWNER_TAG, Identity, Names
from humangov.aws import unknown

OWNERSHIP_TAGS = (OWNER_TAG, CLUSTER_UID_TAG)
"""What a release removes; the tag of the origin stays."""


OTHER_CLUSTER = "OtherCluster"
"""The reason of a Finding about what is another cluster's."""


class NotOwnedError(Exception):
    """A resource of that name has no ownership tag, or another owner's. It is not changed; the text says why."""


class OtherClusterError(NotOwnedError):
    """It has this tenant's ownership tag, and another cluster's UID."""


def is_owned(tags: Mapping[str, str] | None, names: Names) -> bool:
    """Whether the tags, None where they were not read, hold the tenant's ownership tag, of no other cluster."""
    return (tags or {}).get(OWNER_TAG) == names.owner and other_cluster(tags, names.identity) is None


def other_cluster(tags: Mapping[str, str] | None, identity: Identity) -> str | None:
    """The UID in the tags, if it is neither this cluster's, nor one's from which HumanGovStates were moved here.

    While this cluster's UID is not known, each is another's: an unknown is no permission.
    """
    uid = (tags or {}).get(CLUSTER_UID_TAG)
    return None if uid in (None, identity.cluster_uid) or uid in identity.moved_from else uid


def require_ownership(
    *, kind: str, target: str, tags: Mapping[str, str], names: Names, adoptable: bool = False
) -> None:
    """Raise NotOwnedError unless the tags, which were read and not guessed, hold the tenant's ownership tag.

    `adoptable`: what has no ownership tag may be adopted, if the tenant's spec.adoption says so.
    """
    if is_owned(tags, names) or (adoptable and adopts(tags, names)):
        return
    if tags.get(OWNER_TAG) == names.owner and (uid := other_cluster(tags, names.identity)) is not None:
        raise OtherClusterError(of_other_cluster(f"{kind} {target}", uid, names.identity))
    raise NotOwnedError(
        f"{kind} {target} exists, but {_whose(tags, names)}, so it is not changed. Delete it, or choose another "
        f"spec.function.name in a new HumanGovState{_adoption(tags, names) if adoptable else ''}; the tenant then "
        "recovers automatically"
    )


def _whose(tags: Mapping[str, str], names: Names) -> str:
    owner, origin, namespace = tags.get(OWNER_TAG), tags.get(ORIGIN_TAG), names.tenant.namespace
    if owner:
        return f"is owned by {shown(owner, namespace=namespace)}"
    if origin not in (None, names.owner):
        return f"was retained by {shown(origin, namespace=namespace)} (tag {ORIGIN_TAG})"
    return f"has no {OWNER_TAG} tag"


def _adoption(tags: Mapping[str, str], names: Names) -> str:
    """What else there is to do."""
    if OWNER_TAG in tags:
        return ""
    if tags.get(ORIGIN_TAG, names.owner) != names.owner:
        return f". To give it to this one, remove its tag {ORIGIN_TAG}, and adopt it (spec.adoption: IfUntagged)"
    return ", or set spec.adoption: IfUntagged to adopt it"


def of_other_cluster(what: str, uid: str, identity: Identity) -> str:
    """Whose it is, and what to do. what: the resource or record that names the UID."""
    own = identity.cluster_uid
    if own is None:
        return (
            f"{what} belongs to the cluster whose namespace kube-system has UID {uid}. It is unknown whether that is "
            "this cluster, so it is not changed. Grant the operator's service account the permission to get namespace "
            "kube-system (deploy/install.yaml)"
        )
    return (
        f"{what} belongs to another cluster with the name {identity.cluster}: the UID of its namespace kube-system "
        f"is {uid}, this cluster's is {own}. It is not changed. If the HumanGovStates were moved here, and no operator "
        f"runs there any more, start this operator with --moved-from {uid}. If the other cluster should keep them, "
        "delete the HumanGovState here (what belongs to the other cluster stays in AWS), and give this cluster "
        "another --cluster-name"
    )


def shown(owner: str | None, *, namespace: str) -> str:
    """The owner for the readers of a namespace: who reads its statuses may not know what is in others.

    owner: `<cluster>/<namespace>/<name>`, as in the ownership tag.
    """
    parts = (owner or "").split("/")
    return "/".join(parts) if len(parts) == 3 and parts[1] == namespace else "a HumanGovState of another namespace"


def adopts(tags: Mapping[str, str], names: Names) -> bool:
    """Whether a resource with these tags, which the tenant does not own yet, is to be adopted.

    What another tenant has retained is not: not its receipts, nor the function and role that still work for it.
    """
    has_no_other_origin = (
        tags.get(ORIGIN_TAG, names.owner) == names.owner and other_cluster(tags, names.identity) is None
    )
    return OWNER_TAG not in tags and has_no_other_origin and names.tenant.adoption == "IfUntagged"


def missing_tags(*, actual: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The tags to set; tags that the operator does not declare are left alone."""
    return {key: value for key, value in wanted.items() if actual.get(key) != value}


def is_of_cluster(tags: Collection[str]) -> bool:
    """Whether these tags, which are to be set, say no more than whose cluster's the resource is."""
    return set(tags) == {CLUSTER_UID_TAG}


def tagging_summary(tags: Collection[str]) -> str:
    """The summary of a change of tags."""
    return f"set tags {', '.join(sorted(tags))}"


def adoption_summary(what: str) -> str:
    """The summary of a change of tags by which an object is adopted."""
    return f"adopt {what}, which had no ownership tag (spec.adoption: IfUntagged)"


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """As IAM and DynamoDB take tags: `[{"Key": …, "Value": …}]`."""
    return [{"Key": name, "Value": tags[name]} for name in sorted(tags)]


def tag_map(tags: Iterable[Mapping[str, str]], *, action: str, target: str) -> dict[str, str]:
    """The same, the other way. action, target: of the call that returned them. Raises AwsError if it tells none."""

    def of(tag: Mapping[str, str], field: str) -> str:
        return str(unknown.shown(tag, field, action=action, target=target))

    return {of(tag, "Key"): of(tag, "Value") for tag in tags}
