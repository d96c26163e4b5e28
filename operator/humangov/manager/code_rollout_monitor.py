"""Rolls the function's new code out, step by step, and records each step before it takes effect."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from humangov.api.allowed_names import not_allowed
from humangov.api.conditions import Event, find_condition
from humangov.api.spec import Tenant
from humangov.api.times import parse_time
from humangov.kube.client import FIELD_MANAGER, KubeError
from humangov.kube.config_maps import ConfigMaps
from humangov.manager import stream_lag_monitor
from humangov.manager.stream_lag_monitor import LagCheck
from humangov.reconcile import code_rollout, delivery
from humangov.reconcile.cache import uid_of
from humangov.reconcile.code_rollout import CONFIG_MAP, Rollout, Stage, TenantCode, assigned
from humangov.reconcile.context import Operator, post_event

logger = logging.getLogger(__name__)

_CLOUDWATCH_EVERY = timedelta(seconds=60)
_MOST_READ_AGAIN = 10
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class RolloutCheck:
    """recorded: whether the ConfigMap says what the process goes by. refused: that it can't be written is logged.

    read_at: when CloudWatch was last asked.
    """

    recorded: bool = False
    refused: bool = False
    read_at: datetime | None = None


async def load(operator: Operator, kube: ConfigMaps) -> Rollout | None:
    """Where the rollout is at the start of the process; None: code is not rolled out by stages. Raises KubeError."""
    if operator.settings.code_rollout is None:
        return None
    found = await kube.read_config_map(operator.settings.own_namespace, CONFIG_MAP)
    rollout = code_rollout.begin(found, operator.bundle, now=operator.now())
    if rollout.stage is not Stage.SETTLED:
        logger.info("the function's new code is being rolled out: stage %s", rollout.stage.value)
    return rollout


async def check(
    operator: Operator,
    kube: ConfigMaps,
    before: RolloutCheck,
    *,
    ask_for_reconcile: Callable[[str], Awaitable[None]],
    ask_to_look: Callable[[str], Awaitable[None]],
) -> RolloutCheck:
    """One step, if there is one.

    ask_for_reconcile: of each tenant whose code is another then. ask_to_look: at each that may tell whether the code
    works, every few seconds; nothing has changed for it, so since when it fails must not be forgotten.
    """
    rollout, pace = operator.store.code_rollout, operator.settings.code_rollout
    if pace is None or rollout is None or (rollout.stage is Stage.SETTLED and before.recorded):
        return before
    try:
        found = await kube.read_config_map(operator.settings.own_namespace, CONFIG_MAP)
    except KubeError as error:
        logger.warning("%s; the rollout of the function's code waits, and it is read again in a moment", error)
        return before
    taken_up = code_rollout.taken_up(rollout, found, now=operator.now())
    is_stop = taken_up is not rollout and taken_up.stage is Stage.STOPPED
    if not before.recorded and not is_stop:  # somebody's stop is never overwritten by what is to be recorded
        is_recorded = (found or {}).get("data") == code_rollout.data_of(rollout)
        return replace(before, recorded=True) if is_recorded else await _recorded(operator, kube, before, rollout)
    read_at = await _read_cloudwatch(operator, before, ask_to_look=ask_to_look)
    tenants = [_tenant_code(operator, tenant) for tenant in _tenants(operator)]
    following = code_rollout.step(taken_up, tenants, operator.bundle, pace=pace, now=operator.now())
    after = replace(before, read_at=read_at)
    if following != rollout or found is None:
        after = await _recorded(operator, kube, after, following)
    if after.recorded and following != rollout:
        await _take_effect(operator, rollout, following, tenants, ask_for_reconcile=ask_for_reconcile)
    else:
        await _read_again(rollout, tenants, ask_to_look=ask_to_look)
    return after


async def _recorded(operator: Operator, kube: ConfigMaps, before: RolloutCheck, rollout: Rollout) -> RolloutCheck:
    """What can't be recorded does not take effect, and is tried again."""
    namespace = operator.settings.own_namespace
    try:
        await kube.apply_config_map(
            namespace, CONFIG_MAP, code_rollout.data_of(rollout), field_manager=FIELD_MANAGER
        )  # fmt: skip
    except KubeError as error:
        if not before.refused:
            logger.warning(
                "%s; the rollout of the function's code can't go on until it is written. Retried automatically, "
                "without a further warning",
                error,
            )
        return replace(before, refused=True, recorded=before.recorded and rollout == operator.store.code_rollout)
    return replace(before, recorded=True, refused=False)


