"""What every pass over a tenant shares: its surroundings, who we are in AWS, and the one report at its end."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from humangov.api.conditions import Event, Finding, compose, differs, ready_generation, transitions
from humangov.api.names import Identity, Names
from humangov.api.spec import RECONCILE_ANNOTATION, Tenant
from humangov.aws.change import Change
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.aws.resources import InThread
from humangov.bundle import Bundle
from humangov.kube.client import KubeError, Resource
from humangov.reconcile.cache import Memory, Store, key_of
from humangov.reconcile.outcome import Outcome
from humangov.reconcile.settings import Settings

logger = logging.getLogger(__name__)


class KubeWriter(Protocol):
    """What of the API server a pass needs (kube.kube.Kube; see there for errors)."""

    async def read(self, resource: Resource) -> Resource | None: ...
    async def set_finalizer(self, resource: Resource, *, present: bool) -> Resource | None: ...
    async def apply_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource: ...
    async def post_event(self, resource: Resource, event: Event) -> None: ...
    async def get_object(self, plural: str, namespace: str, name: str) -> Resource | None: ...
    async def list_jobs(self, namespace: str, label_selector: str) -> list[Resource]: ...
    async def replace_object(self, plural: str, found: Resource, desired: Resource) -> None: ...
    async def create_object(self, plural: str, document: Resource) -> None: ...
    async def delete_object(self, plural: str, namespace: str, name: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Operator:
    """What every pass shares."""

    settings: Settings
    cluster: str
    bundle: Bundle
    kube: KubeWriter
    store: Store
    clients_for: Callable[[Tenant], Clients]
    in_thread: InThread[Any]
    monotonic: Callable[[], float]
    started_at: float  # monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    became_ready: Callable[[float], None] = lambda _: None  # told how many seconds a generation took


async def identify(operator: Operator, resource: Resource, clients: Clients) -> Identity | Finding:
    """Who we are in AWS; a Finding if that can't be told, or is not who made the tenant's objects."""
    try:
        identity: Identity = await operator.in_thread(partial(clients.identity, cluster=operator.cluster))
    except AwsError as error:
        return finding_of_error(error)
    recorded = (resource.get("status") or {}).get("aws")
    present = aws_fields(identity)
    if recorded and recorded != present:
        differs = ", ".join(
            f"{name} was {recorded.get(name)} and is now {present[name]}"
            for name in present
            if recorded.get(name) != present[name]
        )
        return Finding.needs_person(
            "IdentityChanged",
            f"the operator is not where this tenant's AWS objects are: {differs}. Nothing is touched. Give the "
            "operator its former credentials, --region and --cluster-name again, or set deletionPolicy: Retain and "
            "delete the HumanGovState to let them go",
        )
    return identity


def aws_fields(identity: Identity) -> dict[str, str]:
    """status.aws."""
    return {"accountID": identity.account_id, "region": identity.region, "cluster": identity.cluster}


async def report(
    operator: Operator,
    resource: Resource,
    *,
    ready: Finding,
    findings: Mapping[str, Finding] | None = None,
    names: Names | None = None,
    applied: list[Change] | None = None,
    handled_sweep: str | None = None,
    gone: Collection[str] = (),
    quiet: bool = False,
) -> Outcome:
    """One status write if anything differs, then an event a transition; if `quiet`, only that something was adopted.

    gone: what a removal has found gone so far. Raises KubeError.
    """
    before = resource.get("status") or {}
    metadata, memory = resource["metadata"], operator.store.memory(key_of(resource))
    generation = int(metadata.get("generation") or 0)
    findings = findings or {}
    status = compose(
        before,
        generation=generation,
        ready=ready,
        findings=findings,
        now=operator.now(),
        fields={
            "aws": aws_fields(names.identity) if names else before.get("aws"),
            "functionName": names.tenant.function.name if names else before.get("functionName"),
            "lastHandledReconcile": (metadata.get("annotations") or {}).get(RECONCILE_ANNOTATION),
            "lastHandledSweep": handled_sweep or before.get("lastHandledSweep"),
        },
    )
    changed = differs(before, status) and not quiet
    if changed:
        await keep(operator, resource, operator.kube.apply_status(resource, status))
    was_ready_at = memory.ready_generation if memory.ready_generation is not None else ready_generation(before)
    memory.ready_generation = ready_generation(status) or was_ready_at
    if memory.ready_generation == generation != was_ready_at and memory.generation == generation:
        operator.became_ready(operator.monotonic() - memory.seen_at)
    applied = applied or []
    news = _event_of_adoption(applied)  # told even if quiet: it is done once
    if not quiet:
        news += transitions(before, status, own_doing=bool(applied))
        news += _event_of_changes(was_ready_at, generation, [change for change in applied if not change.adopts])
    for event in news:
        await tell(operator, resource, event)
    logger.info(
        "%s: %s",
        ready.reason,
        ready.message,
        extra={"tenant": key_of(resource), "action": "report", "changed": changed},
    )
    everything = [ready, *findings.values()]
    waits = [finding.look_again_seconds for finding in everything if finding.look_again_seconds is not None]
    failed = [finding for finding in everything if finding.failed]
    done = {*gone, *(f"{change.action} {change.target}" for change in applied)}
    return Outcome(
        after=min(waits, default=None), failed=bool(failed), soon=any(finding.soon for finding in failed),
        progressed=_progressed(memory, done, failed=bool(failed)),
    )  # fmt: skip


def _progressed(memory: Memory, done: set[str], *, failed: bool) -> bool:
    """Whether something is done that was not in any failed pass before. What is done again and again is no progress."""
    new = done - memory.came_about
    memory.came_about = memory.came_about | new if failed else set()
    return bool(new)


async def keep(operator: Operator, resource: Resource, write: Awaitable[Resource | None]) -> Resource:
    """The resource of this pass with what our write changed on it. Raises KubeError.

    The answer may hold more, such as a spec that somebody has changed meanwhile. That goes into the store, for the next
    pass; this one reports on the generation that it has worked on.
    """
    answer = await write
    if answer is None:
        return resource
    operator.store.put(answer)
    ours = {name: answer["metadata"][name] for name in ("resourceVersion", "finalizers") if name in answer["metadata"]}
    return {**resource, "metadata": {**resource["metadata"], **ours}, "status": answer.get("status") or {}}


async def tell(operator: Operator, resource: Resource, event: Event) -> None:
    """Post an event. It is news, not state: where it can't be posted (a namespace that is going), the pass goes on."""
    try:
        await operator.kube.post_event(resource, event)
    except KubeError as error:
        logger.warning("%s (%s: %s)", error, event.reason, event.message, extra={"tenant": key_of(resource)})


def _event_of_adoption(applied: list[Change]) -> list[Event]:
    adopted = [change.summary for change in applied if change.adopts]
    return [Event(kind="Normal", reason="Adopted", message="; ".join(adopted))] if adopted else []


def _event_of_changes(was_ready_at: int | None, generation: int, applied: list[Change]) -> list[Event]:
    """Changes to a tenant that has been Ready deserve an event; the first provisioning is told by Ready itself."""
    if not applied or was_ready_at is None:
        return []
    told = "; ".join(f"{change.resource}: {change.summary}" for change in applied)
    if was_ready_at == generation:
        return [Event(kind="Normal", reason="DriftRepaired", message=f"changed from outside and put back: {told}")]
    return [Event(kind="Normal", reason="Updated", message=told)]
