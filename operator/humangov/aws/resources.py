"""All resources of one tenant together: observed concurrently, planned in order, with their dependencies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

from humangov.api.conditions import FAILURES_HANDLED, PARTS, Finding
from humangov.api.names import Names
from humangov.aws import (
    bucket,
    failed_invocations,
    function,
    log_group,
    role,
    stream,
    stream_observed,
    trigger,
    trigger_mappings,
)
from humangov.aws.change import Change, Context
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.ownership import NotOwnedError, OtherClusterError
from humangov.bundle import Bundle

Result = TypeVar("Result")
InThread = Callable[[Callable[[], Result]], Awaitable[Result]]

STREAM, ROLE, LOG_GROUP, FUNCTION, TRIGGER, BUCKET = PARTS
FAILURES = FAILURES_HANDLED
_AS_THE_TABLE_SAYS = (ROLE, FUNCTION)  # its key and its indexes are among what these are to have

# The parts of a stage do not depend on each other; a stage waits for the one before.
STAGES: tuple[tuple[str, ...], ...] = ((STREAM, ROLE, LOG_GROUP), (FUNCTION,), (TRIGGER,))
MODULES: Mapping[str, ModuleType] = {
    STREAM: stream, ROLE: role, LOG_GROUP: log_group, FUNCTION: function, TRIGGER: trigger,
}  # fmt: skip


@dataclass(frozen=True)
class Unread:
    """A part that could not be read: an error, never an absence."""

    error: AwsError


Observations = Mapping[str, Any]
"""Part → its module's Observed, None (absent), or Unread."""

Plans = Mapping[str, list[Change] | Finding]
"""Part → its changes; a Finding where the tenant does not own the resource."""


async def observe(
    clients: Clients,
    names: Names,
    *,
    deep: bool,
    deep_parts: Collection[str] = (),
    in_thread: InThread[Any],
    known: Observations | None = None,
    count_failures: bool = False,
    copies: bool = False,
    additions: bool = True,
    is_new: bool = False,
) -> Observations:
    """Read every part at once, but those already `known`; with `deep` also what seldom changes, the bucket among it.

    deep_parts: without `deep`, of these parts alone, the bucket perhaps among them
    copies: with the bucket, also what else may hold copies of its files. additions: with a deep read of the function,
    also its URLs and what Lambda keeps beside it. is_new: nothing was ever created for the
    tenant. Then its mappings are listed only if there is a function: those of one that was deleted show only in a
    listing of the whole region. AWS refuses a second mapping, and the next deep reads show older ones.
    """
    known = known or {}
    reads: dict[str, Callable[[], Any]] = {
        part: partial(module.observe, clients, names, deep=deep or part in deep_parts)
        for part, module in MODULES.items()
    }
    of_function = partial(function.observe, clients, names, additions=additions)
    reads[FUNCTION] = partial(of_function, deep=deep or FUNCTION in deep_parts)
    if deep or BUCKET in deep_parts:
        reads[BUCKET] = partial(bucket.observe, clients, names, copies=copies)
    if count_failures:
        reads[FAILURES] = partial(failed_invocations.observe, clients, names)
    is_new = is_new and not known
    if is_new:
        reads[FUNCTION] = partial(_function_and_trigger, reads[FUNCTION], reads.pop(TRIGGER))
    reads = {part: read for part, read in reads.items() if part not in known}
    results = await asyncio.gather(*(in_thread(partial(_read, read)) for read in reads.values()))
    found = dict(zip(reads, results, strict=True))
    if is_new:
        found[FUNCTION], found[TRIGGER] = found[FUNCTION]
    return {**found, **known}


def desired(context: Context, observed: Observations, *, bundle: Bundle) -> Mapping[str, Any]:
    """Every part's Desired, given the observed table and stream."""
    names, table, role_observed = context.names, observation(observed, STREAM), observation(observed, ROLE)
    file_indexes = _file_indexes(names, table)
    return {
        STREAM: stream.desired(names, context),
        ROLE: role.desired(
            names, context, table_key_arn=table.kms_key_arn if table else None, file_indexes=file_indexes
        ),
        LOG_GROUP: log_group.desired(names, context),
        FUNCTION: function.desired(
            names,
            context,
            bundle=bundle,
            file_indexes=file_indexes,
            stream_arn=table.arn if table else None,
            role_observed=role_observed,
        ),
        TRIGGER: trigger.desired(names, context, table=table),
    }


def plan(observed: Observations, desired: Mapping[str, Any]) -> Plans:
    """Every part's changes; none of what could not be read, nor of what is to be as something unread says."""
    plans = {part: _plan_part(part, observed, desired) for part in MODULES}
    if not isinstance(observed[STREAM], Unread):
        return plans
    return {part: _known(plan) if part in _AS_THE_TABLE_SAYS else plan for part, plan in plans.items()}


def _known(planned: list[Change] | Finding) -> list[Change] | Finding:
    """What closes a way in, or ends invocations, whatever the table is like."""
    return planned if isinstance(planned, Finding) else [change for change in planned if change.keeps_safe]


def finding(part: str, observed: Observations, desired: Mapping[str, Any]) -> Finding:
    """The condition of a part that was read."""
    found: Finding = MODULES[part].finding(observed[part], desired[part])
    return found


def observation(observed: Observations, part: str) -> Any:
    """The part's Observed; None where it is absent, or could not be read."""
    found = observed.get(part)
    return None if isinstance(found, Unread) else found


def _file_indexes(names: Names, table: stream_observed.Observed | None) -> Mapping[str, str]:
    """The table's indexes that find records by a file attribute: the function asks them before it erases."""
    attributes = names.tenant.table.file_attributes
    return {one: attribute for one, attribute in (table.indexes if table else {}).items() if attribute in attributes}


def _plan_part(part: str, observed: Observations, desired: Mapping[str, Any]) -> list[Change] | Finding:
    if isinstance(observed[part], Unread):
        return []
    planned: list[Change] | Finding
    try:
        planned = MODULES[part].plan(observed[part], desired[part])
    except OtherClusterError as error:
        planned = Finding.action_required("OtherCluster", str(error))
    except NotOwnedError as error:
        planned = Finding.action_required("NotOwned", str(error))
    if part == FUNCTION and function.is_adopted(observed[FUNCTION], desired[FUNCTION]):
        return _plan_of_adoption(planned, observation(observed, TRIGGER), desired[TRIGGER])
    return planned


def _plan_of_adoption(
    planned: list[Change] | Finding, triggers: trigger_mappings.Observed | None, desired: trigger_mappings.Desired
) -> list[Change] | Finding:
    """A function that other mappings also invoke is not adopted; nor is one whose mappings could not be read."""
    if triggers is None:
        return []
    others = trigger_mappings.of_others(triggers, desired)
    if not others or isinstance(planned, Finding):
        return planned
    whose = ", ".join(f"{mapping.uuid} (from {mapping.source_arn})" for mapping in others)
    return Finding.action_required(
        "NotOwned",
        f"function {desired.names.tenant.function.name} is not adopted: event source mapping {whose} also invokes it. "
        "Delete that mapping, or choose another spec.function.name in a new HumanGovState; the tenant then recovers "
        "automatically",
    )


def _function_and_trigger(read_function: Callable[[], Any], read_trigger: Callable[[], Any]) -> tuple[Any, Any]:
    """Both observations, of a new tenant."""
    found = _read(read_function)
    return found, trigger_mappings.Observed(mappings=()) if found is None else _read(read_trigger)


def _read(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except AwsError as error:
        return Unread(error)
