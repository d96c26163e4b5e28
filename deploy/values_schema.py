"""The parts of values.schema.json that are Kubernetes' own types: closed, as the API server knows them.

Values such as `affinity` go into the pod as they are. The API server drops a misspelled key of them with a warning that
helm does not show, so the schema refuses it. The types come from the Kubernetes client, which is made from the API
server's OpenAPI document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from kubernetes.client import models

# The types that the chart's values have: each is `#/definitions/<name>` in the schema, with all that it contains.
ROOTS = (
    "V1Affinity", "V1EnvVarSource", "V1NetworkPolicyEgressRule", "V1PodSecurityContext", "V1SecurityContext",
    "V1Toleration", "V1TopologySpreadConstraint", "V1Volume", "V1VolumeMount",
)  # fmt: skip
_SIMPLE: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string"},
    "object": {"type": ["integer", "string"]},  # in these types only Kubernetes' IntOrString
}
# Kubernetes' Quantity is a string to the client; YAML may have it as a number.
_QUANTITIES = {"sizeLimit", "divisor"}
_GENERATED = re.compile(r'^    "V\d\w+": \{.*\},?\n', flags=re.MULTILINE)
_END = '    "probe": {'


def with_kubernetes_types(schema: str) -> str:
    """The text of values.schema.json with the current types, one to a line, before the definition of a probe."""
    rest = _GENERATED.sub("", schema)
    before, found, after = rest.partition(_END)
    if not found:
        raise ValueError(f"values.schema.json: {_END.strip()} is missing, before which Kubernetes' types belong")
    lines = [f'    "{name}": {json.dumps(_definition(name))},\n' for name in sorted(_with_inner(ROOTS))]
    return f"{before}{''.join(lines)}{found}{after}"


def _with_inner(names: tuple[str, ...]) -> set[str]:
    """These types, and all that occur in them."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _named(name)
    return found


def _named(name: str) -> Iterator[str]:
    for kind in getattr(models, name).openapi_types.values():
        yield from re.findall(r"V\d\w+", kind)


def _definition(name: str) -> dict[str, Any]:
    model = getattr(models, name)
    properties = {model.attribute_map[field]: _type(kind) for field, kind in model.openapi_types.items()}
    for field in _QUANTITIES & set(properties):
        properties[field] = {"type": ["string", "number"]}
    return {"type": "object", "additionalProperties": False, "properties": dict(sorted(properties.items()))}


def _type(kind: str) -> dict[str, Any]:
    """From the client's word for it: `List[V1KeyToPath]`, `Dict[str, str]`, `int`."""
    if inner := re.fullmatch(r"List\[(.+)\]", kind):
        return {"type": "array", "items": _type(inner.group(1))}
    if inner := re.fullmatch(r"Dict\[str, (.+)\]", kind):
        of = {"type": ["string", "number"]} if inner.group(1) == "str" else _type(inner.group(1))
        return {"type": "object", "additionalProperties": of}
    if kind in _SIMPLE:
        return dict(_SIMPLE[kind])
    return {"$ref": f"#/definitions/{kind}"}
