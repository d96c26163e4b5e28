"""The stop of a tenant: a way of its own, before every check, for it has to work whatever else is wrong.

A stopped tenant's function has reserved concurrency 0 and its mappings are disabled, by the names in status.aws alone:
its spec may be invalid, no longer allowed, in conflict, suspended, or the operator's permissions incomplete. The rest
of a reconciliation then takes the stop as declared (api.stop.while_stopped).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from humangov import logs
from humangov.api.allowed_names import is_withdrawn
from humangov.api.conditions import STOPPED, Event, Finding, find_condition
from humangov.api.names import Identity, Names
from humangov.api.spec import InvalidSpecError, Tenant, parse
from humangov.api.stop import WARN_AFTER, Stop, stop_of, stop_of_withdrawn
from humangov.api.times import parse_time, timestamp
from humangov.aws import stop as aws_stop
from humangov.aws.budget import at_priority
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.aws.stop import Halt
from humangov.aws.token_bucket import Priority
from humangov.kube.client import Resource
from humangov.reconcile import overdue
from humangov.reconcile.cache import StopMemory, key_of, uid_of
from humangov.reconcile.context import Operator, post_event
from humangov.reconcile.outcome import Outcome

STREAM_FORGETS_AFTER = timedelta(hours=24)
GOES_ON = ("Hold", "NotAllowed")
"""Sources of a stop for which a deletion does not wait: of a hold it is a release, and what is not allowed goes."""
_LAMBDA_NEEDS = timedelta(seconds=5)  # until every one of its hosts knows of the reserved concurrency
_RETRY_SECONDS = 2.0
_RETRY_SLOWLY_SECONDS = 10.0


async def obey(operator: Operator, resource: Resource) -> Stop | None:
    """Stop the tenant in AWS if it is to be stopped; what came of it is left in its memory, for its status."""
    stop = stop_of(resource, of_all=operator.store.stop_of_all) or _withdrawn(operator, resource)
    key, uid = key_of(resource), uid_of(resource)
    before = operator.store.memory(key).stop
    if stop is None:
        if before.stop is not None:
            operator.store.remember(key, uid=uid, stop=StopMemory(ended_at=operator.monotonic()))
        return None
    halt, problem = await _halt(operator, resource)
    if halt.changes and before.halted:
        text = "changed outside the operator while stopped, and stopped again"
        changes = "; ".join(f"{change.resource}: {change.summary}" for change in halt.changes)
        event = Event(kind="Warning", reason="DriftCorrected", message=f"{text}: {changes}")
        await post_event(operator, resource, event)
    changed_at = operator.now() if halt.changes else before.changed_at
    doubtful = halt.absent and not before.absent
    found = StopMemory(
        stop=stop, halted=halt.halted and not doubtful, absent=halt.absent, timeout_seconds=halt.timeout_seconds,
        problem=problem or (_looked_for_again() if doubtful else None), changed_at=changed_at,
    )  # fmt: skip
    operator.store.remember(key, uid=uid, stop=found)
    return stop


async def obey_at_once(operator: Operator, key: str, *, ask_for_reconcile: Callable[[str], Awaitable[None]]) -> Outcome:
    """`obey` alone, beside the tenant's reconciliation, which may take long; retried until it is done.

    ask_for_reconcile: of a tenant that was started meanwhile, whose reconciliation may have been too early.
    """
    logs.tenant.set(key)
    resource = operator.store.get(key)
    if resource is None or await obey(operator, resource) is None:
        return Outcome(forget=True)
    if operator.store.stop_of(key) is None:
        await ask_for_reconcile(key)
        return Outcome(forget=True)
    problem = operator.store.memory(key).stop.problem
    if problem is None:
        return Outcome(forget=True)
    wait = _RETRY_SECONDS if problem.soon else _RETRY_SLOWLY_SECONDS
    return Outcome(failed=True, soon=problem.soon, requeue_after_seconds=wait)


def _withdrawn(operator: Operator, resource: Resource) -> Stop | None:
    """The stop of a tenant that was allowed when its AWS resources were created, and is not any more."""
    if not (resource.get("status") or {}).get("aws"):
        return None
    try:
        tenant = _as_recorded(operator, resource, region=str(resource["status"]["aws"]["region"]))
    except InvalidSpecError:  # its names can't be read: as it was found before
        before = operator.store.memory(key_of(resource)).stop.stop
        return before if before is not None and before.source == "NotAllowed" else None
    return stop_of_withdrawn() if is_withdrawn(tenant, operator.settings.allowed) else None


def _looked_for_again() -> Finding:
    """What was created seconds ago may not show yet."""
    return Finding.transient(
        "NotFound", "Lambda does not return the function; the operator checks once more", soon=True
    )


async def _halt(operator: Operator, resource: Resource) -> tuple[Halt, Finding | None]:
    """What was stopped, and why that may not be all."""
    recorded = (resource.get("status") or {}).get("aws")
    if not recorded:  # it is written before the first resource is created
        return Halt(halted=True), None
    try:
        tenant = _as_recorded(operator, resource, region=str(recorded["region"]))
    except InvalidSpecError as error:
        return Halt(halted=False), Finding.action_required("InvalidSpec", f"{error}. Fix the spec")
    clients = operator.clients_for(tenant)
    with at_priority(Priority.STOP):
        found: tuple[Halt, Finding | None] = await operator.in_thread(
            partial(_halt_there, operator, clients, tenant, recorded)
        )
    return found


def _halt_there(
    operator: Operator, clients: Clients, tenant: Tenant, recorded: Mapping[str, str]
) -> tuple[Halt, Finding | None]:
    """In the account, region and cluster in which the resources were created, and nowhere else."""
    try:
        identity = Identity(
            account_id=recorded["accountID"], region=recorded["region"], cluster=recorded["cluster"],
            partition=clients.partition(),
        )  # fmt: skip
    except AwsError as error:
        return Halt(halted=False), finding_of_error(error)
    identity = operator.in_cluster(identity, recorded=recorded)
    try:
        account = clients.identity(cluster=identity.cluster).account_id
    except AwsError as error:  # most likely nothing else works then; but each call that does stops more
        halt = aws_stop.halt(clients, Names(tenant=tenant, identity=identity))
        return replace(halt, halted=False), finding_of_error(error)
    if account != identity.account_id:
        return Halt(halted=False), _other_account(tenant, identity, account)
    halt = aws_stop.halt(clients, Names(tenant=tenant, identity=identity))
    findings = [finding_of_error(error) for error in halt.errors]
    findings.sort(key=lambda finding: not finding.soon)  # one that is soon retried says when the stop is tried again
    problem = findings[0] if findings else None
    if halt.not_owned is None:
        return halt, problem
    if problem is None:
        return halt, Finding.action_required("NotOwned", str(halt.not_owned))
    # No retry ends this one, so it is not left out while calls fail.
    return halt, replace(problem, message=f"{halt.not_owned}. In addition: {problem.message}")


def _other_account(tenant: Tenant, identity: Identity, account: str) -> Finding:
    return Finding.action_required(
        "IdentityChanged",
        f"the operator's credentials are of account {account}, the function {tenant.function.name} is in account "
        f"{identity.account_id}. Restore its former credentials, or stop the function there: aws lambda "
        f"put-function-concurrency --function-name {tenant.function.name} --reserved-concurrent-executions 0 --region "
        f"{identity.region}",
    )


def _as_recorded(operator: Operator, resource: Resource, *, region: str) -> Tenant:
    """The tenant, of whose spec only names count: these can't be changed. Raises InvalidSpecError."""
    key = key_of(resource)
    known = operator.store.tenant(key) if operator.store.get(key) is resource else None  # of this form of it
    try:
        tenant = known or parse(resource, default_region=region)
    except InvalidSpecError:
        spec: Any = resource.get("spec") or {}
        named = {part: {"name": (spec.get(part) or {}).get("name")} for part in ("table", "bucket", "function")}
        named = {part: value for part, value in named.items() if value["name"] is not None}
        if isinstance((spec.get("bucket") or {}).get("keyPrefix"), str):
            named["bucket"] = {**named.get("bucket", {}), "keyPrefix": spec["bucket"]["keyPrefix"]}
        account = {"account": spec["account"]} if spec.get("account") else {}
        tenant = parse({**resource, "spec": {**named, **account}}, default_region=region)
    name = (resource.get("status") or {}).get("functionName") or tenant.function.name
    return replace(tenant, region=region, function=replace(tenant.function, name=name))


