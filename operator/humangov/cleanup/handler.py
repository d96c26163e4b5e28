"""Lambda's entry point: `cleanup.handler.handle`. Settings and clients are created once per cold start."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from functools import cache, partial
from typing import Any

import boto3
from botocore.config import Config

from .batch import deadline, run
from .calls import Calls, Line, error_code, error_text
from .environment import FunctionSettings, in_account_of, read_settings
from .erasure_limit import ErasureLimit
from .log_lines import batch_line
from .receipt_log import ReceiptLog
from .versioning import Versioning


def _config(**more: Any) -> Config:
    # One attempt, 2 s + 7 s, fits into the 10 s before the deadline. Calls.attempt checks the time before it retries.
    # The SDK applies connect_timeout to each address of a host and read_timeout to each silence: a slow response, or a
    # host with several dead addresses, may still overrun.
    return Config(
        connect_timeout=2,
        read_timeout=7,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=16,
        **more,
    )


def _s3_config() -> Config:
    # A custom endpoint has no host name per bucket.
    if os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        return _config(s3={"addressing_style": "path"})
    return _config()


def _write(lines: Iterable[Line]) -> None:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    if text:
        sys.stdout.write(text)
        sys.stdout.flush()


SETTINGS = read_settings(os.environ)
# To check a thousand keys takes longer than to send them. S3 stays checked: an empty key would name the bucket.
DYNAMODB = boto3.client("dynamodb", config=_config(parameter_validation=False))
S3 = boto3.client("s3", config=_s3_config())
LOGS = boto3.client("logs", config=_config(parameter_validation=False))
LIMIT = ErasureLimit(SETTINGS.maximum_erasures_per_hour)


@cache
def _receipts(log_group: str) -> ReceiptLog:
    """The log stream of this environment's receipts, beside Lambda's own stream: stdout can lose lines."""
    return ReceiptLog(LOGS, log_group=log_group, now=time.time, pause=time.sleep, prefix="receipts")


def _read_versioning(settings: FunctionSettings) -> bool | None:
    try:
        answer = S3.get_bucket_versioning(Bucket=settings.bucket, ExpectedBucketOwner=settings.account_id)
        return bool(answer.get("Status"))
    except Exception as error:
        code, text = error_code(error), error_text(error)
        _write([{"level": "WARN", "message": "GetBucketVersioning failed", "code": code, "text": text}])
        return None


@cache
def _versioning(settings: FunctionSettings) -> Versioning:
    return Versioning(partial(_read_versioning, settings), now=lambda: time.time())  # as late as all others ask


class HeldError(Exception):
    """A legal hold keeps files of this batch. Lambda stores the whole batch as an invocation record, for a redrive."""


def handle(event: Any, context: Any) -> dict[str, list[dict[str, str]]]:
    """A batch of a DynamoDB stream → the records to retry. Never None: for Lambda that means success.

    Raises HeldError, also if only one of the files is held: a batch that is stored as a whole tells the redrive what
    the batch told the function.
    """
    out_of_time = deadline(context.get_remaining_time_in_millis)
    settings = in_account_of(SETTINGS, context.invoked_function_arn)
    calls = Calls(
        dynamodb=DYNAMODB,
        s3=S3,
        bucket_owner=settings.account_id,
        out_of_time=out_of_time,
        pause=time.sleep,
        now=time.time,
        write=_write,
        store=partial(_receipts(context.log_group_name).write, stop=out_of_time),
        limit=LIMIT,
        keeps_versions=_versioning(settings).may_be_kept,
    )
    result = run(event, settings=settings, calls=calls)
    _write([batch_line(result, settings=settings)])
    if result.held:
        raise HeldError(f"legal hold, not an error: {result.held} files stay, and Lambda stores the batch")
    return result.answer
