"""The SDK's clients that runs here use, with their time-outs, and as whom they run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials


@dataclass(frozen=True, kw_only=True)
class AwsClients:
    """dynamodb, s3, logs: one attempt a call; who uses them tries again, and looks at the time. patient_*: several."""

    dynamodb: Any
    patient_dynamodb: Any
    streams: Any
    s3: Any
    patient_s3: Any
    logs: Any


def session_for(*, role_arn: str | None, external_id: str | None, session_name: str) -> boto3.Session:
    """The caller's own credentials, or those of a role that they may take on; renewed before they expire."""
    if role_arn is None:
        return boto3.Session()
    base = botocore.session.get_session()
    more = {"ExternalId": external_id} if external_id else {}
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=base.create_client,
        source_credentials=base.get_credentials(),
        role_arn=role_arn,
        extra_args={"RoleSessionName": session_name, **more},
    )
    taken_on = botocore.session.Session()
    taken_on._credentials = DeferredRefreshableCredentials(  # the SDK's only door for credentials that renew themselves
        refresh_using=fetcher.fetch_credentials, method="assume-role"
    )
    return boto3.Session(botocore_session=taken_on)


def connect(*, region: str, session: boto3.Session | None = None) -> AwsClients:
    session = session or boto3.Session()
    # An endpoint of one's own has no host name a bucket.
    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    path: dict[str, Any] = {"s3": {"addressing_style": "path"}} if own else {}

    def client(service: str, *, attempts: int, **more: Any) -> Any:
        config = Config(
            connect_timeout=2,
            read_timeout=7 if attempts == 1 else 30,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=16,
            **more,
        )
        return session.client(service, region_name=region, config=config)

    return AwsClients(
        dynamodb=client("dynamodb", attempts=1),
        patient_dynamodb=client("dynamodb", attempts=8),
        streams=client("dynamodbstreams", attempts=4),
        s3=client("s3", attempts=1, **path),
        patient_s3=client("s3", attempts=6, **path),
        logs=client("logs", attempts=1),
    )
