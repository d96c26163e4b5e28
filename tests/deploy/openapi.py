"""Manifests against the schemas that the API server itself serves at /openapi/v3, with nothing unknown let through."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from jsonschema import Draft202012Validator

from testing.live.cluster import Cluster

KEEPS_UNKNOWN = "x-kubernetes-preserve-unknown-fields"
NAMES_KINDS = "x-kubernetes-group-version-kind"


class Schemas:
    """The API server's schemas, fetched a group and version at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._components: dict[str, dict[str, Any]] = {}

    def problems(self, document: Mapping[str, Any]) -> list[str]:
        """What is wrong with a manifest, each with where. Raises LookupError for a kind that is not served."""
        components = self._of(document["apiVersion"])
        group, _, version = document["apiVersion"].rpartition("/")
        wanted = {"group": group, "version": version, "kind": document["kind"]}
        names = [name for name, schema in components.items() if wanted in schema.get(NAMES_KINDS, ())]
        if not names:
            raise LookupError(f"the API server has no schema of {wanted}")
        whole = {"$ref": f"#/components/schemas/{names[0]}", "components": {"schemas": components}}
        return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(document)]

    @cached_property
    def _paths(self) -> Mapping[str, Any]:
        paths: Mapping[str, Any] = json.loads(self._cluster.output("get", "--raw", "/openapi/v3"))["paths"]
        return paths

    def _of(self, api_version: str) -> dict[str, Any]:
        if api_version not in self._components:
            path = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
            served = json.loads(self._cluster.output("get", "--raw", self._paths[path]["serverRelativeURL"]))
            self._components[api_version] = {
                name: closed(schema) for name, schema in served["components"]["schemas"].items()
            }
        return self._components[api_version]


def closed(schema: Any) -> Any:
    """The schema, with every object that lists its fields refusing others."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    fields = schema.get("properties")
    result = {name: closed(one) for name, one in schema.items() if name != "properties"}
    if fields is not None:
        result["properties"] = {name: closed(field) for name, field in fields.items()}
        if not schema.get(KEEPS_UNKNOWN):
            result.setdefault("additionalProperties", False)
    return result
