"""Whose an AWS resource is: by its ownership tag, and by the UID of its cluster. Pure."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.names import CLUSTER_UID_TAG, OWNER_TAG, Identity, Names
from humangov.aws.ownership import OtherClusterError, adopts, is_owned, require_ownership
from humangov.kube.client import KubeError
from humangov.manager import cluster_uid
from humangov.reconcile.cache import Store
from humangov.reconcile.identity import changed, in_cluster, is_recorded
from hypothesis import given
from hypothesis import strategies as st

from testing.samples import MINE, names

OWN, OTHER, FORMER = "own", "other", "former"
UIDS = st.sampled_from([None, OWN, OTHER, FORMER])
MOVED = st.frozensets(st.sampled_from([OTHER, FORMER]))


def of(uid: str | None, moved_from: frozenset[str] = frozenset(), **spec: Any) -> Names:
    given_names = names(**spec)
    return replace(given_names, identity=replace(given_names.identity, cluster_uid=uid, moved_from=moved_from))


def tagged(uid: str | None) -> dict[str, str]:
    return {**MINE, **({CLUSTER_UID_TAG: uid} if uid else {})}


@given(tag=UIDS, own=st.sampled_from([None, OWN]), moved=MOVED)
def test_resource_with_a_uid_is_owned_only_by_that_cluster_or_one_to_which_it_was_moved(
    tag: str | None, own: str | None, moved: frozenset[str]
) -> None:
    assert is_owned(tagged(tag), of(own, moved)) is (tag is None or tag == own or tag in moved)


@given(tag=st.sampled_from([OWN, OTHER, FORMER]), moved=MOVED)
def test_resource_with_another_clusters_uid_is_not_owned(tag: str, moved: frozenset[str]) -> None:
    """Unless each says that it was moved from the other."""
    owners = [uid for uid in (OWN, OTHER, FORMER) if is_owned(tagged(tag), of(uid))]
    assert owners == [tag]
    assert not is_owned(tagged(tag), of(None))


@pytest.mark.parametrize("owner", [None, "cluster/humangov/florida"])
def test_cluster_uid_without_the_ownership_tag_does_not_make_a_resource_owned(owner: str | None) -> None:
    tags = {CLUSTER_UID_TAG: OWN, **({OWNER_TAG: owner} if owner else {})}
    assert not is_owned(tags, of(OWN))


def test_resource_of_another_cluster_is_not_adopted_where_its_ownership_tag_was_removed() -> None:
    adopting: dict[str, Any] = {"adoption": "IfUntagged"}
    assert adopts({}, of(OWN, **adopting))
    assert adopts({CLUSTER_UID_TAG: OWN}, of(OWN, **adopting))
    assert not adopts({CLUSTER_UID_TAG: OTHER}, of(OWN, **adopting))


@pytest.mark.parametrize(
    ("own", "words"),
    [(OWN, ["is other", "this cluster's is own", "--moved-from other"]), (None, ["UID other", "unknown", "Grant"])],
)
def test_refusal_names_both_uids_and_what_to_do(own: str | None, words: list[str]) -> None:
    with pytest.raises(OtherClusterError) as raised:
        require_ownership(kind="role", target="r", tags=tagged(OTHER), names=of(own), adoptable=True)
    assert [word for word in words if word not in str(raised.value)] == []


@given(recorded=UIDS, own=st.sampled_from([None, OWN]), moved=MOVED)
def test_status_of_another_cluster_is_not_believed(
    recorded: str | None, own: str | None, moved: frozenset[str]
) -> None:  # fmt: skip
    identity = Identity(account_id="1", region="r", cluster="c", partition="aws")
    before = {**identity.recorded, **({"clusterUID": recorded} if recorded else {})}
    now = in_cluster(identity, uid=own, moved_from=moved, recorded=before)
    assert now.cluster_uid == (own or recorded), "what is not known is as it was"
    finding = changed(before, now)
    assert (finding is None) is (recorded is None or own is None or recorded == own or recorded in moved)
    assert finding is None or (finding.reason, finding.stalled) == ("OtherCluster", True)
    assert is_recorded(before, now), "the place is the same"


def test_new_status_needs_no_uid_to_be_compared() -> None:
    identity = Identity(account_id="1", region="r", cluster="c", partition="aws", cluster_uid=OWN)
    assert changed(None, identity) is None
    assert changed({}, identity) is None
    assert not is_recorded(None, identity)
    found = changed({"accountID": "2", "region": "r", "cluster": "c", "clusterUID": OTHER}, identity)
    assert found is not None
    assert found.reason == "IdentityChanged"


class FakeKube:
    """Answers of `cluster_uid`, one after the other."""

    def __init__(self, *answers: str | int | None) -> None:
        self.answers = list(answers)

    async def cluster_uid(self, *, needed: bool = True) -> str:
        assert not needed
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            return answer
        raise KubeError("reading the UID", status=answer, reason="no")


class FakeOperator:
    cluster = "c"

    def __init__(self) -> None:
        self.store = Store(default_region="r")


@pytest.mark.parametrize("status", [403, 404])
def test_uid_that_may_not_be_read_is_unknown_until_it_may(status: int, caplog: pytest.LogCaptureFixture) -> None:
    operator, kube = FakeOperator(), FakeKube(status, None, "uid")
    with caplog.at_level(logging.WARNING):
        asyncio.run(cluster_uid.read(operator, kube))  # type: ignore[arg-type]
        asyncio.run(cluster_uid.read_again(operator, kube))  # type: ignore[arg-type]
    assert operator.store.cluster_uid is None
    assert "does not notice another cluster with the name c" in caplog.text
    asyncio.run(cluster_uid.read_again(operator, kube))  # type: ignore[arg-type]
    asyncio.run(cluster_uid.read_again(operator, kube))  # type: ignore[arg-type]
    assert operator.store.cluster_uid == "uid", "and it is not read again"


@pytest.mark.parametrize("status", [None, 429, 500, 503])
def test_first_read_of_the_uid_that_may_succeed_in_a_moment_is_no_unknown(status: int | None) -> None:
    operator = FakeOperator()
    with pytest.raises(KubeError):
        asyncio.run(cluster_uid.read(operator, FakeKube(status)))  # type: ignore[arg-type]
