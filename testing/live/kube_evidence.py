"""What the operator may do by deploy/install.yaml, and what it asked for by the API server's audit log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.local_operator import SERVICE_ACCOUNT
from sandbox.paths import REPOSITORY, Layout
from testing.documents import load_all

# Namespaces in which tests take permissions away, or ask for what the operator may not do.
LACKING_PREFIX = "lacking"

Document = Mapping[str, Any]


class LogError(Exception):
    """The audit log does not tell what it was asked for; the message says why, and what to do."""


@dataclass(frozen=True, order=True)
class Permission:
    """One verb on one resource, as one rule of a role grants it."""

    verb: str
    resource: str
    """With its subresource: `humangovstates/status`."""
    group: str
    name: str
    """Of the one object that it is about; empty: of any."""
    role: str
    """`Role` (in the operator's own namespace) or `ClusterRole`."""
    rule: int
    """Which of the role's rules."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"


def permissions(documents: Iterable[Document]) -> list[Permission]:
    """Every permission that a role bound to the operator's service account grants."""
    documents = list(documents)
    bound = {
        (document["roleRef"]["kind"], document["roleRef"]["name"])
        for document in documents
        if document["kind"] in ("RoleBinding", "ClusterRoleBinding")
        and SERVICE_ACCOUNT in [subject["name"] for subject in document["subjects"]]
    }
    return [
        Permission(verb=verb, resource=resource, group=group, name=name, role=document["kind"], rule=number)
        for document in documents
        if (document["kind"], document["metadata"]["name"]) in bound
        for number, rule in enumerate(document["rules"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or [""]
        for verb in rule["verbs"]
    ]


def rendered() -> list[Permission]:
    """Those of deploy/install.yaml, which is what local operators are given, too."""
    return permissions(load_all((REPOSITORY / "deploy" / "install.yaml").read_text()))


@dataclass(frozen=True)
class KubeRequest:
    """What a service account of the operator asked of the API server."""

    verb: str
    resource: str
    """With its subresource; empty for what is no resource, such as the list of the API's groups."""
    group: str
    name: str
    namespace: str
    own_namespace: str
    """The service account's."""
    url: str
    code: int
    refused: bool
    """By RBAC; what a namespace that is going refuses is another matter."""
    message: str
    """Why it failed; empty if it did not."""
    of_kubectl: bool
    """A test's, and not the operator's."""

    def __str__(self) -> str:
        return f"{self.verb} {self.url} by the operator of {self.own_namespace} (answer {self.code})"


def fits(permission: Permission, request: KubeRequest) -> bool:
    """Whether this permission is what the request was let through by.

    A server-side apply of what is not there yet needs both `patch` and `create`.
    """
    verbs = {request.verb, *(("create",) if (request.verb, request.code) == ("patch", 201) else ())}
    return (
        permission.verb in verbs
        and (permission.resource, permission.group) == (request.resource, request.group)
        and permission.name in ("", request.name)
        and (permission.role == "ClusterRole" or request.namespace == request.own_namespace)
    )


def requests(lines: Iterable[str]) -> Iterator[KubeRequest]:
    """Those of every operator's service account, whose name is the same in every namespace. Raises LogError."""
    suffix = f":{SERVICE_ACCOUNT}"
    for line in lines:
        if suffix not in line:
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise LogError(f"a line of the audit log can't be read ({error}): {line[:200]}") from error
        user = entry["user"]["username"]
        if not user.startswith("system:serviceaccount:") or not user.endswith(suffix):
            continue
        about, answer = entry.get("objectRef") or {}, entry.get("responseStatus") or {}
        yield KubeRequest(
            verb=entry["verb"],
            resource="/".join(filter(None, (about.get("resource"), about.get("subresource")))),
            group=about.get("apiGroup", ""),
            name=about.get("name", ""),
            namespace=about.get("namespace", ""),
            own_namespace=user.split(":")[2],
            url=entry["requestURI"],
            code=int(answer.get("code", 0)),
            refused=(entry.get("annotations") or {}).get("authorization.k8s.io/decision") == "forbid",
            message=answer.get("message", ""),
            of_kubectl=entry.get("userAgent", "").startswith("kubectl"),
        )


# Where a run of the tests began in the log, so that what came before it proves nothing.


def bookmark(layout: Layout) -> None:
    """Note that a run begins now."""
    log = layout.audit_log
    where = {"inode": log.stat().st_ino, "offset": log.stat().st_size} if log.exists() else {"inode": None, "offset": 0}
    path = _bookmark_file(layout)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(where))


def lines_of_the_run(layout: Layout) -> Sequence[str]:
    """What the API server logged since the last `bookmark`. Raises LogError."""
    log, again = layout.audit_log, "run `make test` on a sandbox that stays up"
    if not _bookmark_file(layout).exists():
        raise LogError(f"{_bookmark_file(layout)} is missing, so no run of the tests has begun: {again}")
    if not log.exists():
        raise LogError(f"{log} is missing: {again}, or on the sandbox's own API server")
    began, status = json.loads(_bookmark_file(layout).read_text()), log.stat()
    moved_aside = began["inode"] is None and any(log.parent.glob(f"{log.stem}-*{log.suffix}"))
    if began["inode"] not in (None, status.st_ino) or status.st_size < began["offset"] or moved_aside:
        raise LogError(
            f"{log} is another file than when the run began: the API server rotates it at 100 MiB. Make room with "
            f"`python -m sandbox down --purge`; then {again}"
        )
    with log.open("rb") as file:
        file.seek(began["offset"])
        found = file.read().decode().splitlines()
    if not found:
        raise LogError(f"{log} holds nothing since the run began: {again}")
    return found


def _bookmark_file(layout: Layout) -> Path:
    return layout.root.parent / "tests" / f"{layout.root.name}.audit-bookmark.json"
