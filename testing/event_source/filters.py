"""FilterCriteria: does a record reach the function? Pure.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testing.event_source.mapping import Pattern

_ABSENT = object()


def matches(record: Mapping[str, Any], filters: Sequence[Pattern]) -> bool:
    """Filters are joined by OR, the fields of one by AND, the values of a field by OR. None lets everything pass."""
    return not filters or any(_matches(record, pattern) for pattern in filters)


def _matches(value: Any, pattern: Any) -> bool:
    if isinstance(pattern, Mapping):
        return all(
            _matches(value.get(name, _ABSENT) if isinstance(value, Mapping) else _ABSENT, inner)
            for name, inner in pattern.items()
        )
    return any(_meets(value, rule) for rule in pattern)


def _meets(value: Any, rule: Any) -> bool:
    match rule:
        case str() | None:
            return bool(value == rule)
        case {"exists": bool() as wanted}:
            return (value is not _ABSENT) == wanted
        case {"prefix": str() as start}:
            return isinstance(value, str) and value.startswith(start)
        case {"suffix": str() as end}:
            return isinstance(value, str) and value.endswith(end)
        case {"anything-but": [*others]}:
            return value is not _ABSENT and value not in others
        case _:
            raise NotImplementedError(f"filter rule {rule!r}")
