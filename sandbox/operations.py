"""Which AWS operation a request asks for: from its headers, its form or its path, by botocore's models."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import botocore.loaders

# Where the name that a request is signed for is not boto3's (`signingName` in botocore's service models).
SIGNING_NAMES = {
    "tagging": "resourcegroupstaggingapi",
    "monitoring": "cloudwatch",
    "states": "stepfunctions",
    "email": "ses",
}
# One signing name, two services: the prefix of X-Amz-Target tells them apart.
TARGET_SERVICES = {"DynamoDBStreams_20120810": "dynamodbstreams"}
FORM = "application/x-www-form-urlencoded"
UNKNOWN = "?"


@dataclass(frozen=True)
class Scope:
    """Who signed, for where and what.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """

    access_key: str
    region: str
    signing_name: str


@dataclass(frozen=True)
class Operation:
    """Service and operation as boto3 and the API name them: `dynamodb`, `DescribeTable`."""

    service: str
    name: str

    def __str__(self) -> str:
        return f"{self.service}:{self.name}"


@dataclass(frozen=True)
class Route:
    """How a REST operation is asked for. `needs_*` are what a request must carry to be this operation."""

    operation: str
    method: str
    path: re.Pattern[str]
    query: Mapping[str, str]
    """Literals of the request URI; an empty value means that the name alone is required."""
    needs_query: frozenset[str]
    needs_headers: frozenset[str]
    deprecated: bool

    @property
    def rank(self) -> tuple[bool, int]:
        """The route that demands most is meant; a name that another one replaced is not."""
        return (not self.deprecated, len(self.query) + len(self.needs_query) + len(self.needs_headers))

    def matches(self, *, method: str, path: str, query: Mapping[str, str], headers: Iterable[str]) -> bool:
        return (
            method == self.method
            and self.path.fullmatch(path) is not None
            and all(name in query and value in ("", query[name]) for name, value in self.query.items())
            and self.needs_query <= query.keys()
            and self.needs_headers <= {name.lower() for name in headers}
        )


def scope(headers: Mapping[str, str], url: str) -> Scope | None:
    """From the Authorization header, or from a presigned URL. None for a request that nobody signed."""
    authorization = _header(headers, "authorization")
    match = re.search(r"Credential=([^,\s]+)", authorization)
    credential = match.group(1) if match else dict(parse_qsl(urlsplit(url).query)).get("X-Amz-Credential", "")
    parts = credential.split("/")
    if len(parts) < 5:
        return None
    return Scope(access_key="/".join(parts[:-4]), region=parts[-3], signing_name=parts[-2])


def needs_body(method: str, headers: Mapping[str, str]) -> bool:
    """Whether the operation is named in the body: AWS's query protocol (IAM, STS, EC2)."""
    return method == "POST" and _header(headers, "content-type").startswith(FORM)


def identify(*, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Operation:
    """The operation; its name is `?` with method and path where no model knows the request.

    `url` is the request target as it was sent; `body` is looked at only where `needs_body`.
    """
    signed = scope(headers, url)
    signing_name = signed.signing_name if signed else UNKNOWN
    service = SIGNING_NAMES.get(signing_name, signing_name)
    parts = urlsplit(url)
    if target := _header(headers, "x-amz-target"):
        prefix, _, name = target.rpartition(".")
        return Operation(TARGET_SERVICES.get(prefix, service), name)
    if needs_body(method, headers) and (action := parse_qs(body.decode(errors="replace")).get("Action")):
        return Operation(service, action[0])
    # Smithy's RPC over CBOR (CloudWatch):
    # https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
    if match := re.search(r"/service/[^/]+/operation/([^/]+)$", parts.path):
        return Operation(service, match.group(1))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if action_name := query.get("Action"):
        return Operation(service, action_name)
    found = match_route(routes(service), method=method, path=parts.path, query=query, headers=headers)
    return Operation(service, found or f"{UNKNOWN} {method} {parts.path}")


def match_route(
    candidates: Sequence[Route], *, method: str, path: str, query: Mapping[str, str], headers: Iterable[str]
) -> str | None:
    names = list(headers)
    fitting = [route for route in candidates if route.matches(method=method, path=path, query=query, headers=names)]
    return max(fitting, key=lambda route: route.rank).operation if fitting else None


@functools.cache
def routes(service: str) -> tuple[Route, ...]:
    """The REST operations of botocore's newest model of `service`; none for one that it does not know."""
    loader = botocore.loaders.Loader()
    try:
        model = loader.load_service_model(service, "service-2")
    except (botocore.loaders.UnknownServiceError, botocore.loaders.DataNotFoundError):
        return ()
    return tuple(routes_of(model))


def routes_of(model: Mapping[str, Any]) -> list[Route]:
    result = []
    for name, operation in model["operations"].items():
        path, _, query = operation["http"]["requestUri"].partition("?")
        shape = model["shapes"].get(operation.get("input", {}).get("shape"), {})
        required = [shape["members"][member] for member in shape.get("required", [])]
        result.append(
            Route(
                operation=name,
                method=operation["http"]["method"],
                path=_path_pattern(path),
                query=dict(parse_qsl(query, keep_blank_values=True)),
                needs_query=_located(required, "querystring"),
                needs_headers=frozenset(one.lower() for one in _located(required, "header")),
                deprecated=bool(operation.get("deprecated")),
            )
        )
    return result


def _path_pattern(template: str) -> re.Pattern[str]:
    """`/{Bucket}/{Key+}`: `{x}` is one segment as it was sent, still escaped; `{x+}` is all that is left."""
    pieces = re.split(r"(\{[^}]+\})", template.rstrip("/"))
    pattern = "".join(
        re.escape(piece) if not piece.startswith("{") else ".+" if piece.endswith("+}") else "[^/]+" for piece in pieces
    )
    return re.compile(f"{pattern}/?")


def _located(members: Iterable[Mapping[str, Any]], location: str) -> frozenset[str]:
    return frozenset(member["locationName"] for member in members if member.get("location") == location)


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name), "")