# What people see


@dataclass(frozen=True, kw_only=True)
class StopFindings:
    """ready: in place of what the reconciliation concluded. stopped: condition Stopped."""

    ready: Finding
    stopped: Finding


def findings(
    resource: Resource, memory: StopMemory, *, ready: Finding, deleting: bool, now: datetime
) -> StopFindings | None:
    """None of a tenant that is not stopped, and never was. Pure."""
    before = find_condition(resource.get("status") or {}, STOPPED)
    if memory.stop is None:
        if before is None:
            return None
        text = "the stop has ended, and the AWS resources are kept as declared"
        return StopFindings(ready=ready, stopped=Finding.warning("Started", text))
    stop = memory.stop
    since = _since(stop, before)
    long = since is not None and now - since > WARN_AFTER
    sentences = [stop.sentence, *_state(memory, before, now=now)]
    sentences += [_forgets(since)] if long and since is not None else []
    if deleting and stop.source not in GOES_ON:
        sentences.append("its deletion waits, and nothing more is deleted, until it is started")
    message = f"{'. '.join(_capital(one) for one in sentences)}. {stop.remedy}"
    of_deletion = deleting and stop.source == "NotAllowed"
    return StopFindings(
        ready=ready if of_deletion else _ready(ready, memory, message), stopped=_stopped(memory, message, long=long)
    )


