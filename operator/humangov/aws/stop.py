"""The stop of a tenant in AWS: nothing invokes its function any more.

It needs the function and its event source mappings alone, and goes on after an error: each call that succeeds stops
more. Reserved concurrency 0 comes first, for it stops every invocation at once; a mapping takes a while to be disabled.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from humangov.api.names import Names
from humangov.aws import function, function_changes, function_observed, trigger, trigger_mappings
from humangov.aws.change import Change
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.event_source_mapping import MappingObserved, reads_table
from humangov.aws.ownership import NotOwnedError, is_owned

_ENDED = ("Disabled", "Disabling", "Deleting")
_LONGEST_SECONDS = 900  # no invocation runs longer, whatever its function's time limit
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Halt:
    """What was found and done.

    halted           no new invocation begins: the tenant's function has reserved concurrency 0; or Lambda has none of
                     that name, and no mapping is left to stop
    timeout_seconds  what had begun may run as long; None: not known
    absent           Lambda has no function of that name, which one read alone may miss
    not_owned        there is one, and it may be invoked: the text says why it is not stopped
    changes          those that were written
    errors           of calls; what they were for may not have stopped
    """

    halted: bool
    timeout_seconds: int | None = None
    absent: bool = False
    not_owned: NotOwnedError | None = None
    changes: tuple[Change, ...] = ()
    errors: tuple[AwsError, ...] = ()


def halt(clients: Clients, names: Names) -> Halt:
    """Stop the tenant's function, then its mappings. What has another owner, or one that is not known, is not changed.

    Raises nothing of AWS: errors are returned.
    """
    found = _attempt(partial(_function, clients, names))
    there, not_owned = found if not isinstance(found, AwsError) else (None, None)
    owned = there if not_owned is None else None
    stopped = _make(clients, _no_concurrency(owned, names) if owned is not None else [])
    mappings = _attempt(partial(trigger.observe, clients, names, deep=owned is None))
    disabled = _Written()
    if isinstance(mappings, trigger_mappings.Observed):
        disabled = _make(clients, _disabling(mappings, names, function_is_owned=owned is not None))
    unread = [one for one in (found, mappings) if isinstance(one, AwsError)]
    errors = (*unread, *stopped.errors, *disabled.errors)
    absent = not isinstance(found, AwsError) and there is None
    return Halt(
        # Without reserved concurrency 0 the mappings count: a function that no read shows yet may be invoked by them.
        halted=(owned is not None and not stopped.errors) or (absent and not errors),
        timeout_seconds=None if isinstance(found, AwsError) else _timeout(there),
        absent=absent,
        not_owned=not_owned,
        changes=(*stopped.changes, *disabled.changes),
        errors=errors,
    )


def _timeout(found: function_observed.Observed | None) -> int:
    """Of a function that was deleted it is not known any more, and its last invocations run all the same."""
    return int((found.configuration.get("Timeout") if found is not None else None) or _LONGEST_SECONDS)


def _attempt(read: Callable[[], T]) -> T | AwsError:
    try:
        return read()
    except AwsError as error:
        return error


def _function(clients: Clients, names: Names) -> tuple[function_observed.Observed | None, NotOwnedError | None]:
    """The function, whoever owns it, and why it is not the tenant's. Raises AwsError, also if its owner is unknown."""
    found = function.observe(clients, names, deep=False)
    try:
        if found is not None:
            function.require_known_owner(found, names)
    except NotOwnedError as error:
        return found, error
    return found, None


@dataclass(frozen=True)
class _Written:
    changes: tuple[Change, ...] = ()
    errors: tuple[AwsError, ...] = ()


def _make(clients: Clients, changes: Sequence[Change]) -> _Written:
    """Each of them, whatever became of the others."""
    answers = [
        _attempt(partial(clients.call, change.action, target=change.target, **change.parameters)) for change in changes
    ]
    written = [change for change, answer in zip(changes, answers, strict=True) if not isinstance(answer, AwsError)]
    return _Written(tuple(written), tuple(answer for answer in answers if isinstance(answer, AwsError)))


def _no_concurrency(found: function_observed.Observed, names: Names) -> list[Change]:
    name, before = names.tenant.function.name, found.reserved_concurrency
    if before == 0:
        return []
    change = Change(
        resource=function_changes.RESOURCE,
        action="lambda:PutFunctionConcurrency",
        target=name,
        summary=f"reserved concurrency {'none' if before is None else before} → 0",
        parameters={"FunctionName": name, "ReservedConcurrentExecutions": 0},
    )
    return [change]


def _disabling(observed: trigger_mappings.Observed, names: Names, *, function_is_owned: bool) -> list[Change]:
    """Of the mappings that read this table, of whatever stream, those that are the tenant's."""
    return [
        _disable(mapping, names)
        for mapping in observed.mappings
        if (function_is_owned or is_owned(mapping.tags, names))
        and reads_table(mapping, names)
        and mapping.state not in _ENDED
    ]


def _disable(mapping: MappingObserved, names: Names) -> Change:
    return Change(
        resource=trigger.RESOURCE,
        action="lambda:UpdateEventSourceMapping",
        target=mapping.uuid,
        summary=f"disable mapping {mapping.uuid}",
        parameters={"UUID": mapping.uuid, "FunctionName": names.tenant.function.name, "Enabled": False},
    )
