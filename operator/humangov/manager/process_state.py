"""How far this process has come, as its probes and its metrics see it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from humangov.api.conditions import OWN_CONDITIONS
from humangov.manager.bulk_read_monitor import BulkCheck
from humangov.manager.code_rollout_monitor import RolloutCheck
from humangov.manager.enqueue import Queues
from humangov.manager.erasure_limit_monitor import LimitCheck
from humangov.manager.health import Health, judge, judge_candidate
from humangov.manager.leader_election import Election
from humangov.manager.leak_monitor import LeakCheck
from humangov.manager.metrics import Gauges
from humangov.manager.problem_gauges import Problem, problem_of
from humangov.manager.stream_lag_monitor import LagCheck
from humangov.manager.sweep_gauges import SweepGauges, sweep_gauges
from humangov.manager.sweep_queue import QueueCheck
from humangov.reconcile.cache import Store
from humangov.reconcile.code_rollout import Stage


@dataclass
class ProcessState:
    """Of one process, kept by the manager. election: None where there is no other operator."""

    election: Election | None
    store: Store
    watching: asyncio.Event = field(default_factory=asyncio.Event)
    queues: Queues | None = None  # None: not at work yet
    leaks: LeakCheck = field(default_factory=LeakCheck)
    stream_lags: LagCheck = field(default_factory=LagCheck)
    erasure_limits: LimitCheck = field(default_factory=LimitCheck)
    sweep_queue: QueueCheck = field(default_factory=QueueCheck)
    code_rollout: RolloutCheck = field(default_factory=RolloutCheck)
    bulk_reads: BulkCheck = field(default_factory=BulkCheck)

    def gauges(self) -> Gauges:
        if self.queues is None:
            return Gauges()
        now, schedule = time.monotonic(), self.queues.workers.schedule
        return Gauges(
            leading=True,
            waiting=schedule.waiting(now=now),
            running=len(schedule.running()),
            longest_wait_seconds=max(0.0, schedule.longest_wait_seconds(now=now)),
            tenants=_by_condition(self.store),
            problems=_problems(self.store),
            stopped_tenants=self.store.stopped(),
            code_rollout_stopped=self.store.code_rollout is not None and self.store.code_rollout.stage is Stage.STOPPED,
            leaked_tenants=self.leaks.leaked_tenants,
            stream_lags=self.stream_lags.lags,
            limited_records=self.erasure_limits.numbers,
            sweeps=_sweeps(self.store),
            running_sweeps=self.sweep_queue.running,
            waiting_sweeps=self.sweep_queue.waiting,
        )

    def health(self) -> Health:
        if self.queues is None:
            return judge_candidate(
                standby=self.election is not None and self.election.standby,
                trouble=self.election.trouble if self.election is not None else None,
            )
        now, schedule = time.monotonic(), self.queues.workers.schedule
        return judge(
            longest_run_seconds=schedule.longest_run_seconds(now=now),
            standstill_seconds=schedule.standstill_seconds(now=now),
            ready=self.watching.is_set(),
            died=self.queues.workers.died() or self.queues.stops.died(),
        )


def _problems(store: Store) -> dict[tuple[str, str], Problem]:
    resources = [resource for key in store if (resource := store.get(key)) is not None]
    return {
        (resource["metadata"]["namespace"], resource["metadata"]["name"]): problem
        for resource in resources
        if (problem := problem_of(resource.get("status") or {}))
    }


def _sweeps(store: Store) -> dict[tuple[str, str], SweepGauges]:
    found = {}
    for key in store:
        resource = store.get(key)
        if resource is not None and (one := sweep_gauges(resource, stopped=store.stop_of(key) is not None)):
            found[resource["metadata"]["namespace"], resource["metadata"]["name"]] = one
    return found


def _by_condition(store: Store) -> Counter[tuple[str, str, str]]:
    """How many states say what: by type, status and reason of each of the operator's conditions; others write too."""
    resources = [resource for key in store if (resource := store.get(key)) is not None]
    return Counter(
        (condition["type"], condition["status"], condition["reason"])
        for resource in resources
        for condition in (resource.get("status") or {}).get("conditions") or ()
        if condition["type"] in OWN_CONDITIONS
    )
