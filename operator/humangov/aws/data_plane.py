"""The SDK's clients that runs here use, with their time-outs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config


@dataclass(frozen=True, kw_only=True)
class AwsClients:
    """dynamodb, s3, logs: one attempt a call; who uses them tries again, and looks at the time. patient_*: several."""

    dynamodb: Any
    patient_dynamodb: Any
    streams: Any
    s3: Any
    patient_s3: Any
    logs: Any


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
