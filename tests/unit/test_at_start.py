"""What an operator reconciles at once when it starts, and what waits for its resync. Runs on nothing."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames
from humangov.api.conditions import PARTS, Finding, compose
from humangov.api.spec import FINALIZER, RECONCILE_ANNOTATION, SWEEP_ANNOTATION
from humangov.api.stop import STOP_ANNOTATION, stop_of_all
from humangov.manager.at_start import First, first_runs
from humangov.manager.workqueue import Lane
from humangov.reconcile.cache import Store
from humangov.reconcile.settings import Settings

from testing.samples import NOW, resource

RESYNC = 600.0
CLUSTER = "cluster"
SETTINGS = Settings(region="us-east-1", allowed=AllowedNames.only("humangov"))


def current(name: str = "california", **changes: Any) -> dict[str, Any]:
    """As the operator leaves a settled tenant."""
    made = copy.deepcopy(dict(resource(name, metadata={"finalizers": [FINALIZER], "generation": 3})))
    working = Finding.in_sync("InSync", "as declared")
    made["status"] = compose(
        {}, generation=3, ready=working, findings=dict.fromkeys(PARTS, working), now=NOW,
        fields={"aws": {"accountID": "1", "region": "us-east-1", "cluster": CLUSTER}, **changes},
    )  # fmt: skip
    return made


def starts(*resources: Any, settings: Settings = SETTINGS, stop_all: bool = False) -> dict[str, First]:
    store = Store(default_region="us-east-1")
    for one in resources:
        store.put(one)
    store.stop_of_all = stop_of_all({"data": {}, "metadata": {"name": "humangov-stop"}}) if stop_all else None
    rng = random.Random(1)  # noqa: S311 - repeatable
    found = first_runs(store, settings=settings, cluster=CLUSTER, resync_seconds=RESYNC, rng=rng)
    assert len(found) == len(resources)
    return {one.key: one for one in found}


def start_of(one: dict[str, Any], **more: Any) -> First:
    [found] = starts(one, **more).values()
    return found


def test_tenants_whose_status_is_current_are_spread_evenly_over_one_resync() -> None:
    found = starts(*(current(f"t-{number}") for number in range(1000)))
    assert {one.lane for one in found.values()} == {Lane.RESYNC}
    tenths = [sum(low <= one.delay < low + 60 for one in found.values()) for low in range(0, 600, 60)]
    assert sum(tenths) == 1000
    assert min(tenths) > 70, tenths
    assert max(tenths) < 130, tenths


def test_a_few_tenants_are_reconciled_within_as_many_seconds_after_the_start() -> None:
    found = starts(*(current(f"t-{number}") for number in range(20)))
    assert 10 < max(one.delay for one in found.values()) <= 20


def edited(one: dict[str, Any]) -> None:
    one["metadata"]["generation"] = 4


def deleted(one: dict[str, Any]) -> None:
    one["metadata"]["deletionTimestamp"] = "2026-03-01T11:00:00Z"


def without_finalizer(one: dict[str, Any]) -> None:
    one["metadata"]["finalizers"] = ["others.example/finalizer"]


def new(one: dict[str, Any]) -> None:
    del one["status"]


def reconcile_asked(one: dict[str, Any]) -> None:
    one["metadata"]["annotations"] = {RECONCILE_ANNOTATION: "now"}
    one["status"]["lastHandledReconcile"] = "yesterday"


def sweep_asked(one: dict[str, Any]) -> None:
    one["metadata"]["annotations"] = {SWEEP_ANNOTATION: "now"}


def of_withdrawn_permission(one: dict[str, Any]) -> None:
    one["metadata"]["namespace"] = "florida"


@pytest.mark.parametrize(
    "change",
    [edited, deleted, without_finalizer, new, reconcile_asked, sweep_asked, of_withdrawn_permission],
    ids=lambda change: change.__name__,
)
def test_changes_from_while_no_operator_ran_are_reconciled_first(change: Callable[[dict[str, Any]], None]) -> None:
    one = current()
    change(one)
    found = start_of(one)
    assert (found.lane, found.delay) == (Lane.FAST, 0.0)


def condition(name: str, status: str) -> Callable[[dict[str, Any]], None]:
    def change(one: dict[str, Any]) -> None:
        conditions = one["status"]["conditions"]
        [*found] = (condition for condition in conditions if condition["type"] == name)
        if found:
            found[0]["status"] = status
        else:
            conditions.append({**conditions[0], "type": name, "status": status})

    return change


def older_condition(one: dict[str, Any]) -> None:
    one["status"]["conditions"][-1]["observedGeneration"] = 2


def without_a_part(one: dict[str, Any]) -> None:
    del one["status"]["conditions"][-1]


def stopped(one: dict[str, Any]) -> None:
    one["metadata"]["annotations"] = {STOP_ANNOTATION: "now"}


def waiting(one: dict[str, Any]) -> None:
    one["status"]["waitingSince"] = "2026-03-01T11:00:00Z"


def failing(one: dict[str, Any]) -> None:
    one["status"]["failingSince"] = "2026-03-01T11:00:00Z"


def limited(one: dict[str, Any]) -> None:
    one["status"]["erasureLimit"] = {"reachedAt": "2026-03-01T11:00:00Z", "limited": 1}


def of_another_cluster(one: dict[str, Any]) -> None:
    one["status"]["aws"]["cluster"] = "another"


def invalid(one: dict[str, Any]) -> None:
    one["spec"]["table"]["fileAttributes"] = 7


@pytest.mark.parametrize(
    "change",
    [
        condition("Ready", "False"), condition("Ready", "Unknown"), condition("TriggerReady", "Unknown"),
        condition("FunctionReady", "False"), condition("Held", "True"), condition("Stopped", "True"),
        condition("SweepSucceeded", "Unknown"), older_condition, without_a_part, stopped, waiting, failing, limited,
        of_another_cluster, invalid,
    ],
)  # fmt: skip
def test_tenant_with_something_in_progress_is_reconciled_at_once_after_the_start(
    change: Callable[[dict[str, Any]], None],
) -> None:
    one = current()
    change(one)
    found = start_of(one)
    assert (found.lane, found.delay) == (Lane.SLOW, 0.0)


def test_a_stop_of_all_spreads_nothing() -> None:
    assert start_of(current(), stop_all=True).delay == 0.0


def test_warning_about_records_is_no_reason_to_reconcile_at_once() -> None:
    one = current()
    condition("RecordsDelivered", "False")(one)
    assert start_of(one).delay > 0.0


def test_tenant_without_sweeps_gets_its_sweeps_at_once_where_they_were_enabled_meanwhile() -> None:
    with_sweeps = replace(SETTINGS, sweep_template="template")
    assert start_of(current(), settings=with_sweeps).delay == 0.0
    swept = current()
    condition("SweepSucceeded", "True")(swept)
    assert start_of(swept, settings=with_sweeps).delay > 0.0
