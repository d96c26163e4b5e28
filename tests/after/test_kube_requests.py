"""What all operators of the run before asked of the API server, by its audit log: all was granted, and all is needed.

`make test` runs it when the other tests have ended. tests/cluster/test_permissions.py shows that each permission is
needed, and how its absence shows; the namespaces of those tests, where refusals are meant, do not count here.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

import sandbox as sandboxes
from sandbox.paths import Layout
from testing.live.kube_evidence import LACKING_PREFIX, KubeRequest, LogError, fits, lines_of_the_run, rendered, requests

# What every authenticated user may (ClusterRole system:discovery): ask what kinds there are.
DISCOVERY = ("/api", "/apis", "/version")


@pytest.fixture(scope="module")
def asked() -> list[KubeRequest]:
    running = sandboxes.current()
    if running is not None and running.audit_log is None:
        pytest.skip("only the sandbox's own API server keeps an audit log that can be read")
    try:
        found = [request for request in requests(lines_of_the_run(Layout.of())) if not request.of_kubectl]
    except LogError as error:
        pytest.fail(str(error), pytrace=False)
    counted = [request for request in found if not request.own_namespace.startswith(LACKING_PREFIX)]
    if not counted:
        pytest.fail("the audit log of the run tells of no operator: run all tests, with `make test`", pytrace=False)
    return counted


def test_no_kubernetes_request_is_denied(asked: list[KubeRequest]) -> None:
    assert [str(request) for request in asked if request.refused] == []
    # A namespace that is going takes no new event, whatever the permissions.
    others = [request for request in asked if request.code == 403 and not request.refused]
    assert [str(request) for request in others if "being terminated" not in request.message] == []


def test_every_kubernetes_request_is_granted_by_a_rule_of_the_installation(asked: list[KubeRequest]) -> None:
    granted = rendered()
    strays = [
        str(request) for request in asked
        if not any(fits(permission, request) for permission in granted)
        and not (request.verb == "get" and urlsplit(request.url).path.startswith(DISCOVERY) and not request.resource)
    ]  # fmt: skip
    assert strays == []


def test_every_rbac_rule_is_used_in_each_of_its_verbs(asked: list[KubeRequest]) -> None:
    answered = {request for request in asked if request.code < 400}
    unused = [
        str(permission) for permission in rendered() if not any(fits(permission, request) for request in answered)
    ]
    assert unused == [], "to be taken out of the chart, unless only a part of the tests was run"
