"""A call as the model sees it: read from the request itself, so that both ways in see the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from sandbox import operations
from sandbox.operations import Operation
from sandbox.recorder import READS

_FUNCTION = re.compile(r"/20\d\d-\d\d-\d\d/functions/([^/?]+)")
_MAPPING = re.compile(r"/2015-03-31/event-source-mappings/([^/?]+)")
_TAGS = re.compile(r"/2017-03-31/tags/([^/?]+)")
_FUNCTION_ARN = re.compile(r"arn:[^:]*:lambda:[^:]*:[^:]*:function:([^:]+)")
_TABLE_ARN = re.compile(r"arn:[^:]*:dynamodb:[^:]*:[^:]*:table/([^/]+)")
_MAPPING_ARN = re.compile(r"arn:[^:]*:lambda:[^:]*:[^:]*:event-source-mapping:(.+)")
_LOG_GROUP_ARN = re.compile(r"arn:[^:]*:logs:[^:]*:[^:]*:log-group:([^:]+)")
# The first that a request has names what it is about.
_NAMES = (
    "UUID", "FunctionName", "RoleName", "PolicyArn", "RoleArn", "TableName", "StreamArn", "EventSourceArn",
    "ResourceArn", "resourceArn", "logGroupName", "logGroupIdentifier", "logGroupNamePrefix", "Resource", "Bucket",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WeatherCall:
    """`parameters` are those of the body, the query and the path, as far as they are known; not the S3 object's."""

    operation: Operation
    target: str
    """What it is about: a function, role, table, log group, bucket; a mapping's UUID; empty where none is known."""
    account: str
    """The access key: in the emulated AWS, the account."""
    parameters: Mapping[str, Any]

    @property
    def writes(self) -> bool:
        return not self.operation.name.startswith(READS)


def needs_body(operation: Operation) -> bool:
    """Whether `read` wants the body. An object's content is never looked at."""
    return operation.service != "s3" or operation.name == "DeleteObjects"


def read(*, operation: Operation, url: str, headers: Mapping[str, str], body: bytes) -> WeatherCall:
    """`url` is the request target, as it was sent; `body` may be empty unless `needs_body`."""
    scope = operations.scope(headers, url)
    parameters = _parameters(operation, url, body)
    return WeatherCall(
        operation=operation,
        target=_target(parameters),
        account=scope.access_key if scope else "",
        parameters=parameters,
    )


def function_name(name_or_arn: str) -> str:
    match = _FUNCTION_ARN.match(name_or_arn)
    return match.group(1) if match else name_or_arn


def _parameters(operation: Operation, url: str, body: bytes) -> dict[str, Any]:
    parts = urlsplit(url)
    found: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    if operation.service == "s3":
        bucket, _, key = unquote(parts.path.lstrip("/")).partition("/")
        found |= {"Bucket": f"{bucket}/{key}" if key else bucket}
        if operation.name == "DeleteObjects":
            found["objects"] = len(re.findall(rb"<Object[ >]", body))
        return found
    text = body.lstrip()
    if text.startswith(b"{"):
        try:
            found |= json.loads(text)
        except ValueError:
            return found
    elif b"Action=" in text:
        found |= {name: values[0] for name, values in parse_qs(text.decode(errors="replace")).items()}
    for name, pattern in (("FunctionName", _FUNCTION), ("UUID", _MAPPING), ("Resource", _TAGS)):
        if match := pattern.search(parts.path):
            found[name] = unquote(match.group(1))
    return found


def _target(parameters: Mapping[str, Any]) -> str:
    named = next((str(parameters[name]) for name in _NAMES if parameters.get(name)), "")
    for pattern in (_FUNCTION_ARN, _TABLE_ARN, _MAPPING_ARN, _LOG_GROUP_ARN):
        if match := pattern.match(named):
            return match.group(1)
    return named
