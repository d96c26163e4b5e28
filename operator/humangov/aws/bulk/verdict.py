"""Which parts of a tenant a snapshot shows as a single read has shown them before. Pure.

A part is the same, or it differs, or the snapshot does not tell. Only the first saves reads; the second asks for a
full single reading at once, the third for a single read at the next reconciliation. A listing lags behind what was
written (docs/design/2026-11-29-bulk-reads.md says by how much), so a difference may be none: the same difference again,
after a single reading that did not have it, counts as not told.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from humangov.api.names import Names
from humangov.aws import (
    event_source_mapping,
    function_observed,
    log_group,
    role,
    stream_observed,
    trigger_mappings,
)
from humangov.aws.bulk.snapshot import ListedLogGroup, ListedRole, Snapshot
from humangov.aws.errors import AwsError
from humangov.aws.resources import FUNCTION, LOG_GROUP, ROLE, STREAM, TRIGGER, Observations, observation

NOT_LISTED_OF_FUNCTIONS = ("State", "LastUpdateStatus")
"""https://docs.aws.amazon.com/lambda/latest/api/API_ListFunctions.html."""


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What a snapshot says of one tenant.

    at           when the snapshot began, monotonic; it counts until `valid_until`
    same         the parts that it shows as they were, as far as it shows them
    tags         the parts whose tags it shows as they were
    tagged       the parts of which it listed tags at all
    differences  what it shows otherwise, each as a short text
    news         those of them that the snapshot before did not show
    """

    at: float
    valid_until: float
    same: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    tagged: frozenset[str] = frozenset()
    differences: frozenset[str] = frozenset()
    news: frozenset[str] = frozenset()

    def counts(self, now: float) -> bool:
        return now <= self.valid_until


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Of one part: whether it is the same (None: not known), and what differs."""

    same: bool | None
    difference: str = ""


_UNKNOWN = _Comparison(same=None)


def judge(
    snapshot: Snapshot, known: Observations, names: Names, *, before: Confirmation | None, valid_seconds: float
) -> Confirmation:
    """known: what single reads showed last, of a tenant in sync. before: what the snapshot before this one said."""
    parts = {part: compare(snapshot, known, names) for part, compare in _COMPARED_BY.items()}
    tags = {part: _tags(snapshot, part, known, names, before) for part in (*_COMPARED_BY, STREAM)}
    differences = frozenset(one.difference for one in (*parts.values(), *tags.values()) if one.same is False)
    # Lambda's answer about a function has its tags: who takes its place has to tell them too.
    same = {part for part, one in parts.items() if one.same and (part != FUNCTION or tags[part].same)}
    return Confirmation(
        at=snapshot.at,
        valid_until=snapshot.at + valid_seconds,
        same=frozenset(part for part in same if tags[part].same is not False),
        tags=frozenset(part for part, one in tags.items() if one.same),
        tagged=frozenset(part for part in tags if _is_tagged(snapshot, part, known, names, before)),
        differences=differences,
        news=differences - (before.differences if before else frozenset()),
    )


def _function(snapshot: Snapshot, known: Observations, names: Names) -> _Comparison:
    before = observation(known, FUNCTION)
    if snapshot.functions is None or before is None or before.unread or before.unread_environment:
        return _UNKNOWN
    listed = snapshot.functions.get(names.function_arn)
    if listed is None:
        return _differs(FUNCTION, "is not listed")
    if listed.unread_environment or set(listed.unread) - set(NOT_LISTED_OF_FUNCTIONS):
        return _UNKNOWN
    return _compared(FUNCTION, _comparable(before), _comparable(listed))


def _comparable(function: function_observed.Observed) -> tuple[Any, ...]:
    return function.code_sha256, function.architecture, function.package_type, function.configuration


