"""What every reconciliation shares: its environment, its tenant, and the operator's identity in AWS."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, Protocol

from humangov.api.conditions import Event, Finding
from humangov.api.names import Identity, Names
from humangov.api.spec import Tenant
from humangov.api.stop import Stop, while_stopped
from humangov.aws import resources
from humangov.aws.change import Context, boundary_of
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError
from humangov.aws.resources import InThread, Observations, Plans
from humangov.bundle import Bundle
from humangov.kube.client import KubeError, Resource
from humangov.reconcile.cache import Memory, ReconcilerMemory, Store, key_of
from humangov.reconcile.code_rollout import assigned, known_code
from humangov.reconcile.identity import changed, in_cluster
from humangov.reconcile.ripening import Ripening, Wake
from humangov.reconcile.settings import Settings

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 120.0  # a transient failure of a settled tenant is shown after this


class KubeWriter(Protocol):
    """What of the API server a reconciliation needs (kube.kube.Kube; see there for errors)."""

    async def read(self, resource: Resource) -> Resource | None: ...
    async def set_finalizer(self, resource: Resource, *, present: bool) -> Resource | None: ...
    async def apply_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource: ...
    async def post_event(self, resource: Resource, event: Event) -> None: ...
    async def get_object(self, plural: str, namespace: str, name: str) -> Resource | None: ...
    async def list_jobs(self, namespace: str, label_selector: str) -> list[Resource]: ...
    async def list_cron_jobs(self, namespace: str, label_selector: str) -> list[Resource]: ...
    async def replace_object(self, plural: str, found: Resource, desired: Resource) -> None: ...
    async def create_object(self, plural: str, document: Resource) -> None: ...
    async def delete_object(self, plural: str, namespace: str, name: str) -> None: ...


async def ignore(_: Wake) -> None:
    """Where there is no queue."""


@dataclass(frozen=True, kw_only=True)
class Operator:
    """What every reconciliation shares."""

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
    became_ready: Callable[[float], None] = lambda _: None  # receives how many seconds a generation took
    ripening: Ripening = field(default_factory=Ripening)
    wake: Callable[[Wake], Awaitable[None]] = ignore

    def in_cluster(self, identity: Identity, *, recorded: Mapping[str, Any] | None = None) -> Identity:
        """With what tells this cluster from others of its name. recorded: status.aws"""
        moved_from = self.settings.moved_from
        return in_cluster(identity, uid=self.store.cluster_uid, moved_from=moved_from, recorded=recorded)


@dataclass(kw_only=True)
class Compared:
    """What was observed of a tenant, what it is to be, and what would change it."""

    observed: Observations
    desired: Mapping[str, Any]

    @cached_property
    def plans(self) -> Plans:
        return resources.plan(self.observed, self.desired)


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """One tenant, as one reconciliation works on it.

    memory     what the reconciliations before have left
    patient    transient failures of what was in sync are not shown yet
    announced  this reconciliation has just written status.aws, and that the AWS resources are being created
    sweeps     there are sweeps in this cluster
    """

    resource: Resource
    context: Context
    clients: Clients
    bundle: Bundle
    memory: ReconcilerMemory
    patient: bool
    announced: bool = False
    sweeps: bool = False
    _compared: list[Compared] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def names(self) -> Names:
        return self.context.names

    @property
    def tenant(self) -> Tenant:
        return self.context.names.tenant

    @property
    def stored_status(self) -> Mapping[str, Any]:
        return self.resource.get("status") or {}

    def desired(self, observed: Observations) -> Mapping[str, Any]:
        """Every part's Desired."""
        return self._of(observed).desired

    def plan(self, observed: Observations) -> Plans:
        """Every part's changes."""
        return self._of(observed).plans

    def _of(self, observed: Observations) -> Compared:
        """Composed once for the same observations: what is decided, and what is concluded from it, both need it."""
        if not (self._compared and self._compared[0].observed is observed):
            desired = resources.desired(self.context, observed, bundle=self.bundle)
            self._compared[:] = [Compared(observed=observed, desired=desired)]
        return self._compared[0]


