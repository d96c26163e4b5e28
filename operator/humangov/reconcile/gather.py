"""Gather: which reads are due, and what they observe. A part is observed, absent, or unread: no error is an absence."""

from __future__ import annotations

from dataclasses import dataclass, replace

from humangov.api.conditions import ready_generation
from humangov.api.spec import RECONCILE_ANNOTATION
from humangov.aws import bucket, resources
from humangov.aws.resources import BUCKET, FAILURES, Observations
from humangov.reconcile.cache import Carried
from humangov.reconcile.context import Operator, Reconciliation

DEEP_EVERY = 6  # of a settled tenant's reconciliations, this one also reads what seldom changes
CARRIED_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """deep: what seldom changes was read too. carried: what of it was known from moments ago."""

    observed: Observations
    deep: bool
    carried: Carried | None


async def gather(operator: Operator, this: Reconciliation) -> Gathered:
    """What is due, read at once."""
    memory, deep = this.memory, _is_deep(this)
    carried = _carried(this, now=operator.monotonic())
    # A new tenant has no failed invocations yet, so its first reconciliations need not count them.
    count = memory.settled_generation == this.tenant.generation and (deep or not memory.failures_counted)
    # What else may hold copies of its files is told of a tenant that works, not while it is set up.
    copies = deep and ready_generation(this.stored_status) == this.tenant.generation
    observed = await resources.observe(
        this.clients, this.names, deep=deep, in_thread=operator.in_thread, known=carried.observed if carried else None,
        count_failures=count, copies=copies,
    )  # fmt: skip
    observed = {BUCKET: memory.bucket, **observed}
    return Gathered(observed=_with_known_copies(observed, memory.bucket), deep=deep, carried=carried)


async def gather_deep(operator: Operator, this: Reconciliation, shallow: Gathered) -> Gathered:
    """Everything again, but for the failed invocations, which are counted."""
    counted = {part: found for part, found in shallow.observed.items() if part == FAILURES}
    observed = await resources.observe(this.clients, this.names, deep=True, in_thread=operator.in_thread)
    known = shallow.observed[BUCKET]
    return replace(shallow, observed=_with_known_copies({**counted, **observed}, known), deep=True)


def _with_known_copies(observed: Observations, known: object) -> Observations:
    """With what an earlier read has shown of the bucket's copies, where this one has not, or failed for a moment."""
    found = observed[BUCKET]
    if not isinstance(found, bucket.Observed) or not isinstance(known, bucket.Observed):
        return observed
    return {**observed, BUCKET: bucket.with_known(found, known)}


def _is_deep(this: Reconciliation) -> bool:
    """Whether this reconciliation also reads what seldom changes."""
    memory = this.memory
    asked = (this.resource["metadata"].get("annotations") or {}).get(RECONCILE_ANNOTATION)
    return (
        memory.settled_generation != this.tenant.generation
        or memory.bucket is None  # never read in this process: an absence must be observed, not assumed
        or memory.reconciliations % DEEP_EVERY == 0
        or asked != this.stored_status.get("lastHandledReconcile")
        or memory.deep_failed
    )


def _carried(this: Reconciliation, *, now: float) -> Carried | None:
    """What need not be read again because it was in sync, for this generation, moments ago."""
    carried = this.memory.carried
    if carried is None or carried.generation != this.tenant.generation or now - carried.at > CARRIED_SECONDS:
        return None
    return carried
