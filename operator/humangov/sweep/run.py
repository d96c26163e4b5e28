"""A sweep of one HumanGovState: may it be, what does the cluster say meanwhile, and how its result is told there."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from humangov.api.allowed_names import AllowedNames
from humangov.api.conflicts import refusal
from humangov.api.names import Names
from humangov.api.spec import APPROVE_ANNOTATION, KIND, STOP_ANNOTATION, InvalidSpecError, Tenant, parse
from humangov.aws.data_plane import connect
from humangov.aws.identity import names_of
from humangov.aws.receipt_log import NoReceiptError
from humangov.aws.sessions import session_for
from humangov.final_read import final_read
from humangov.final_read.final_read import LastLook
from humangov.kube import client
from humangov.kube.tenants import Tenants, by_name
from humangov.sweep import engine
from humangov.sweep import result as told
from humangov.sweep.bucket_claim import ClaimedError
from humangov.sweep.engine import DELETE, REPORT, Surroundings
from humangov.sweep.progress import FailedError, Progress, Steps, StoppedError

FIELD_MANAGER = "humangov-sweep"
_LOOKED_AT_EVERY_SECONDS = 5.0
_ANSWER_WITHIN_SECONDS = 30.0
Answer = TypeVar("Answer")


class NotNowError(Exception):
    """There is nothing to sweep, or it may not be; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A sweep that came to an end. trouble: why it failed or was stopped. note: what else to say of it."""

    names: Names
    summary: engine.Summary
    word: str
    trouble: str | None
    note: str | None
    ended: datetime

    @property
    def exit_code(self) -> int:
        return told.exit_code(self.summary, word=self.word)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line asks for. mode None: what the spec says. allowed None: not known here, not looked at."""

    mode: str | None = None
    dry_run: bool = False
    approved: str | None = None
    interrupted: Callable[[], str | None] = lambda: None
    progress: Callable[[Progress], None] = lambda _progress: None