def begin(
    operator: Operator,
    resource: Resource,
    tenant: Tenant,
    identity: Identity,
    clients: Clients,
    *,
    stop: Stop | None,
    patient: bool,
) -> Reconciliation:
    """A reconciliation of a tenant that may be acted on."""
    if shares_files(tenant):  # the function sees one record at a time: it must not erase
        tenant = replace(tenant, trigger=replace(tenant.trigger, enabled=False))
    if stop is not None:
        tenant = while_stopped(tenant)
    names = Names(tenant=tenant, identity=identity)
    return Reconciliation(
        resource=resource,
        context=Context(
            names=names,
            default_tags=operator.settings.default_tags,
            permissions_boundary_arn=boundary_of(operator.settings.permissions_boundary_arn, names),
            now=operator.now(),
            stopped=stop is not None,
            known_code=known_code(operator.store.code_rollout, operator.bundle),
        ),
        clients=clients,
        bundle=assigned(operator.store.code_rollout, operator.bundle, uid=tenant.uid),
        memory=_memory(operator.store.memory(tenant.key)),
        patient=patient,
        sweeps=operator.settings.sweep_template is not None,
    )


def _memory(memory: Memory) -> ReconcilerMemory:
    """The reconciler's, without what was observed before a stop ended."""
    kept, ended_at = memory.reconciler, memory.stop.ended_at
    if ended_at is not None and kept.carried is not None and kept.carried.at <= ended_at:
        kept = replace(kept, carried=None)
    if ended_at is not None and kept.reading is not None and kept.reading.full_at <= ended_at:
        kept = replace(kept, reading=None)
    return kept


def is_stopped_since(operator: Operator, this: Reconciliation) -> bool:
    """Whether the tenant was stopped after this reconciliation began: it must not undo that."""
    return not this.context.stopped and operator.store.stop_of(this.tenant.key) is not None


def shares_files(tenant: Tenant) -> bool:
    """Whether several records name a file, against what the spec says."""
    return tenant.files_shared > 0 and tenant.table.file_names != "Shared"


async def identify(operator: Operator, resource: Resource, clients: Clients) -> Identity | Finding:
    """The operator's identity in AWS; a Finding if it is unknown, or is not the one that created the resources."""
    try:
        identity: Identity = await operator.in_thread(partial(clients.identity, cluster=operator.cluster))
    except AwsError as error:
        return finding_of_error(error)
    recorded = (resource.get("status") or {}).get("aws")
    identity = operator.in_cluster(identity, recorded=recorded)
    return changed(recorded, identity) or identity


async def ripens(operator: Operator, names: Names, findings: Collection[Finding], *, failed: bool) -> float | None:
    """In how many seconds AWS is asked again about what ripens; others that wait for the like are told what has come.

    None: nothing ripens. failed: it is not known what became of the rest.
    """
    delay, wakes = operator.ripening.observed(
        names.tenant.key, where=_where(names), now=operator.monotonic(), failed=failed,
        kinds={one.ripens for one in findings if one.ripens and one.status == "Unknown" and not one.failed},
    )  # fmt: skip
    for one in wakes:
        await operator.wake(one)
    return delay


async def ripened(operator: Operator, names: Names, kind: str) -> None:
    """What the tenant waited for has come: others that wait for the like are told at once."""
    for one in operator.ripening.ended(names.tenant.key, where=_where(names), kind=kind, now=operator.monotonic()):
        await operator.wake(one)


def is_early(operator: Operator, names: Names, kind: str) -> bool:
    """Whether others, which began before, still wait for what this tenant has just begun to wait for."""
    return operator.ripening.is_early(where=_where(names), kind=kind, now=operator.monotonic())


def _where(names: Names) -> str:
    return f"{names.identity.account_id}/{names.identity.region}"


async def store_answer(operator: Operator, resource: Resource, write: Awaitable[Resource | None]) -> Resource:
    """The resource of this reconciliation with what our write changed on it. Raises KubeError.

    The answer may hold more, such as a spec that somebody has changed meanwhile. That goes into the store, for the next
    reconciliation; this one is about the generation that it has worked on.
    """
    answer = await write
    if answer is None:
        return resource
    operator.store.put(answer)
    from_answer = {
        name: answer["metadata"][name] for name in ("resourceVersion", "finalizers") if name in answer["metadata"]
    }
    return {**resource, "metadata": {**resource["metadata"], **from_answer}, "status": answer.get("status") or {}}


async def post_event(operator: Operator, resource: Resource, event: Event) -> None:
    """It is news, not state: where it can't be posted (a namespace that is going), the reconciliation goes on."""
    try:
        await operator.kube.post_event(resource, event)
    except KubeError as error:
        logger.warning("%s (%s: %s)", error, event.reason, event.message, extra={"tenant": key_of(resource)})
