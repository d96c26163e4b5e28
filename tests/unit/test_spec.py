"""A manifest as a tenant, and every AWS name of it. Runs on nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from humangov.api.names import Identity, Names
from humangov.api.spec import InvalidSpecError, Tenant, parse, seconds
from hypothesis import given
from hypothesis import strategies as st

from testing.documents import load_one
from testing.samples import names, resource, tenant

CRD = Path(__file__).parents[2] / "crds" / "humangovstates.yaml"


def spec_schema() -> Mapping[str, Any]:
    document = load_one(CRD.read_text())
    schema: Mapping[str, Any] = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


ODD = {
    "memoryMiB": "memory_mib", "kmsKeyARN": "kms_key_arn",
    "sweepRoleARN": "sweep_role_arn", "externalID": "external_id",
    "minimumAge": "minimum_age_seconds", "roleARN": "role_arn", "confirmAfter": "confirm_after_seconds",
}  # fmt: skip


def snake(name: str) -> str:
    return ODD.get(name) or "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def read(path: tuple[str, ...], value: Any) -> Any:
    """A field's value as a tenant has it."""
    if path[-1].endswith(("age_seconds", "after_seconds")) and isinstance(value, str):
        return seconds(value, ".".join(path))
    return sorted(value) if isinstance(value, list) else value


