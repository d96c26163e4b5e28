"""The SDK's models hold what the operator calls, whole, and little else. Runs on nothing."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.session import get_session
from humangov.aws import models
from humangov.aws.actions import ACTIONS, Method

SERVICES = sorted({method.service for method in ACTIONS.values()})
METHODS = sorted(set(ACTIONS.values()))


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    return models.session(region="us-east-1")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.service}-{method.name}")
def test_every_call_has_the_same_parameters_and_answer_as_in_the_whole_model(
    session: boto3.Session, method: Method
) -> None:
    def described(of: boto3.Session) -> tuple[str, ...]:
        client = of.client(method.service, aws_access_key_id="x", aws_secret_access_key="x")
        operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method.name])
        shapes = (operation.input_shape, operation.output_shape, *operation.error_shapes)
        endpoint = [(one.name, one.type) for one in client.meta.service_model.client_context_parameters]
        return (json.dumps(operation.http), str(endpoint), *(_members(shape) for shape in shapes if shape is not None))

    assert described(session) == described(boto3.Session(region_name="us-east-1"))


def _members(shape: object) -> str:
    """The shape with all that it holds, to any depth."""
    seen: set[str] = set()

    def told(one: object) -> object:
        name, kind = getattr(one, "name", ""), getattr(one, "type_name", "")
        if name in seen:
            return name
        seen.add(name)
        inner = [*getattr(one, "members", {}).items()]
        inner += [(part, getattr(one, part)) for part in ("member", "key", "value") if hasattr(one, part)]
        return [name, kind, dict(getattr(one, "serialization", {})), [(part, told(of)) for part, of in inner]]

    return json.dumps(told(shape))


@pytest.mark.parametrize("service", SERVICES)
def test_sdk_model_holds_no_documentation_and_no_unused_operation(service: str) -> None:
    whole = get_session().get_component("data_loader").load_service_model(service, "service-2")
    found = models.trimmed(whole, service)
    text = json.dumps(found)
    assert '"documentation": "<' not in text
    assert len(found["operations"]) <= 30
    assert len(text) < len(json.dumps(whole)) / 2


def test_service_of_which_nothing_is_listed_keeps_all_its_operations() -> None:
    whole = get_session().get_component("data_loader").load_service_model("sqs", "service-2")
    assert set(models.trimmed(whole, "sqs")["operations"]) == set(whole["operations"])
