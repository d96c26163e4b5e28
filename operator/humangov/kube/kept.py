"""What is kept of a HumanGovState: who may edit one can give it a megabyte that the operator never reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern
from typing import Any

from humangov.api.erasure_limit import APPROVE_ERASURES_ANNOTATION
from humangov.api.spec import APPROVE_ANNOTATION, RECONCILE_ANNOTATION, SWEEP_ANNOTATION
from humangov.api.stop import STOP_ANNOTATION, writers_of_stops

VALUE_LIMIT = 1000
"""Characters of an annotation. Longer is only a stop's reason, which still stops, and what approves nothing."""

_SHARED_LIMIT = 64
"""Characters. What is longer are messages, of which each tenant has its own."""

_METADATA = (
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "finalizers",
)  # fmt: skip
_START = "humangov.io/start"
_ANNOTATIONS = frozenset(
    (RECONCILE_ANNOTATION, SWEEP_ANNOTATION, APPROVE_ANNOTATION, APPROVE_ERASURES_ANNOTATION, STOP_ANNOTATION, _START)
)
_SIGNED_BY = "-by"


def kept(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The resource with its identity, spec, status, our annotations, and who wrote what stops it; without the rest."""
    metadata: Mapping[str, Any] = resource["metadata"]
    slim: dict[str, Any] = {name: metadata[name] for name in _METADATA if name in metadata}
    if annotations := _of_operator(metadata.get("annotations")):
        slim["annotations"] = annotations
    if writers := writers_of_stops(metadata):
        slim["managedFields"] = writers
    parts = {name: resource[name] for name in ("apiVersion", "kind", "spec", "status") if name in resource}
    found: dict[str, Any] = _shared({**parts, "metadata": slim})
    return found


def _shared(value: Any) -> Any:
    """The same, in which equal names and short values are one object: JSON gives each tenant copies of its own."""
    if type(value) is str:
        return intern(value) if len(value) <= _SHARED_LIMIT else value
    if isinstance(value, Mapping):
        return {_shared(name): _shared(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_shared(one) for one in value]
    return value


def _of_operator(annotations: Any) -> dict[str, Any]:
    found = annotations if isinstance(annotations, Mapping) else {}
    return {
        name: value[:VALUE_LIMIT] if isinstance(value, str) else value
        for name, value in found.items()
        if isinstance(name, str) and name.removesuffix(_SIGNED_BY) in _ANNOTATIONS
    }
