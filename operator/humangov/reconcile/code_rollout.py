"""The function's code after an upgrade: one tenant first, then a share of them, then all. Pure.

Code that is not proven yet may fail on what no test had. It therefore goes to one tenant first, and on when batches
have succeeded there, or after some minutes. Where batches fail, it goes back: every tenant has the proven code again.
The proven zip and the state are in a ConfigMap in the operator's namespace, so that they survive the process.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from humangov.api.times import parse_time, timestamp
from humangov.bundle import Bundle
from humangov.kube.client import Resource

CONFIG_MAP = "humangov-code-rollout"
FAILING_FOR = timedelta(seconds=30)
"""So long do a member's batches fail before the rollout stops: a single failure is retried within seconds."""
_MOST_NAMED = 5


class Stage(StrEnum):
    """Who has the new code: the first tenant, a share, all until it is proven; Settled: it is proven; Stopped: none."""

    FIRST = "First"
    SHARE = "Share"
    ALL = "All"
    SETTLED = "Settled"
    STOPPED = "Stopped"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """first: keys (namespace/name) in the order in which they are chosen before others. minutes: of each stage."""

    first: tuple[str, ...] = ()
    minutes: float = 10.0
    share_percent: float = 10.0

    @property
    def stage_lasts(self) -> timedelta:
        return timedelta(minutes=self.minutes)


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """proven: the code that worked. target: CodeSha256 of the operator's own code.

    members  UIDs of the tenants that have the target in stages First and Share
    begun    when the stage began
    carried  when all members of the stage had been seen with the target; None: not yet
    message  why it was stopped
    """

    proven: Bundle
    target: str
    stage: Stage
    begun: datetime
    members: frozenset[str] = frozenset()
    carried: datetime | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class TenantCode:
    """What a tenant tells of the code that it has.

    runs           its function is given records: it is not suspended, stopped, disabled or being deleted
    active         it was given some in the last minutes
    code           CodeSha256 that its function was last seen with; None: not seen in this process
    failing_since  since when nothing that its function is given is handled
    succeeded_at   when a batch last succeeded, as far as is known
    """

    key: str
    uid: str
    runs: bool = True
    active: bool = False
    code: str | None = None
    failing_since: datetime | None = None
    succeeded_at: datetime | None = None


def begin(found: Resource | None, own: Bundle, *, now: datetime) -> Rollout:
    """Where the rollout is, given the ConfigMap and the code of the operator that starts.

    Without a record there is no former code: the operator's own counts as proven, as on a first installation.
    """
    stored = _stored(found)
    if stored is not None and stored.stage is Stage.SETTLED and stored.proven == own:
        return stored
    if stored is None or stored.proven.code_sha256 == own.code_sha256:
        return _settled(own, now=now)
    if stored.target == own.code_sha256 and stored.stage is not Stage.SETTLED:
        return stored
    return Rollout(proven=stored.proven, target=own.code_sha256, stage=Stage.FIRST, begun=_whole(now))


def taken_up(known: Rollout, found: Resource | None, *, now: datetime) -> Rollout:
    """The known one, with the stage that a person has written into the ConfigMap since: it begins now."""
    stored = _stored(found)
    if stored is None or stored.target != known.target or stored.stage is known.stage:
        return known
    if stored.stage is Stage.STOPPED:
        return _to(known, Stage.STOPPED, now=now, message="somebody stopped it")
    # Nobody's word proves the code: it is watched as any other.
    stage = Stage.ALL if stored.stage in (Stage.ALL, Stage.SETTLED) else Stage.FIRST
    return _to(known, stage, now=now)


def assigned(rollout: Rollout | None, own: Bundle, *, uid: str) -> Bundle:
    """The code that a tenant is to have. rollout: None: every tenant has the operator's own at once."""
    if rollout is None or rollout.stage in (Stage.ALL, Stage.SETTLED) or uid in _having_target(rollout):
        return own
    return rollout.proven


def known_code(rollout: Rollout | None, own: Bundle) -> frozenset[str]:
    """CodeSha256 of what the operator itself gave to functions: a change from one to the other is no drift."""
    return frozenset((own.code_sha256, *((rollout.proven.code_sha256, rollout.target) if rollout else ())))


def step(rollout: Rollout, tenants: Sequence[TenantCode], own: Bundle, *, pace: Pace, now: datetime) -> Rollout:
    """The next state; the same where nothing has happened."""
    if rollout.stage in (Stage.SETTLED, Stage.STOPPED):
        return rollout
    if not tenants:
        return _settled(own, now=now)
    failing_now = failing(rollout, tenants)
    lasting = [one for one in failing_now if one.failing_since and now - one.failing_since >= FAILING_FOR]
    if len(lasting) > _tolerated(rollout.stage, tenants):
        return _stopped(rollout, lasting, now=now)
    if rollout.stage is Stage.ALL:
        waits = len(failing_now) > len(lasting) or now - rollout.begun < pace.stage_lasts
        return rollout if waits else _settled(own, now=now)
    return rollout if failing_now else _with_members(rollout, tenants, pace=pace, now=now)


