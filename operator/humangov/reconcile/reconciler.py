"""One reconciliation of one tenant: gather → decide → apply → conclude → status.

Safe to kill between any two calls, and to repeat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from humangov.api.conditions import HELD, Finding
from humangov.api.conflicts import refusal
from humangov.api.spec import InvalidSpecError, parse
from humangov.aws.ownership import OTHER_CLUSTER
from humangov.reconcile import erasure_limit, legal_hold, returning_drift, sweep_jobs
from humangov.reconcile.apply import Applied, apply
from humangov.reconcile.cache import Memory
from humangov.reconcile.conclude import conclude, remembered
from humangov.reconcile.context import PATIENCE_SECONDS, Operator, Reconciliation, begin, identify
from humangov.reconcile.decide import Decision, decide, rewrites
from humangov.reconcile.finalizer import add_finalizer, finalize, finalize_unreadable
from humangov.reconcile.gather import Gathered, gather, gather_deep
from humangov.reconcile.outcome import Outcome
from humangov.reconcile.status import Conclusion, announce, is_news, publish
from humangov.reconcile.stop import GOES_ON, obey


async def reconcile(operator: Operator, key: str, *, failing_seconds: float) -> Outcome:
    """Bring one tenant a step nearer to what its HumanGovState declares. Raises KubeError."""
    resource, known = operator.store.get(key), operator.store.tenant(key)
    if resource is None:
        operator.ripening.forget(key)
        return Outcome(forget=True)
    stop = await obey(operator, resource)
    try:
        tenant = known or parse(resource, default_region=operator.settings.region)
    except InvalidSpecError as error:
        if resource["metadata"].get("deletionTimestamp"):
            return await finalize_unreadable(operator, resource, error, stop=stop)
        return await publish(operator, resource, Conclusion(ready=Finding.action_required("InvalidSpec", str(error))))
    patient = failing_seconds < PATIENCE_SECONDS
    if tenant.deleting and not legal_hold.keeps_from_deletion(tenant, resource):
        # Of a hold: with Retain it is released as it is. What is not allowed any more is removed all the same.
        waits_for = None if stop is not None and stop.source in GOES_ON else stop
        return await finalize(operator, resource, tenant, stop=waits_for, patient=patient)
    refused = refusal(tenant, allowed=operator.settings.allowed, others=operator.store.conflict_candidates(tenant))
    if refused:
        return await publish(operator, resource, Conclusion(ready=refused))
    clients = operator.clients_for(tenant)
    identity = await identify(operator, resource, clients)
    if isinstance(identity, Finding):
        is_shown = bool((resource.get("status") or {}).get("conditions"))
        if is_shown and identity.failed and identity.soon and (patient or identity.throttled) and stop is None:
            return Outcome(
                failed=True, soon=True, throttled=identity.throttled
            )  # as with any transient failure: retried before it is reported
        return await publish(operator, resource, Conclusion(ready=identity))
    return await _correct(operator, begin(operator, resource, tenant, identity, clients, stop=stop, patient=patient))


async def _correct(operator: Operator, this: Reconciliation) -> Outcome:
    gathered = await gather(operator, this)
    this = _informed(operator, this, gathered)
    stopped = await erasure_limit.stop(operator, this)
    if stopped is not None:
        return stopped
    decision = decide(this, gathered.observed)
    if gathered.carried is not None and rewrites(decision.changes):  # it was not all read just now
        gathered = await gather(operator, this, afresh=True)
        this = _informed(operator, this, gathered)
        decision = decide(this, gathered.observed)
    unwritten = _unwritten(operator, this, decision, gathered) if gathered.confirmed or gathered.deferred else None
    news = unwritten is not None and is_news(operator, this, unwritten.conclusion)
    if news or (
        not decision.in_sync and not gathered.deep
    ):  # writes, and conditions, follow single and deep reads only
        gathered = await gather_deep(operator, this, gathered)
        this = _informed(operator, this, gathered)
        decision = decide(this, gathered.observed)
    decision = returning_drift.held_back(
        decision, this.memory.corrections, generation=this.tenant.generation, now=this.context.now
    )
    this = await add_finalizer(operator, this)
    this = await announce(operator, this) if decision.writes else this
    applied = await apply(operator, this, decision, gathered.observed)
    tenant, memory = this.tenant, operator.store.memory(this.tenant.key)
    conclusion = unwritten.still(this, decision, applied, memory) if unwritten is not None else None
    conclusion = conclusion or conclude(this, decision, applied, known=memory)
    left = remembered(this, gathered, decision, applied, conclusion, known=memory, now=operator.monotonic())
    operator.store.remember(tenant.key, uid=tenant.uid, reconciler=left)
    return await publish(operator, this.resource, await _with_jobs(operator, this, conclusion))


@dataclass(frozen=True, kw_only=True)
class _Unwritten:
    """What would be concluded if nothing were written, and from what."""

    this: Reconciliation
    decision: Decision
    known: Memory
    conclusion: Conclusion

    def still(
        self, this: Reconciliation, decision: Decision, applied: Applied, known: Memory
    ) -> Conclusion | None:  # fmt: skip
        """The same, if nothing was read, written or found by a monitor since; None: it has to be concluded again."""
        same = this is self.this and decision is self.decision and known is self.known
        return self.conclusion if same and not applied.changes and not applied.failures else None


def _unwritten(operator: Operator, this: Reconciliation, decision: Decision, gathered: Gathered) -> _Unwritten:
    memory = operator.store.memory(this.tenant.key)
    conclusion = conclude(this, decision, Applied(observed=gathered.observed), known=memory)
    return _Unwritten(this=this, decision=decision, known=memory, conclusion=conclusion)


def _informed(operator: Operator, this: Reconciliation, gathered: Gathered) -> Reconciliation:
    """With what the function itself records: its legal hold, and its erasure limit."""
    limited = operator.store.memory(this.tenant.key).limited
    context = legal_hold.with_hold(this.context, gathered.observed)
    context = erasure_limit.with_limit(context, gathered.observed, status=this.stored_status, limited=limited)
    return replace(this, context=context)


async def _with_jobs(operator: Operator, this: Reconciliation, conclusion: Conclusion) -> Conclusion:
    """The conclusion, with what came of the tenant's sweeps."""
    if this.tenant.deleting:
        await sweep_jobs.remove(operator, this.tenant)  # the final stream read begins anew when the hold has ended
        return conclusion
    if any(finding.reason == OTHER_CLUSTER for finding in conclusion.findings.values()):
        await sweep_jobs.remove(operator, this.tenant)  # the other cluster's operator runs the sweeps of these files
        return conclusion
    if conclusion.redrives:
        held = await sweep_jobs.redrive_after_hold(operator, this)
        conclusion = replace(conclusion, findings={**conclusion.findings, HELD: held})
    sweeps = await sweep_jobs.keep(operator, this, ready=conclusion.ready)
    return sweeps.added_to(conclusion)