def schema_defaults(schema: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every leaf of the schema: its path in Python's names, and its default or None."""
    found: dict[tuple[str, ...], Any] = {}
    for name, field in schema["properties"].items():
        here = (*path, snake(name))
        if field["type"] == "object" and "properties" in field:
            found |= schema_defaults(field, here)
        else:
            found[here] = field.get("default")
    return found


def tenant_leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for field in fields(value):
        here = getattr(value, field.name)
        if is_dataclass(here):
            found |= tenant_leaves(here, (*path, field.name))
        else:
            found[(*path, field.name)] = list(here) if isinstance(here, tuple) else here
    return found


def test_spec_defaults_equal_those_of_the_definition() -> None:
    wanted = schema_defaults(spec_schema())
    actual = tenant_leaves(tenant())
    not_spec = {
        (name,)
        for name in (
            "namespace", "name", "uid", "generation", "created", "deleting", "annotations", "files_shared", "mappings",
            "recorded_account_id",
        )
    }  # fmt: skip
    # A section that is None as a whole has no fields to compare.
    assert actual.pop(("hold",)) is None
    assert wanted.pop(("hold", "reason")) is None
    assert set(wanted) == set(actual) - not_spec
    derived = {
        ("region",), ("table", "name"), ("bucket", "name"), ("function", "name"), ("failures", "bucket"), ("tags",),
    }  # fmt: skip
    assert {path: actual[path] for path in wanted if path not in derived} == {
        path: read(path, default) for path, default in wanted.items() if path not in derived
    }


def test_every_spec_field_of_the_definition_is_parsed() -> None:
    given_spec: dict[str, Any] = {
        "region": "eu-west-1",
        "table": {"name": "t-name", "fileAttributes": ["b", "a"], "fileNames": "Shared"},
        "bucket": {"name": "b-name", "keyPrefix": "x/"},
        "function": {"name": "f", "runtime": "python3.12", "architecture": "x86_64", "memoryMiB": 128,
                     "timeoutSeconds": 9, "reservedConcurrency": 4},
        "trigger": {"enabled": False, "batchSize": 2, "batchingWindowSeconds": 3, "maximumRetryAttempts": 4,
                    "maximumRecordAgeSeconds": 60, "maximumErasuresPerHour": 5},
        "logs": {"retentionDays": 7, "onDelete": "Retain", "kmsKeyARN": "arn:aws:kms:eu-west-1:123456789012:key/k"},
        "failures": {"bucket": "f-name"}, "tags": {"a": "b"}, "deletionPolicy": "Retain", "suspend": True,
        "adoption": "IfUntagged", "hold": {"reason": "Case 26-1234"},
        "account": {"roleARN": "arn:aws:iam::123456789012:role/r", "externalID": "x",
                    "sweepRoleARN": "arn:aws:iam::123456789012:role/s"},
        "sweep": {"schedule": "1 2 3 4 5", "timeZone": "America/Los_Angeles", "suspend": True, "mode": "Delete",
                  "include": ["b*", "a*"], "minimumAge": "3d", "confirmAfter": "90m", "maximumOrphanPercent": 7,
                  "maximumErasures": 8, "namesRetentionDays": 15},
    }  # fmt: skip
    leaves = tenant_leaves(tenant(**given_spec))
    for path in schema_defaults(spec_schema()):
        value: Any = given_spec
        for part in path:
            value = {snake(name): inner for name, inner in value.items()}[part]
        assert leaves[path] == read(path, value), path


def test_null_spec_field_is_the_default() -> None:
    with_nulls = tenant(function={"memoryMiB": None}, trigger=None, logs={"onDelete": None}, tags=None, suspend=None)
    assert with_nulls == tenant()


def test_empty_function_name_is_the_derived_one() -> None:
    empty = resource(region="", function={"name": ""}, failures={"bucket": ""})
    assert parse(empty, default_region="us-east-1") == tenant()


def test_order_of_file_attributes_does_not_matter() -> None:
    table = {"name": "t-x"}
    assert tenant(table={**table, "fileAttributes": ["b", "a", "b"]}) == tenant(
        table={**table, "fileAttributes": ["a", "b"]}
    )


@pytest.mark.parametrize(
    ("spec", "reported"),
    [
        ({"table": {"name": ""}}, "spec.table.name is required"),
        ({"bucket": {}}, "spec.bucket.name is required"),
        ({"bucket": None}, "spec.bucket.name is required"),
        ({"hold": {}}, "spec.hold.reason is required: why nothing may be erased"),
        ({"hold": {"reason": " "}}, "spec.hold.reason must be one printable line"),
        ({"hold": {"reason": "a\nb"}}, "spec.hold.reason must be one printable line"),
        ({"hold": {"reason": "x" * 257}}, "at most 256 characters"),
        ({"hold": "yes"}, "spec.hold must be of type object"),
        ({"trigger": {"batchSise": 1}}, "spec.trigger.batchSise is not a field"),
        ({"trigger": {"batchSize": "1"}}, "spec.trigger.batchSize must be of type integer, not string"),
        ({"trigger": {"batchSize": True}}, "spec.trigger.batchSize must be of type integer, not boolean"),
        ({"trigger": []}, "spec.trigger must be"),
        ({"suspend": "yes"}, "spec.suspend must be of type boolean"),
        ({"table": {"name": "t-x", "fileAttributes": [1, "a"]}}, "spec.table.fileAttributes"),
        ({"table": {"name": "t-x", "fileAttributes": [["a"]]}}, "spec.table.fileAttributes"),
        ({"table": {"name": "t-x", "fileAttributes": []}}, "spec.table.fileAttributes must be a list of strings"),
        (
            {"table": {"name": "t-x", "fileNames": "Some"}},
            "spec.table.fileNames must be Unique, Reused or Shared, not 'Some'",
        ),
        ({"adoption": ""}, "spec.adoption must be Never or IfUntagged, not ''"),
        ({"sweep": {"mode": "Maybe"}}, "spec.sweep.mode must be Detect or Delete, not 'Maybe'"),
        ({"sweep": {"include": []}}, "spec.sweep.include must be a list of patterns"),
        ({"sweep": {"minimumAge": "1y"}}, "spec.sweep.minimumAge must be a number with m, h or d, such as 24h"),
        ({"sweep": {"minimumAge": "0m"}}, "spec.sweep.minimumAge must be at least 1m, not '0m'"),
        ({"sweep": {"confirmAfter": "0h"}}, "spec.sweep.confirmAfter must be at least 1m, not '0h'"),
        ({"sweep": {"minimumAge": 5}}, "spec.sweep.minimumAge must be of type string, not integer: 5"),
        ({"extra": 1}, "spec.extra is not a field of HumanGovState; spec has region, table, bucket, function, trigger"),
    ],
)
def test_invalid_spec_field_is_refused_with_its_path(spec: dict[str, Any], reported: str) -> None:
    with pytest.raises(InvalidSpecError, match=reported.replace(".", r"\.")):
        tenant(**spec)


@pytest.mark.parametrize("name", ["", "A", "a.b", "-a", "a-", "a" * 44, None, 5])
def test_resource_name_invalid_for_a_function_is_refused(name: Any) -> None:
    with pytest.raises(InvalidSpecError, match=r"metadata\.name"):
        parse(resource(metadata={"name": name}), default_region="us-east-1")


@pytest.mark.parametrize("broken", [{"kind": "Other"}, {"apiVersion": "v1"}, {"metadata": "x"}, {"metadata": ["x"]},
                                    {"spec": "x"}, {"spec": ["x"]}])  # fmt: skip
def test_broken_resource_is_refused_as_an_invalid_spec(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpecError):
        parse({**resource(), **broken}, default_region="us-east-1")


FUNCTION_NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=1, max_size=64)
REGIONS = st.sampled_from(["us-east-1", "us-gov-west-1", "ap-southeast-2", "me-central-1", "eusc-de-east-1"])


