"""Failures and receipts, as a person handles them: counted by the operator, redriven and read back with the CLI.

On the real API server and the emulated AWS (MiniStack). Its Lambda has no destinations, so the invocation record is put
where Lambda would put it; that Lambda's rules lead there is shown in tests/lambda.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from testing.event_source import destination
from testing.event_source.decisions import RETRIES_EXHAUSTED, Discarded
from testing.event_source.mapping import trigger
from testing.lambda_runtime import stream_events
from testing.lambda_runtime.stream_events import employee
from testing.live.cluster import Cluster
from testing.live.command import run_humangov
from testing.live.states import condition
from testing.live.waiting import wait_for
from tests.conftest import World

Humangov = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def humangov(cluster: Cluster, world: World) -> Humangov:
    """The CLI, with kubectl's permissions and the account's."""

    return partial(run_humangov, environment={**cluster.sandbox.environment(), **world.account.environment})


def discard(world: World, one: str, pdf: str) -> None:
    """Lambda puts the invocation with this record's removal into the bucket."""
    account, state = world.account, world.state
    [mapping] = [each for each in account.mappings() if state in each["FunctionArn"]]
    record = stream_events.remove(employee(one, pdf), table=account.table_name(state), at=time.time() + 60)
    record["eventSourceARN"] = mapping["EventSourceArn"]
    settings = trigger(
        {}, stream_arn=mapping["EventSourceArn"], uuid=mapping["UUID"], function_arn=mapping["FunctionArn"]
    )
    body = destination.body(
        Discarded((record,), RETRIES_EXHAUSTED, 11),
        settings,
        shard="shardId-1",
        now=time.time(),
        request_id="1",
        error=None,
    )
    key = destination.object_key(settings, shard="shardId-1", now=time.time(), random="1")
    account.client("s3").put_object(Bucket=account.bucket_name(state), Key=key, Body=body)


def test_failed_invocations_are_reported_redriven_and_proven_by_receipts(world: World, humangov: Humangov) -> None:
    account, states, state = world.account, world.states, world.state
    live = account.employ(state, "employee-1", pdf="live.pdf")
    account.client("s3").put_object(Bucket=account.bucket_name(state), Key="orphan.pdf", Body=b"%PDF")
    states.apply(states.manifest(state, **account.spec(state)))
    states.wait_ready(state)
    [mapping] = [each for each in account.mappings() if state in each["FunctionArn"]]
    assert mapping["DestinationConfig"]["OnFailure"] == {"Destination": f"arn:aws:s3:::{account.bucket_name(state)}"}
    time.sleep(1.1)  # S3 tells a file's age to the second, and a tie keeps it
    discard(world, "employee-7", "orphan.pdf")

    states.reconcile(state, "1")
    warned = condition(states.get(state), "FailuresHandled")
    assert (warned["status"], warned["reason"]) == ("False", "RedriveNeeded")
    reported = humangov("redrive", "-n", states.namespace, state)

    assert reported.returncode == 0, reported
    assert set(reported.stderr.splitlines()) <= {"1 invocation records read, 1 removed"}, "its progress alone"
    assert "file erased" in reported.stdout
    assert account.files(state) == {live}
    states.reconcile(state, "2")
    assert condition(states.get(state), "FailuresHandled")["status"] == "True"
    assert "RedriveNeeded" in {event["reason"] for event in states.events(state)}

    account.dismiss(state, "employee-1")
    wait_for(lambda: not account.has_file(state, live), what="the live file's record is deleted, and it goes")
    wait_for(lambda: len(_receipts(humangov, states.namespace, state)) == 2, what="both receipts are read back")
    by_key = {one["key"]: one for one in _receipts(humangov, states.namespace, state)}
    assert by_key["orphan.pdf"]["outcome"] == by_key["live.pdf"]["outcome"] == "erased"
    assert by_key["orphan.pdf"]["log_stream"].startswith("redrive/")
    assert by_key["live.pdf"]["record_key"] == {"id": {"S": "employee-1"}}
    one = humangov("receipts", f"{states.namespace}/{state}", "--record", "employee-7")
    assert one.returncode == 0
    *_, totals, not_covered = one.stdout.splitlines()
    assert totals == "1 receipt: 1 erased"
    assert not_covered.startswith("These outcomes are about this bucket only")


def test_redrive_and_receipts_of_a_missing_tenant_print_a_message(humangov: Humangov) -> None:
    for command in ("redrive", "receipts"):
        done = humangov(command, "nowhere/nevada")
        assert done.returncode == 1
        assert done.stderr == "Error: HumanGovState nowhere/nevada does not exist in this cluster\n"


def _receipts(humangov: Humangov, namespace: str, state: str) -> list[dict[str, Any]]:
    done = humangov("receipts", "-n", namespace, state, "--json")
    assert done.returncode in (0, 2), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
