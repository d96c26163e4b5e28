"""A live object's status, as the operator writes it: kstatus's rules, columns, server-side apply, no diff for GitOps.

On the real API server with the emulated AWS (MiniStack), where everything is Active at once: the states that AWS only
passes through (Pending, Creating) are the business of tests/aws.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.paths import REPOSITORY
from testing import kstatus
from testing.live.account import Account
from testing.live.cluster import Cluster
from testing.live.states import Resource, States, condition, is_ready
from testing.live.waiting import wait_for
from tests.conftest import StartOperator, World


@pytest.fixture
def history(cluster: Cluster, world: World, tmp_path: Path) -> Iterator[Path]:
    """Every version of this test's state that the API server told watchers."""
    path = tmp_path / "history.json"
    environment = cluster.sandbox.environment()
    command = [
        str(cluster.sandbox.kubectl), "get", "hgs", "-n", world.states.namespace, "-w", "-o", "json",
        "--output-watch-events", f"--field-selector=metadata.name={world.state}",
    ]  # fmt: skip
    with path.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output) as watch:
        yield path
        watch.kill()


def versions(history: Path) -> list[tuple[str, Resource]]:
    text, decoder, found = history.read_text(), json.JSONDecoder(), []
    position = 0
    while position < len(text.rstrip()):
        try:
            event, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError:  # the last one is still being written
            break
        found.append((event["type"], event["object"]))
        position += len(text[position:]) - len(text[position:].lstrip())
    return found


def test_every_status_from_apply_to_deletion_follows_the_rules_of_kstatus(world: World, history: Path) -> None:
    states, name = world.states, world.state
    spec = world.account.spec(name)
    states.create(states.manifest(name, **spec, suspend=True))
    wait_for(lambda: versions(history), what="the watch has begun")
    states.wait_reason(name, "Suspended")
    states.respec(name, suspend=False)
    states.wait_ready(name)
    states.respec(name, trigger={"enabled": False})
    states.wait_reason(name, "TriggerDisabled")
    (role,) = [role["RoleName"] for role in world.account.roles() if name in role["RoleName"]]
    world.account.client("iam").untag_role(RoleName=role, TagKeys=["humangov.io/tenant"])
    states.annotate(name, reconcile="1")
    states.wait_reason(name, "NotOwned")
    states.respec(name, deletionPolicy="Retain")
    states.delete(name)
    states.wait_deleted(name)
    wait_for(lambda: versions(history)[-1][0] == "DELETED", what="the watch has seen the end")
    seen = versions(history)
    assert [problem for _, version in seen for problem in kstatus.problems(version)] == []
    reported = [condition(version, "Ready").get("reason") for _, version in seen]
    assert {"Suspended", "InSync", "TriggerDisabled", "NotOwned"} <= set(reported)
    # Ready is never True for a generation that it is not about.
    assert all(
        condition(version, "Ready")["observedGeneration"] == version["metadata"]["generation"]
        for _, version in seen
        if is_ready(version)
    )


def test_kubectl_columns_follow_the_status_of_a_state(world: World) -> None:
    states, name = world.states, world.state
    states.apply(states.manifest(name, **world.account.spec(name)))
    states.wait_ready(name)

    def row(*flags: str) -> list[str]:
        return states.cluster.output("get", "hgs", name, "-n", states.namespace, "--no-headers", *flags).split()

    assert row()[:4] == [name, "True", "InSync", "Enabled"]
    assert row("-o", "wide")[4:8] == [
        world.account.table_name(name), world.account.bucket_name(name), f"humangov-{name}-delete-file", "us-east-1",
    ]  # fmt: skip
    states.respec(name, trigger={"enabled": False})
    states.wait_reason(name, "TriggerDisabled")
    assert row()[:4] == [name, "True", "TriggerDisabled", "Disabled"]


def test_operator_writes_status_and_finalizer_and_never_spec(world: World) -> None:
    states, name = world.states, world.state
    states.apply(states.manifest(name, **world.account.spec(name)))
    states.wait_ready(name)
    found = states.get(name)
    assert found is not None
    assert found["metadata"]["generation"] == 1
    written = [
        entry["fieldsV1"] for entry in found["metadata"]["managedFields"] if entry["manager"] == "humangov-operator"
    ]
    assert sorted({key for fields in written for key in fields}) == ["f:metadata", "f:status"]
    metadata = [fields["f:metadata"] for fields in written if "f:metadata" in fields]
    assert all(set(fields) == {"f:finalizers"} for fields in metadata)
    assert found["metadata"].get("annotations", {}).keys() <= {"kubectl.kubernetes.io/last-applied-configuration"}


def examples(namespace: str) -> list[Resource]:
    """deploy/examples, in the test's namespace."""
    found = [yaml.safe_load(path.read_text()) for path in sorted((REPOSITORY / "deploy" / "examples").glob("*.yaml"))]
    states = [one for one in found if one["kind"] == "HumanGovState"]
    return [{**one, "metadata": {**one["metadata"], "namespace": namespace}} for one in states]


def make_examples(account: Account, manifests: list[Resource]) -> None:
    for manifest in manifests:
        account.client("dynamodb").create_table(
            TableName=manifest["spec"]["table"]["name"], BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )  # fmt: skip
        account.make_bucket("", name=manifest["spec"]["bucket"]["name"])


@pytest.mark.usefixtures("example_names")
def test_deploy_examples_become_ready_and_never_show_a_diff(
    states: States, account: Account, operator: StartOperator
) -> None:
    manifests = examples(states.namespace)
    assert {manifest["metadata"]["name"] for manifest in manifests} >= {"california", "florida", "staging"}
    make_examples(account, manifests)
    text = yaml.safe_dump_all(manifests)

    def out_of_sync(*flags: str) -> Any:
        done = states.cluster.kubectl("diff", *flags, "-f", "-", stdin=text)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    try:
        operator()
        names = [manifest["metadata"]["name"] for manifest in manifests]
        states.cluster.output("apply", "-f", "-", stdin=text)
        states.wait_ready(*names)
        assert out_of_sync() == ""
        said = states.cluster.output("apply", "-f", "-", stdin=text)
        assert all(line.endswith("unchanged") for line in said.splitlines()), said
        argocd = ("--server-side", "--field-manager=argocd-controller")
        assert out_of_sync(*argocd, "--force-conflicts") == ""
        states.cluster.output("apply", *argocd, "--force-conflicts", "-f", "-", stdin=text)
        for name in names:
            states.reconcile(name, "after-argocd")
        assert out_of_sync(*argocd) == ""
        assert [one["metadata"]["generation"] for one in states.all()] == [1] * len(names)
    finally:
        for manifest in manifests:
            account.client("s3").delete_bucket(Bucket=manifest["spec"]["bucket"]["name"])
