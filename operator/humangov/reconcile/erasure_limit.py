"""The erasure limit in a reconciliation: what is known of it, and the stop that follows from it.

The stop begins with status.erasureLimit: once that is written, the next reconciliation, which follows at once, obeys
it as every other stop (stop.py). So a process that is killed in between leaves either the news, which CloudWatch still
has, or the stop.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from humangov.api import erasure_limit
from humangov.api.conditions import Event, amended
from humangov.api.erasure_limit import LIMIT_TAG, LimitedRecords, Reached
from humangov.aws import function_observed
from humangov.aws.change import Context
from humangov.aws.resources import FUNCTION, Observations
from humangov.reconcile.context import Operator, Reconciliation, post_event, store_answer
from humangov.reconcile.outcome import Outcome

logger = logging.getLogger(__name__)


def with_limit(
    context: Context, observed: Observations, *, status: Mapping[str, Any], limited: Sequence[LimitedRecords] = ()
) -> Context:
    """The context that knows whether the limit was reached, and approved since. Pure.

    status: of the HumanGovState. limited: what CloudWatch lately showed; while the tag can't be read it is no news, for
    an approval may be in the tag.
    """
    found = observed.get(FUNCTION)
    tags = found.tags if isinstance(found, function_observed.Observed) else None
    limit = erasure_limit.judge(
        tag=(tags or {}).get(LIMIT_TAG),
        status=status,
        annotations=context.names.tenant.annotations,
        limited=limited if found is None or tags is not None else (),
        now=context.now,
    )
    return replace(context, erasure_limit=limit)


async def stop(operator: Operator, this: Reconciliation) -> Outcome | None:
    """None unless the limit was reached and status does not say so yet. Raises KubeError."""
    limit, known = this.context.erasure_limit, erasure_limit.reached_in(this.stored_status)
    if not isinstance(limit, Reached) or limit == known:
        return None
    status = amended(
        this.stored_status,
        aws=this.names.identity.recorded,  # by which the stop finds the function
        functionName=this.tenant.function.name,
        erasureLimit=erasure_limit.status_field(limit),
    )
    resource = await store_answer(operator, this.resource, operator.kube.apply_status(this.resource, status))
    text = (
        f"the function reached its limit of {this.tenant.trigger.maximum_erasures_per_hour:,} erasures in an hour "
        f"(spec.trigger.maximumErasuresPerHour) and returned {limit.limited:,} records to Lambda, so it is stopped. "
        f"If the records were removed on purpose, run: humangov approve {this.tenant.key}. Otherwise restore the "
        "table first: a file that a record names again stays"
    )
    logger.warning("ErasureLimitReached: %s", text, extra={"tenant": this.tenant.key})
    await post_event(operator, resource, Event(kind="Warning", reason="ErasureLimitReached", message=text))
    return Outcome(requeue_after_seconds=0.0)
