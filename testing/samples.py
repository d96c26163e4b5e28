"""A sample tenant as each layer sees it: its manifest, its spec, its names, the context in which it is planned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from humangov.api.names import Identity, Names
from humangov.api.spec import Tenant, parse
from humangov.aws.change import Context
from humangov.kube.client import Resource

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LABEL = "2026-03-01T11:00:00.000"
OWNER = "cluster/humangov/california"
MINE = {"humangov.io/tenant": OWNER, "humangov.io/origin": OWNER}
NOT_OWNED = [
    {},
    {"team": "x"},
    {"humangov.io/tenant": "other/humangov/california"},
    {"humangov.io/tenant": f"{OWNER}-2"},
]


def resource(
    name: str = "california", *, namespace: str = "humangov", metadata: Mapping[str, Any] | None = None, **spec: Any
) -> Resource:
    """A HumanGovState as the API server gives it."""
    return {
        "apiVersion": "humangov.io/v1",
        "kind": "HumanGovState",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"uid-{namespace}-{name}",
            "generation": 1,
            "resourceVersion": "10",
            "creationTimestamp": "2026-03-01T10:00:00Z",
            **(metadata or {}),
        },
        "spec": {"table": {"name": f"humangov-{name}-dynamodb"}, "bucket": {"name": f"humangov-{name}-s3"}, **spec},
    }


def tenant(name: str = "california", *, region: str = "us-east-1", **more: Any) -> Tenant:
    return parse(resource(name, **more), default_region=region)


def names(*, partition: str = "aws", region: str = "us-east-1", of: Tenant | None = None, **spec: Any) -> Names:
    identity = Identity(account_id="123456789012", region=region, cluster="cluster", partition=partition)
    return Names(tenant=of or tenant(region=region, **spec), identity=identity)


def context(of: Names | None = None, *, boundary: str | None = None, now: datetime = NOW) -> Context:
    return Context(names=of or names(), default_tags={}, permissions_boundary_arn=boundary, now=now)