def is_calm(status: Mapping[str, Any], memory: StopMemory, *, now: datetime) -> bool:
    """Whether the tenant has been stopped, with nothing left to stop, for so long that it is read at resyncs only."""
    since = _time_of(find_condition(status, STOPPED))
    return memory.stop is not None and memory.problem is None and since is not None and now - since > overdue.LASTS


def _stopped(memory: StopMemory, message: str, *, long: bool) -> Finding:
    """Condition Stopped."""
    if not memory.halted:
        return Finding.waiting("Stopping", message)
    return Finding.in_sync("StoppedForLong", message) if long else Finding.in_sync("Stopped", message)


def _ready(ready: Finding, memory: StopMemory, message: str) -> Finding:
    """What else is wrong is said as well, and retried as it would be."""
    beside = f". In addition: {ready.message}" if ready.status != "True" else ""
    source = memory.stop.source if memory.stop else None
    reason = "Stopped"
    if source == "ErasureLimit":
        reason = "ErasureLimit"
    elif source == "NotAllowed":
        reason = "NotAllowed"
    elif source == "Hold":
        reason = "HoldStarting"
    reported = replace(ready, status="False", stalled=True, reason=reason, message=f"{message}{beside}")
    if source == "Hold" and ready.status != "False":
        reported = replace(reported, status="Unknown", stalled=False)  # time ends it, and no person need do anything
    if memory.problem is None:
        return reported
    wait = _RETRY_SECONDS if memory.problem.soon else _RETRY_SLOWLY_SECONDS
    waits = [wait, *([reported.requeue_after_seconds] if reported.requeue_after_seconds is not None else [])]
    return replace(reported, failed=True, soon=memory.problem.soon, requeue_after_seconds=min(waits))


def _state(memory: StopMemory, before: Mapping[str, Any] | None, *, now: datetime) -> list[str]:
    """What is known of AWS, and of what had begun."""
    if memory.problem is not None:
        is_so = "no new invocation begins" if memory.halted else "its function may still be invoked"
        so = f"it is not stopped completely, {is_so}, and the operator retries: {memory.problem.message}"
    elif memory.absent or memory.timeout_seconds is None:
        so = "there is no function that could be invoked"
    else:
        so = (
            "reserved concurrency is 0 and the trigger is disabled: no new invocation begins, files of deleted records "
            "stay"
        )
    return [so, *_had_begun(memory, before, now=now)]


def _had_begun(memory: StopMemory, before: Mapping[str, Any] | None, *, now: datetime) -> list[str]:
    """Until when what had begun may erase files, as far as that is known."""
    if memory.timeout_seconds is None:
        return []
    lasts = timedelta(seconds=memory.timeout_seconds) + _LAMBDA_NEEDS
    if memory.halted:
        until = _halted_at(memory, before, now=now) + lasts
        return [f"invocations that had begun may run until {timestamp(until)}"]
    if memory.changed_at is None:  # nothing was stopped, so others begin
        return []
    at = memory.changed_at
    return [f"invocations that had begun by {timestamp(at)} may run until {timestamp(at + lasts)}, later ones longer"]


def _halted_at(memory: StopMemory, before: Mapping[str, Any] | None, *, now: datetime) -> datetime:
    """As the condition says, which survives a restart, unless something had to be stopped again since."""
    known = _time_of(before)
    if known is None:
        return now
    again = memory.changed_at.replace(microsecond=0) if memory.changed_at is not None else known
    return max(known, again)


def _forgets(since: datetime) -> str:
    return (
        f"it has been stopped for over {WARN_AFTER // timedelta(hours=1)} hours: the stream keeps records for "
        f"{STREAM_FORGETS_AFTER // timedelta(hours=1)} hours, so from {timestamp(since + STREAM_FORGETS_AFTER)} on "
        "files of deleted records become orphans, which only a sweep finds"
    )


def _since(stop: Stop, before: Mapping[str, Any] | None) -> datetime | None:
    """The earlier of what the API server and the condition say: an edited reason does not begin a new stop."""
    return min(filter(None, (stop.since, _time_of(before))), default=None)


def _time_of(condition: Mapping[str, Any] | None) -> datetime | None:
    """Since when the tenant has been stopped, according to its condition."""
    if condition is None or condition["status"] != "True":
        return None
    return parse_time(condition["lastTransitionTime"])


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
