"""HumanGov's own `HumanGovDeleteFile`, as its walkthrough has people type it into the console: one call a record."""

from __future__ import annotations

import os
from typing import Any

import boto3

BUCKET = os.environ["BUCKET"]
S3 = boto3.client("s3")


def lambda_handler(event: Any, _context: Any) -> dict[str, int]:
    for record in event["Records"]:
        if record["eventName"] == "REMOVE":
            S3.delete_object(Bucket=BUCKET, Key=record["dynamodb"]["OldImage"]["pdf"]["S"])
    return {"statusCode": 200}
