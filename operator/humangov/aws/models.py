"""The SDK's models of AWS's services, of which only what the operator calls is kept: 12 MiB less of 36.

A model is the JSON of all of a service's operations, with their documentation. What is not in ACTIONS, `Clients` never
calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import boto3
import botocore.session
from botocore import xform_name
from botocore.loaders import Loader

from humangov.aws.actions import ACTIONS

_OF_CREDENTIALS = {"sts": {"assume_role", "assume_role_with_web_identity"}}  # the SDK's own calls


class _CalledOnly(Loader):  # type: ignore[misc] # the SDK has no types there
    """Files only; knows no credentials. Keeps each trimmed model, and nothing of the whole one."""

    def __init__(self, whole: Loader) -> None:
        super().__init__(extra_search_paths=whole.search_paths, include_default_search_paths=False)
        self._trimmed: dict[tuple[str, str | None], Any] = {}

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        if type_name != "service-2":
            return super().load_service_model(service_name, type_name, api_version)
        key = (service_name, api_version)
        if key not in self._trimmed:
            reader = Loader(extra_search_paths=self.search_paths, include_default_search_paths=False)
            self._trimmed[key] = trimmed(reader.load_service_model(service_name, type_name, api_version), service_name)
        return self._trimmed[key]


def session(*, region: str) -> boto3.Session:
    """The operator's own credentials, with models of what it calls alone."""
    inner = botocore.session.get_session()
    inner.register_component("data_loader", _CalledOnly(inner.get_component("data_loader")))
    return boto3.Session(botocore_session=inner, region_name=region)


def trimmed(model: Mapping[str, Any], service: str) -> dict[str, Any]:
    """The model with the operations that are called, the shapes that they need, and no documentation. Pure.

    Of a service of which none is called, all of them.
    """
    called = {method.name for method in ACTIONS.values() if method.service == service} | _OF_CREDENTIALS.get(
        service, set()
    )
    operations = {name: one for name, one in model["operations"].items() if not called or xform_name(name) in called}
    shapes, needed = model["shapes"], set[str]()
    waiting = list(_shapes_in(operations))
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += _shapes_in(shapes[name])
    kept = {**model, "operations": operations, "shapes": {name: shapes[name] for name in shapes if name in needed}}
    found: dict[str, Any] = _without_documentation(kept)
    return found


def _shapes_in(value: Any) -> Iterator[str]:
    """Every shape that is referred to. A member may be named `shape`, too: then it holds an object."""
    if isinstance(value, Mapping):
        if isinstance(value.get("shape"), str):
            yield value["shape"]
        yield from _shapes_of(value.values())
    elif isinstance(value, list):
        yield from _shapes_of(value)


def _shapes_of(values: Iterable[Any]) -> Iterator[str]:
    for one in values:
        yield from _shapes_in(one)


def _without_documentation(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: "" if name == "documentation" and isinstance(one, str) else _without_documentation(one)
            for name, one in value.items()
        }
    return [_without_documentation(one) for one in value] if isinstance(value, list) else value
