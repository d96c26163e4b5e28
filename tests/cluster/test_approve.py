"""`humangov approve` on the real API server: what it writes, under which field manager, and when it refuses.

No operator runs here: status is written as the operator writes it. What the operator makes of an approval is shown in
tests/aws; that Argo CD and Flux leave what such a manager applies alone, in test_gitops.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from humangov.api.erasure_limit import APPROVE_ERASURES_ANNOTATION

from testing.live.cluster import Cluster
from testing.live.command import run_humangov
from testing.live.states import States

REACHED_AT = "2026-11-28T21:40:00Z"


@pytest.fixture
def humangov(cluster: Cluster) -> Callable[..., subprocess.CompletedProcess[str]]:
    return partial(run_humangov, environment=cluster.sandbox.environment())


@pytest.fixture
def limited(states: States, cluster: Cluster) -> str:
    """A HumanGovState that reached its limit."""
    states.apply(states.manifest("california", table={"name": "table-1"}, bucket={"name": "bucket-1"}))
    status = json.dumps({"status": {"erasureLimit": {"reachedAt": REACHED_AT, "limited": 12}}})
    where = ("-n", states.namespace, "california", "--subresource", "status", "--type", "merge", "-p", status)
    cluster.output("patch", "humangovstate", *where)
    return "california"


def metadata(states: States) -> Any:
    found = states.get("california")
    assert found is not None
    return found["metadata"]


def test_approve_names_the_occurrence_under_a_field_manager_of_its_own(
    states: States, limited: str, humangov: Any
) -> None:
    done = humangov("approve", "-n", states.namespace, limited)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "returned 12 records" in done.stdout
    assert metadata(states)["annotations"][APPROVE_ERASURES_ANNOTATION] == REACHED_AT
    assert metadata(states)["annotations"][f"{APPROVE_ERASURES_ANNOTATION}-by"] == states.cluster.user
    [owner] = [
        one for one in metadata(states)["managedFields"]
        if f"f:{APPROVE_ERASURES_ANNOTATION}" in one["fieldsV1"].get("f:metadata", {}).get("f:annotations", {})
    ]  # fmt: skip
    assert (owner["manager"], owner["operation"]) == ("humangov-approve", "Apply")
    again = humangov("approve", f"{states.namespace}/{limited}")
    assert (again.returncode, "approved already" in again.stdout) == (0, True)


def test_approve_of_another_occurrence_writes_nothing(states: States, limited: str, humangov: Any) -> None:
    done = humangov("approve", "-n", states.namespace, limited, "--reached-at", "2026-11-27T00:00:00Z")
    assert done.returncode == 1
    assert f"the limit was reached at {REACHED_AT}" in done.stderr
    assert APPROVE_ERASURES_ANNOTATION not in (metadata(states).get("annotations") or {})


def test_approve_where_no_limit_was_reached_says_so(states: States, humangov: Any) -> None:
    states.apply(states.manifest("california", table={"name": "table-1"}, bucket={"name": "bucket-1"}))
    done = humangov("approve", "-n", states.namespace, "california")
    assert done.returncode == 1
    assert "the erasure limit was not reached" in done.stderr
    assert APPROVE_ERASURES_ANNOTATION not in (metadata(states).get("annotations") or {})
    assert humangov("approve", "-n", states.namespace, "nevada").returncode == 1
