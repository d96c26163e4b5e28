"""The reader of the API server's audit log: what it takes for granted, and when it refuses to tell. Runs on nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox.paths import Layout
from testing.live.kube_evidence import LogError, Permission, bookmark, fits, lines_of_the_run, permissions, requests

OPERATOR = "system:serviceaccount:humangov:humangov-operator"
GET_LEASE = Permission(
    verb="get", resource="leases", group="coordination.k8s.io", name="humangov-operator", role="Role", rule=0
)


def entry(*, user: str = OPERATOR, **more: Any) -> str:
    about = {
        "apiGroup": "coordination.k8s.io", "resource": "leases", "namespace": "humangov", "name": "humangov-operator",
    }  # fmt: skip
    return json.dumps(
        {"user": {"username": user}, "verb": "get", "requestURI": "/x", "objectRef": about, "userAgent": "kopf", **more}
    )


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(root=tmp_path / "sandbox")
    found.logs.mkdir(parents=True)
    return found


def test_audit_log_is_read_only_from_the_start_of_the_run(layout: Layout) -> None:
    layout.audit_log.write_text("before\n")
    bookmark(layout)
    with layout.audit_log.open("a") as log:
        log.write("one\ntwo\n")
    assert lines_of_the_run(layout) == ["one", "two"]


def test_audit_log_created_during_the_run_is_read_whole(layout: Layout) -> None:
    bookmark(layout)
    layout.audit_log.write_text("one\n")
    assert lines_of_the_run(layout) == ["one"]


def _rotate(layout: Layout) -> None:
    layout.audit_log.rename(layout.logs / "audit-2026-11-23T01-42-14.000.log")
    layout.audit_log.write_text("line\n" * 100)


def _truncate(layout: Layout) -> None:
    layout.audit_log.write_text("")


@pytest.mark.parametrize(
    ("happens", "reported"),
    [
        (lambda layout: layout.audit_log.unlink(), "is missing"),
        (lambda layout: layout, "holds nothing since the run began"),
        (_rotate, "is another file than when the run began"),
        (_truncate, "is another file than when the run began"),
    ],
)
def test_missing_unchanged_or_rotated_audit_log_is_an_error(happens: Any, reported: str, layout: Layout) -> None:
    layout.audit_log.write_text("before\n")
    bookmark(layout)
    happens(layout)
    with pytest.raises(LogError, match=reported):
        lines_of_the_run(layout)


def test_audit_log_rotated_during_the_run_is_an_error(layout: Layout) -> None:
    bookmark(layout)
    layout.audit_log.write_text("first\n")
    _rotate(layout)
    with pytest.raises(LogError, match="another file"):
        lines_of_the_run(layout)


def test_audit_log_without_a_test_run_is_an_error(layout: Layout) -> None:
    layout.audit_log.write_text("before\n")
    with pytest.raises(LogError, match="no run of the tests has begun"):
        lines_of_the_run(layout)


def test_unreadable_audit_log_line_is_an_error() -> None:
    with pytest.raises(LogError, match="can't be read"):
        list(requests([entry()[:-20] + f" :{OPERATOR}"]))


@pytest.mark.parametrize(
    ("user", "counts"),
    [
        (OPERATOR, True),
        ("system:serviceaccount:elsewhere:humangov-operator", True),
        ("system:serviceaccount:humangov:default", False),
        ("sandbox-admin", False),
    ],
)
def test_only_requests_of_operators_count(user: str, counts: bool) -> None:
    line = entry(user=user, impersonatedUser={"username": OPERATOR})
    assert bool(list(requests([line]))) == counts


@pytest.mark.parametrize(
    ("about", "fit"),
    [
        ({}, True),
        ({"name": "another"}, False),
        ({"namespace": "elsewhere"}, False),
        ({"resource": "events"}, False),
        ({"apiGroup": ""}, False),
        ({"subresource": "status"}, False),
    ],
)
def test_request_matches_a_permission_by_group_resource_name_and_namespace(about: Mapping[str, str], fit: bool) -> None:
    reference = {**json.loads(entry())["objectRef"], **about}
    [request] = requests([entry(objectRef=reference)])
    assert fits(GET_LEASE, request) == fit


def test_denial_by_rbac_differs_from_one_by_a_terminating_namespace() -> None:
    answer = {"code": 403, "message": "because"}
    [by_rbac] = requests([entry(responseStatus=answer, annotations={"authorization.k8s.io/decision": "forbid"})])
    [other] = requests([entry(responseStatus=answer, annotations={"authorization.k8s.io/decision": "allow"})])
    assert (by_rbac.refused, by_rbac.code, by_rbac.message) == (True, 403, "because")
    assert (other.refused, other.code) == (False, 403)


def test_only_roles_bound_to_the_operator_count() -> None:
    def role(kind: str, name: str) -> dict[str, Any]:
        rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]
        return {"kind": kind, "metadata": {"name": name}, "rules": rules}

    def binding(kind: str, name: str, account: str) -> dict[str, Any]:
        subjects = [{"kind": "ServiceAccount", "name": account}]
        metadata, reference = {"name": name}, {"kind": kind, "name": name}
        return {"kind": f"{kind}Binding", "metadata": metadata, "roleRef": reference, "subjects": subjects}

    found = permissions(
        [
            role("ClusterRole", "view"), role("Role", "own"), role("ClusterRole", "foreign"),
            binding("Role", "own", "humangov-operator"), binding("ClusterRole", "foreign", "other"),
        ]
    )  # fmt: skip
    assert [(str(permission), permission.role) for permission in found] == [
        ("get secrets", "Role"),
        ("list secrets", "Role"),
    ]
