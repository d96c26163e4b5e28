"""The definition at the real API server: what it refuses, fills in, shows and explains. No operator runs here."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from testing.live.cluster import Cluster
from testing.live.states import Resource, States, condition

Change = Callable[[Resource], Any]


@pytest.fixture(scope="module")
def states(cluster: Cluster) -> Iterator[States]:
    """A namespace without an operator: nothing but the API server answers."""
    with cluster.fresh_namespace("definition") as namespace:
        yield States(cluster, namespace)


@pytest.fixture
def name() -> str:
    return f"state-{secrets.token_hex(3)}"


def minimal(states: States, name: str, **more: Any) -> Resource:
    spec = {"table": {"name": "humangov-california-dynamodb"}, "bucket": {"name": "humangov-california-s3-zsmb"}}
    return states.manifest(name, **{**spec, **more})


def drop(*path: str) -> Change:
    def change(manifest: Resource) -> None:
        inner = manifest["spec"]
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]

    return change


def put(**spec: Any) -> Change:
    def change(manifest: Resource) -> None:
        for key, value in spec.items():
            old = manifest["spec"].get(key)
            manifest["spec"][key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value

    return change


def named(name: str) -> Change:
    return lambda manifest: manifest["metadata"].update(name=name)


SAFETY_CHECK_FAILED: Mapping[str, tuple[Change, str]] = {
    # Where Kubernetes has words of its own they name the field and the limit.
    "no table": (drop("table"), "spec.table: Required value"),
    "no table name": (drop("table", "name"), "spec.table.name: Required value"),
    "no bucket": (drop("bucket"), "spec.bucket: Required value"),
    "no bucket name": (drop("bucket", "name"), "spec.bucket.name: Required value"),
    "batch size 0": (put(trigger={"batchSize": 0}), "spec.trigger.batchSize in body should be greater than or equal"),
    "batch size 10001": (put(trigger={"batchSize": 10001}), "spec.trigger.batchSize in body should be less than"),
    "window of 301 s": (put(trigger={"batchingWindowSeconds": 301}), "spec.trigger.batchingWindowSeconds"),
    "record age 59 s": (put(trigger={"maximumRecordAgeSeconds": 59}), "spec.trigger.maximumRecordAgeSeconds"),
    "a limit below zero": (put(trigger={"maximumErasuresPerHour": -1}), "spec.trigger.maximumErasuresPerHour"),
    "a hold for no reason": (put(hold={}), "spec.hold.reason: Required value"),
    "a hold for an empty reason": (put(hold={"reason": ""}), "spec.hold.reason"),
    "a hold for a blank reason": (put(hold={"reason": "  "}), "spec.hold.reason must be one printable line"),
    "a hold in two lines": (put(hold={"reason": "a\nb"}), "spec.hold.reason must be one printable line"),
    "a hold with an escape": (put(hold={"reason": "a\x1b[31m"}), "spec.hold.reason must be one printable line"),
    "a hold of 257 characters": (put(hold={"reason": "x" * 257}), "spec.hold.reason"),
    "retention of 15 days": (put(logs={"retentionDays": 15}), 'spec.logs.retentionDays: Unsupported value: 15'),
    "memory of 127 MiB": (put(function={"memoryMiB": 127}), "spec.function.memoryMiB"),
    "time-out of 901 s": (put(function={"timeoutSeconds": 901}), "spec.function.timeoutSeconds"),
    "concurrency 0": (put(function={"reservedConcurrency": 0}), "spec.function.reservedConcurrency"),
    "an old runtime": (put(function={"runtime": "python3.9"}), 'spec.function.runtime: Unsupported value: "python3.9"'),
    "an unknown policy": (put(deletionPolicy="Keep"), 'spec.deletionPolicy: Unsupported value: "Keep"'),
    "an unknown adoption": (put(adoption="Always"), 'spec.adoption: Unsupported value: "Always"'),
    "no attribute": (put(table={"fileAttributes": []}), "spec.table.fileAttributes"),
    "an attribute twice": (put(table={"fileAttributes": ["pdf", "pdf"]}), "Duplicate value"),
    "a function name of 65": (put(function={"name": "f" * 65}), "spec.function.name"),
    # Where the rule is ours it is a sentence.
    "an over-long name": (named("c" * 44), "metadata.name may have at most 43 characters: the cleanup function"),
    "a dotted name": (named("new.york"), "metadata.name must not contain dots: the cleanup function"),
    "a dotted function": (
        put(function={"name": "a.b"}),
        "spec.function.name may contain only letters, digits, hyphens and underscores",
    ),
    "a table's ARN": (
        put(table={"name": "arn:aws:dynamodb:us-east-1:123456789012:table/x"}),
        "spec.table.name may contain only letters, digits, underscores, hyphens and dots",
    ),
    "a bucket in capitals": (put(bucket={"name": "HumanGov"}), "spec.bucket.name may contain only lower-case letters"),
    "a region in words": (put(region="Ohio"), "spec.region must be the code of an AWS region, such as us-east-1"),
    "the sweep's prefix": (put(bucket={"keyPrefix": ".humangov/x"}), "must not begin with .humangov/ or aws/lambda/"),
    "Lambda's prefix": (put(bucket={"keyPrefix": "aws/lambda/"}), "must not begin with .humangov/ or aws/lambda/"),
    "AWS's tags": (put(tags={"aws:x": "value"}), "keys beginning with aws: or humangov.io/ are reserved"),
    "our tags": (put(tags={"humangov.io/tenant": "x"}), "keys beginning with aws: or humangov.io/ are reserved"),
    "an empty tag": (put(tags={"": "x"}), "a tag's key has 1 to 128 characters"),
    "a tag in brackets": (put(tags={"a": "<b>"}), "AWS allows letters, digits, spaces and _ . : / = + - @"),
    "a key by its alias": (put(logs={"kmsKeyARN": "alias/logs"}), "spec.logs.kmsKeyARN must be the ARN of a KMS key"),
    "a role's name": (put(account={"sweepRoleARN": "sweep"}), "sweepRoleARN must be the ARN of an IAM role"),
    "another role's name": (put(account={"roleARN": "tenant"}), "account.roleARN must be the ARN of an IAM role"),
    "an ID for no role": (put(account={"externalID": "x1"}), "externalID requires roleARN or sweepRoleARN"),
    "a schedule's macro": (
        put(sweep={"schedule": "@daily"}),
        "spec.sweep.schedule must be in cron format with five fields",
    ),
    "six fields of cron": (
        put(sweep={"schedule": "0 17 3 * * *"}),
        "spec.sweep.schedule must be in cron format with five fields",
    ),
    "a schedule's own zone": (
        put(sweep={"schedule": "TZ=UTC 17 3 * * *"}),
        "spec.sweep.schedule must be in cron format with five",
    ),
    "the node's zone": (put(sweep={"timeZone": "Local"}), "spec.sweep.timeZone must be the name of a time zone"),
    "an age of 30 s": (put(sweep={"minimumAge": "30s"}), "spec.sweep.minimumAge must be a number with m, h or d"),
    "an age of 366 days": (put(sweep={"minimumAge": "366d"}), "spec.sweep.minimumAge must be a number with m, h or d"),
    "confirmed too late": (put(sweep={"confirmAfter": "14d"}), "spec.sweep.confirmAfter must be a number with"),
    "confirmed at once": (put(sweep={"confirmAfter": "0m"}), "a number with m, h or d, such as 20h: at least 1m"),
    "an age of 0 min": (put(sweep={"minimumAge": "0m"}), "a number with m, h or d, such as 24h: at least 1m"),
    "Sunday as 7": (
        put(sweep={"schedule": "0 0 * * 7"}),
        "spec.sweep.schedule is not valid: the day of the week must be 0 (Sunday) to 6 or SUN to SAT",
    ),
    "31 February": (put(sweep={"schedule": "0 0 31 2 *"}), "spec.sweep.schedule must occur at least once a year"),
    "a zone's abbreviation": (put(sweep={"timeZone": "CST"}), "not an abbreviation such as CST"),
    "names that a sweep still needs": (put(sweep={"namesRetentionDays": 14}), "spec.sweep.namesRetentionDays"),
    "no orphan at all": (put(sweep={"maximumOrphanPercent": 0}), "spec.sweep.maximumOrphanPercent"),
    "no pattern": (put(sweep={"include": []}), "spec.sweep.include"),
}  # fmt: skip


def refused(ask: Callable[[], Any]) -> str:
    """What the API server says; kubectl prints it as it is. Fails if it does not refuse."""
    with pytest.raises(ApiException) as error:
        ask()
    assert error.value.status == 422, error.value.body
    return str(json.loads(error.value.body or "{}")["message"])


@pytest.mark.parametrize("case", SAFETY_CHECK_FAILED)
def test_api_server_refuses_a_bad_manifest_and_says_why(states: States, name: str, case: str) -> None:
    change, sentence = SAFETY_CHECK_FAILED[case]
    manifest = minimal(states, name)
    change(manifest)
    assert sentence in refused(lambda: states.create(manifest))
    assert states.get(manifest["metadata"]["name"]) is None


# Kubernetes' own words, and ours: kubectl prints both.
@pytest.mark.parametrize("case", ["no table name", "a dotted name"])
def test_kubectl_apply_prints_why_a_manifest_is_refused(states: States, name: str, case: str) -> None:
    change, sentence = SAFETY_CHECK_FAILED[case]
    manifest = minimal(states, name)
    change(manifest)
    assert sentence in states.apply_refused(manifest)
    assert states.get(manifest["metadata"]["name"]) is None


def test_strict_validation_refuses_a_misspelled_field_by_its_path(states: States, name: str) -> None:
    manifest = minimal(states, name, trigger={"batchsize": 5}, retentionDays=30)
    said = states.apply_refused(manifest, "--validate=strict")
    assert 'unknown field "spec.trigger.batchsize"' in said
    assert 'unknown field "spec.retentionDays"' in said
    said = states.apply_refused(manifest, "--server-side")  # which stops at the first
    assert re.search(r"\.spec\.(retentionDays|trigger\.batchsize): field not declared in schema", said)


NEVER_ITS_REGION = "spec.region is immutable: the AWS resources already exist"
NEVER_ITS_FUNCTION = "spec.function.name is immutable: the function already exists"
NEVER_ITS_ACCOUNT = "spec.account is immutable: the AWS resources already exist"
SWEEPER = {"sweepRoleARN": "arn:aws:iam::123456789012:role/sweep"}
FIXED: Mapping[str, tuple[dict[str, Any], Change, str]] = {
    "table renamed": ({}, put(table={"name": "humangov-nevada-dynamodb"}), "spec.table is immutable"),
    "attributes changed": ({}, put(table={"fileAttributes": ["cv"]}), "spec.table is immutable"),
    "bucket changed": ({}, put(bucket={"name": "another-bucket"}), "spec.bucket is immutable"),
    "prefix changed": ({}, put(bucket={"keyPrefix": "x/"}), "spec.bucket is immutable"),
    "region added": ({}, put(region="us-west-2"), NEVER_ITS_REGION),
    "region changed": ({"region": "us-east-1"}, put(region="us-west-2"), NEVER_ITS_REGION),
    "region removed": ({"region": "us-east-1"}, drop("region"), NEVER_ITS_REGION),
    "account added": ({}, put(account=SWEEPER), NEVER_ITS_ACCOUNT),
    "external ID added": ({"account": SWEEPER}, put(account={"externalID": "x1"}), NEVER_ITS_ACCOUNT),
    "account removed": ({"account": SWEEPER}, drop("account"), NEVER_ITS_ACCOUNT),
    "function named": ({}, put(function={"name": "f"}), NEVER_ITS_FUNCTION),
    "function renamed": ({"function": {"name": "f"}}, put(function={"name": "g"}), NEVER_ITS_FUNCTION),
    "function's name removed": ({"function": {"name": "f"}}, drop("function", "name"), NEVER_ITS_FUNCTION),
    "function removed": ({"function": {"name": "f"}}, drop("function"), NEVER_ITS_FUNCTION),
}  # fmt: skip


@pytest.mark.parametrize("case", FIXED)
def test_immutable_spec_fields_cannot_be_changed(states: States, name: str, case: str) -> None:
    before, change, sentence = FIXED[case]
    created = states.create(minimal(states, name, **before))
    changed = minimal(states, name, **before)
    change(changed)
    changed["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]
    assert sentence in refused(lambda: states.replace(changed))
    assert states.get(name) == created


def test_kubectl_apply_prints_which_field_is_immutable(states: States, name: str) -> None:
    before, change, sentence = FIXED["function removed"]
    manifest = minimal(states, name, **before)
    states.kubectl_apply(manifest)
    created = states.get(name)
    change(manifest)
    assert sentence in states.apply_refused(manifest)
    assert states.get(name) == created


def test_mutable_spec_fields_can_be_changed(states: States, name: str) -> None:
    states.kubectl_apply(minimal(states, name))
    states.kubectl_apply(
        minimal(
            states, name, trigger={"enabled": False, "batchSize": 7}, logs={"retentionDays": 30}, suspend=True,
            function={"memoryMiB": 1024, "reservedConcurrency": 2}, tags={"team": "records"}, deletionPolicy="Retain",
        )
    )  # fmt: skip
    found = states.get(name)
    assert found is not None
    assert found["metadata"]["generation"] == 2
    assert found["spec"]["trigger"]["batchSize"] == 7
    assert found["spec"]["deletionPolicy"] == "Retain"


def test_the_shortest_manifest_gets_every_default(states: States, name: str) -> None:
    states.kubectl_apply(minimal(states, name))
    found = states.get(name)
    assert found is not None
    assert found["spec"] == {
        "table": {"name": "humangov-california-dynamodb", "fileAttributes": ["pdf"], "fileNames": "Unique"},
        "bucket": {"name": "humangov-california-s3-zsmb", "keyPrefix": ""},
        "function": {"runtime": "python3.13", "architecture": "arm64", "memoryMiB": 512, "timeoutSeconds": 300},
        "trigger": {
            "enabled": True, "batchSize": 1000, "batchingWindowSeconds": 0,
            "maximumRetryAttempts": 10, "maximumRecordAgeSeconds": 43200, "maximumErasuresPerHour": 20000,
        },
        "logs": {"retentionDays": 400, "onDelete": "Delete"},
        "failures": {},
        "sweep": {
            "timeZone": "Etc/UTC", "suspend": False, "mode": "Detect", "include": ["*.pdf"],
            "minimumAge": "24h", "confirmAfter": "20h", "maximumOrphanPercent": 20, "maximumErasures": 10000,
                "namesRetentionDays": 30,
        },
        "adoption": "Never",
        "deletionPolicy": "Delete",
        "suspend": False,
    }  # fmt: skip


def test_a_name_of_43_characters_is_the_longest(states: States) -> None:
    longest = f"s-{secrets.token_hex(3)}".ljust(43, "x")
    states.kubectl_apply(minimal(states, longest))
    assert states.get(longest) is not None


STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "functionName": "humangov-california-delete-file",
    "aws": {"accountID": "123456789012", "region": "us-gov-west-1", "cluster": "c"},
    "conditions": [
        {
            "type": kind, "status": status, "reason": reason, "message": "as it is",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        }
        for kind, status, reason in (("Ready", "True", "InSync"), ("TriggerReady", "True", "Enabled"))
    ],
}  # fmt: skip


def with_status(states: States, name: str) -> None:
    states.kubectl_apply(minimal(states, name))
    states.cluster.output(
        "patch", "hgs", name, "-n", states.namespace, "--subresource=status", "--type=merge",
        f"--patch={json.dumps({'status': STATUS})}",
    )  # fmt: skip


def test_kubectl_get_prints_its_columns_and_o_wide_the_names(states: States, name: str) -> None:
    with_status(states, name)
    header, row = states.cluster.output("get", "hgs", name, "-n", states.namespace).splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "STOPPED", "TRIGGER", "ORPHANS", "LAST-SWEEP", "AGE"]
    assert row.split()[:4] == [name, "True", "InSync", "Enabled"]
    header, row = states.cluster.output("get", "hgs", name, "-n", states.namespace, "-o", "wide").splitlines()
    wide = ["TABLE", "BUCKET", "FUNCTION", "REGION"]
    assert header.split() == ["NAME", "READY", "REASON", "STOPPED", "TRIGGER", "ORPHANS", "LAST-SWEEP", *wide, "AGE"]
    assert row.split()[4:8] == [
        "humangov-california-dynamodb",
        "humangov-california-s3-zsmb",
        "humangov-california-delete-file",
        "us-gov-west-1",
    ]


def test_resource_is_found_by_short_name_and_in_the_category_aws(states: States, name: str) -> None:
    states.kubectl_apply(minimal(states, name))
    for word in ("hgs", "aws", "humangovstate", "humangovstates", "humangovstates.humangov.io"):
        assert f"humangovstate.humangov.io/{name}" in states.cluster.output(
            "get", word, "-n", states.namespace, "-o", "name"
        )


def test_spec_writes_do_not_change_status_nor_status_writes_spec(states: States, name: str) -> None:
    with_status(states, name)
    forged = {"spec": {"suspend": True}, "status": {"functionName": "forged"}}
    assert states.patch(name, forged)["status"]["functionName"] == "humangov-california-delete-file"
    answer = states.cluster.api.patch_namespaced_custom_object_status(
        "humangov.io", "v1", states.namespace, "humangovstates", name,
        {"spec": {"suspend": False}, "status": {"functionName": "seen"}, "metadata": {"labels": {"a": "b"}}},
        _content_type="application/merge-patch+json",
    )  # fmt: skip
    assert answer["spec"]["suspend"] is True
    assert answer["status"]["functionName"] == "seen"
    assert states.create(minimal(states, f"{name}-2") | {"status": STATUS})["status"] == {"observedGeneration": -1}


def test_condition_requires_its_fields_and_a_valid_status(states: States, name: str) -> None:
    states.kubectl_apply(minimal(states, name))
    whole: dict[str, Any] = {**STATUS["conditions"][0]}
    for broken in (
        {**whole, "status": "Perhaps"},
        {**whole, "reason": ""},
        *({key: value for key, value in whole.items() if key != missing} for missing in ("message", "reason")),
    ):
        with pytest.raises(ApiException, match="422"):
            states.cluster.api.patch_namespaced_custom_object_status(
                "humangov.io", "v1", states.namespace, "humangovstates", name,
                {"status": {"conditions": [broken]}}, _content_type="application/merge-patch+json",
            )  # fmt: skip


def test_two_field_managers_share_the_conditions_of_one_status(states: States, name: str) -> None:
    """The operator's conditions and, later, the sweep's: server-side apply merges the list by type."""
    states.kubectl_apply(minimal(states, name))
    moment = "2026-01-01T00:00:00Z"

    def write(manager: str, kind: str, status: str) -> None:
        one = {"type": kind, "status": status, "reason": "R", "message": "m", "lastTransitionTime": moment}
        states.cluster.api.patch_namespaced_custom_object_status(
            "humangov.io", "v1", states.namespace, "humangovstates", name,
            {
                "apiVersion": "humangov.io/v1", "kind": "HumanGovState", "metadata": {"name": name},
                "status": {"conditions": [one]},
            },
            field_manager=manager, force=True, _content_type="application/apply-patch+yaml",
        )  # fmt: skip

    write("humangov-operator", "Ready", "True")
    write("humangov-sweep", "SweepSucceeded", "True")
    write("humangov-operator", "Ready", "False")
    found = states.get(name)
    assert condition(found, "Ready")["status"] == "False"
    assert condition(found, "SweepSucceeded")["status"] == "True"


def test_every_field_has_a_description_that_is_a_sentence(cluster: Cluster) -> None:
    definition = cluster.api.get_cluster_custom_object(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "humangovstates.humangov.io"
    )
    (version,) = definition["spec"]["versions"]
    poor = list(_undescribed(version["schema"]["openAPIV3Schema"], "", top=True))
    assert poor == []


def _undescribed(schema: Mapping[str, Any], path: str, *, top: bool = False) -> Iterator[str]:
    for name, inner in (schema.get("properties") or {}).items():
        if top and name in ("apiVersion", "kind", "metadata"):
            continue  # Kubernetes' own, and described by it
        text = inner.get("description", "")
        if (
            len(text) < 12
            or not text.rstrip().endswith((".", "!", "?"))
            or not (text[0].isupper() or text.startswith("true "))
        ):
            yield f"{path}.{name}: {text!r}"
        yield from _undescribed(inner, f"{path}.{name}")
    if "items" in schema:
        yield from _undescribed(schema["items"], f"{path}[]")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("hgs", ["HumanGovState declares one tenant", "never deleted"]),
        ("hgs.spec", ["table", "-required-", "deletionPolicy", "enum: Delete, Retain"]),
        (
            "hgs.spec.trigger",
            ["event source mapping", "batchSize", "The maximum number of records", "humangov stop", "24 hours"],
        ),
        ("hgs.spec.trigger.enabled", ["<boolean>", "nothing is lost"]),
        ("hgs.spec.function", ["memoryMiB", "Memory in MiB", "runtime"]),
        ("hgs.spec.logs.retentionDays", ["How many days", "400"]),
        ("hgs.status.conditions", ["Ready, Reconciling and Stalled summarize", "reason"]),
    ],
)
def test_kubectl_explain_describes_every_documented_field(cluster: Cluster, path: str, words: list[str]) -> None:
    said = " ".join(cluster.output("explain", path).split())
    assert "<no description>" not in said.partition("FIELDS:")[0]
    missing = [word for word in words if " ".join(word.split()) not in said]
    assert missing == [], said


def test_definition_is_established_and_structural(cluster: Cluster) -> None:
    definition = cluster.api.get_cluster_custom_object(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "humangovstates.humangov.io"
    )
    conditions = {one["type"]: one["status"] for one in definition["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions
