"""How far this process has come, as its probes and its metrics see it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from humangov.manager.bulk_read_monitor import BulkCheck
from humangov.manager.code_rollout_monitor import RolloutCheck
from humangov.manager.enqueue import Queues
from humangov.manager.erasure_limit_monitor import LimitCheck
from humangov.manager.health import Health, judge, judge_candidate
from humangov.manager.leader_election import Election
from humangov.manager.leak_monitor import LeakCheck
from humangov.manager.metrics import Gauges
from humangov.manager.stream_lag_monitor import LagCheck
from humangov.manager.sweep_queue import QueueCheck
from humangov.manager.tenant_gauges import TenantGauges
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
    tenant_gauges: TenantGauges = field(default_factory=TenantGauges)

    def gauges(self) -> Gauges:
        if self.queues is None:
            return Gauges()
        now, schedule = time.monotonic(), self.queues.workers.schedule
        self.tenant_gauges.update(self.store)
        return Gauges(
            leading=True,
            waiting=schedule.waiting(now=now),
            running=len(schedule.running()),
            longest_wait_seconds=max(0.0, schedule.longest_wait_seconds(now=now)),
            tenants=self.tenant_gauges.by_condition,
            problems=self.tenant_gauges.problems,
            stopped_tenants=self.tenant_gauges.stopped,
            code_rollout_stopped=self.store.code_rollout is not None and self.store.code_rollout.stage is Stage.STOPPED,
            leaked_tenants=self.leaks.leaked_tenants,
            stream_lags=self.stream_lags.lags,
            limited_records=self.erasure_limits.numbers,
            sweeps=self.tenant_gauges.sweeps,
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
