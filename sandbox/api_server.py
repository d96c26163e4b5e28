"""The sandbox's own API server, asked as its administrator.

For what each test and each operator needs: kubectl takes a tenth of a second of processor time only to start. On a
user's own cluster, whose credentials may be of any kind, kubectl asks.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import yaml

from sandbox.errors import SandboxError
from sandbox.handle import Sandbox

_PATIENCE_SECONDS = 30.0
_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
}
"""Kind → where its objects are."""


def is_own(sandbox: Sandbox) -> bool:
    """Whether the API server is the sandbox's, and not a user's."""
    return sandbox.kubernetes == "sandbox"


def minified(sandbox: Sandbox) -> dict[str, Any]:
    """The kubeconfig of the sandbox's own API server, with its authority in it, as kubectl flattens it."""
    known = _kubeconfig(sandbox)
    [cluster] = known["clusters"]
    authority = Path(cluster["cluster"].pop("certificate-authority")).read_bytes()
    cluster["cluster"]["certificate-authority-data"] = base64.b64encode(authority).decode()
    return known


def apply(sandbox: Sandbox, documents: Sequence[Mapping[str, Any]], *, manager: str = "sandbox") -> None:
    """Server-side apply of objects of the kinds above, in this order; conflicts are forced. Raises SandboxError."""
    how = urlencode({"fieldManager": manager, "force": "true"})
    with _connected(sandbox) as connection:
        for one in documents:
            where = f"{_path(one['kind'], one['metadata'])}?{how}"
            _asked(connection, "PATCH", where, body=one, content_type="application/apply-patch+yaml")


def delete(sandbox: Sandbox, objects: Sequence[tuple[str, str]]) -> None:
    """Ask for the deletion of cluster-wide objects (kind, name); nothing is waited for. Raises SandboxError."""
    with _connected(sandbox) as connection:
        for kind, name in objects:
            _asked(connection, "DELETE", _path(kind, {"name": name}), missing_is_fine=True)


def create_token(sandbox: Sandbox, *, namespace: str, service_account: str, expiration_seconds: int) -> str:
    """A token of a service account (TokenRequest). Raises SandboxError."""
    account = _path("ServiceAccount", {"namespace": namespace, "name": service_account})
    wanted = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": expiration_seconds},
    }
    with _connected(sandbox) as connection:
        return str(_asked(connection, "POST", f"{account}/token", body=wanted)["status"]["token"])


def _path(kind: str, metadata: Mapping[str, str]) -> str:
    return f"{_PATHS[kind].format(namespace=metadata.get('namespace'))}/{quote(metadata['name'])}"


def _kubeconfig(sandbox: Sandbox) -> dict[str, Any]:
    if sandbox.kubeconfig is None:
        raise SandboxError("This sandbox was started without Kubernetes: it has no API server.")
    return dict(yaml.safe_load(sandbox.kubeconfig.read_text()))


@contextlib.contextmanager
def _connected(sandbox: Sandbox) -> Iterator[http.client.HTTPSConnection]:
    known = _kubeconfig(sandbox)
    [cluster], [user] = known["clusters"], known["users"]
    context = ssl.create_default_context(cafile=cluster["cluster"]["certificate-authority"])
    context.load_cert_chain(user["user"]["client-certificate"], user["user"]["client-key"])
    where = urlsplit(cluster["cluster"]["server"])
    connection = http.client.HTTPSConnection(
        where.hostname or "", where.port, timeout=_PATIENCE_SECONDS, context=context
    )
    try:
        yield connection
    finally:
        connection.close()


def _asked(
    connection: http.client.HTTPSConnection,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    content_type: str = "application/json",
    missing_is_fine: bool = False,
) -> Any:
    what = f"{method} {Path(path.partition('?')[0]).name}"
    try:
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise SandboxError(f"{what}: the sandbox's API server does not respond ({error}).") from error
    if answer.status >= 400 and not (missing_is_fine and answer.status == 404):
        raise SandboxError(f"{what}: the sandbox's API server refuses it ({answer.status}): {text[:500]}")
    return json.loads(text)