def _trigger(snapshot: Snapshot, known: Observations, names: Names) -> _Comparison:
    before: trigger_mappings.Observed | None = observation(known, TRIGGER)
    if snapshot.mappings is None or before is None:
        return _UNKNOWN
    try:
        listed = [event_source_mapping.observed(one, names) for one in snapshot.mappings.get(names.function_arn, ())]
    except AwsError:  # it lacks what Lambda shows of every mapping
        return _UNKNOWN
    if any(one.hidden_filters or one.unread for one in (*listed, *before.mappings)):
        return _UNKNOWN
    was = [replace(one, tags=None) for one in before.mappings]
    return _compared(TRIGGER, was, sorted(listed, key=lambda one: one.uuid))


def _role(snapshot: Snapshot, known: Observations, names: Names) -> _Comparison:
    before: role.Observed | None = observation(known, ROLE)
    if snapshot.roles is None or before is None or before.created is None or before.role_id is None:
        return _UNKNOWN
    listed = snapshot.roles.get(names.role_arn)
    if listed is None:
        return _differs(ROLE, "is not listed")
    was = ListedRole(created=before.created, path=before.path, trust=before.trust, role_id=before.role_id)
    return _compared(ROLE, was, listed)


def _log_group(snapshot: Snapshot, known: Observations, names: Names) -> _Comparison:
    before: log_group.Observed | None = observation(known, LOG_GROUP)
    if snapshot.log_groups is None or before is None:
        return _UNKNOWN
    listed = snapshot.log_groups.get(names.tenant.log_group_name)
    if listed is None:
        return _differs(LOG_GROUP, "is not listed")
    was = ListedLogGroup(
        retention_days=before.retention_days, kms_key_arn=before.kms_key_arn, masked=before.masked
    )  # fmt: skip
    return _compared(LOG_GROUP, was, listed)


_COMPARED_BY = {ROLE: _role, LOG_GROUP: _log_group, FUNCTION: _function, TRIGGER: _trigger}


def _tags(
    snapshot: Snapshot, part: str, known: Observations, names: Names, before: Confirmation | None
) -> _Comparison:  # fmt: skip
    """The listing of tags does not cover roles; nor, where an endpoint stands in for AWS, all other kinds.

    So that something is not among them counts only if it was in the snapshot before.
    """
    tagged = dict(_tagged(part, known, names))
    if snapshot.tags is None or not tagged or any(tags is None for tags in tagged.values()):
        return _UNKNOWN
    listed = {arn: snapshot.tags[arn] for arn in tagged if arn in snapshot.tags}
    if len(listed) < len(tagged):
        was_listed = before is not None and part in before.tagged
        return _differs(part, f"has tags, of which {len(listed)} are listed") if was_listed else _UNKNOWN
    return _compared(f"tags of {part}", tagged, listed)


def _is_tagged(
    snapshot: Snapshot, part: str, known: Observations, names: Names, before: Confirmation | None
) -> bool:  # fmt: skip
    """Once it was listed, it is to be listed; what no listing says leaves it as it was."""
    was = before is not None and part in before.tagged
    tagged = dict(_tagged(part, known, names))
    return was or (snapshot.tags is not None and bool(tagged) and all(arn in snapshot.tags for arn in tagged))


def _tagged(part: str, known: Observations, names: Names) -> Iterator[tuple[str, Mapping[str, str] | None]]:
    """ARNs and their tags, as single reads showed them; None: not read."""
    found = observation(known, part)
    if found is None or part == ROLE:
        return
    if isinstance(found, trigger_mappings.Observed):
        yield from ((mapping.arn, mapping.tags) for mapping in found.mappings)
    elif isinstance(found, stream_observed.Observed):
        yield names.table_arn, found.tags
    else:
        yield {FUNCTION: names.function_arn, LOG_GROUP: names.log_group_arn}[part], found.tags


def _compared(part: str, was: object, listed: object) -> _Comparison:
    return _Comparison(same=True) if was == listed else _differs(part, repr(listed))


def _differs(part: str, how: str) -> _Comparison:
    """Short, whatever is listed: it is kept for each tenant, and shown to nobody."""
    return _Comparison(same=False, difference=f"{part} {zlib.crc32(how.encode()):08x}")
