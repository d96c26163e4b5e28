"""Which sweeps run and which wait for their turn. The real Job controller: tests/e2e/test_schedule.py."""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
from collections.abc import Mapping
from typing import Any, cast

import pytest
from humangov.api.allowed_names import AllowedNames
from humangov.kube.client import KubeError, Resource
from humangov.kube.jobs import Jobs
from humangov.manager import sweep_queue
from humangov.manager.sweep_queue import QueueCheck, tenant_of, turn
from humangov.reconcile.cache import Store
from humangov.reconcile.context import Operator
from humangov.reconcile.settings import Settings
from humangov.reconcile.sweep_job_manifests import QUEUE_LABEL
from hypothesis import given, settings
from hypothesis import strategies as st

from testing import samples

LIMIT = 10
FINISHED = {"conditions": [{"type": "Complete", "status": "True"}]}


def job(
    name: str, *, of: str, minute: int = 0, suspend: bool = True, status: Mapping[str, Any] | None = None,
    namespace: str = "humangov",
) -> Any:  # fmt: skip
    labels = {"humangov.io/namespace": namespace, "humangov.io/name": of, QUEUE_LABEL: "true"}
    created = f"2026-03-01T03:{minute:02}:00Z"
    metadata = {"namespace": "operators", "name": name, "uid": name, "creationTimestamp": created, "labels": labels}
    arguments = ["sweep", f"humangov/{of}", "--uid", f"uid-of-{of}", "--report-status"]
    spec = {"suspend": suspend, "backoffLimit": 2, "template": pods("humangov-operator:1", args=arguments)}
    return {"metadata": metadata, "spec": spec, "status": dict(status or {})}


def pods(image: str, **container: Any) -> Any:
    """A PodTemplateSpec."""
    containers = [{"name": "sweep", "image": image, **container}]
    return {"spec": {"serviceAccountName": "sweeper", "restartPolicy": "Never", "containers": containers}}


def names(jobs: Any) -> list[str]:
    return [one["metadata"]["name"] for one in jobs]


class Kube:
    """The API server's Jobs, and the job controller, as far as the queue can tell."""

    def __init__(self, *jobs: Any) -> None:
        self.jobs: dict[str, Any] = {one["metadata"]["name"]: one for one in jobs}
        self.refuses: dict[str, KubeError] = {}
        self.tried: list[str] = []
        self.refuses_list: KubeError | None = None
        self.template: Any = pods("humangov-operator:1")
        self.seconds = itertools.count()

    async def get_object(self, plural: str, namespace: str, name: str) -> Resource | None:
        assert (plural, namespace, name) == ("cronjobs", "operators", "template")
        return {"spec": {"jobTemplate": {"spec": {"template": self.template}}}} if self.template else None

    async def list_cron_jobs(self, namespace: str, label_selector: str) -> list[Resource]:
        assert (namespace, label_selector) == ("operators", "humangov.io/sweep-template=true")
        return []

    async def create_object(self, plural: str, document: Resource) -> None:
        name = document["metadata"]["name"]
        if error := self.refuses.get(f"create {plural}"):
            raise error
        assert plural == "jobs"
        metadata = {
            **document["metadata"],
            "uid": name,
            "creationTimestamp": f"2026-03-01T04:00:{next(self.seconds):02}Z",
        }
        self.jobs.setdefault(name, copy.deepcopy({**document, "metadata": metadata, "status": {}}))

    async def delete_object(self, plural: str, namespace: str, name: str) -> None:
        assert (plural, namespace) == ("jobs", "operators")
        del self.jobs[name]

    async def list_jobs(self, namespace: str, label_selector: str) -> list[Resource]:
        assert (namespace, label_selector) == ("operators", f"{QUEUE_LABEL}=true")
        if self.refuses_list:
            raise self.refuses_list
        return copy.deepcopy([one for one in self.jobs.values() if QUEUE_LABEL in one["metadata"]["labels"]])

    async def start_job(self, found: Resource) -> None:
        self.tried.append(found["metadata"]["name"])
        if error := self.refuses.get(found["metadata"]["name"]):
            raise error
        self.jobs[found["metadata"]["name"]]["spec"]["suspend"] = False

    async def remove_job_label(self, found: Resource, label: str) -> None:
        del self.jobs[found["metadata"]["name"]]["metadata"]["labels"][label]

    def running(self) -> list[str]:
        return [name for name, one in self.jobs.items() if not one["spec"]["suspend"] and not one["status"]]

    def finish(self, name: str) -> None:
        self.jobs[name]["status"] = FINISHED