def _with_members(rollout: Rollout, tenants: Sequence[TenantCode], *, pace: Pace, now: datetime) -> Rollout:
    """The next state of stages First and Share, in which nothing fails."""
    members = [one for one in tenants if one.uid in rollout.members and one.runs]
    carrying = [one for one in members if one.code == rollout.target]
    is_over = now - rollout.begun >= pace.stage_lasts
    if not carrying:
        return _widened(rollout, tenants, pace=pace, now=now) if is_over or not members else rollout
    if len(carrying) < len(members) and not is_over:
        return rollout
    if rollout.carried is None:
        return replace(rollout, carried=_whole(now))
    succeeded = all(one.succeeded_at and one.succeeded_at >= rollout.carried for one in carrying)
    if not succeeded and now - rollout.carried < pace.stage_lasts:
        return rollout
    return _advanced(rollout, tenants, pace=pace, now=now)


def failing(rollout: Rollout, tenants: Sequence[TenantCode]) -> list[TenantCode]:
    """Those with the target whose batches have failed since the stage began, the longest first.

    What failed before has another cause.
    """
    since = [
        (one.failing_since, one)
        for one in tenants
        if one.failing_since is not None and one.failing_since >= rollout.begun and one.code == rollout.target
    ]
    return [one for _, one in sorted(since, key=lambda pair: pair[0])]


def data_of(rollout: Rollout) -> dict[str, str]:
    """The ConfigMap's data."""
    return {
        "stage": rollout.stage.value,
        "message": rollout.message,
        "begun": timestamp(rollout.begun),
        "carried": timestamp(rollout.carried) if rollout.carried else "",
        "target": rollout.target,
        "proven": rollout.proven.code_sha256,
        "members": "\n".join(sorted(rollout.members)),
        "provenHandler": rollout.proven.handler,
        "provenZip": base64.b64encode(rollout.proven.zip).decode(),
    }


def _stored(found: Resource | None) -> Rollout | None:
    """As the ConfigMap says; None: there is none, or it holds no code."""
    data: Mapping[str, str] = (found or {}).get("data") or {}
    try:
        content = base64.b64decode(data["provenZip"], validate=True)
        stage = Stage(data["stage"])
        proven = Bundle(zip=content, code_sha256=data["proven"], handler=data["provenHandler"])
        begun, carried, target = parse_time(data["begun"]), parse_time(data.get("carried")), data["target"]
    except (KeyError, ValueError, binascii.Error):
        return None
    if begun is None or base64.b64encode(hashlib.sha256(content).digest()).decode() != proven.code_sha256:
        return None
    return Rollout(
        proven=proven, target=target, stage=stage, begun=begun, carried=carried,
        members=frozenset((data.get("members") or "").split()), message=data.get("message") or "",
    )  # fmt: skip


def _having_target(rollout: Rollout) -> frozenset[str]:
    return rollout.members if rollout.stage in (Stage.FIRST, Stage.SHARE) else frozenset()


def _tolerated(stage: Stage, tenants: Sequence[TenantCode]) -> int:
    """Among all, one in a hundred may begin to fail by a cause of its own."""
    return max(1, len(tenants) // 100) if stage is Stage.ALL else 0


def _settled(own: Bundle, *, now: datetime) -> Rollout:
    return Rollout(proven=own, target=own.code_sha256, stage=Stage.SETTLED, begun=_whole(now))


def _to(
    rollout: Rollout, stage: Stage, *, now: datetime, members: frozenset[str] = frozenset(), message: str = ""
) -> Rollout:
    return replace(rollout, stage=stage, begun=_whole(now), carried=None, members=members, message=message)


def _whole(moment: datetime) -> datetime:
    """As it is stored; since when something fails is in whole seconds as well."""
    return moment.replace(microsecond=0)


def _stopped(rollout: Rollout, failing: Sequence[TenantCode], *, now: datetime) -> Rollout:
    names = ", ".join(one.key for one in failing[:_MOST_NAMED])
    more = f" and {len(failing) - _MOST_NAMED} more" if len(failing) > _MOST_NAMED else ""
    message = (
        f"the function's new code was stopped in stage {rollout.stage.value}: nothing was handled any more in {names}"
        f"{more}. Every function has the former code again"
    )
    return _to(rollout, Stage.STOPPED, now=now, message=message)


def _widened(rollout: Rollout, tenants: Sequence[TenantCode], *, pace: Pace, now: datetime) -> Rollout:
    """One tenant more, as those that were chosen can't tell anything; the same where nobody is left."""
    chosen = _order(rollout, tenants, pace)[:1]
    if not chosen:
        return rollout
    return _to(rollout, rollout.stage, now=now, members=rollout.members | {one.uid for one in chosen})


def _advanced(rollout: Rollout, tenants: Sequence[TenantCode], *, pace: Pace, now: datetime) -> Rollout:
    if rollout.stage is Stage.SHARE:
        return _to(rollout, Stage.ALL, now=now)
    there = {one.uid for one in tenants}
    lacking = math.ceil(len(tenants) * pace.share_percent / 100) - len(rollout.members & there)
    chosen = _order(rollout, tenants, pace)[: max(0, lacking)]
    if not chosen:
        return _to(rollout, Stage.ALL, now=now)
    return _to(rollout, Stage.SHARE, now=now, members=rollout.members | {one.uid for one in chosen})


def _order(rollout: Rollout, tenants: Sequence[TenantCode], pace: Pace) -> list[TenantCode]:
    """Who may come next: those that are named, and of the others those that can tell whether the code works."""
    places = {key: place for place, key in enumerate(pace.first)}
    left = [one for one in tenants if one.runs and one.uid not in rollout.members]
    return sorted(
        left,
        key=lambda one: (places.get(one.key, len(places)), one.failing_since is not None, not one.active, one.key),
    )
