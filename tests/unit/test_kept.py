"""Who may edit HumanGovStates does not fill the operator's memory: lists come in pages, and only what is read is kept.

Runs on nothing.
"""

from __future__ import annotations

import ast
import asyncio
import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from humangov.api.conditions import PARTS, Finding, compose
from humangov.api.stop import stop_of
from humangov.kube import tenants
from humangov.kube.client import PAGE, Client
from humangov.kube.jobs import Jobs
from humangov.kube.kept import VALUE_LIMIT, kept
from humangov.kube.tenants import Tenants
from humangov.reconcile.cache import Store

from sandbox.paths import REPOSITORY
from testing import samples

NUMBER, LONG = 200, "x" * 250 * 1024
"""As many as one namespace's ResourceQuota may allow, each with all the annotations that the API server takes."""


def bloated(number: int) -> dict[str, Any]:
    found = dict(samples.resource(f"n{number}", metadata={"annotations": {"a": LONG, "humangov.io/stop": LONG}}))
    owned = [{"manager": f"m{one}", "fieldsV1": {"f:spec": {LONG: {}}}} for one in range(2)]
    found["metadata"] |= {"labels": {"l": "x"}, "managedFields": owned, "uid": f"uid-{number}"}
    return found


class ApiServer:
    """It answers a list in pages, if it is asked for them, as it does."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []

    async def list_cluster_custom_object(self, *_: Any, **named: Any) -> Any:
        return self._page(**named)

    list_namespaced_custom_object = list_cluster_custom_object

    def _page(self, *, limit: int = NUMBER, _continue: str = "0", **_: Any) -> Any:
        self.asked.append({"limit": limit, "continue": _continue})
        begin = int(_continue)
        following = str(begin + limit) if begin + limit < NUMBER else ""
        items = [bloated(number) for number in range(begin, min(NUMBER, begin + limit))]
        return {"metadata": {"continue": following}, "items": items}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    server = ApiServer()

    async def call(_self: Client, _what: str, method: Any, *arguments: Any, **named: Any) -> Any:
        return await getattr(server, method.__name__, method)(*_of_server(server, method), *arguments, **named)

    monkeypatch.setattr(Client, "_call", call)
    return server


def _of_server(server: ApiServer, method: Any) -> list[ApiServer]:
    """A function takes the API as its first argument; a method of the server has it."""
    return [] if hasattr(server, method.__name__) else [server]


@pytest.fixture
def listed(server: ApiServer) -> tuple[ApiServer, list[Mapping[str, Any]]]:
    return server, asyncio.run(Tenants().list_resources(()))


def test_list_comes_in_pages_and_holds_every_state_once(listed: tuple[ApiServer, list[Mapping[str, Any]]]) -> None:
    server, found = listed
    assert PAGE <= 500
    assert server.asked == [{"limit": PAGE, "continue": str(begin)} for begin in range(0, NUMBER, PAGE)]
    assert [one["metadata"]["name"] for one in found] == [f"n{number}" for number in range(NUMBER)]


def test_jobs_and_cron_jobs_come_in_pages(server: ApiServer) -> None:
    """Each HumanGovState with a schedule has one of them, so who makes states makes them."""
    for found in (asyncio.run(Jobs().list_jobs("humangov", "l")), asyncio.run(Jobs().list_cron_jobs("humangov", "l"))):
        assert [one["metadata"]["name"] for one in found] == [f"n{number}" for number in range(NUMBER)]
    assert server.asked == 2 * [{"limit": PAGE, "continue": str(begin)} for begin in range(0, NUMBER, PAGE)]


def test_200_states_of_250_kib_each_take_less_than_a_mebibyte(
    listed: tuple[ApiServer, list[Mapping[str, Any]]],
) -> None:
    """They took 313 MiB, which is more than the pod has."""
    store = Store(default_region="us-east-1")
    for one in listed[1]:
        store.put(one)
    for number in range(NUMBER):  # and as the watch gives them
        store.put(bloated(number))
    assert len(list(store)) == NUMBER
    assert len(json.dumps([listed[1], [store.get(key) for key in store]])) < 2**20


def test_stop_of_a_long_reason_still_stops() -> None:
    store = Store(default_region="us-east-1")
    store.put(bloated(1))
    stop = store.stop_of("humangov/n1")
    assert stop is not None
    assert len(stop.reason) == VALUE_LIMIT


def test_field_manager_of_a_stop_or_hold_is_kept_in_memory() -> None:
    time = "2026-03-01T12:00:00Z"
    annotated: dict[str, Any] = {"humangov.io/stop": "why"}
    held: dict[str, Any] = {"hold": {"reason": "why"}}
    for path, spec, given in (
        (("f:metadata", "f:annotations", "f:humangov.io/stop"), {}, annotated),
        (("f:spec", "f:hold", "f:reason"), held, {}),
    ):
        fields: dict[str, Any] = {path[0]: {path[1]: {path[2]: {}, "f:other": {}}, "f:more": {}}}
        managers = [{"manager": "kubectl", "time": time, "fieldsV1": fields}, {"manager": "x", "fieldsV1": {}}]
        whole = samples.resource(metadata={"annotations": given, "managedFields": managers}, **spec)
        before = stop_of(whole, of_all=None)
        assert before is not None
        assert before.by == "kubectl"
        assert stop_of(kept(whole), of_all=None) == before


def test_every_annotation_that_the_operator_reads_is_kept() -> None:
    names = set()
    for path in sorted((REPOSITORY / "operator" / "humangov").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                target = node.targets[0]
                if isinstance(target, ast.Name) and target.id.endswith("_ANNOTATION") and "sweep_job" not in path.name:
                    names.add(node.value.value)
    assert len(names) >= 5
    found = kept(samples.resource(metadata={"annotations": dict.fromkeys(names, "v")}))
    assert set(found["metadata"]["annotations"]) == names


def test_rest_of_a_state_is_kept_as_it_is() -> None:
    whole = samples.resource(
        metadata={"finalizers": ["a", "humangov.io/cleanup"], "generation": 7, "deletionTimestamp": "t"}
    )
    found = kept(whole)
    assert (found["spec"], found["kind"], found["apiVersion"]) == (whole["spec"], whole["kind"], whole["apiVersion"])
    assert found["metadata"] == {name: value for name, value in whole["metadata"].items() if name != "annotations"}
    assert tenants.by_name("a", "b")["metadata"] == {"namespace": "a", "name": "b"}


def settled(number: int) -> str:
    """As the API server sends a tenant with a status of nine conditions."""
    name = f"tenant-{number:05}"
    found = dict(samples.resource(name, metadata={"finalizers": ["humangov.io/cleanup"]}))
    working = Finding.in_sync("InSync", f"what is of humangov-{name} has the declared code, configuration and policies")
    aws = {"accountID": "123456789012", "region": "us-east-1", "cluster": "2f0f0c1e-5b0a-4a39-9a52-0f3c1a1f0e11"}
    found["status"] = compose(
        {}, generation=1, ready=working, findings=dict.fromkeys(PARTS, working), now=samples.NOW, fields={"aws": aws}
    )
    return json.dumps(found)


def test_values_that_tenants_have_in_common_are_kept_once() -> None:
    """JSON gives each its own copy of every name and value: of a settled tenant they were half of its memory."""
    texts = [settled(number) for number in range(300)]
    kept(json.loads(settled(300)))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        found = [kept(json.loads(text)) for text in texts]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [json.loads(text) for text in texts]
    assert (after - before) / len(found) < 8 * 1024, "bytes a tenant; 12 KiB without"