async def _take_effect(
    operator: Operator,
    before: Rollout,
    after: Rollout,
    tenants: Sequence[TenantCode],
    *,
    ask_for_reconcile: Callable[[str], Awaitable[None]],
) -> None:
    operator.store.code_rollout = after
    _log(before, after)
    own = operator.bundle
    for one in tenants:
        if assigned(before, own, uid=one.uid).code_sha256 != assigned(after, own, uid=one.uid).code_sha256:
            await ask_for_reconcile(one.key)
    if after.stage is not Stage.STOPPED:
        return
    for one in code_rollout.failing(before, tenants):
        resource = operator.store.get(one.key)
        if resource is not None and uid_of(resource) == one.uid:  # else another got its name meanwhile
            await post_event(operator, resource, _event(before))


def _event(stopped_in: Rollout) -> Event:
    message = (
        "after the function got the operator's new code, it handled no record, so it has the former code again. "
        f"The rollout was stopped in stage {stopped_in.stage.value}: no other HumanGovState gets the new code. Lambda "
        "retries what failed. The function's log group says why; install another version of the operator"
    )
    return Event(kind="Warning", reason="CodeRolloutStopped", message=message)


def _log(before: Rollout, after: Rollout) -> None:
    if after.stage is Stage.STOPPED:
        logger.error("%s", after.message)
    elif after.stage is Stage.SETTLED:
        logger.info("the function's new code is proven: every HumanGovState has it")
    elif after.stage is not before.stage or after.members != before.members:
        who = "all" if after.stage is Stage.ALL else str(len(after.members))
        logger.info("the function's new code: stage %s, HumanGovStates that get it: %s", after.stage.value, who)


async def _read_again(
    rollout: Rollout, tenants: Sequence[TenantCode], *, ask_to_look: Callable[[str], Awaitable[None]]
) -> None:
    """Of the first tenants it is read at each step what Lambda says of their last batch."""
    members = [one.key for one in tenants if one.uid in rollout.members and one.runs]
    if rollout.stage in (Stage.FIRST, Stage.SHARE):
        for key in members[:_MOST_READ_AGAIN]:
            await ask_to_look(key)


async def _read_cloudwatch(
    operator: Operator, before: RolloutCheck, *, ask_to_look: Callable[[str], Awaitable[None]]
) -> datetime | None:
    """What came of the members' batches, at most once a minute."""
    rollout, now = operator.store.code_rollout, operator.now()
    is_due = before.read_at is None or now - before.read_at >= _CLOUDWATCH_EVERY
    if rollout is None or not rollout.members or not is_due:
        return before.read_at
    quiet = LagCheck(refused=True)  # the stream lag monitor warns
    await stream_lag_monitor.check(operator, quiet, ask_for_reconcile=ask_to_look, only=rollout.members)
    return now


def _tenants(operator: Operator) -> list[Tenant]:
    return [tenant for tenant in operator.store.tenants() if not not_allowed(tenant, operator.settings.allowed)]


def _tenant_code(operator: Operator, tenant: Tenant) -> TenantCode:
    memory, status = operator.store.memory(tenant.key), _status(operator, tenant)
    is_off = tenant.suspend or tenant.deleting or tenant.hold is not None or not tenant.trigger.enabled
    lag = memory.deliveries
    succeeded = lag.succeeded_at - _MINUTE if lag and lag.succeeded_at else None
    return TenantCode(
        key=tenant.key,
        uid=tenant.uid,
        runs=bool(status.get("aws")) and not is_off and operator.store.stop_of(tenant.key) is None,
        active=lag is not None and lag.iterator_age_seconds is not None,
        code=memory.reconciler.code,
        failing_since=delivery.since_of(status) or _function_failed_since(operator, tenant),
        succeeded_at=succeeded,
    )


def _function_failed_since(operator: Operator, tenant: Tenant) -> datetime | None:
    """Since when Lambda could not set the function up."""
    condition = find_condition(_status(operator, tenant), "FunctionReady") or {}
    return parse_time(condition["lastTransitionTime"]) if condition.get("reason") == "FunctionFailed" else None


def _status(operator: Operator, tenant: Tenant) -> dict[str, object]:
    return (operator.store.get(tenant.key) or {}).get("status") or {}