class Queue:
    """The operator's part: a fresh process where `restarted`."""

    def __init__(self, kube: Kube, *, limit: int = LIMIT, tenants: int = 0) -> None:
        self.kube, self.asked, self.before = kube, list[str](), QueueCheck()
        self.store = Store(default_region="us-east-1")
        for number in range(tenants):
            self.store.put(samples.resource(f"s{number}"))
        chosen = Settings(
            region="us-east-1", allowed=AllowedNames({}), sweep_template="template", own_namespace="operators",
            maximum_concurrent_sweeps=limit,
        )  # fmt: skip
        rest = {name: None for name in Operator.__dataclass_fields__ if name not in ("settings", "store")}
        self.operator = Operator(settings=chosen, store=self.store, **cast(Any, rest))

    def restarted(self) -> None:
        self.before = QueueCheck()

    def check(self) -> QueueCheck:
        async def ask(key: str) -> None:
            self.asked.append(key)

        self.before = asyncio.run(
            sweep_queue.check(self.operator, cast(Jobs, self.kube), self.before, ask_for_reconcile=ask)
        )
        return self.before


def test_ten_sweeps_start_and_the_eleventh_starts_when_one_has_ended() -> None:
    kube = Kube(*(job(f"j{number}", of=f"s{number}", minute=number) for number in range(12)))
    queue = Queue(kube, tenants=12)
    found = queue.check()
    assert kube.running() == [f"j{number}" for number in range(LIMIT)]
    assert (found.running, found.waiting) == (10, 2)
    queue.check()
    assert len(kube.running()) == LIMIT
    kube.finish("j3")
    found = queue.check()
    assert "j10" in kube.running()
    assert "j11" not in kube.running()
    assert (found.running, found.waiting) == (10, 1)
    assert QUEUE_LABEL not in kube.jobs["j3"]["metadata"]["labels"]  # nor is it listed again, for a week


def test_namespace_with_many_sweeps_leaves_places_to_those_of_others() -> None:
    """Whoever may edit HumanGovStates there starts as many as there are, and each may run for hours."""
    theirs = [job(f"f{number}", of=f"f{number}", minute=number, namespace="florida") for number in range(30)]
    kube = Kube(*theirs, job("c", of="california", minute=59, namespace="california"))
    queue = Queue(kube)
    for namespace, number in (("florida", 0), ("california", 1)):
        queue.store.put(samples.resource(f"s{number}", namespace=namespace))
    found = queue.check()
    assert kube.running() == [*(f"f{number}" for number in range(8)), "c"]
    assert (found.running, found.waiting) == (9, 22)
    assert found.waits["florida/f8"].endswith("at most 8 per namespace run at once")
    kube.finish("f0")
    queue.check()
    assert "f8" in kube.running()


def test_running_sweeps_still_count_after_a_restart_of_the_operator() -> None:
    kube = Kube(*(job(f"j{number}", of=f"s{number}", minute=number) for number in range(15)))
    queue = Queue(kube)
    queue.check()
    queue.restarted()
    queue.check()
    assert kube.running() == [f"j{number}" for number in range(LIMIT)]


def test_one_sweep_of_a_tenant_at_a_time_and_the_others_do_not_wait_for_it() -> None:
    jobs = [
        job("on-demand", of="ohio", minute=5),
        job("scheduled", of="ohio", minute=1),
        job("other", of="utah", minute=9),
    ]
    found = turn(jobs)
    assert (names(found.order), names(found.behind)) == (["scheduled", "other"], ["on-demand"])
    running = [job("scheduled", of="ohio", suspend=False), *jobs[::2]]
    assert names(turn(running).behind) == ["on-demand"]


def test_failed_sweep_frees_its_place_and_one_whose_pods_are_being_stopped_does_not() -> None:
    failed = job("a", of="a", suspend=False, status={"conditions": [{"type": "Failed", "status": "True"}]})
    failing = job("b", of="b", suspend=False, status={"conditions": [{"type": "FailureTarget", "status": "True"}]})
    kube = Kube(failed, failing, job("c", of="c"))
    found = Queue(kube, limit=1).check()
    assert (found.running, found.waiting) == (1, 1)
    assert QUEUE_LABEL not in kube.jobs["a"]["metadata"]["labels"]
    assert Queue(kube, limit=2).check().waiting == 0


@pytest.mark.parametrize(
    ("status", "others"), [(403, ["b", "c"]), (422, ["b", "c"]), (404, ["b", "c"]), (None, ["b"]), (503, ["b"])]
)
def test_sweep_that_is_refused_does_not_hold_up_the_others_and_one_that_may_have_started_keeps_its_place(
    status: int | None, others: list[str]
) -> None:
    kube = Kube(job("a", of="s0", minute=1), job("b", of="s1", minute=2), job("c", of="s2", minute=3))
    kube.refuses = {"a": KubeError("writing jobs", status=status, reason="no")}
    Queue(kube, limit=2).check()
    assert kube.running() == others


