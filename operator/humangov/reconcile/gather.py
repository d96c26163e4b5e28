"""Gather: which reads are due, and what they observe. A part is observed, absent, or unread: no error is an absence."""

from __future__ import annotations

from dataclasses import dataclass, replace

from humangov.api.conditions import ready_generation
from humangov.api.spec import RECONCILE_ANNOTATION
from humangov.aws import bucket, log_group, resources
from humangov.aws.resources import BUCKET, FAILURES, FUNCTION, LOG_GROUP, TRIGGER, Observations
from humangov.reconcile import due_reads
from humangov.reconcile.cache import Carried
from humangov.reconcile.context import Operator, Reconciliation
from humangov.reconcile.due_reads import ADDITIONS, AT_START, AT_START_OF_THOUSANDS, COPIES, EVERY, FULL, DueReads

CARRIED_SECONDS = 30.0
"""While AWS lets something ripen, that alone is read. Ready, and whatever is written, rests on nothing older."""
MANY = 200
"""From so many tenants on, not all that seldom changes is read after a start: it would take more than one resync."""
THOUSANDS = 2000
"""From so many on, four calls of IAM each, at half of 30 a second, take a whole resync."""
HOURLY_UP_TO = 4000
"""With more, six hourly calls of Lambda's control plane a tenant are more than half of its 15 a second."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """carried: what of it was known from moments ago.

    deep_parts  of what parts that was read too which seldom changes
    confirmed   the parts that were not read: a snapshot shows them as the last single read did
    deferred    the parts that this process has not read deep yet: they were in sync before it began
    """

    observed: Observations
    deep_parts: frozenset[str]
    carried: Carried | None
    confirmed: frozenset[str] = frozenset()
    deferred: frozenset[str] = frozenset()

    @property
    def deep(self) -> bool:
        """Whether everything was read with what seldom changes."""
        return self.deep_parts >= {*due_reads.READ, ADDITIONS, BUCKET}


async def gather(operator: Operator, this: Reconciliation, *, afresh: bool = False) -> Gathered:
    """What is due, read at once; `afresh`: nothing is carried from the reconciliation before."""
    memory, now = this.memory, operator.monotonic()
    carried = None if afresh else _carried(this, now=now)
    narrow = _is_narrow(carried)
    due = FULL if carried or _is_full(this) else _due(operator, this, now=now)
    at_start = _at_start(operator, this) if due.full and not afresh else None
    due = at_start or due
    # A new tenant has no failed invocations yet, so its first reconciliations need not count them.
    count = memory.settled_generation == this.tenant.generation and (
        FAILURES in due.deep or not memory.failures_counted
    )
    # What else may hold copies of its files is told of a tenant that works, not while it is set up.
    copies = COPIES in due.deep and ready_generation(this.stored_status) == this.tenant.generation
    observed = await resources.observe(
        this.clients, this.names, deep=due.full and not narrow, deep_parts=frozenset() if narrow else due.deep,
        in_thread=operator.in_thread, known=carried.observed if carried else due.confirmed, count_failures=count,
        copies=copies, additions=ADDITIONS in due.deep, is_new=not this.stored_status.get("aws"),
    )  # fmt: skip
    observed = {BUCKET: memory.bucket, **observed}
    return Gathered(
        observed=_with_known(observed, memory.bucket, memory.log_group), deep_parts=due.deep, carried=carried,
        confirmed=frozenset(due.confirmed), deferred=EVERY - due.deep if at_start else frozenset(),
    )  # fmt: skip


async def gather_deep(operator: Operator, this: Reconciliation, shallow: Gathered) -> Gathered:
    """Everything again, but for the failed invocations, which are counted."""
    counted = {part: found for part, found in shallow.observed.items() if part == FAILURES}
    observed = await resources.observe(this.clients, this.names, deep=True, in_thread=operator.in_thread)
    known = shallow.observed[BUCKET]
    observed = {**counted, **observed}
    return replace(
        shallow, observed=_with_known(observed, known, this.memory.log_group), deep_parts=EVERY - {FAILURES, COPIES},
        confirmed=frozenset(), deferred=frozenset(),
    )  # fmt: skip


def _with_known(observed: Observations, known: object, known_log_group: object) -> Observations:
    """With what an earlier read has shown of them, where this one has not, or failed for a moment.

    known: the bucket and its copies.
    """
    found, group = observed[BUCKET], observed[LOG_GROUP]
    if isinstance(found, bucket.Observed) and isinstance(known, bucket.Observed):
        observed = {**observed, BUCKET: bucket.with_known(found, known)}
    if isinstance(group, log_group.Observed) and isinstance(known_log_group, log_group.Observed):
        observed = {**observed, LOG_GROUP: log_group.with_known(group, known_log_group)}
    return observed


def _is_full(this: Reconciliation) -> bool:
    """Whether this reconciliation reads everything, whatever is due."""
    memory = this.memory
    asked = (this.resource["metadata"].get("annotations") or {}).get(RECONCILE_ANNOTATION)
    return (
        memory.settled_generation != this.tenant.generation
        or memory.bucket is None  # never read in this process: an absence must be observed, not assumed
        or asked != this.stored_status.get("lastHandledReconcile")
        or memory.deep_failed
    )


def _at_start(operator: Operator, this: Reconciliation) -> DueReads | None:
    """For this process' first reading of one of many that were in sync, if nobody asks for all of it; else None."""
    memory, status = this.memory, this.stored_status
    count = operator.store.provisioned_beside(status)
    asked = (this.resource["metadata"].get("annotations") or {}).get(RECONCILE_ANNOTATION)
    is_one_of_many = (
        memory.reconciliations == 0
        and count >= MANY
        and ready_generation(status) == this.tenant.generation
        and asked == status.get("lastHandledReconcile")
        and not this.context.stopped
        and not this.tenant.deleting
    )
    if not is_one_of_many:
        return None
    return AT_START_OF_THOUSANDS if count >= THOUSANDS else AT_START


def _due(operator: Operator, this: Reconciliation, *, now: float) -> DueReads:
    reading = this.memory.reading
    current = reading if reading is not None and reading.generation == this.tenant.generation else None
    confirmation = operator.store.memory(this.tenant.key).confirmation
    seldom = operator.store.provisioned_beside(this.stored_status) > HOURLY_UP_TO
    return due_reads.due(current, confirmation, now=now, seldom=seldom)


def _is_narrow(carried: Carried | None) -> bool:
    """Whether only the function or the trigger is waited for: of that alone is read whether it is there yet.

    Who else may invoke it, and its tags, are read with the next deep reads.
    """
    parts = {*resources.MODULES, BUCKET}
    return carried is not None and parts - set(carried.observed) <= {FUNCTION, TRIGGER}


def _carried(this: Reconciliation, *, now: float) -> Carried | None:
    """What need not be read again because it was in sync, for this generation, moments ago."""
    carried = this.memory.carried
    if carried is None or carried.generation != this.tenant.generation or now - carried.at > CARRIED_SECONDS:
        return None
    return carried
