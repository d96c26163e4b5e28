"""The end of a tenant: `kubectl delete` leaves nothing, or exactly what it was told to leave.

On the real API server, the emulated AWS (MiniStack) and the operator as a process. MiniStack deletes at once; that a
delete which takes its time is waited for is shown by tests/aws.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from sandbox import local_operator
from testing.live.account import OWNER_TAG, Account
from testing.live.cluster import Cluster
from testing.live.states import States
from testing.live.waiting import wait_for
from tests.conftest import Print, StartOperator, World, installed


def stream_of(account: Account, state: str) -> bool:
    return bool((account.table(state).get("StreamSpecification") or {}).get("StreamEnabled"))


def test_deletion_leaves_only_the_table_the_bucket_and_their_contents(
    states: States, account: Account, operator: StartOperator, measured: Print
) -> None:
    account.make("california", "florida")
    files = {account.employ("california", "anna"), account.employ("california", "ben")}
    operator()
    states.apply(*(states.manifest(state, **account.spec(state)) for state in ("california", "florida")))
    states.wait_ready("california", "florida")
    assert set(account.leaked()) == {"roles", "functions", "mappings", "log groups", "streams", "table tags"}
    started = time.monotonic()
    states.cluster.output("delete", "hgs", "--all", "-n", states.namespace, "--timeout=60s")
    measured(f"kubectl delete of two states seconds old: {time.monotonic() - started:.1f} s")
    assert account.leaked() == {}
    assert account.files("california") == files
    assert account.table("california")["ItemCount"] == 2
    (event,) = [event for event in states.events("california") if event["reason"] == "Deleted"]
    assert "function humangov-california-delete-file" in event["note"]
    assert "table humangov-california-dynamodb and bucket" in event["note"]


def test_deletion_keeps_a_stream_that_was_enabled_before(
    states: States, account: Account, operator: StartOperator
) -> None:
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    account.make_table("california", StreamSpecification=stream)
    account.make_bucket("california")
    arn = account.table("california")["LatestStreamArn"]
    operator()
    states.apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")
    assert account.table("california")["LatestStreamArn"] == arn
    states.delete("california")
    # A stream so young may bear an ownership tag of the operator that cannot be read yet: half a minute is waited.
    states.wait_deleted("california", seconds=60)
    assert account.leaked() == {"streams": ["humangov-california-dynamodb"]}
    assert account.table("california")["LatestStreamArn"] == arn
    (event,) = [event for event in states.events("california") if event["reason"] == "Deleted"]
    assert "the stream of table humangov-california-dynamodb" in event["note"]


def test_retain_releases_all_resources_and_they_keep_working(world: World) -> None:
    account, states, state = world.account, world.states, world.state
    states.apply(states.manifest(state, **account.spec(state, deletionPolicy="Retain")))
    states.wait_ready(state)
    states.delete(state)
    states.wait_deleted(state)
    function = account.client("lambda").get_function(FunctionName=f"humangov-{state}-delete-file")
    assert OWNER_TAG not in function["Tags"]
    assert not any(key.startswith("humangov.io") for key in account.table_tags(account.table(state)["TableArn"]))
    pdf = account.employ(state, "anna")
    account.dismiss(state, "anna")
    wait_for(lambda: not account.has_file(state, pdf), what="the retained function goes on erasing")
    (event,) = [event for event in states.events(state) if event["reason"] == "Retained"]
    assert f"function humangov-{state}-delete-file with its trigger" in event["note"]


def test_retain_completes_a_stalled_deletion(world: World) -> None:
    """An unowned mapping of the function blocks the deletion: action is required, for example Retain."""
    account, states, state = world.account, world.states, world.state
    states.apply(states.manifest(state, **account.spec(state)))
    states.wait_ready(state)
    account.make_table(
        f"{state}-x", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    )
    account.client("lambda").create_event_source_mapping(
        FunctionName=f"humangov-{state}-delete-file", StartingPosition="LATEST", Enabled=False,
        EventSourceArn=account.table(f"{state}-x")["LatestStreamArn"],
    )  # fmt: skip
    states.delete(state)
    said = states.wait_reason(state, "UnownedTrigger")
    assert said["status"] == "False"
    assert "set deletionPolicy: Retain" in said["message"]
    states.respec(state, deletionPolicy="Retain")
    states.wait_deleted(state, seconds=5)
    left = account.client("lambda").get_function(FunctionName=f"humangov-{state}-delete-file")["Tags"]
    assert list(left) == ["humangov.io/origin"], "nobody else adopts it"


def test_log_group_with_receipts_is_retained_on_deletion_if_configured(world: World) -> None:
    account, states, state = world.account, world.states, world.state
    states.apply(states.manifest(state, **account.spec(state, logs={"onDelete": "Retain"})))
    states.wait_ready(state)
    account.employ(state, "anna", pdf="anna.pdf")
    account.dismiss(state, "anna")
    wait_for(lambda: account.receipts(state), what="there is a receipt")
    states.delete(state)
    states.wait_deleted(state)
    assert account.receipts(state)
    assert not any(state in function["FunctionName"] for function in account.functions())
    assert not stream_of(account, state)


def test_deleting_a_namespace_with_tenants_leaks_no_aws_resource(
    cluster: Cluster, namespace: str, account: Account, operator: StartOperator, tmp_path: Path
) -> None:
    tenants = States(cluster, f"tenants-{secrets.token_hex(3)}")
    cluster.output("create", "namespace", tenants.namespace)
    account.make("california", "florida", "staging")
    rules = tmp_path / "allowed.yaml"
    rules.write_text(f"{tenants.namespace}: {{tables: ['*'], buckets: ['*']}}\n")
    operator("--namespace", tenants.namespace, "--allowed-names", str(rules))
    tenants.apply(*(tenants.manifest(state, **account.spec(state)) for state in ("california", "florida", "staging")))
    tenants.wait_all_ready(3, seconds=30)
    cluster.output("delete", "namespace", tenants.namespace, "--timeout=60s")
    assert account.leaked() == {}


def test_tenants_of_a_deleted_operator_namespace_are_freed_by_an_operator_elsewhere(
    cluster: Cluster, account: Account, tmp_path: Path
) -> None:
    """As docs/operations.md, Uninstall, says it. The operator's pod ends with its namespace: here it is killed."""
    with installed(cluster, prefix="operator") as namespace, installed(cluster, prefix="rescue") as rescue:
        states = States(cluster, namespace)
        first = local_operator.start(
            cluster.sandbox, namespace=namespace, folder=tmp_path / "first", environment=account.environment
        )
        try:
            account.make("california")
            states.apply(states.manifest("california", **account.spec("california")))
            states.wait_ready("california")
        finally:
            first.kill()
        cluster.output("delete", "namespace", namespace, "--wait=false")
        wait_for(lambda: deleting(states), what="the namespace's end has reached the tenant")
        refused = cluster.kubectl("create", "serviceaccount", "-n", namespace, "humangov-operator-again")
        assert "because it is being terminated" in refused.stderr
        second = local_operator.start(
            cluster.sandbox, namespace=rescue, folder=tmp_path / "second", environment=account.environment,
            arguments=("--namespace", namespace),
        )  # fmt: skip
        try:
            states.wait_deleted("california")
            cluster.output("wait", "--for=delete", f"namespace/{namespace}", "--timeout=60s")
        finally:
            second.kill()
    assert account.leaked() == {}


def deleting(states: States) -> bool:
    found = states.get("california")
    return found is not None and "deletionTimestamp" in found["metadata"]


def test_state_without_aws_resources_is_deleted_at_once(world: World) -> None:
    states, name = world.states, f"{world.state}-x"
    states.apply(states.manifest(name, **world.account.spec(name)))
    states.wait_reason(name, "TableNotFound")
    states.delete(name)
    states.wait_deleted(name, seconds=10)
