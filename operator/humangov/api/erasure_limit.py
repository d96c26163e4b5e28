"""The erasure limit: whether it was reached, and whether a person has let the tenant go on since. Pure.

The function counts, and hands back what is beyond spec.trigger.maximumErasuresPerHour. The operator then stops the
tenant until a person approves that occurrence, and no other. What it knows is kept in two places: in status, which
sweep, redrive and final stream read ask, and in a tag of the function. The tag outlives a lost status, a restart and a
move to another cluster; status outlives a function that was deleted by hand. Each restores the other, and the later of
them counts: an operator may be killed between the two, or not be allowed to write the tag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from humangov.api.signatures import signer
from humangov.api.times import parse_time, timestamp

LIMIT_TAG = "humangov.io/erasure-limit"
APPROVE_ERASURES_ANNOTATION = "humangov.io/approve-erasures"
APPROVE_FIELD_MANAGER = "humangov-approve"
STATUS_FIELD = "erasureLimit"


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The tenant is stopped. at: of this occurrence, to the second. limited: records that were handed back by then."""

    at: datetime
    limited: int


@dataclass(frozen=True, kw_only=True)
class Approved:
    """A person let the tenant go on, at this time: what was limited before is over."""

    at: datetime


ErasureLimit = Reached | Approved


@dataclass(frozen=True, kw_only=True)
class LimitedRecords:
    """How many records the function handed back because of the limit, in the period of time that begins then."""

    begun: datetime
    ended: datetime
    number: int


def judge(
    *,
    tag: str | None,
    status: Mapping[str, Any],
    annotations: Mapping[str, str],
    limited: Sequence[LimitedRecords],
    now: datetime,
) -> ErasureLimit | None:
    """What holds now; None: the limit was never reached.

    tag: the function's LIMIT_TAG, if it could be read and has one. limited: as CloudWatch lately showed it.
    """
    tagged, recorded = _of_tag(tag, now=now) if tag else None, reached_in(status)
    stored = recorded if tagged is None or (recorded is not None and recorded.at > tagged.at) else tagged
    if isinstance(stored, Reached):
        return Approved(at=now.replace(microsecond=0)) if is_approved(stored, annotations) else stored
    fresh = [one for one in limited if one.number and (stored is None or one.begun >= stored.at)]
    if not fresh:
        return stored
    at = max(one.ended for one in fresh).replace(microsecond=0)
    return Reached(at=at, limited=sum(one.number for one in fresh))


def reached_in(status: Mapping[str, Any]) -> Reached | None:
    """What status says of an occurrence that nobody had approved when it was written."""
    field = status.get(STATUS_FIELD) or {}
    at = parse_time(field.get("reachedAt"))
    return Reached(at=at, limited=int(field.get("limited") or 0)) if at else None


def is_approved(reached: Reached, annotations: Mapping[str, str]) -> bool:
    """Whether the annotation names this occurrence."""
    return annotations.get(APPROVE_ERASURES_ANNOTATION) == timestamp(reached.at)


def status_field(limit: ErasureLimit | None) -> dict[str, Any] | None:
    """status.erasureLimit; None: absent."""
    if not isinstance(limit, Reached):
        return None
    return {"reachedAt": timestamp(limit.at), "limited": limit.limited}


def tag_value(limit: ErasureLimit) -> str:
    """`reached <time> <number>` or `approved <time>`, of characters that AWS allows in a tag."""
    if isinstance(limit, Reached):
        return f"reached {timestamp(limit.at)} {limit.limited}"
    return f"approved {timestamp(limit.at)}"


def summary(value: str, annotations: Mapping[str, str]) -> str:
    """Of the change that sets the tag, for people: with who approved. value: as tag_value."""
    who = signer(annotations, APPROVE_ERASURES_ANNOTATION) if value.startswith("approved") else None
    return f"erasure limit {value}{f', by {who}' if who else ''}"


def _of_tag(text: str, *, now: datetime) -> ErasureLimit:
    """What nobody can read means that the limit was reached: in doubt nothing is erased."""
    try:
        match text.split():
            case ["reached", at, limited]:
                return Reached(at=_time(at), limited=int(limited))
            case ["approved", at]:
                return Approved(at=_time(at))
    except ValueError:
        pass
    return Reached(at=now.replace(microsecond=0), limited=0)


def _time(text: str) -> datetime:
    """Raises ValueError, also for a time without a zone."""
    found = parse_time(text)
    if found is None or found.tzinfo is None:
        raise ValueError(text)
    return found
