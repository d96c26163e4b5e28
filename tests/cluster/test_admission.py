"""Who may name what: a namespace reaches only the tables and buckets that the operator's configuration grants it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox.recorder import RecordedCall, Recorder
from testing.live.account import Account
from testing.live.cluster import Cluster
from testing.live.states import States, condition
from testing.live.waiting import wait_for
from tests.conftest import StartOperator


@contextlib.contextmanager
def other_namespace(cluster: Cluster, prefix: str) -> Iterator[States]:
    with cluster.fresh_namespace(prefix) as name:
        states = States(cluster, name)
        try:
            yield states
        finally:
            states.abandon()


@pytest.fixture
def florida(cluster: Cluster) -> Iterator[States]:
    with other_namespace(cluster, "florida") as states:
        yield states


def asked_for_a_state(recorder: Recorder) -> list[RecordedCall]:
    """What was asked of AWS, but for the look at the operator's start for what is left of states that are gone."""
    of_all = {"sts:GetCallerIdentity", "resourcegroupstaggingapi:GetResources", "iam:ListRoles"}
    return [call for call in recorder.calls if str(call.operation) not in of_all]


def test_namespace_cannot_name_a_bucket_outside_its_allowed_names_and_aws_is_not_called(
    states: States, florida: States, account: Account, recorder: Recorder, operator: StartOperator, tmp_path: Path
) -> None:
    account.make("california", "florida")
    rules = tmp_path / "allowed.yaml"
    rules.write_text(
        yaml.safe_dump(
            {
                states.namespace: {"tables": ["*"], "buckets": ["*"]},
                florida.namespace: {"tables": ["humangov-florida-*"], "buckets": ["humangov-florida-*"]},
            }
        )
    )
    operator(
        "--allowed-names", str(rules), "--namespace", states.namespace, "--namespace", florida.namespace,
        environment={"AWS_ENDPOINT_URL": recorder.url},
    )  # fmt: skip
    thief = florida.manifest(
        "thief", table={"name": account.table_name("florida")}, bucket={"name": account.bucket_name("california")}
    )
    florida.apply(thief)
    said = florida.wait_reason("thief", "NotAllowed")
    assert said["status"] == "False"
    bucket = account.bucket_name("california")
    assert (
        f"bucket {bucket} is not among the allowed names of namespace {florida.namespace}: humangov-florida-*"
        in said["message"]
    )
    assert condition(florida.get("thief"), "Stalled")["status"] == "True"
    florida.respec("thief", trigger={"batchSize": 5})  # asked again, refused again
    wait_for(lambda: condition(florida.get("thief"), "Ready")["observedGeneration"] == 2, what="it was looked at again")
    assert asked_for_a_state(recorder) == []
    warnings = [event for event in florida.events("thief") if event["type"] == "Warning"]
    assert [event["reason"] for event in warnings] == ["NotAllowed"]
    assert (florida.get("thief") or {})["metadata"].get("finalizers") is None
    # Its own table and bucket it may name, and California's namespace is none the worse.
    florida.delete("thief")
    florida.wait_deleted("thief")
    florida.apply(florida.manifest("florida", **account.spec("florida")))
    states.apply(states.manifest("california", **account.spec("california")))
    florida.wait_ready("florida")
    states.wait_ready("california")


def test_without_configuration_only_the_operators_own_namespace_has_allowed_names(
    states: States, florida: States, account: Account, recorder: Recorder, operator: StartOperator
) -> None:
    account.make("california", "florida")
    operator(
        "--namespace", states.namespace, "--namespace", florida.namespace,
        environment={"AWS_ENDPOINT_URL": recorder.url},
    )  # fmt: skip
    florida.apply(florida.manifest("florida", **account.spec("florida")))
    said = florida.wait_reason("florida", "NotAllowed")
    assert f"--allowed-names does not include namespace {florida.namespace}" in said["message"]
    assert asked_for_a_state(recorder) == []
    states.apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")


def test_older_tenant_wins_a_bucket_conflict_and_the_younger_names_the_older(
    states: States, account: Account, operator: StartOperator
) -> None:
    account.make("california", "florida")
    operator()
    states.apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")
    states.apply(
        states.manifest(
            "florida", table={"name": account.table_name("florida")}, bucket={"name": account.bucket_name("california")}
        )
    )
    said = states.wait_reason("florida", "Conflict")
    assert f"HumanGovState {states.namespace}/california is older and names the same files" in said["message"]
    assert [function["FunctionName"] for function in account.functions()] == ["humangov-california-delete-file"]
    # The older one's end frees what it held, without anybody's doing.
    states.delete("california")
    states.wait_deleted("california")
    states.wait_ready("florida")
