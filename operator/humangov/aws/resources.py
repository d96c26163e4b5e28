"""All parts of one tenant together: read at once, planned in order. Which part needs which is written here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

from humangov.api.conditions import FAILURES_REDRIVEN, Finding
from humangov.api.names import Names
from humangov.aws import bucket, failed_invocations, function, log_group, role, stream, trigger
from humangov.aws.change import Change, Context
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.ownership import NotOwnedError
from humangov.bundle import Bundle

Result = TypeVar("Result")
InThread = Callable[[Callable[[], Result]], Awaitable[Result]]

STREAM, ROLE, LOG_GROUP, FUNCTION, TRIGGER, BUCKET = (
    "StreamReady", "RoleReady", "LogGroupReady", "FunctionReady", "TriggerReady", "BucketReady",
)  # fmt: skip
FAILURES = FAILURES_REDRIVEN

# What does not depend on each other is brought in step at once; a stage waits for the one before.
STAGES: tuple[tuple[str, ...], ...] = ((STREAM, ROLE, LOG_GROUP), (FUNCTION,), (TRIGGER,))
MODULES: Mapping[str, ModuleType] = {
    STREAM: stream, ROLE: role, LOG_GROUP: log_group, FUNCTION: function, TRIGGER: trigger,
}  # fmt: skip


@dataclass(frozen=True)
class Unread:
    """A part that could not be read: an error, never an absence."""

    error: AwsError


Observations = dict[str, Any]  # part → its module's Observed, None (absent), or Unread


async def gather(
    clients: Clients,
    names: Names,
    *,
    deep: bool,
    in_thread: InThread[Any],
    known: Mapping[str, Any] | None = None,
    count_failures: bool = False,
) -> Observations:
    """Read every part at once, but those already `known`; with `deep` also what seldom changes, the bucket among it."""
    known = known or {}
    reads: dict[str, Callable[[], Any]] = {
        part: partial(module.observe, clients, names, deep=deep) for part, module in MODULES.items()
    }
    if deep:
        reads[BUCKET] = partial(bucket.observe, clients, names)
    if count_failures:
        reads[FAILURES] = partial(failed_invocations.observe, clients, names)
    reads = {part: read for part, read in reads.items() if part not in known}
    results = await asyncio.gather(*(in_thread(partial(_read, read)) for read in reads.values()))
    return {**known, **dict(zip(reads, results, strict=True))}


def desires(names: Names, context: Context, observations: Observations, *, bundle: Bundle) -> dict[str, Any]:
    """What every part ought to be, given what is known of the table and its stream."""
    table = observations.get(STREAM)
    table = table if isinstance(table, stream.Observed) else None
    return {
        STREAM: stream.desired(names, context),
        ROLE: role.desired(names, context, table_key_arn=table.kms_key_arn if table else None),
        LOG_GROUP: log_group.desired(names, context),
        FUNCTION: function.desired(names, context, bundle=bundle),
        TRIGGER: trigger.desired(names, context, table=table),
    }


def plans(observations: Observations, desired: Mapping[str, Any]) -> dict[str, list[Change] | Finding]:
    """Every part's changes; a Finding in place of changes where an object is not ours."""
    planned: dict[str, list[Change] | Finding] = {}
    for part, module in MODULES.items():
        if isinstance(observations[part], Unread):
            planned[part] = []
            continue
        try:
            planned[part] = module.plan(observations[part], desired[part])
        except NotOwnedError as error:
            planned[part] = Finding.needs_person("NotOwned", str(error))
    if function.is_taken_over(_seen(observations, FUNCTION), desired[FUNCTION]):
        planned[FUNCTION] = _of_taking_over(planned[FUNCTION], observations, desired[TRIGGER])
    return planned


def _of_taking_over(
    plan: list[Change] | Finding, observations: Observations, desired: trigger.Desired
) -> list[Change] | Finding:
    """A function that also works for somebody else is not made ours; not known is no reason to go on either."""
    triggers = _seen(observations, TRIGGER)
    if triggers is None:
        return []
    others = trigger.of_others(triggers, desired)
    if not others or isinstance(plan, Finding):
        return plan
    told = ", ".join(f"{mapping.uuid} (from {mapping.source_arn})" for mapping in others)
    return Finding.needs_person(
        "NotOwned",
        f"function {desired.names.tenant.function.name} is not taken over: it also works for {told}. Delete that event "
        "source mapping, or give the tenant another spec.function.name; then this goes on by itself",
    )


def _seen(observations: Observations, part: str) -> Any:
    seen = observations[part]
    return None if isinstance(seen, Unread) else seen


def _read(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except AwsError as error:
        return Unread(error)
