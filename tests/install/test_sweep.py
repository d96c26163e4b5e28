"""Sweeps in real pods: the chart's template, account and permissions, run by a kubelet. AWS is MiniStack."""

from __future__ import annotations

import time
from typing import Any

import pytest

from testing.live.account import Account
from testing.live.states import States, condition
from testing.live.waiting import wait_for
from tests.conftest import Print
from tests.install.conftest import Install


@pytest.mark.usefixtures("new_api_server")
def test_sweep_and_final_stream_read_run_in_their_own_pods(
    install: Install, states: States, account: Account, measured: Print
) -> None:
    account.make("california")
    kept = account.employ("california", "employee-1")
    account.client("s3").put_object(Bucket=account.bucket_name("california"), Key="orphan.pdf", Body=b"%PDF")
    install(sweep={"enabled": True, "resources": {"requests": {"ephemeral-storage": None}}})
    states.kubectl_apply(states.manifest("california", **account.spec("california", sweep={"schedule": "0 0 1 1 *"})))
    states.wait_ready("california")
    began = time.monotonic()
    states.annotate("california", sweep="1")

    def reported() -> dict[str, Any]:
        return dict((states.get("california") or {})["status"].get("sweep") or {})

    wait_for(
        lambda: reported().get("finishedAt"), what="the sweep's pod has told its result", seconds=60, seen=reported
    )
    measured(f"annotation → a sweep's result in the status, in a pod: {time.monotonic() - began:.1f} s")
    found = reported()
    # Files of a minute ago are none that a sweep would judge.
    assert (found["result"], found["listed"], found["tooYoung"], found["orphans"]) == ("Detected", 2, 2, 0)
    assert found["nextRun"].endswith("-01-01T00:00:00Z")
    wait_for(
        lambda: condition(states.get("california"), "SweepSucceeded")["reason"] == "Detected",
        what="the condition tells of it",
    )
    began = time.monotonic()
    states.delete("california")
    states.wait_none(seconds=90)
    measured(f"kubectl delete → deleted, with the final stream read in a pod: {time.monotonic() - began:.1f} s")
    [farewell] = [event for event in states.events("california") if event["reason"] == "Deleted"]
    assert "final stream read: 0 records read, 0 files erased" in farewell["note"]
    assert account.leaked() == {}
    assert kept in account.files("california")
    left = states.cluster.output("get", "jobs", "-n", states.namespace, "-l", "humangov.io/name", "-o", "name")
    assert left == ""
