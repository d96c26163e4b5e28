"""The SDK's calls without what lies between composing a request and reading its answer.

Of botocore's way of a call these stay: its events for parameters and answers, the check of the parameters by the
service's model, the serializer, the parser, modeled errors and their classes. Left out are the endpoint's rules (asked
once for each operation of a client: the emulator has one address), signatures, checksums, retries, and its types for
requests and headers. It can't show those; S3 and streams go the SDK's whole way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from botocore.awsrequest import prepare_request_dict
from botocore.client import BaseClient

from testing.reconciler.in_process import InProcess
from testing.reconciler.wire import Wire


class _Headers(dict[str, str]):
    """Of an answer: names are in lower case, and are asked for in any."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


@dataclass(frozen=True)
class _Answer:
    """As much of botocore's AWSResponse as whoever hears of an answer asks of it."""

    status_code: int
    headers: _Headers
    content: bytes


@dataclass(frozen=True)
class _Operation:
    """What is the same for each call of one of a client's operations."""

    model: Any
    endpoint_url: str
    headers: dict[str, str]
    scope: str
    events: str


class Direct:
    """In place of one client's `_make_api_call`."""

    def __init__(self, client: Any, wire: Wire | InProcess, *, account: Callable[[], str]) -> None:
        self._client, self._wire, self._account = client, wire, account
        self._known: dict[str, _Operation] = {}
        protocol = client.meta.service_model.resolved_protocol
        self._parser = client._endpoint._response_parser_factory.create_parser(protocol)

    def call(self, name: str, parameters: Any) -> Any:
        model = self._client.meta.service_model.operation_model(name)
        # S3's answers lead the SDK to other regions, and its bodies get checksums.
        if model.service_model.service_name == "s3" or model.has_streaming_output or model.has_streaming_input:
            return BaseClient._make_api_call(self._client, name, parameters)
        context: dict[str, Any] = {
            "client_region": self._client.meta.region_name, "client_config": self._client.meta.config,
            "has_streaming_input": False, "auth_type": model.resolved_auth_type,
        }  # fmt: skip
        parameters = self._client._emit_api_params(api_params=parameters, operation_model=model, context=context)
        operation = self._known.get(name) or self._learn(model, parameters, context)
        request = self._client._serializer.serialize_to_request(parameters, model)
        answer, parsed = self._asked(operation, request)
        self._client.meta.events.emit(
            f"after-call.{operation.events}", http_response=answer, parsed=parsed, model=model, context=context
        )
        if answer.status_code >= 300:
            raise self._client.exceptions.from_code(parsed.get("Error", {}).get("Code"))(parsed, name)
        return parsed

    def _learn(self, model: Any, parameters: Any, context: dict[str, Any]) -> _Operation:
        url, headers, _ = self._client._resolve_endpoint_ruleset(model, parameters, context)
        signing = context.get("signing", {})
        region = signing.get("region", self._client.meta.region_name)
        service = signing.get("signing_name", model.service_model.signing_name)
        operation = self._known[model.name] = _Operation(
            model=model, endpoint_url=url, headers=dict(headers), scope=f"20260101/{region}/{service}/aws4_request",
            events=f"{model.service_model.service_id.hyphenize()}.{model.name}",
        )  # fmt: skip
        return operation

    def _asked(self, operation: _Operation, request: dict[str, Any]) -> tuple[_Answer, Any]:
        model = operation.model
        request.pop("host_prefix", None)
        prepare_request_dict(request, endpoint_url=operation.endpoint_url)
        # By the scope the emulator knows the account and the region.
        named = f"AWS4-HMAC-SHA256 Credential={self._account()}/{operation.scope}, SignedHeaders=host, Signature=0"
        headers = {**request["headers"], **operation.headers, "Authorization": named}
        body = request["body"]
        status, fields, content = self._wire.ask(
            request["method"], request["url"], headers=headers,
            body=urlencode(body, doseq=True) if isinstance(body, dict) else body,
        )  # fmt: skip
        answer = _Answer(status, _Headers(fields), content)
        found: dict[str, Any] = {
            "headers": answer.headers, "status_code": status, "body": content,
            "context": {"operation_name": model.name},
        }  # fmt: skip
        instead: dict[str, Any] = {}
        self._client.meta.events.emit(
            f"before-parse.{operation.events}", operation_model=model, response_dict=found,
            customized_response_dict=instead,
        )  # fmt: skip
        parsed = self._parser.parse(found, model.output_shape)
        parsed.update(instead)
        if status >= 300:
            self._client._endpoint._add_modeled_error_fields(found, parsed, model, self._parser)
        parsed.get("ResponseMetadata", {})["RetryAttempts"] = 0
        return answer, parsed