class Cluster:
    """One HumanGovState as the API server has it, asked from any thread."""

    def __init__(self, *, namespace: str, name: str, uid: str | None) -> None:
        self._namespace, self._name, self._uid = namespace, name, uid
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes", daemon=True)
        self._api = Tenants()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):
            self._wait(self._api.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_WITHIN_SECONDS)

    def read(self) -> client.Resource:
        """Raises NotNowError if it is gone, or another has its name; KubeError."""
        found = self._wait(self._api.read(by_name(self._namespace, self._name)))
        if found is None:
            raise NotNowError(f"there is no {KIND} {self._namespace}/{self._name} in this cluster")
        if self._uid is not None and found["metadata"]["uid"] != self._uid:
            raise NotNowError(f"{KIND} {self._namespace}/{self._name} is another by now: it was made anew")
        self._uid = str(found["metadata"]["uid"])
        return found

    def others(self, namespaces: Sequence[str]) -> list[client.Resource]:
        return self._wait(self._api.list_resources(namespaces))

    def name(self) -> str:
        return self._wait(self._api.cluster_uid())

    def tell(self, resource: client.Resource, fields: Mapping[str, Any], *, manager: str = FIELD_MANAGER) -> None:
        """Fields of the status, beside those of the operator. Raises KubeError."""
        self._wait(self._api.apply_status(resource, fields, field_manager=manager))

    def _wait(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result(_ANSWER_WITHIN_SECONDS)
        except TimeoutError as error:
            future.cancel()
            raise client.KubeError("asking the API server", status=None, reason="no answer in 30 s") from error


def of_cluster(
    cluster: Cluster,
    asked: Asked,
    *,
    default_region: str | None,
    cluster_name: str | None,
    allowed: AllowedNames | None,
    namespaces: Sequence[str],
    report_status: bool,
) -> Done:
    """Sweep a tenant of the cluster; its status tells of it if `report_status`.

    allowed: what the operator's --allowed-names say; None: not known here, so only what is older is looked for.
    Raises NotNowError, NotToldError, InvalidSpecError, KubeError.
    """
    resource = cluster.read()
    names = names_in_cluster(resource, cluster, default_region=default_region, cluster_name=cluster_name)
    _may_be_swept(names.tenant)
    refused = _refused(names.tenant, cluster, allowed=allowed, namespaces=namespaces, default_region=default_region)
    if refused:
        raise NotNowError(refused)
    mode, why_report = _mode(names.tenant, asked.mode)
    summary = engine.begin(mode=mode, dry_run=asked.dry_run, now=time.time())
    standing = dict((resource.get("status") or {}).get("sweep") or {})
    tells = report_status and not asked.dry_run

    def tell(word: str, trouble: str | None) -> None:
        if tells:
            now = datetime.now(UTC)
            fields = told.status(summary, names, word=word, trouble=trouble, now=now, before=standing)
            if why_report and word != told.RUNNING:
                fields["message"] += f"; {why_report}"
            cluster.tell(resource, {"sweep": fields})

    tell(told.RUNNING, None)
    switch = _Switch(cluster, asked, uid=str(resource["metadata"]["uid"]), spec_mode=names.tenant.sweep.mode)
    approved = asked.approved or names.tenant.annotations.get(APPROVE_ANNOTATION)
    around = Surroundings(
        steps=Steps(why_stop=switch.cached, told=asked.progress), may_erase=switch.fresh, approved=approved
    )
    word, trouble = _run(names, summary, around)
    tell(word, trouble)
    ended = datetime.now(UTC)
    return Done(names=names, summary=summary, word=word, trouble=trouble, note=why_report, ended=ended)


def of_manifest(names: Names, asked: Asked) -> Done:
    """Sweep a tenant that a manifest declares; nothing but the caller can stop it. Raises NotNowError."""
    _may_be_swept(names.tenant)
    mode, why_report = _mode(names.tenant, asked.mode)
    summary = engine.begin(mode=mode, dry_run=asked.dry_run, now=time.time())
    around = Surroundings(
        steps=Steps(why_stop=asked.interrupted, told=asked.progress),
        may_erase=asked.interrupted,
        approved=asked.approved or names.tenant.annotations.get(APPROVE_ANNOTATION),
    )
    word, trouble = _run(names, summary, around)
    ended = datetime.now(UTC)
    return Done(names=names, summary=summary, word=word, trouble=trouble, note=why_report, ended=ended)


def last_look(
    cluster: Cluster,
    *,
    since: datetime,
    default_region: str | None,
    cluster_name: str | None,
    report_status: bool,
    stop: Callable[[], bool],
) -> LastLook:
    """The stream of a tenant that is being deleted, read once more. Raises as sweep/end.py and `of_cluster` do."""
    resource = cluster.read()
    names = names_in_cluster(resource, cluster, default_region=default_region, cluster_name=cluster_name)
    if not names.tenant.trigger.enabled:
        raise NotNowError(f"{names.tenant.key}: spec.trigger.enabled is false, so nothing is erased")
    clients = connect(region=names.identity.region, session=session_of(names.tenant))
    found = final_read.last_look(clients, names, since=since, stop=stop)
    if report_status:
        fields = last_look_fields(found, now=datetime.now(UTC))
        cluster.tell(resource, {"finalRead": fields}, manager=f"{FIELD_MANAGER}-end")
    return found


def last_look_fields(found: LastLook, *, now: datetime) -> dict[str, Any]:
    """status.finalRead."""
    unread = f"; {found.unread:,} of its shards were not read to their end" if found.unread else ""
    failed = f"; {found.failed:,} of them failed" if found.failed else ""
    return {
        "at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "records": found.records,
        "erased": found.erased,
        "failed": found.failed,
        "notRead": -1 if found.unread else 0,
        "complete": found.complete,
        "message": f"{found.records:,} late records of the stream were looked at, {found.erased:,} files erased"
        f"{failed}{unread}",
    }


def session_of(tenant: Tenant) -> boto3.Session:
    """As whom a tenant is swept: spec.account.sweepRoleARN, else whoever runs this."""
    return session_for(
        role_arn=tenant.account.sweep_role_arn,
        external_id=tenant.account.external_id,
        session_name=f"humangov-sweep-{tenant.name}",
        region=tenant.region,
    )


def names_in_cluster(
    resource: client.Resource, cluster: Cluster, *, default_region: str | None, cluster_name: str | None
) -> Names:
    """Every AWS name of the tenant, as its sweep sees it. Raises NotToldError, InvalidSpecError, KubeError."""
    recorded = (resource.get("status") or {}).get("aws") or {}
    name = cluster_name or recorded.get("cluster") or cluster.name()
    session = session_of(parse(resource, default_region=recorded.get("region") or default_region or "us-east-1"))
    return names_of(resource, default_region=default_region, cluster=str(name), session=session)


def _run(names: Names, summary: engine.Summary, around: Surroundings) -> tuple[str, str | None]:
    """The result's word, and what went wrong."""
    trouble: str | None = None
    stopped = failed = False
    try:
        clients = connect(region=names.identity.region, session=session_of(names.tenant))
        engine.sweep(clients, names, summary, around=around)
    except StoppedError as error:
        stopped, trouble = True, f"stopped: {error}"
    except (ClaimedError, FailedError, NoReceiptError) as error:
        failed, trouble = True, str(error)
    except (ClientError, BotoCoreError) as error:
        failed, trouble = (
            True,
            f"{error}. Nothing was erased on what could not be read; it is swept again at the next run",
        )
    except (OSError, sqlite3.Error) as error:
        failed, trouble = True, f"no room for what was seen ({error}): give the sweep more space in TMPDIR"
    return told.result(summary, failed=failed, stopped=stopped), trouble


def _may_be_swept(tenant: Tenant) -> None:
    if tenant.deleting:
        raise NotNowError(f"{tenant.key} is being deleted")
    if tenant.suspend:
        raise NotNowError(f"{tenant.key}: spec.suspend is true, so it is not swept. Set it to false first")


def _mode(tenant: Tenant, wanted: str | None) -> tuple[str, str | None]:
    """The mode, and why it is Report in place of Delete."""
    mode = wanted or tenant.sweep.mode
    if mode != DELETE:
        return REPORT, None
    if not tenant.trigger.enabled:
        return REPORT, "spec.trigger.enabled is false, the emergency stop: this sweep only reported"
    if tenant.annotations.get(STOP_ANNOTATION):
        return REPORT, f"annotation {STOP_ANNOTATION} is set: this sweep only reported"
    return DELETE, None


def _refused(
    tenant: Tenant,
    cluster: Cluster,
    *,
    allowed: AllowedNames | None,
    namespaces: Sequence[str],
    default_region: str | None,
) -> str | None:
    others = []
    try:
        for other in cluster.others(namespaces):
            with suppress(InvalidSpecError):
                others.append(parse(other, default_region=default_region or tenant.region))
    except client.KubeError as error:
        # A person may be allowed to see one namespace alone. The claim in the bucket stands for all clusters.
        if allowed is not None or error.status != 403:
            raise
    everywhere = AllowedNames(
        {one.namespace: AllowedNames.only(one.namespace).namespaces[one.namespace] for one in others}
    )
    own = AllowedNames.only(tenant.namespace)
    known = allowed or AllowedNames({**everywhere.namespaces, **own.namespaces})
    found = refusal(tenant, allowed=known, others=others)
    return found.message if found else None


class _Switch:
    """Whether the sweep may go on. It is told by the HumanGovState, and by whoever runs it."""

    def __init__(self, cluster: Cluster, asked: Asked, *, uid: str, spec_mode: str) -> None:
        self._cluster, self._asked, self._uid, self._spec_mode = cluster, asked, uid, spec_mode
        self._looked_at = time.monotonic()

    def cached(self) -> str | None:
        """At most a few seconds old: for the reading, where a silent API server is no reason to end."""
        if reason := self._asked.interrupted():
            return reason
        if time.monotonic() - self._looked_at < _LOOKED_AT_EVERY_SECONDS:
            return None
        self._looked_at = time.monotonic()
        try:
            return self._reason(self._cluster.read())
        except NotNowError as error:
            return str(error)
        except client.KubeError:
            return None

    def fresh(self) -> str | None:
        """As it is now: before files go. What can't be read stops it."""
        if reason := self._asked.interrupted():
            return reason
        try:
            return self._reason(self._cluster.read())
        except NotNowError as error:
            return str(error)
        except client.KubeError as error:
            return f"whether it may go on can't be told: {error}"

    def _reason(self, resource: client.Resource) -> str | None:
        try:
            tenant = parse(resource, default_region="us-east-1")
        except InvalidSpecError as error:
            return str(error)
        if tenant.deleting:
            return "the HumanGovState is being deleted"
        if tenant.suspend:
            return "spec.suspend was set to true"
        if not tenant.trigger.enabled:
            return "spec.trigger.enabled was set to false"
        if tenant.annotations.get(STOP_ANNOTATION):
            return f"annotation {STOP_ANNOTATION} was set"
        if self._asked.mode is None and tenant.sweep.mode != self._spec_mode:
            return f"spec.sweep.mode was set to {tenant.sweep.mode}"
        return None
