"""Clients and session for a tenant's records, files and receipts: for sweep, redrive and final stream read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from humangov.api.names import Names
from humangov.api.spec import Tenant, parse
from humangov.aws.fast_pages import list_fast, scan_fast
from humangov.aws.identity import names_of
from humangov.aws.sessions import session_for

_OF_READERS = 12
"""Attempts of each call: with the SDK's standard back-off, about three minutes."""


@dataclass(frozen=True, kw_only=True)
class AwsClients:
    """dynamodb, s3, logs: one attempt per call; the caller retries within its time limit. patient_*: several.

    patient_s3: an entry of its listings has only the fields that `fast_pages` names.
    """

    dynamodb: Any
    patient_dynamodb: Any
    streams: Any
    s3: Any
    patient_s3: Any
    logs: Any
    functions: Any


@dataclass(frozen=True, kw_only=True)
class Readers:
    """For what only reads: clients that wait for their quota, and retry for minutes."""

    logs: Any
    s3: Any
    dynamodb: Any


def connect_to_read(*, region: str, session: boto3.Session | None = None) -> Readers:
    client = _clients(region, session or boto3.Session())
    return Readers(
        logs=client("logs", attempts=_OF_READERS),
        s3=client("s3", attempts=_OF_READERS, **_addressing()),
        dynamodb=client("dynamodb", attempts=_OF_READERS),
    )


def connect_to_sign(*, region: str) -> Any:
    """A client of KMS."""
    return _clients(region, boto3.Session())("kms", attempts=_OF_READERS)


def connect(*, region: str, session: boto3.Session | None = None) -> AwsClients:
    client, path = _clients(region, session or boto3.Session()), _addressing()
    return AwsClients(
        dynamodb=client("dynamodb", attempts=1),
        patient_dynamodb=scan_fast(client("dynamodb", attempts=8)),
        streams=client("dynamodbstreams", attempts=4),
        s3=client("s3", attempts=1, **path),
        patient_s3=list_fast(client("s3", attempts=6, **path)),
        logs=client("logs", attempts=1),
        functions=client("lambda", attempts=4),
    )


def _addressing() -> dict[str, Any]:
    """A custom endpoint has no host name per bucket."""
    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return {"s3": {"addressing_style": "path"}} if own else {}


def _clients(region: str, session: boto3.Session) -> Callable[..., Any]:
    """What makes a client of a service; attempts: at each call."""

    def client(service: str, *, attempts: int, **more: Any) -> Any:
        config = Config(
            connect_timeout=2,
            read_timeout=7 if attempts == 1 else 30,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=24,  # a listing's ranges, and the questions where to cut them
            **more,
        )
        return session.client(service, region_name=region, config=config)

    return client


def connect_as_sweep(names: Names) -> AwsClients:
    """Clients in the tenant's account and region, with the sweep's role. Raises what the SDK raises."""
    return connect(region=names.identity.region, session=sweep_session(names.tenant))


def sweep_session(tenant: Tenant) -> boto3.Session:
    """For sweep and final stream read: the session of spec.account.sweepRoleARN, else of the caller."""
    return session_for(
        role_arn=tenant.account.sweep_role_arn,
        external_id=tenant.account.external_id,
        session_name=f"humangov-sweep-{tenant.name}",
        region=tenant.region,
    )


def names_as_swept(
    resource: Mapping[str, Any],
    *,
    default_region: str | None,
    cluster_name: str | None,
    cluster_uid: Callable[[], str],
) -> Names:
    """Every AWS name of the tenant, in the account of its sweeps.

    cluster_name: value of --cluster-name; None: from the status, else what `cluster_uid` returns. Raises
    UnknownTenantError, InvalidSpecError, and what `cluster_uid` raises.
    """
    recorded = (resource.get("status") or {}).get("aws") or {}
    cluster = cluster_name or recorded.get("cluster") or cluster_uid()
    tenant = parse(resource, default_region=recorded.get("region") or default_region or "us-east-1")
    session = sweep_session(tenant)
    return names_of(resource, default_region=default_region, cluster=str(cluster), session=session)