def test_tenant_says_that_its_sweep_waits_and_why_until_it_starts() -> None:
    kube = Kube(job("a", of="s0", minute=1), job("b", of="s1", minute=2), job("c", of="gone", minute=3))
    queue = Queue(kube, limit=1, tenants=2)
    queue.check()
    said = queue.store.memory("humangov/s1").waiting_sweep
    assert said is not None
    assert said.startswith("a sweep has been waiting since 2026-03-01T03:02:00Z: at most 1 run at once")
    assert queue.store.memory("humangov/s0").waiting_sweep is None
    queue.check()
    assert queue.asked == ["humangov/s1"]  # news alone is a reconcile
    kube.finish("a")
    queue.check()
    assert queue.asked == ["humangov/s1"] * 2
    assert queue.store.memory("humangov/s1").waiting_sweep is None


@pytest.mark.parametrize("status", [403, 500])
def test_sweep_that_cannot_be_started_waits_and_its_tenant_says_why(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    kube = Kube(job("a", of="s0"))
    kube.refuses = {"a": KubeError("writing jobs operators/a", status=status, reason="no")}
    queue = Queue(kube, tenants=1)
    for _ in range(3):
        assert (queue.check().running, queue.before.waiting) == (0, 1)
    said = queue.store.memory("humangov/s0").waiting_sweep or ""
    assert said.endswith("it could not be started: writing jobs operators/a: no")
    assert len([one for one in caplog.records if "sweeps could not be started" in one.message]) == 1
    kube.refuses = {}
    assert queue.check().problem is None
    assert kube.running() == ["a"]


def test_without_the_permission_a_check_tries_no_more_sweeps_than_may_run_and_every_one_in_turn() -> None:
    kube = Kube(*(job(f"j{number}", of=f"s{number}", minute=number) for number in range(7)))
    kube.refuses = {name: KubeError("writing jobs", status=403, reason="no") for name in kube.jobs}
    queue = Queue(kube, limit=3, tenants=7)
    tried = []
    for _ in range(4):
        kube.tried.clear()
        queue.check()
        tried.append(list(kube.tried))
    assert tried[:3] == [["j0", "j1", "j2"], ["j3", "j4", "j5"], ["j6", "j0", "j1"]]
    assert tried[3] == ["j0", "j1", "j2"]
    queue.asked.clear()
    for _ in range(3):
        queue.check()
    assert queue.asked == []  # what a tenant says stays, whether its sweep was tried in this check or not
    assert "it could not be started: writing jobs: no" in (queue.store.memory("humangov/s6").waiting_sweep or "")
    del kube.refuses["j6"]
    for _ in range(3):
        queue.check()
    assert kube.running() == ["j6"]


def test_tenant_whose_sweep_waits_behind_refused_ones_does_not_read_whose_they_are() -> None:
    kube = Kube(*(job(f"j{number}", of=f"s{number}", minute=number) for number in range(4)))
    kube.refuses = {
        name: KubeError(f"writing jobs operators/{name}", status=403, reason=f"jobs.batch {name} is forbidden")
        for name in kube.jobs
    }
    queue = Queue(kube, limit=3, tenants=4)
    queue.check()
    said = queue.store.memory("humangov/s3").waiting_sweep or ""
    assert "others before it could not be started" in said
    assert not [name for name in ("j0", "j1", "j2") if name in said]


@pytest.mark.parametrize("status", [404, 409])
def test_sweep_job_that_was_deleted_or_started_meanwhile_is_no_error(status: int) -> None:
    kube = Kube(job("a", of="s0"))
    kube.refuses = {"a": KubeError("writing", status=status, reason="changed")}
    assert Queue(kube, tenants=1).check().problem is None


def test_while_jobs_cannot_be_listed_nothing_starts_and_numbers_are_unknown(caplog: pytest.LogCaptureFixture) -> None:
    kube = Kube(job("a", of="s0", minute=1), job("b", of="s1", minute=2))
    queue = Queue(kube, limit=1, tenants=2)
    queue.check()
    kube.refuses_list = KubeError("listing jobs in operators", status=None, reason="timeout")
    for _ in range(2):
        assert (queue.check().running, queue.before.waiting) == (None, None)
    assert len(caplog.records) == 1
    kube.refuses_list = None
    kube.finish("a")
    queue.check()
    assert queue.store.memory("humangov/s1").waiting_sweep is None  # what was said before the failure is taken back


def test_sweeps_of_an_older_template_that_have_no_pod_are_replaced_in_their_order_and_run() -> None:
    """Their pods would be refused, and ten of them would hold up every other sweep for six hours."""
    kube = Kube(
        job("waits-b", of="s1", minute=2), job("waits-a", of="s0", minute=1),
        job("started", of="s2", minute=3, suspend=False),
        job("runs", of="s3", minute=4, suspend=False, status={"active": 1}),
        job("ended", of="s4", suspend=False, status=FINISHED),
    )  # fmt: skip
    kube.template = pods("humangov-operator:2")
    found = Queue(kube, limit=3, tenants=5).check()
    assert "runs" in kube.jobs
    assert "ended" in kube.jobs
    fresh = {one["metadata"]["labels"]["humangov.io/name"]: one for name, one in kube.jobs.items() if len(name) > 8}
    assert sorted(fresh) == ["s0", "s1", "s2"]
    assert len(kube.jobs) == 5
    for state, one in fresh.items():
        pod = one["spec"]["template"]["spec"]["containers"][0]
        assert pod["image"] == "humangov-operator:2"
        assert pod["args"] == ["sweep", f"humangov/{state}", "--uid", f"uid-of-{state}", "--report-status"]
        assert one["metadata"]["annotations"] == {
            "humangov.io/owner": f"None/humangov/{state}", "humangov.io/uid": f"uid-of-{state}",
        }  # fmt: skip
        assert one["spec"]["backoffLimit"] == 2
    assert (found.running, found.waiting) == (3, 1)
    assert [fresh[state]["spec"]["suspend"] for state in ("s0", "s1", "s2")] == [False, False, True]


def test_job_of_somebody_else_in_the_queue_is_not_replaced() -> None:
    """It only has our label: its program, or its service account, is another."""
    theirs = job("theirs-of-another-account", of="s0")
    theirs["spec"]["template"]["spec"]["serviceAccountName"] = "default"
    another = job("theirs-of-another-program", of="s1")
    another["spec"]["template"]["spec"]["containers"][0]["args"] = ["run"]
    kube = Kube(theirs, another)
    kube.template = pods("humangov-operator:2")
    Queue(kube).check()
    assert sorted(kube.jobs) == ["theirs-of-another-account", "theirs-of-another-program"]


@pytest.mark.parametrize("missing", ["the template", "the permission"])
def test_while_older_sweeps_cannot_be_replaced_none_is_lost_and_the_others_start(missing: str) -> None:
    kube = Kube(job("old", of="s0"), job("new", of="s1"))
    kube.jobs["new"]["spec"]["template"]["spec"]["containers"][0]["image"] = "humangov-operator:2"
    kube.template = pods("humangov-operator:2")
    if missing == "the template":
        kube.template = None
    else:
        kube.refuses = {"create jobs": KubeError("creating jobs", status=403, reason="no")}
    Queue(kube).check()
    assert sorted(kube.jobs) == ["new", "old"]
    assert "new" in kube.running()


@settings(max_examples=20, deadline=None)
@given(
    tenants=st.lists(st.integers(0, 5), max_size=30), limit=st.integers(1, 4), seed=st.integers(0, 1000),
    refused=st.sets(st.integers(0, 29), max_size=3),
)  # fmt: skip
def test_never_more_than_the_limit_run_and_every_sweep_that_can_runs_in_the_end(
    tenants: list[int], limit: int, seed: int, refused: set[int]
) -> None:
    """Whatever comes and ends when, and though the operator restarts. One that is refused holds up its tenant's."""
    randomly = random.Random(seed)  # noqa: S311 - repeatable
    coming = [job(f"j{number:02}", of=f"s{of}", minute=number) for number, of in enumerate(tenants)]
    kube = Kube()
    kube.refuses = {f"j{number:02}": KubeError("writing", status=403, reason="no") for number in refused}
    queue, idle = Queue(kube, limit=limit), 0
    for _ in range(200):
        number = randomly.randint(0, 3)
        kube.jobs |= {one["metadata"]["name"]: one for one in coming[:number]}
        coming = coming[number:]
        if not idle and randomly.random() < 0.2:
            queue.restarted()
        found = queue.check()
        running = [kube.jobs[name] for name in kube.running()]
        assert found.running == len(running) <= limit
        assert len({tenant_of(one) for one in running}) == len(running)
        for one in running:
            if randomly.random() < 0.5:
                kube.finish(one["metadata"]["name"])
        idle = 0 if coming or running else idle + 1
        if idle > 5:
            break
    held_up = {tenants[number] for number in refused if number < len(tenants)}
    left = [name for name, one in kube.jobs.items() if not one["status"]]
    assert coming == []
    assert {int(kube.jobs[name]["metadata"]["labels"]["humangov.io/name"][1:]) for name in left} <= held_up
