"""Which of the function's event source mappings is the trigger, an older one, another's, or to be removed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from humangov.api.names import Names
from humangov.aws import stream_observed
from humangov.aws.event_source_mapping import MappingObserved, reads_table
from humangov.aws.ownership import is_owned


@dataclass(frozen=True, kw_only=True)
class Observed:
    """All mappings of the function, by UUID.

    sources: of every mapping in the region, what it reads (ARNs), where all of them had to be listed; else None
    """

    mappings: tuple[MappingObserved, ...]
    sources: frozenset[str] | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Desired:
    """`stream_arn` is None while there is no stream. stopped: that is why the trigger is disabled."""

    names: Names
    stream_arn: str | None
    stream_born: datetime | None
    configuration: Mapping[str, Any]
    tags: Mapping[str, str]
    now: datetime
    stopped: bool = False


def present(observed: Observed, desired: Desired) -> MappingObserved | None:
    """The one that reads the table's stream; None: there is none."""
    return next(iter(current(observed, desired)), None)


def of_others(observed: Observed, desired: Desired) -> list[MappingObserved]:
    """The function's mappings that read something else than this tenant's table."""
    return [
        mapping
        for mapping in observed.mappings
        if mapping.source_arn != desired.stream_arn and not reads_table(mapping, desired.names)
    ]


def own(observed: Observed, names: Names) -> tuple[str, ...]:
    """UUIDs of the mappings that read this table and have the tenant's ownership tag, as far as that was read."""
    mappings = observed.mappings
    return tuple(one.uuid for one in mappings if reads_table(one, names) and is_owned(one.tags, names))


def to_remove(observed: Observed, names: Names, *, function_is_owned: bool) -> list[MappingObserved]:
    """The mappings that a removal deletes: those that read a stream of this table.

    Where the function does not exist, only those with the ownership tag; `observed` then needs the tags.
    """
    return [
        mapping
        for mapping in observed.mappings
        if (function_is_owned or is_owned(mapping.tags, names))
        and reads_table(mapping, names)
        and mapping.state != "Deleting"
    ]


def current(observed: Observed, desired: Desired) -> list[MappingObserved]:
    """Mappings of the table's present stream (or, while that is not known, of any of the table's).

    Those being deleted come last, and before them those without the ownership tag.
    """
    found = [
        mapping
        for mapping in observed.mappings
        if (mapping.source_arn == desired.stream_arn if desired.stream_arn else reads_table(mapping, desired.names))
    ]
    return sorted(
        found,
        key=lambda mapping: (
            mapping.state == "Deleting",
            mapping.tags is not None and not is_owned(mapping.tags, desired.names),
            mapping.uuid,
        ),
    )


def outdated(observed: Observed, desired: Desired) -> list[MappingObserved]:
    return [
        mapping
        for mapping in observed.mappings
        if desired.stream_arn and mapping.source_arn != desired.stream_arn and reads_table(mapping, desired.names)
    ]


def ended(mapping: MappingObserved, observed: Observed, desired: Desired) -> datetime | None:
    """By when the mapping's stream had ended: when the next stream of the table was born; None: not known.

    A table has one stream at a time. Those between the mapping's and the present one are known by their own mappings.
    """
    born = stream_observed.born_at(stream_observed.label_of(mapping.source_arn))
    if born is None or desired.stream_born is None:
        return desired.stream_born
    older = [stream_observed.born_at(stream_observed.label_of(one.source_arn)) for one in outdated(observed, desired)]
    return min([desired.stream_born, *(birth for birth in older if birth is not None and birth > born)])


def by_uuid(found: Sequence[MappingObserved], *, sources: frozenset[str] | None = None) -> Observed:
    return Observed(mappings=tuple(sorted(found, key=lambda mapping: mapping.uuid)), sources=sources)


def without(observed: Observed, uuid: str) -> Observed:
    return Observed(mappings=tuple(mapping for mapping in observed.mappings if mapping.uuid != uuid))
