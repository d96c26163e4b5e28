"""What stops a tenant, who, since when, and what is desired of one that is stopped. Runs on nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.api.stop import STOP_ANNOTATION, Stop, stop_of, stop_of_all, while_stopped, why_stopped

from testing import samples

AT = "2026-03-01T10:00:00Z"


def managed(manager: str, path: tuple[str, ...], at: str = AT) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in reversed(path):
        fields = {name: fields}
    return {"manager": manager, "operation": "Apply", "time": at, "fieldsV1": fields}


def annotated(value: str | None, *managers: tuple[str, str]) -> Any:
    path = ("f:metadata", "f:annotations", f"f:{STOP_ANNOTATION}")
    others = [managed("kubectl", ("f:metadata", "f:annotations", "f:other"))]
    return samples.resource(
        metadata={
            "annotations": {STOP_ANNOTATION: value},
            "managedFields": [*others, *(managed(name, path, at) for name, at in managers)],
        }
    )


def test_a_tenant_without_annotation_and_config_map_is_not_stopped() -> None:
    assert stop_of(samples.resource(), of_all=None) is None
    assert stop_of(samples.resource(metadata={"annotations": {"humangov.io/stopped": "x"}}), of_all=None) is None
    assert stop_of_all(None) is None
    assert why_stopped(samples.resource(), of_all=None) is None


def test_a_stop_says_who_set_it_why_and_since_when() -> None:
    stop = stop_of(annotated("a wrong import", ("kubectl-annotate", AT)), of_all=None)
    assert stop is not None
    assert (stop.reason, stop.by, stop.since) == (
        "a wrong import",
        "kubectl-annotate",
        datetime(2026, 3, 1, 10, tzinfo=UTC),
    )
    assert stop.sentence == (
        "stopped since 2026-03-01T10:00:00Z by annotation humangov.io/stop, written by field manager kubectl-annotate: "
        "a wrong import"
    )
    assert stop.remedy == "To start it: humangov start humangov/california"


def test_the_last_of_several_managers_counts() -> None:
    stop = stop_of(annotated("x", ("a", AT), ("humangov-stop", "2026-03-02T10:00:00Z")), of_all=None)
    assert stop is not None
    assert stop.by == "humangov-stop"


@pytest.mark.parametrize("value", ["", " ", "false", None])
def test_an_annotation_stops_whatever_its_value(value: str | None) -> None:
    assert stop_of(annotated(value), of_all=None) is not None


@pytest.mark.parametrize("data", [{}, {"data": None}, {"data": {"other": "x"}}, {"data": {"reason": ""}}])
def test_a_config_map_stops_all_whatever_it_holds(data: dict[str, Any]) -> None:
    found = stop_of_all(
        {"metadata": {"name": "humangov-stop", "namespace": "operators", "creationTimestamp": AT}, **data}
    )
    assert found is not None
    assert found.place == "ConfigMap operators/humangov-stop"
    assert found.since == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert stop_of(samples.resource(), of_all=found) == found


@pytest.mark.parametrize("status", ["True", "Unknown"])
def test_the_operators_condition_keeps_others_from_erasing(status: str) -> None:
    condition = {"type": "Stopped", "status": status, "reason": "ErasureLimit", "message": "20,000 files in an hour"}
    resource = {**samples.resource(), "status": {"conditions": [condition]}}
    assert "20,000 files in an hour" in str(why_stopped(resource, of_all=None))
    condition["status"] = "False"
    assert why_stopped(resource, of_all=None) is None


def test_desired_of_a_stopped_tenant_is_what_is_declared_but_for_concurrency_and_trigger() -> None:
    tenant = samples.tenant(function={"reservedConcurrency": 3, "memoryMiB": 256})
    stopped = while_stopped(tenant)
    assert (stopped.function.reserved_concurrency, stopped.trigger.enabled) == (0, False)
    assert stopped.function.memory_mib == 256
    assert (tenant.function.reserved_concurrency, tenant.trigger.enabled) == (3, True)


def test_a_stop_is_a_value() -> None:
    one, same = (stop_of(annotated("x", ("a", AT)), of_all=None) for _ in range(2))
    assert isinstance(one, Stop)
    assert one == same
