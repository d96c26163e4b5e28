"""How the API server is reached, with which credentials, and the one way in which every request of it goes."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from kubernetes.aio import client
from kubernetes.aio import config as untyped_config
from kubernetes.aio.client.exceptions import ApiException

from humangov.api.spec import KIND
from humangov.kube.custom_objects import CustomObjectsApi

FIELD_MANAGER = "humangov-operator"
PAGE = 100
"""Objects a page of a list: even HumanGovStates with all the annotations that the API server takes are some 25 MiB."""
CREDENTIALS_LAST_SECONDS = 300  # a mounted token is replaced well before it expires; re-read it this often
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_REQUEST_TIMEOUT_SECONDS = 15
# Permissions of users other than service accounts are not declared here.
_LACKS_PERMISSION = re.compile('User "system:serviceaccount:[^"]+" cannot ')
_REMEDY = "Grant that service account the permissions in deploy/install.yaml"

Resource = Mapping[str, Any]
config: Any = untyped_config  # the library has no types there


class KubeError(Exception):
    """The API server refused, or could not be reached (`status` None); the message says what failed."""

    def __init__(self, what: str, *, status: int | None, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.status = status

    @property
    def is_transient(self) -> bool:
        """Whether it says nothing of the request, so that a retry may succeed; a write may have taken effect."""
        return self.status is None or self.status == 429 or self.status >= 500


class NoConfigurationError(KubeError):
    """Nothing says how to reach the API server. That stays so: no retry finds more."""

    def __init__(self, reason: str) -> None:
        super().__init__("no configuration for a cluster was found", status=None, reason=reason)

    @property
    def is_transient(self) -> bool:
        return False


async def load_configuration() -> client.Configuration:
    """How to reach the API server: KUBECONFIG or ~/.kube/config if there is one, else the pod's service account.

    Raises NoConfigurationError.
    """
    configuration = client.Configuration()
    # The authorities of EKS clusters lack the key identifier that Python's strict rules, default since 3.13, ask for.
    # https://github.com/kubernetes-client/python/issues/2394
    configuration.disable_strict_ssl_verification = True
    try:
        if _has_kubeconfig():
            await config.load_kube_config(config_file=os.environ.get("KUBECONFIG"), client_configuration=configuration)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except Exception as error:  # an empty or invalid file makes the library raise whatever it comes upon
        reason = str(error) if isinstance(error, config.ConfigException) else f"{type(error).__name__}: {error}"
        raise NoConfigurationError(reason) from error
    return configuration


def own_namespace() -> str | None:
    """The namespace of the pod that this is, if it is one."""
    try:
        return (_SERVICE_ACCOUNT / "namespace").read_text().strip() or None
    except OSError:
        return None


def context_namespace() -> str | None:
    """The namespace of KUBECONFIG's present context, as kubectl takes it, else the pod's own."""
    if not _has_kubeconfig():
        return own_namespace()
    try:
        _, present = config.list_kube_config_contexts(os.environ.get("KUBECONFIG"))
        return str(present["context"]["namespace"])
    except Exception:  # load_configuration says what is wrong with it
        return own_namespace()


class Client:
    """One connection to the API server, as one program uses it. Belongs to one event loop."""

    def __init__(self, *, identity: str = "", before_write: Callable[[], None] = lambda: None) -> None:
        """`identity` names this process in events (the pod's name). `before_write` may refuse to return."""
        self._identity = identity
        self._before_write = before_write
        self._api: Any = None
        self._loaded_at = 0.0

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()
            self._api = None

    async def cluster_uid(self, *, needed: bool = True) -> str:
        """UID of the kube-system namespace: what distinguishes one cluster from another. Raises KubeError.

        needed: as the cluster's name, which --cluster-name gives else.
        """
        what = f"reading the UID of namespace kube-system{' (or give --cluster-name)' if needed else ''}"
        found = await self._call(
            what, CustomObjectsApi.get_cluster_custom_object, "", "v1", "namespaces", "kube-system"
        )  # fmt: skip
        return str(found["metadata"]["uid"])

    async def user(self) -> str:
        """Who the API server takes us for. Raises KubeError."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        found = await self._call(
            "asking who we are", CustomObjectsApi.create_cluster_custom_object,
            "authentication.k8s.io", "v1", "selfsubjectreviews", review,
        )  # fmt: skip
        return str(found["status"]["userInfo"]["username"])

    async def _call(
        self,
        what: str,
        method: Callable[..., Awaitable[Any]],
        *arguments: Any,
        writes: bool = False,
        none_if: int | None = None,
        within_seconds: float = _REQUEST_TIMEOUT_SECONDS,
        **named: Any,
    ) -> Any:
        """Every request: `method` of CustomObjectsApi, or what takes such an API as its first.

        what: for people, what is being tried. writes: whether the fence comes before it. none_if: the status that is no
        error here, but None. Raises KubeError, whatever the library raised.
        """
        api = CustomObjectsApi(await self._client())
        if writes:
            self._before_write()
        try:
            return await method(api, *arguments, _request_timeout=within_seconds, **named)
        except Exception as error:
            translated = translate(what, error)
            if translated.status == 401:
                self._loaded_at = -math.inf  # the next call comes with fresh credentials
            if none_if is not None and translated.status == none_if:
                return None
            raise translated from error

    async def _listed(
        self, what: str, method: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any
    ) -> AsyncIterator[Resource]:
        """What `method` of `_call` lists, page by page, all as of one moment. Raises KubeError.

        https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
        """
        following: dict[str, Any] = {}
        while True:
            answer = await self._call(what, method, *arguments, limit=PAGE, **named, **following)
            for item in answer["items"]:
                yield item
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return
            following = {"_continue": token}

    async def _client(self) -> Any:
        if self._api is None:
            self._api = client.ApiClient(await load_configuration())
            self._loaded_at = time.monotonic()
        elif time.monotonic() - self._loaded_at > CREDENTIALS_LAST_SECONDS:
            fresh = await load_configuration()
            self._api.configuration.api_key = fresh.api_key
            self._loaded_at = time.monotonic()
        return self._api


def translate(what: str, error: Exception) -> KubeError:
    """One exception for all of the client library's. Pure."""
    if not isinstance(error, ApiException):
        return KubeError(what, status=None, reason=f"{type(error).__name__}: {error}")
    reason = _message(error) or str(error.reason)
    if error.status == 403 and _LACKS_PERMISSION.search(reason):
        reason += f". {_REMEDY}"
    return KubeError(what, status=error.status, reason=reason)


def described(resource: Resource) -> str:
    """An object for people: kind, namespace and name; a HumanGovState if it does not say its kind."""
    metadata = resource["metadata"]
    return f"{resource.get('kind', KIND)} {metadata.get('namespace', 'default')}/{metadata['name']}"


def _has_kubeconfig() -> bool:
    return bool(os.environ.get("KUBECONFIG")) or Path(os.environ.get("HOME", "/"), ".kube", "config").exists()


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "{}").get("message", ""))
    except (ValueError, AttributeError):
        return ""
