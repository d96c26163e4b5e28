"""What metrics tell of all tenants: after any history as counted anew, without looking at what is the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from humangov.api.stop import stop_of_all
from humangov.manager import tenant_gauges
from humangov.manager.problem_gauges import problem_of
from humangov.manager.sweep_gauges import sweep_gauges
from humangov.manager.tenant_gauges import TenantGauges
from humangov.reconcile.cache import Store
from hypothesis import given
from hypothesis import strategies as st

NAMES = ("california", "texas", "utah")
CONDITIONS = (
    {"type": "Ready", "status": "True", "reason": "InSync"},
    {"type": "Stalled", "status": "True", "reason": "MissingPermission"},
    {"type": "Stalled", "status": "True", "reason": "ErasureLimit"},
    {"type": "SweepSucceeded", "status": "True", "reason": "NoOrphans"},
    {"type": "TheirsReady", "status": "True", "reason": "Whatever"},
)
PUTS = st.tuples(
    st.sampled_from(NAMES), st.lists(st.sampled_from(CONDITIONS), unique_by=lambda one: one["type"]), st.booleans(),
    st.sampled_from(("one", "another")),
)  # fmt: skip
STEPS = st.lists(st.one_of(PUTS, st.sampled_from(NAMES), st.booleans()), max_size=30)


def resource(name: str, conditions: list[dict[str, str]], *, stopped: bool, uid: str, version: int) -> dict[str, Any]:
    annotations = {"annotations": {"humangov.io/stop": "a test"}} if stopped else {}
    return {
        "metadata": {"namespace": "tenants", "name": name, "uid": uid, "resourceVersion": str(version), **annotations},
        "spec": {},
        "status": {"conditions": [{**one, "message": ""} for one in conditions], "sweep": {"orphans": 2, "erased": 1}},
    }


def counted(store: Store) -> TenantGauges:
    """All of it anew, as plainly as it can be said."""
    found = [(key, store.get(key) or {}) for key in store]
    own = [
        (one["type"], one["status"], one["reason"])
        for _, resource in found
        for one in resource["status"]["conditions"]
        if one["type"] != "TheirsReady"
    ]
    stopped = {key: store.stop_of(key) is not None for key, _ in found}
    names = {key: ("tenants", resource["metadata"]["name"]) for key, resource in found}
    return TenantGauges(
        by_condition=Counter(own), stopped=sum(stopped.values()),
        problems={names[key]: problem for key, resource in found if (problem := problem_of(resource["status"]))},
        sweeps={names[key]: one for key, resource in found if (one := sweep_gauges(resource, stopped=stopped[key]))},
    )  # fmt: skip


def told(gauges: TenantGauges) -> tuple[Any, ...]:
    return dict(gauges.by_condition), gauges.problems, gauges.sweeps, gauges.stopped


@given(steps=STEPS)
def test_gauges_after_any_history_are_those_of_a_count_of_all_tenants(steps: list[Any]) -> None:
    store, gauges = Store(default_region="us-east-1"), TenantGauges()
    for version, step in enumerate(steps, 1):
        match step:
            case bool():
                store.stop_of_all = stop_of_all({"metadata": {}, "data": {"reason": "all"}}) if step else None
            case str():
                known = store.get(f"tenants/{step}")
                store.drop(f"tenants/{step}", uid=known["metadata"]["uid"] if known else "")
            case name, conditions, stopped, uid:
                store.put(resource(name, conditions, stopped=stopped, uid=uid, version=version))
        if version % 3:
            gauges.update(store)
            assert told(gauges) == told(counted(store))
    gauges.update(store)
    assert told(gauges) == told(counted(store))


def test_a_scrape_looks_only_at_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []

    def problem(status: Any) -> None:
        looked.append(status)

    monkeypatch.setattr(tenant_gauges, "problem_of", problem)
    store, gauges = Store(default_region="us-east-1"), TenantGauges()
    for number in range(50):
        store.put(resource(f"tenant-{number}", [CONDITIONS[0]], stopped=False, uid="one", version=1))
    gauges.update(store)
    assert len(looked) == 50
    store.put(resource("tenant-7", [CONDITIONS[1]], stopped=False, uid="one", version=2))
    gauges.update(store)
    gauges.update(store)
    assert len(looked) == 51
    assert gauges.by_condition == {("Ready", "True", "InSync"): 49, ("Stalled", "True", "MissingPermission"): 1}
