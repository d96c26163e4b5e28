"""AWS's errors, in the protocol of each service.

https://smithy.io/2.0/aws/protocols/index.html
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import botocore.loaders

from sandbox.operations import Operation

_REQUEST_ID = "00000000-0000-4000-8000-000000000000"
_JSON = ("json", "smithy-rpc-v2-cbor")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An error that AWS answers with: HTTP status, code, and text."""

    status: int
    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ErrorAnswer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def answer(operation: Operation, refusal: Refusal) -> ErrorAnswer:
    """`refusal` as the service of `operation` writes it."""
    protocol = _protocol(operation.service)
    code, text = escape(refusal.code), escape(refusal.text)
    kind = "Receiver" if refusal.status >= 500 else "Sender"
    headers = {"x-amzn-RequestId": _REQUEST_ID}
    if protocol in ("query", "ec2"):
        headers["Content-Type"] = "text/xml"
        body = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{text}</Message></Error>"
            f"<RequestId>{_REQUEST_ID}</RequestId></ErrorResponse>"
        )
    elif protocol == "rest-xml":
        headers = {"x-amz-request-id": _REQUEST_ID, "Content-Type": "application/xml"}
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>{text}</Message><RequestId>{_REQUEST_ID}</RequestId></Error>"
        )
        if operation.name.startswith("Head"):
            body = ""
    elif protocol == "rest-json":
        headers |= {"Content-Type": "application/json", "x-amzn-ErrorType": refusal.code}
        whose = "Service" if refusal.status >= 500 else "User"
        body = json.dumps({"Type": whose, "Message": refusal.text, "message": refusal.text})
    else:
        version = "1.0" if operation.service.startswith("dynamodb") else "1.1"
        headers["Content-Type"] = f"application/x-amz-json-{version}"
        body = json.dumps({"__type": f"com.amazonaws.{operation.service}#{refusal.code}", "message": refusal.text})
    return ErrorAnswer(status=refusal.status, headers=headers, body=body.encode())


@functools.cache
def _protocol(service: str) -> str:
    """By botocore's newest model; the most frequent one for what it does not know."""
    try:
        model = botocore.loaders.Loader().load_service_model(service, "service-2")
    except (botocore.loaders.UnknownServiceError, botocore.loaders.DataNotFoundError):
        return "json"
    return str(model["metadata"]["protocol"])
