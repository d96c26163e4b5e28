"""All that is read from and written to Kubernetes: the resources, their finalizer and status, events, and the lease."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubernetes.aio import client
from kubernetes.aio import config as untyped_config
from kubernetes.aio.client.exceptions import ApiException

from humangov.api.conditions import Event
from humangov.api.spec import FINALIZER, GROUP, KIND, PLURAL, VERSION

FIELD_MANAGER = "humangov-operator"
CREDENTIALS_LAST_SECONDS = 300  # a mounted token is replaced well before it expires; re-read it this often
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_REQUEST_TIMEOUT_SECONDS = 15
_EVENT_MESSAGE_LIMIT = 1024  # the API's
_LEASES = ("coordination.k8s.io", "v1")
_BATCH = ("batch", "v1")
_LACKS_A_RIGHT = re.compile('User "system:serviceaccount:[^"]+" cannot ')  # of others, the rights are no affair of ours
_REMEDY = "Give that service account the rights of deploy/install.yaml"

Resource = Mapping[str, Any]
config: Any = untyped_config  # the library has no types there


class KubeError(Exception):
    """The API server refused or could not be reached; the message says what was tried."""

    def __init__(self, what: str, *, status: int | None, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.status = status


async def load_configuration() -> client.Configuration:
    """How to reach the API server: KUBECONFIG or ~/.kube/config if there is one, else the pod's service account.

    Raises KubeError.
    """
    configuration = client.Configuration()
    # The authorities of EKS clusters lack the key identifier that Python's strict rules, default since 3.13, ask for.
    # https://github.com/kubernetes-client/python/issues/2394
    configuration.disable_strict_ssl_verification = True
    explicit = os.environ.get("KUBECONFIG")
    try:
        if explicit or Path(os.environ.get("HOME", "/"), ".kube", "config").exists():
            await config.load_kube_config(config_file=explicit, client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise KubeError("no way to reach a cluster was found", status=None, reason=str(error)) from error
    return configuration


def own_namespace() -> str | None:
    """The namespace of the pod that this is, if it is one."""
    try:
        return (_SERVICE_ACCOUNT / "namespace").read_text().strip() or None
    except OSError:
        return None


def context_namespace() -> str | None:
    """The namespace of KUBECONFIG's present context, as kubectl takes it, else the pod's own."""
    if not (os.environ.get("KUBECONFIG") or Path(os.environ.get("HOME", "/"), ".kube", "config").exists()):
        return own_namespace()
    try:
        _, present = config.list_kube_config_contexts(os.environ.get("KUBECONFIG"))
        return str(present["context"]["namespace"])
    except (config.ConfigException, KeyError, TypeError, OSError):
        return own_namespace()


class Kube:
    """The API server as this operator uses it. Belongs to one event loop."""

    def __init__(self, *, identity: str, before_write: Callable[[], None] = lambda: None) -> None:
        """`identity` names this process in events (the pod's name). `before_write` may refuse to return."""
        self._identity = identity
        self._before_write = before_write
        self._api: Any = None
        self._loaded_at = 0.0

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()
            self._api = None

    async def cluster_uid(self) -> str:
        """UID of the kube-system namespace: what tells one cluster from another. Raises KubeError."""
        api: Any = client.CoreV1Api(await self._client())
        try:
            found = await api.read_namespace("kube-system", _request_timeout=_REQUEST_TIMEOUT_SECONDS)
        except Exception as error:
            raise self._translated(
                "reading the UID of namespace kube-system (or give --cluster-name)", error
            ) from error
        return str(found.metadata.uid)

    async def list_resources(self, namespaces: Sequence[str]) -> list[Resource]:
        """Every HumanGovState of these namespaces, or of all if none are named. Raises KubeError."""
        api: Any = client.CustomObjectsApi(await self._client())
        found: list[Resource] = []
        for namespace in namespaces or (None,):
            what = f"listing {PLURAL} in {namespace or 'all namespaces'}"
            try:
                if namespace is None:
                    answer = await api.list_cluster_custom_object(
                        GROUP, VERSION, PLURAL, _request_timeout=_REQUEST_TIMEOUT_SECONDS
                    )
                else:
                    answer = await api.list_namespaced_custom_object(
                        GROUP, VERSION, namespace, PLURAL, _request_timeout=_REQUEST_TIMEOUT_SECONDS
                    )
            except Exception as error:
                raise self._translated(what, error) from error
            found += [{"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, **item} for item in answer["items"]]
        return found

    async def require_watch(self, namespaces: Sequence[str]) -> None:
        """Open a watch of these namespaces, or of all if none are named, and close it: may it be? Raises KubeError."""
        api: Any = client.CustomObjectsApi(await self._client())
        more = {"watch": True, "timeout_seconds": 1, "_request_timeout": _REQUEST_TIMEOUT_SECONDS}
        for namespace in namespaces or (None,):
            what = f"opening a watch of {PLURAL} in {namespace or 'all namespaces'}"
            try:
                if namespace is None:
                    answer = await api.list_cluster_custom_object_without_preload_content(
                        GROUP, VERSION, PLURAL, **more
                    )
                else:
                    answer = await api.list_namespaced_custom_object_without_preload_content(
                        GROUP, VERSION, namespace, PLURAL, **more
                    )
                if answer.status >= 400:
                    raise ApiException(status=answer.status, reason=answer.reason, body=await answer.text())
                answer.close()
            except Exception as error:
                raise self._translated(what, error) from error

    async def read(self, resource: Resource) -> Resource | None:
        """The resource as the API server has it now; None if it is gone. Raises KubeError."""
        api: Any = client.CustomObjectsApi(await self._client())
        try:
            found = await api.get_namespaced_custom_object(*_path(resource), _request_timeout=_REQUEST_TIMEOUT_SECONDS)
        except Exception as error:
            translated = self._translated(f"reading {_name(resource)}", error)
            if translated.status == 404:
                return None
            raise translated from error
        return dict(found) if found["metadata"]["uid"] == resource["metadata"]["uid"] else None

    async def get(self, namespace: str, name: str) -> Resource | None:
        """The resource of this name; None if there is none, or no definition of its kind. Raises KubeError."""
        resource = {"metadata": {"namespace": namespace, "name": name}}
        api: Any = client.CustomObjectsApi(await self._client())
        try:
            return dict(
                await api.get_namespaced_custom_object(*_path(resource), _request_timeout=_REQUEST_TIMEOUT_SECONDS)
            )
        except Exception as error:
            translated = self._translated(f"reading {_name(resource)}", error)
            if translated.status == 404:
                return None
            raise translated from error

    async def dry_run(self, manifest: Resource) -> Resource:
        """The manifest as the API server would store it: checked, and with defaults. Raises KubeError."""
        api: Any = client.CustomObjectsApi(await self._client())
        metadata = manifest["metadata"]
        try:
            # Read as it is: for 201, an object that is not there yet, the library returns no body.
            answer = await api.patch_namespaced_custom_object_without_preload_content(
                GROUP,
                VERSION,
                metadata["namespace"],
                PLURAL,
                metadata["name"],
                dict(manifest),
                dry_run="All",
                field_manager=f"{FIELD_MANAGER}-plan",
                field_validation="Strict",
                force=True,
                _content_type="application/apply-patch+yaml",
                _request_timeout=_REQUEST_TIMEOUT_SECONDS,
            )
            body = await answer.text()
            if answer.status >= 400:
                raise ApiException(status=answer.status, reason=answer.reason, body=body)
            return dict(json.loads(body))
        except Exception as error:
            raise self._translated(f"checking {_name(manifest)}", error) from error

    async def set_finalizer(self, resource: Resource, *, present: bool) -> Resource | None:
        """Put our finalizer on, or take it off; the resource as it is then, None if that was its end.

        Raises KubeError (409: somebody changed the resource meanwhile).
        """
        others = [name for name in resource["metadata"].get("finalizers") or () if name != FINALIZER]
        metadata = {
            "finalizers": [*others, FINALIZER] if present else others,
            # Without it a finalizer that somebody added meanwhile would be lost.
            "resourceVersion": resource["metadata"]["resourceVersion"],
            "uid": resource["metadata"]["uid"],
        }
        what = f"{'adding the finalizer to' if present else 'removing the finalizer from'} {_name(resource)}"
        api: Any = client.CustomObjectsApi(await self._client())
        self._before_write()
        try:
            answer = await api.patch_namespaced_custom_object(
                *_path(resource),
                {"metadata": metadata},
                field_manager=FIELD_MANAGER,
                _content_type="application/merge-patch+json",
                _request_timeout=_REQUEST_TIMEOUT_SECONDS,
            )
        except Exception as error:
            translated = self._translated(what, error)
            if translated.status == 404 and not present:
                return None
            raise translated from error
        return dict(answer)

    async def apply_status(
        self, resource: Resource, status: Mapping[str, Any], *, field_manager: str = FIELD_MANAGER
    ) -> Resource:
        """Write the whole of the status that is the field manager's, by server-side apply. Raises KubeError."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": resource["metadata"]["name"], "uid": resource["metadata"]["uid"]},
            "status": status,
        }
        api: Any = client.CustomObjectsApi(await self._client())
        self._before_write()
        try:
            return dict(
                await api.patch_namespaced_custom_object_status(
                    *_path(resource),
                    body,
                    field_manager=field_manager,
                    force=True,
                    _content_type="application/apply-patch+yaml",
                    _request_timeout=_REQUEST_TIMEOUT_SECONDS,
                )
            )
        except Exception as error:
            raise self._translated(f"writing the status of {_name(resource)}", error) from error

    async def post_event(self, resource: Resource, event: Event) -> None:
        """Tell people of a transition. Raises KubeError."""
        metadata = resource["metadata"]
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{time.time_ns():x}{secrets.token_hex(2)}",
                "namespace": metadata["namespace"],
            },
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": event.kind,
            "reason": event.reason,
            "action": "Reconcile",
            "note": event.message[:_EVENT_MESSAGE_LIMIT],
            "regarding": {
                "apiVersion": resource.get("apiVersion", f"{GROUP}/{VERSION}"),
                "kind": resource.get("kind", KIND),
                **{name: metadata[name] for name in ("namespace", "name", "uid") if name in metadata},
            },
            "reportingController": f"{GROUP}/operator",
            "reportingInstance": self._identity[:128],
        }
        api: Any = client.CustomObjectsApi(await self._client())
        self._before_write()
        try:
            await api.create_namespaced_custom_object(
                "events.k8s.io",
                "v1",
                metadata["namespace"],
                "events",
                body,
                _request_timeout=_REQUEST_TIMEOUT_SECONDS,
            )
        except Exception as error:
            raise self._translated(f"posting an event for {_name(resource)}", error) from error

    async def get_object(self, plural: str, namespace: str, name: str) -> Resource | None:
        """A CronJob or Job; None if there is none. Raises KubeError."""
        api: Any = client.CustomObjectsApi(await self._client())
        try:
            return dict(
                await api.get_namespaced_custom_object(
                    *_BATCH, namespace, plural, name, _request_timeout=_REQUEST_TIMEOUT_SECONDS
                )
            )
        except Exception as error:
            translated = self._translated(f"reading {plural} {namespace}/{name}", error)
            if translated.status == 404:
                return None
            raise translated from error

    async def list_jobs(self, namespace: str, label_selector: str) -> list[Resource]:
        """Raises KubeError."""
        api: Any = client.CustomObjectsApi(await self._client())
        try:
            answer = await api.list_namespaced_custom_object(
                *_BATCH, namespace, "jobs", label_selector=label_selector, _request_timeout=_REQUEST_TIMEOUT_SECONDS
            )
        except Exception as error:
            raise self._translated(f"listing jobs in {namespace}", error) from error
        return list(answer["items"])

    async def replace_object(self, plural: str, found: Resource, desired: Resource) -> None:
        """Bring a CronJob in step: its spec as a whole, of labels and annotations ours. Raises KubeError.

        An apply would leave in the spec's lists what others have put there, and what we ourselves made it with.
        """
        namespace, name = desired["metadata"]["namespace"], desired["metadata"]["name"]
        changes = [{"op": "test", "path": "/metadata/uid", "value": found["metadata"]["uid"]}]
        for field in ("labels", "annotations"):
            merged = {**(found["metadata"].get(field) or {}), **desired["metadata"][field]}
            changes.append({"op": "add", "path": f"/metadata/{field}", "value": merged})
        changes.append({"op": "replace", "path": "/spec", "value": desired["spec"]})
        api: Any = client.CustomObjectsApi(await self._client())
        self._before_write()
        try:
            await api.patch_namespaced_custom_object(
                *_BATCH, namespace, plural, name, changes, field_manager=FIELD_MANAGER,
                _content_type="application/json-patch+json", _request_timeout=_REQUEST_TIMEOUT_SECONDS,
            )  # fmt: skip
        except Exception as error:
            raise self._translated(f"writing {plural} {namespace}/{name}", error) from error

    async def create_object(self, plural: str, document: Resource) -> None:
        """Make a CronJob or Job; it is all right if it is there. Raises KubeError."""
        namespace, name = document["metadata"]["namespace"], document["metadata"]["name"]
        api: Any = client.CustomObjectsApi(await self._client())
        self._before_write()
        try:
            await api.create_namespaced_custom_object(
                *_BATCH, namespace, plural, dict(document), field_manager=FIELD_MANAGER,
                _request_timeout=_REQUEST_TIMEOUT_SECONDS,
            )  # fmt: skip
        except Exception as error:
            translated = self._translated(f"making {plural} {namespace}/{name}", error)
            if translated.status != 409:
                raise translated from error

    async def delete_object(self, plural: str, namespace: str, name: str) -> None:
        """Remove a CronJob or Job, and then its pods; it is all right if it is gone. Raises KubeError."""
        api: Any = client.CustomObjectsApi(await self._client())
        self._before_write()
        try:
            await api.delete_namespaced_custom_object(
                *_BATCH, namespace, plural, name, propagation_policy="Background",
                _request_timeout=_REQUEST_TIMEOUT_SECONDS,
            )  # fmt: skip
        except Exception as error:
            translated = self._translated(f"removing {plural} {namespace}/{name}", error)
            if translated.status != 404:
                raise translated from error

    async def read_lease(self, *, namespace: str, name: str, timeout_seconds: float) -> Resource | None:
        """A Lease; None if there is none. Raises KubeError."""
        api: Any = client.CustomObjectsApi(await self._client())
        try:
            found = await api.get_namespaced_custom_object(
                *_LEASES, namespace, "leases", name, _request_timeout=timeout_seconds
            )
        except Exception as error:
            translated = self._translated(f"reading the lease {namespace}/{name}", error)
            if translated.status == 404:
                return None
            raise translated from error
        return dict(found)

    async def write_lease(self, lease: Resource, *, timeout_seconds: float) -> Resource:
        """Replace the Lease if it is still as it was read, or make it if it never was; the lease as it is then.

        Raises KubeError (409: somebody was faster).
        """
        metadata = lease["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        api: Any = client.CustomObjectsApi(await self._client())
        try:
            if "resourceVersion" in metadata:
                answer = await api.replace_namespaced_custom_object(
                    *_LEASES, namespace, "leases", name, dict(lease), _request_timeout=timeout_seconds
                )
            else:
                answer = await api.create_namespaced_custom_object(
                    *_LEASES, namespace, "leases", dict(lease), _request_timeout=timeout_seconds
                )
        except Exception as error:
            raise self._translated(f"writing the lease {namespace}/{name}", error) from error
        return dict(answer)

    async def _client(self) -> Any:
        if self._api is None:
            self._api = client.ApiClient(await load_configuration())
            self._loaded_at = time.monotonic()
        elif time.monotonic() - self._loaded_at > CREDENTIALS_LAST_SECONDS:
            fresh = await load_configuration()
            self._api.configuration.api_key = fresh.api_key
            self._loaded_at = time.monotonic()
        return self._api

    def _translated(self, what: str, error: Exception) -> KubeError:
        """One exception for all of the client library's."""
        if not isinstance(error, ApiException):
            return KubeError(what, status=None, reason=f"{type(error).__name__}: {error}")
        if error.status == 401:
            self._loaded_at = -math.inf  # the next call comes with fresh credentials
        reason = _message(error) or str(error.reason)
        if error.status == 403 and _LACKS_A_RIGHT.search(reason):
            reason += f". {_REMEDY}"
        return KubeError(what, status=error.status, reason=reason)


def _path(resource: Resource) -> tuple[str, str, str, str, str]:
    return GROUP, VERSION, resource["metadata"]["namespace"], PLURAL, resource["metadata"]["name"]


def _name(resource: Resource) -> str:
    metadata = resource["metadata"]
    return f"{resource.get('kind', KIND)} {metadata.get('namespace', 'default')}/{metadata['name']}"


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "{}").get("message", ""))
    except (ValueError, AttributeError):
        return ""
