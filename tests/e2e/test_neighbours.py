"""Two clusters on one AWS account, by mistake or on purpose: what one made, the other leaves alone.

On the real API server (two operators with different --cluster-name), the emulated AWS (MiniStack).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from sandbox import local_operator
from sandbox.local_operator import LocalOperator
from sandbox.recorder import Recorder
from testing.live.account import Account
from testing.live.cluster import Cluster
from testing.live.states import States
from testing.live.waiting import wait_for
from tests.conftest import StartOperator


@pytest.fixture
def neighbour(cluster: Cluster) -> Iterator[States]:
    """A second namespace with an operator's service account of its own."""
    name = f"neighbour-{secrets.token_hex(3)}"
    local_operator.install(cluster.sandbox, namespace=name, definition=False)
    states = States(cluster, name)
    try:
        yield states
    finally:
        states.abandon()
        local_operator.uninstall(cluster.sandbox, namespace=name, wait=False)


def test_resources_of_another_cluster_are_unchanged_even_by_a_deletion(
    states: States, neighbour: States, account: Account, recorder: Recorder, operator: StartOperator,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    account.make("california")
    operator("--cluster-name", "one")
    states.apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")
    before = account.picture()
    with local_operator.start(
        neighbour.cluster.sandbox, namespace=neighbour.namespace, folder=tmp_path_factory.mktemp("neighbour"),
        arguments=["--cluster-name", "two"], environment={**account.environment, "AWS_ENDPOINT_URL": recorder.url},
    ) as second:  # fmt: skip
        neighbour.apply(neighbour.manifest("california", **account.spec("california")))
        said = neighbour.wait_reason("california", "NotOwned")
        assert said["status"] == "False"
        assert "owned by a HumanGovState of another namespace" in said["message"]
        assert states.namespace not in said["message"]
        assert account.picture() == before
        neighbour.delete("california")
        neighbour.wait_deleted("california", seconds=60)
        assert [call for call in recorder.calls if call.writes] == []
        assert account.picture() == before
        _still_running(second)
    pdf = account.employ("california", "anna")
    account.dismiss("california", "anna")
    wait_for(lambda: not account.has_file("california", pdf), what="the first one's function works", seconds=90)


def _still_running(operator: LocalOperator) -> None:
    assert operator.process.poll() is None, operator.log.read_text()[-2000:]


def test_operator_with_a_changed_identity_writes_nothing_until_it_is_restored(
    states: States, account: Account, operator: StartOperator
) -> None:
    account.make("california")
    first = operator("--cluster-name", "one")
    states.apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")
    assert first.stop() == 0
    before = account.picture()
    renamed = operator("--cluster-name", "two")
    said = states.wait_reason("california", "IdentityChanged")
    assert "cluster was one and is now two. Nothing is changed" in said["message"]
    assert renamed.stop() == 0
    states.delete("california")
    stranger = Account(endpoint_url=account.endpoint_url)
    elsewhere = operator("--cluster-name", "one", environment=stranger.environment)
    wait_for(
        lambda: (
            f"accountID was {account.id} and is now {stranger.id}" in str((states.get("california") or {})["status"])
        ),
        what="the other account is told",
    )
    assert elsewhere.stop() == 0
    assert account.picture() == before
    operator("--cluster-name", "one")
    states.wait_deleted("california")
    assert account.leaked() == {}
