"""A world in sync: nothing is written anywhere by reconciling again, nor by restarting.

On the real API server (its audit log tells every request), the emulated AWS behind the recording proxy, and the
operator as a process.
"""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from sandbox import ports
from sandbox.local_operator import LocalOperator
from sandbox.recorder import Recorder, by_operation
from testing.live.account import Account
from testing.live.audit_log import Audit
from testing.live.states import States, condition
from testing.live.waiting import wait_for
from tests.conftest import Print, StartOperator

THREE = ("california", "florida", "staging")
ANSWER_NONE = {
    ("GetBucketReplication", "ReplicationConfigurationNotFoundError"),
    ("GetBucketLifecycleConfiguration", "NoSuchLifecycleConfiguration"),
    ("DescribeProtectedResource", "ResourceNotFoundException"),
}
"""How AWS says that there is none."""


def reconciliations(running: LocalOperator) -> Counter[str]:
    """Passes that ended, by tenant."""
    counted: Counter[str] = Counter()
    for line in running.log.read_text().splitlines():
        if '"reconciliation ended"' in line and line.endswith("}"):
            entry: Mapping[str, Any] = json.loads(line)
            counted[str(entry["tenant"]).rpartition("/")[2]] += 1
    return counted


def wait_reconciliations(running: LocalOperator, count: int, *, after: Counter[str]) -> None:
    wait_for(
        lambda: all(reconciliations(running)[state] >= after[state] + count for state in THREE),
        what=f"{count} more reconciliations over each", seconds=40, seen=lambda: reconciliations(running),
    )  # fmt: skip


def test_reconciling_again_and_restarting_write_nothing_when_in_sync(
    states: States, account: Account, operator: StartOperator, recorder: Recorder, audit: Audit, measured: Print
) -> None:
    account.make(*THREE)
    proxied = {"AWS_ENDPOINT_URL": recorder.url}
    address = f"127.0.0.1:{ports.choose(['probes'])['probes']}"
    running = operator("--resync", "1", "--probe-address", address, environment=proxied)
    states.apply(*(states.manifest(state, **account.spec(state)) for state in THREE))
    states.wait_ready(*THREE)
    another_managers_condition(states, "florida")
    wait_reconciliations(running, 2, after=reconciliations(running))  # the one under way may not have seen it yet
    recorder.clear()
    position, before = audit.position(), reconciliations(running)
    wait_reconciliations(running, 7, after=before)  # one of six reads what seldom changes, too
    calls, reconciled = recorder.clear(), sum((reconciliations(running) - before).values())
    assert [call for call in calls if call.writes] == []
    assert [call for call in calls if call.error and (call.operation.name, call.error) not in ANSWER_NONE] == []
    assert audit.writes_since(position) == []
    measured(f"in sync, a reconciliation: {len(calls) / reconciled:.1f} AWS reads, 0 AWS writes, 0 Kubernetes writes")
    assert len(calls) / reconciled <= 9, by_operation(calls)  # six or seven, and one of six has 25
    assert condition(states.get("florida"), "SweepSucceeded")["reason"] == "Idle"
    reported = scraped(address)
    assert reported['humangov_tenants{condition="Ready",reason="InSync",status="True"}'] == 3
    assert reported['humangov_reconcile_total{result="success"}'] >= sum((reconciliations(running) - before).values())
    counted = (number for name, number in reported.items() if name.startswith("humangov_aws_calls_total{"))
    assert sum(counted) >= len(calls)
    assert reported["humangov_ready_duration_seconds_count"] == 3
    assert reported["humangov_leader"] == 1
    assert not [name for name in reported if name.startswith("humangov_aws_throttles_total")]
    versions = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in states.all()}
    assert running.stop() == 0
    recorder.clear()
    position = audit.position()
    running = operator("--resync", "1", environment=proxied)
    wait_reconciliations(running, 2, after=Counter())
    assert [call for call in recorder.clear() if call.writes] == []
    assert audit.writes_since(position) == []
    assert {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in states.all()} == versions
    assert all(condition(one, "Ready")["status"] == "True" for one in states.all())


def scraped(address: str) -> dict[str, float]:
    """What a Prometheus would read: each sample, by its name and labels."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    found = {}
    for one in (sample for family in families for sample in family.samples):
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(one.labels.items()))
        found[f"{one.name}{{{labels}}}" if labels else one.name] = one.value
    return found


def another_managers_condition(states: States, name: str) -> None:
    """What the sweep will write beside the operator's conditions: it must stay, and must not look like a difference."""
    one = {
        "type": "SweepSucceeded", "status": "False", "reason": "Idle", "message": "no sweep runs",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    states.cluster.api.patch_namespaced_custom_object_status(
        "humangov.io", "v1", states.namespace, "humangovstates", name,
        {
            "apiVersion": "humangov.io/v1", "kind": "HumanGovState", "metadata": {"name": name},
            "status": {"conditions": [one]},
        },
        field_manager="humangov-sweep", _content_type="application/apply-patch+yaml",
    )  # fmt: skip