@given(function=FUNCTION_NAMES, region=REGIONS)
def test_role_name_fits_iam_and_ends_with_its_region(function: str, region: str) -> None:
    name = tenant(region=region, function={"name": function}).role_name
    assert len(name) <= 64
    assert name.endswith(f"-{region}")


@given(one=FUNCTION_NAMES, other=FUNCTION_NAMES, region=REGIONS)
def test_different_functions_never_share_a_role_name(one: str, other: str, region: str) -> None:
    roles = {tenant(region=region, function={"name": name}).role_name for name in (one, other)}
    assert len(roles) == len({one, other})


@pytest.mark.parametrize("length", range(1, 65))
def test_role_names_of_any_length_differ_by_the_last_letter_of_the_function(length: int) -> None:
    roles = {tenant(function={"name": "f" * (length - 1) + end}).role_name for end in "ab"}
    assert len(roles) == 2
    assert all(len(role) <= 64 for role in roles)


@pytest.mark.parametrize("length", [1, 43])
def test_derived_function_name_fits_lambda(length: int) -> None:
    assert len(tenant("x" * length).function.name) <= 64


@pytest.mark.parametrize(
    ("partition", "region"), [("aws", "us-east-1"), ("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-north-1")]
)
def test_arns_use_the_partition_of_the_region(partition: str, region: str) -> None:
    of = names(partition=partition, region=region)
    function = "humangov-california-delete-file"
    account = "123456789012"
    assert of.table_arn == f"arn:{partition}:dynamodb:{region}:{account}:table/humangov-california-dynamodb"
    assert of.bucket_arn == f"arn:{partition}:s3:::humangov-california-s3"
    assert of.role_arn == f"arn:{partition}:iam::{account}:role/humangov/{function}-{region}"
    assert of.function_arn == f"arn:{partition}:lambda:{region}:{account}:function:{function}"
    assert of.mapping_arn("u") == f"arn:{partition}:lambda:{region}:{account}:event-source-mapping:u"
    assert of.log_group_arn == f"arn:{partition}:logs:{region}:{account}:log-group:/aws/lambda/{function}"
    assert of.owner == "cluster/humangov/california"


def test_partition_is_no_part_of_the_identity() -> None:
    one, other = (
        Identity(account_id="1", region="r", cluster="c", partition=partition) for partition in ("aws", "aws-cn")
    )
    assert one == other


def test_ownership_tags_of_tenants_with_the_same_function_name_differ() -> None:
    def owner(of: Tenant) -> str:
        return Names(tenant=of, identity=Identity(account_id="1", region="r", cluster="c", partition="aws")).owner

    assert owner(tenant("a", namespace="x")) != owner(tenant("a", namespace="y"))
