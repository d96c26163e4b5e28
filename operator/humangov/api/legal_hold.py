"""The legal hold: from when on nothing is erased, as the function's own environment records it. Pure.

Until the function has the hold, and code that knows it, its reserved concurrency is 0. So the last invocation without
the hold began before the hold was put on it, and has ended when Lambda's longest time limit is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from humangov.api.spec import Tenant
from humangov.api.times import parse_time, timestamp
from humangov.cleanup.environment import HOLD_SINCE_VARIABLE, HOLD_VARIABLE

LONGEST_INVOCATION = timedelta(minutes=15)
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

IN_EFFECT_AFTER = LONGEST_INVOCATION + timedelta(minutes=2)
"""The calls that stop the function and put the hold on it take a while."""


def variables(tenant: Tenant, *, since: datetime | None) -> dict[str, str]:
    """Those of the function's environment; none without a hold. since: None where the function itself does not run."""
    if tenant.hold is None:
        return {}
    return {HOLD_VARIABLE: tenant.hold.reason, **({HOLD_SINCE_VARIABLE: timestamp(since)} if since else {})}


def is_in(environment: Mapping[str, str]) -> bool:
    """Whether a function with this environment erases nothing."""
    return HOLD_VARIABLE in environment


def since_in(environment: Mapping[str, str]) -> datetime | None:
    """When the hold was put on a function with this environment; None: there is none, or that can't be read."""
    if not is_in(environment):
        return None
    try:
        found = parse_time(environment.get(HOLD_SINCE_VARIABLE))
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def in_effect_at(since: datetime) -> datetime:
    """From when on no invocation without the hold can be running."""
    return since + IN_EFFECT_AFTER
