"""Whether the operator is the one that created a tenant's AWS resources: in its account, region and cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import Identity
from humangov.aws.ownership import of_other_cluster

_NAMED = ("accountID", "region", "cluster")


def in_cluster(
    identity: Identity, *, uid: str | None, moved_from: frozenset[str], recorded: Mapping[str, Any] | None
) -> Identity:
    """With the cluster's UID; while that can't be read, with the one that status.aws has recorded.

    uid: of namespace kube-system; None: not known. recorded: status.aws
    """
    return replace(identity, cluster_uid=uid or (recorded or {}).get("clusterUID"), moved_from=moved_from)


def is_recorded(recorded: Mapping[str, Any] | None, identity: Identity) -> bool:
    """Whether status.aws says where the resources are; a UID that it lacks is added with the next status."""
    return recorded is not None and all(recorded.get(name) == identity.recorded[name] for name in _NAMED)


def changed(recorded: Mapping[str, Any] | None, identity: Identity) -> Finding | None:
    """Why the resources are not this operator's, if they are not. recorded: status.aws; None: there are none yet."""
    if not recorded:
        return None
    now = identity.recorded
    differs = ", ".join(
        f"{name} was {recorded.get(name)} and is now {now[name]}" for name in _NAMED if recorded.get(name) != now[name]
    )
    if differs:
        return Finding.action_required(
            "IdentityChanged",
            "the operator runs in another account, region or cluster than when it created the resources: "
            f"{differs}. Nothing is changed. Restore its former credentials, --region and --cluster-name, or set "
            "deletionPolicy: Retain and delete the HumanGovState to release the resources",
        )
    uid = recorded.get("clusterUID")
    if uid in (None, identity.cluster_uid) or uid in identity.moved_from:
        return None
    text = of_other_cluster("what status.aws records (perhaps restored from a backup)", uid, identity)
    return Finding.action_required("OtherCluster", text)
