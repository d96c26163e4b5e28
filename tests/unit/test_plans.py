"""plan() of each AWS resource, and what `apply` is left to do: every drift gives exactly the named change.

Runs on nothing. That AWS takes the changes is shown in tests/aws, on an emulator.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from humangov.api.names import Names
from humangov.aws import (
    bucket,
    function,
    function_changes,
    function_observed,
    log_group,
    resources,
    role,
    stream,
    stream_observed,
    trigger,
    trigger_mappings,
)
from humangov.aws import policy as policy_of
from humangov.aws.change import Change
from humangov.aws.event_source_mapping import NOT_USED, HiddenFilters, MappingObserved
from humangov.aws.other_copies import Lifecycle, OtherCopies
from humangov.aws.ownership import NotOwnedError, shown
from humangov.bundle import Bundle
from hypothesis import given
from hypothesis import strategies as st

from testing.samples import LABEL, MINE, NOT_OWNED, NOW, OWNER, context, names

CODE = Bundle(zip=b"zip", code_sha256="sha", handler="h.h")
STREAM_ARN = f"arn:aws:dynamodb:us-east-1:123456789012:table/humangov-california-dynamodb/stream/{LABEL}"
OLD_ARN = STREAM_ARN.replace("T11", "T09")


def actions(changes: list[Change]) -> list[str]:
    return [change.action for change in changes]


# stream

TABLE = stream_observed.Observed(
    table_id="t", table_status="ACTIVE", enabled=True, view_type="NEW_AND_OLD_IMAGES", arn=STREAM_ARN, label=LABEL,
    kms_key_arn=None, tags={**MINE, "humangov.io/stream": LABEL}, stream_status="ENABLED",
)  # fmt: skip
OFF = replace(TABLE, enabled=False, view_type=None, arn=None, label=None, tags=None, stream_status=None)


def stream_plan(observed: stream_observed.Observed | None) -> list[Change]:
    return stream.plan(observed, stream.desired(names(), context()))


def test_disabled_stream_is_enabled_between_two_ownership_tags() -> None:
    changes = stream_plan(OFF)
    assert actions(changes) == ["dynamodb:TagResource", "dynamodb:UpdateTable", "dynamodb:TagResource"]
    assert changes[0].parameters["Tags"] == [
        {"Key": "humangov.io/stream-enabling", "Value": "2026-03-01T12:00:00+00:00"},
        {"Key": "humangov.io/tenant", "Value": OWNER},
    ]
    assert changes[1].parameters["StreamSpecification"] == {
        "StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES",
    }  # fmt: skip


@pytest.mark.parametrize(
    "observed",
    [None, TABLE, replace(OFF, table_status="CREATING"), replace(OFF, table_status="UPDATING"),
     replace(TABLE, view_type="KEYS_ONLY", tags={}), replace(TABLE, view_type="OLD_IMAGE", tags={}),
     replace(TABLE, tags=None), replace(TABLE, tags={})],
)  # fmt: skip
def test_enabled_or_unavailable_stream_needs_no_change(observed: stream_observed.Observed | None) -> None:
    assert stream_plan(observed) == []


def enabling(seconds_before_birth: float) -> dict[str, str]:
    born = stream_observed.born_at(LABEL)
    assert born is not None
    began = born - timedelta(seconds=seconds_before_birth)
    return {**MINE, "humangov.io/stream-enabling": began.isoformat(timespec="seconds")}


@pytest.mark.parametrize(("before", "owned"), [(-5, True), (-6, False), (0, True), (30, True), (31, False)])
def test_stream_enabled_just_after_the_enabling_tag_is_owned_and_tagged(before: float, owned: bool) -> None:
    changes = stream_plan(replace(TABLE, tags=enabling(before)))
    assert actions(changes) == (["dynamodb:TagResource"] if owned else [])
    if owned:
        assert changes[0].parameters["Tags"] == [{"Key": "humangov.io/stream", "Value": LABEL}]


@pytest.mark.parametrize("table", [TABLE, OFF])
@pytest.mark.parametrize("tags", [tags for tags in NOT_OWNED if "humangov.io/tenant" in tags])
def test_table_owned_by_another_tenant_is_neither_tagged_nor_enabled(
    tags: dict[str, str], table: stream_observed.Observed
) -> None:
    with pytest.raises(NotOwnedError, match="already owned by"):
        stream_plan(replace(table, tags={**enabling(1), **tags}))


def test_stream_without_ownership_tag_is_used_and_never_tagged() -> None:
    began = {"humangov.io/stream-enabling": enabling(1)["humangov.io/stream-enabling"]}
    assert stream_plan(replace(TABLE, tags=began)) == []


def test_stream_of_a_global_table_is_never_disabled() -> None:
    owned = replace(TABLE, replicated=True)
    assert stream.may_disable(owned, names=names(), has_readers=lambda: False, now=NOW) is False
    assert stream.may_disable(TABLE, names=names(), has_readers=lambda: False, now=NOW) is True


def test_stream_that_someone_else_enabled_after_the_operators_is_not_owned() -> None:
    earlier = "2026-03-01T10:59:30.000"
    tags = {**enabling(40), "humangov.io/stream": earlier}
    assert stream_plan(replace(TABLE, tags=tags)) == []
    assert may_disable(tags) is False


def test_stream_re_enabled_before_a_crash_is_owned_despite_an_older_stream_label() -> None:
    older = "2026-03-01T12:00:00.000"  # of a moment before
    tags = {**enabling(1), "humangov.io/stream": older}
    tags["humangov.io/stream-enabling"] += f" {older}"
    assert actions(stream_plan(replace(TABLE, tags=tags))) == ["dynamodb:TagResource"]


def may_disable(tags: Mapping[str, str] | None, *, readers: bool = False, seconds: float = 3600) -> bool | None:
    born = stream_observed.born_at(LABEL)
    assert born is not None
    return stream.may_disable(
        replace(TABLE, tags=tags), names=names(), has_readers=lambda: readers, now=born + timedelta(seconds=seconds)
    )


OURS = {**MINE, "humangov.io/stream": LABEL}


@pytest.mark.parametrize(
    ("tags", "readers", "seconds", "may"),
    [
        (OURS, False, 1, True),
        (OURS, True, 1, False),
        (enabling(1), False, 1, True),
        ({}, False, 29, None),
        ({}, False, 31, False),
        (None, False, 31, False),
        ({"humangov.io/stream": LABEL}, False, 31, False),
        ({**OURS, "humangov.io/stream": "2026-01-01T00:00:00.000"}, False, 31, False),
        ({**OURS, "humangov.io/tenant": "other"}, False, 31, False),
    ],
)
def test_only_an_owned_stream_without_other_readers_may_be_disabled(
    tags: Mapping[str, str] | None, readers: bool, seconds: float, may: bool | None
) -> None:
    assert may_disable(tags, readers=readers, seconds=seconds) is may


@pytest.mark.parametrize(
    ("observed", "status", "reason"),
    [
        (None, "Unknown", "TableNotFound"),
        (replace(TABLE, table_status="CREATING"), "Unknown", "TableNotActive"),
        (OFF, "Unknown", "Enabling"),
        (replace(TABLE, stream_status="ENABLING"), "Unknown", "Enabling"),
        (TABLE, "True", "Enabled"),
        (replace(TABLE, stream_status=None), "True", "Enabled"),
        (replace(TABLE, view_type="OLD_IMAGE"), "True", "OldImagesOnly"),
        (replace(TABLE, view_type="KEYS_ONLY"), "False", "UnsupportedViewType"),
        (replace(TABLE, view_type="NEW_IMAGE"), "False", "UnsupportedViewType"),
    ],
)
def test_stream_finding_has_status_and_reason(
    observed: stream_observed.Observed | None, status: str, reason: str
) -> None:
    finding = stream.finding(observed, stream.desired(names(), context()))
    assert (finding.status, finding.reason) == (status, reason)


@pytest.mark.parametrize("label", [None, "", "x"])
def test_stream_label_that_is_no_time_has_no_creation_time(label: str | None) -> None:
    assert stream_observed.born_at(label) is None


# role


def role_desired(of: Names | None = None, *, boundary: str | None = None, key: str | None = None) -> role.Desired:
    used = of or names()
    return role.desired(used, context(used, boundary=boundary), table_key_arn=key)


def role_in_sync(wanted: role.Desired) -> role.Observed:
    return role.Observed(
        created=NOW, path="/humangov/", trust=wanted.trust, policy=wanted.policy, boundary=wanted.boundary,
        tags=dict(wanted.tags), other_policies=(), attached=(),
    )  # fmt: skip


ROLE_DRIFTS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"trust": "{}"}, ["iam:UpdateAssumeRolePolicy"]),
    ({"policy": "{}"}, ["iam:PutRolePolicy"]),
    ({"policy": None}, ["iam:PutRolePolicy"]),
    ({"other_policies": ("x", "y")}, ["iam:DeleteRolePolicy", "iam:DeleteRolePolicy"]),
    ({"attached": ("arn:x",)}, ["iam:DetachRolePolicy"]),
    ({"tags": MINE}, ["iam:TagRole"]),
    ({"tags": {**MINE, "team": "other"}}, ["iam:TagRole"]),
    ({"tags": {**MINE, "team": "r", "cost": "theirs"}}, []),
    ({"other_policies": None, "attached": None}, []),
    ({"boundary": "arn:theirs"}, []),
]


@pytest.mark.parametrize(("drift", "expected"), ROLE_DRIFTS)
def test_role_drift_is_corrected_with_exactly_the_needed_changes(drift: dict[str, Any], expected: list[str]) -> None:
    wanted = role_desired(names(tags={"team": "r"}))
    assert actions(role.plan(replace(role_in_sync(wanted), **drift), wanted)) == expected


def test_missing_role_is_created_with_its_policy() -> None:
    create, policy = role.plan(None, role_desired(boundary="arn:b"))
    assert (create.action, policy.action) == ("iam:CreateRole", "iam:PutRolePolicy")
    assert create.parameters["Path"] == "/humangov/"
    assert create.parameters["PermissionsBoundary"] == "arn:b"


def test_drifted_permissions_boundary_is_corrected() -> None:
    wanted = role_desired(boundary="arn:b")
    assert actions(role.plan(replace(role_in_sync(wanted), boundary=None), wanted)) == [
        "iam:PutRolePermissionsBoundary"
    ]


@pytest.mark.parametrize("tags", NOT_OWNED)
def test_unowned_role_is_refused(tags: dict[str, str]) -> None:
    wanted = role_desired()
    with pytest.raises(NotOwnedError):
        role.plan(replace(role_in_sync(wanted), tags=tags, policy=None), wanted)


PREFIXES = st.text(st.sampled_from("ab/*?$${}[]\\\"' é\n"), max_size=12)


@given(prefix=PREFIXES, key=st.none() | st.just("arn:aws:kms:us-east-1:1:key/k"))
def test_role_permissions_are_limited_to_the_tenant(prefix: str, key: str | None) -> None:
    of = names(bucket={"name": "the-bucket", "keyPrefix": prefix})
    policy = policy_of.cleanup_policy(of, table_key_arn=key)
    [denied] = [statement for statement in policy["Statement"] if statement["Effect"] == "Deny"]
    for statement in policy["Statement"]:
        if statement is denied:
            continue
        given_actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert statement["Effect"] == "Allow"
        assert isinstance(statement["Resource"], str)
        assert statement["Resource"] != "*" or given_actions == ["dynamodb:ListStreams"]
        assert "logs:CreateLogGroup" not in given_actions
        assert not any("*" in action for action in given_actions)
        assert "s3:GetObject" not in given_actions
        if statement["Sid"] == "SeeWhenFilesWereWritten":
            assert list(statement["Condition"]["StringLike"]) == ["s3:prefix"]
        # Each is for the function's code or for Lambda itself; only the table's key serves both.
        condition, code = statement.get("Condition", {}), {"lambda:SourceFunctionArn": of.function_arn}
        by_lambda, by_code = (
            condition.get("Null") == {"lambda:SourceFunctionArn": "true"},
            condition.get("ArnEqualsIfExists") == code,
        )
        assert by_lambda + by_code == (statement["Sid"] != "ReadEncryptedTable")
    resources = {statement["Sid"]: statement["Resource"] for statement in policy["Statement"]}
    assert resources["ReadStream"] == f"{of.table_arn}/stream/*"
    assert resources["LookAgainBeforeErasing"] == of.table_arn
    assert resources["WriteReceipts"] == f"{of.log_group_arn}:*"
    assert ("ReadEncryptedTable" in resources) == (key is not None)
    assert denied["Action"] == ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    assert all("*" in resource for resource in denied["Resource"])
    for reserved in (".humangov/claim.json", "aws/lambda/u/s/x", f"{prefix}.humangov/x", f"{prefix}aws/lambda/x"):
        assert any(iam_matches(resource, f"{of.bucket_arn}/{reserved}") for resource in denied["Resource"]), reserved
    assert json.loads(json.dumps(policy)) == policy


def iam_matches(pattern: str, text: str) -> bool:
    """As IAM does: variables of special characters are literal, `*` and `?` are wildcards, nothing else is."""
    out, at = "", 0
    while at < len(pattern):
        if pattern[at : at + 2] == "${":
            literal = pattern[at + 2]
            assert pattern[at + 3] == "}", "no variable but of one special character"
            assert literal in "*?$"
            out += f"[{literal}]"
            at += 4
        else:
            out += f"[{pattern[at]}]" if pattern[at] == "[" else pattern[at]
            at += 1
    return fnmatch.fnmatchcase(text, out)


@given(prefix=PREFIXES, key=PREFIXES)
def test_key_prefix_with_wildcards_does_not_widen_permissions(prefix: str, key: str) -> None:
    policy = policy_of.cleanup_policy(names(bucket={"name": "the-bucket", "keyPrefix": prefix}), table_key_arn=None)
    [erase] = [statement["Resource"] for statement in policy["Statement"] if statement["Sid"] == "EraseFiles"]
    [listing] = [
        statement["Condition"]["StringLike"]["s3:prefix"]
        for statement in policy["Statement"]
        if statement["Sid"] == "SeeWhenFilesWereWritten"
    ]
    start = "arn:aws:s3:::the-bucket/"
    assert erase.startswith(start)
    erasable = erase[len(start) :]
    assert iam_matches(erasable, key) == key.startswith(prefix)
    assert iam_matches(erasable, prefix + key)
    assert iam_matches(listing, key) == (key.startswith(prefix) and key != prefix)
    assert iam_matches(listing, prefix + "a")


INDEXES = [
    {"IndexName": "by-pdf", "IndexStatus": "ACTIVE", "KeySchema": [{"AttributeName": "pdf", "KeyType": "HASH"}]},
    {"IndexName": "by-state", "IndexStatus": "ACTIVE",
     "KeySchema": [{"AttributeName": "state", "KeyType": "HASH"}, {"AttributeName": "pdf", "KeyType": "RANGE"}]},
    {"IndexName": "by-scan", "IndexStatus": "ACTIVE", "KeySchema": [{"AttributeName": "scan", "KeyType": "HASH"}]},
    {"IndexName": "filling", "IndexStatus": "CREATING", "Backfilling": True,
     "KeySchema": [{"AttributeName": "pdf", "KeyType": "HASH"}]},
    {"IndexName": "going", "IndexStatus": "DELETING", "KeySchema": [{"AttributeName": "pdf", "KeyType": "HASH"}]},
    {"IndexName": "numbers", "IndexStatus": "ACTIVE", "KeySchema": [{"AttributeName": "n", "KeyType": "HASH"}]},
]  # fmt: skip
TYPES = {"id": "S", "pdf": "S", "state": "S", "scan": "S", "n": "N"}


def test_role_and_function_are_given_the_complete_indexes_whose_key_is_a_file_attribute() -> None:
    described = {
        "TableId": "t", "TableStatus": "ACTIVE", "GlobalSecondaryIndexes": INDEXES,
        "AttributeDefinitions": [{"AttributeName": one, "AttributeType": kind} for one, kind in TYPES.items()],
    }  # fmt: skip
    of = names(table={"name": "humangov-california-dynamodb", "fileAttributes": ["pdf", "n"]})

    wanted = resources.desired(context(of), {resources.STREAM: stream_observed.read(described, "a-table")}, bundle=CODE)

    variables = wanted[resources.FUNCTION].configuration["Environment"]["Variables"]
    assert json.loads(variables["HUMANGOV_FILE_INDEXES"]) == {"by-pdf": "pdf"}
    statements = json.loads(wanted[resources.ROLE].policy)["Statement"]
    [asking] = [one for one in statements if one["Action"] == "dynamodb:Query"]
    assert asking["Resource"] == f"{of.table_arn}/index/by-pdf"


def test_without_such_an_index_nothing_is_queried() -> None:
    wanted = resources.desired(context(names()), {resources.STREAM: TABLE}, bundle=CODE)

    assert "HUMANGOV_FILE_INDEXES" not in wanted[resources.FUNCTION].configuration["Environment"]["Variables"]
    assert "dynamodb:Query" not in wanted[resources.ROLE].policy


def test_only_lambda_may_assume_the_role() -> None:
    [statement] = policy_of.trust_policy()["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


# log group

GROUP = log_group.Observed(retention_days=400, kms_key_arn=None, tags={**MINE, "team": "r"})
KEY = "arn:aws:kms:us-east-1:123456789012:key/k"


def group_desired(**logs: Any) -> log_group.Desired:
    of = names(tags={"team": "r"}, logs=logs)
    return log_group.desired(of, context(of))


@pytest.mark.parametrize(
    ("drift", "logs", "expected"),
    [
        ({}, {}, []),
        ({"retention_days": 1}, {}, ["logs:PutRetentionPolicy"]),
        ({"retention_days": None}, {}, ["logs:PutRetentionPolicy"]),
        ({"tags": MINE}, {}, ["logs:TagResource"]),
        ({"tags": None}, {}, []),
        ({"kms_key_arn": "arn:x"}, {}, ["logs:DisassociateKmsKey"]),
        ({}, {"kmsKeyARN": KEY}, ["logs:AssociateKmsKey"]),
        ({"kms_key_arn": "arn:x"}, {"kmsKeyARN": KEY}, ["logs:AssociateKmsKey"]),
    ],
)
def test_log_group_drift_is_corrected_with_exactly_the_needed_changes(
    drift: dict[str, Any], logs: dict[str, Any], expected: list[str]
) -> None:
    assert actions(log_group.plan(replace(GROUP, **drift), group_desired(**logs))) == expected


def test_missing_log_group_is_created_with_retention_and_key() -> None:
    create, retention = log_group.plan(None, group_desired(kmsKeyARN=KEY, retentionDays=7))
    assert create.parameters["kmsKeyId"] == KEY
    assert retention.parameters["retentionInDays"] == 7


@pytest.mark.parametrize("tags", NOT_OWNED)
def test_unowned_log_group_is_refused(tags: dict[str, str]) -> None:
    with pytest.raises(NotOwnedError):
        log_group.plan(replace(GROUP, tags=tags, retention_days=1), group_desired())


# function


def function_desired(**spec: Any) -> function_changes.Desired:
    of = names(tags={"team": "r"}, **spec)
    return function.desired(of, context(of), bundle=CODE)


def function_in_sync(wanted: function_changes.Desired) -> function_observed.Observed:
    return function_observed.Observed(
        state="Active", state_reason="", update_status="Successful", update_reason="", code_sha256="sha",
        architecture=wanted.architecture, configuration={**function_observed.NOT_USED, **wanted.configuration},
        reserved_concurrency=wanted.reserved_concurrency, tags=dict(wanted.tags),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("drift", "expected"),
    [
        ({}, []),
        ({"code_sha256": "other"}, ["lambda:UpdateFunctionCode"]),
        ({"architecture": "x86_64"}, ["lambda:UpdateFunctionCode"]),
        ({"reserved_concurrency": 0}, ["lambda:DeleteFunctionConcurrency"]),
        ({"tags": MINE}, ["lambda:TagResource"]),
        ({"tags": {**MINE, "team": "r", "more": "x"}}, []),
        ({"tags": None, "code_sha256": "other"}, []),
        ({"state": "Pending", "code_sha256": "other"}, []),
        ({"update_status": "InProgress", "code_sha256": "other"}, []),
        ({"state": "Inactive"}, []),
    ],
)
def test_function_drift_is_corrected_with_exactly_the_needed_changes(
    drift: dict[str, Any], expected: list[str]
) -> None:
    wanted = function_desired()
    assert actions(function.plan(replace(function_in_sync(wanted), **drift), wanted)) == expected


@pytest.mark.parametrize("field", list(function_desired().configuration))
def test_each_drifted_function_setting_is_corrected_alone(field: str) -> None:
    wanted = function_desired()
    observed = function_in_sync(wanted)
    drifted = replace(observed, configuration={**observed.configuration, field: None})
    [change] = function.plan(drifted, wanted)
    assert change.action == "lambda:UpdateFunctionConfiguration"
    assert change.parameters == {"FunctionName": wanted.names.tenant.function.name, field: wanted.configuration[field]}


def test_environment_values_are_never_shown_in_a_change() -> None:
    wanted = function_desired()
    observed = function_in_sync(wanted)
    secret = {"Variables": {**observed.configuration["Environment"]["Variables"], "PASSWORD": "hunter2"}}
    [change] = function.plan(replace(observed, configuration={**observed.configuration, "Environment": secret}), wanted)
    assert "PASSWORD" in change.summary
    assert "hunter2" not in change.summary + repr(change)


def test_missing_function_is_created_and_its_concurrency_reserved() -> None:
    create, concurrency = function.plan(None, function_desired(function={"reservedConcurrency": 3}))
    assert create.action == "lambda:CreateFunction"
    assert create.parameters["Code"] == {"ZipFile": b"zip"}
    assert concurrency.parameters["ReservedConcurrentExecutions"] == 3


@pytest.mark.parametrize("tags", NOT_OWNED)
def test_unowned_function_is_refused(tags: dict[str, str]) -> None:
    wanted = function_desired()
    with pytest.raises(NotOwnedError):
        function.plan(replace(function_in_sync(wanted), tags=tags, state="Pending"), wanted)


@pytest.mark.parametrize(
    ("drift", "status", "reason"),
    [
        ({}, "True", "InSync"),
        ({"tags": None}, "Unknown", "TagsUnavailable"),
        ({"state": "Pending"}, "Unknown", "Pending"),
        ({"update_status": "InProgress"}, "Unknown", "Updating"),
        ({"state": "Failed"}, "False", "FunctionFailed"),
        ({"update_status": "Failed", "update_reason": "because"}, "False", "FunctionFailed"),
    ],
)
def test_function_finding_has_status_and_reason(drift: dict[str, Any], status: str, reason: str) -> None:
    wanted = function_desired()
    finding = function.finding(replace(function_in_sync(wanted), **drift), wanted)
    assert (finding.status, finding.reason) == (status, reason)


# trigger


def trigger_desired(
    *, stream_arn: str | None = STREAM_ARN, age_hours: float = 1, **spec: Any
) -> trigger_mappings.Desired:
    of = names(tags={"team": "r"}, **spec)
    table = replace(TABLE, arn=stream_arn, label=LABEL if stream_arn else None)
    born = stream_observed.born_at(LABEL)
    assert born is not None
    return trigger.desired(of, context(of, now=born + timedelta(hours=age_hours)), table=table)


def mapping(uuid: str = "m", *, source: str = STREAM_ARN, state: str = "Enabled", **more: Any) -> MappingObserved:
    configuration = {**NOT_USED, **trigger_desired().configuration, "Enabled": state in ("Enabled", "Creating")}
    configuration |= more.pop("configuration", {})
    return MappingObserved(
        uuid=uuid, arn=f"arn:{uuid}", source_arn=source, state=state, configuration=configuration,
        **{"tags": {**MINE, "team": "r"}, **more},
    )  # fmt: skip


def trigger_plan(*mappings: MappingObserved, wanted: trigger_mappings.Desired | None = None) -> list[Change]:
    return trigger.plan(trigger_mappings.Observed(mappings=mappings), wanted or trigger_desired())


def test_trigger_in_sync_needs_no_change() -> None:
    assert trigger_plan(mapping()) == []


def test_missing_trigger_is_created_at_trim_horizon() -> None:
    [change] = trigger_plan()
    assert change.action == "lambda:CreateEventSourceMapping"
    assert change.parameters["StartingPosition"] == "TRIM_HORIZON"
    assert change.parameters["EventSourceArn"] == STREAM_ARN


@pytest.mark.parametrize("field", [*trigger_desired().configuration, *NOT_USED])
def test_each_drifted_trigger_setting_is_corrected_alone(field: str) -> None:
    wanted = trigger_desired()
    other = {"Filters": []} if field == "FilterCriteria" else "other"
    [change] = trigger_plan(mapping(configuration={field: other}))
    assert change.action == "lambda:UpdateEventSourceMapping"
    name = wanted.names.tenant.function.name
    declared = {**NOT_USED, **wanted.configuration}
    assert change.parameters == {"UUID": "m", "FunctionName": name, field: declared[field]}


@pytest.mark.parametrize("state", ["Creating", "Enabling", "Disabling", "Updating", "Deleting"])
def test_trigger_with_a_change_in_progress_is_left_alone(state: str) -> None:
    assert trigger_plan(mapping(state=state, configuration={"BatchSize": 1})) == []


def test_encrypted_trigger_filters_are_no_drift() -> None:
    hidden = HiddenFilters(key_arn="k", permission="kms:Decrypt", text="")
    unlike = {"FilterCriteria": {"Filters": []}, "KMSKeyArn": "k"}
    assert trigger_plan(mapping(configuration=unlike, hidden_filters=hidden)) == []


def test_removed_trigger_tag_is_restored_and_unread_tags_are_no_drift() -> None:
    assert actions(trigger_plan(mapping(tags=MINE))) == ["lambda:TagResource"]
    assert trigger_plan(mapping(tags=None)) == []


def test_owned_duplicate_trigger_is_deleted_and_an_unowned_one_is_kept() -> None:
    [change] = trigger_plan(mapping("a"), mapping("b"))
    assert (change.action, change.parameters["UUID"]) == ("lambda:DeleteEventSourceMapping", "b")
    assert trigger_plan(mapping("a"), mapping("b", tags={})) == []
    assert trigger_plan(mapping("a"), mapping("b", tags=None)) == []
    assert trigger_plan(mapping("a"), mapping("b", state="Deleting")) == []


def test_owned_trigger_is_preferred_to_an_unowned_one() -> None:
    assert trigger_plan(mapping("a", tags={}), mapping("b")) == []
    assert trigger_plan(mapping("a", state="Deleting"), mapping("b")) == []


@pytest.mark.parametrize(("age_hours", "deleted"), [(0, False), (23.9, False), (24.1, True)])
def test_trigger_of_an_older_stream_is_kept_24_hours_and_then_deleted(age_hours: float, deleted: bool) -> None:
    changes = trigger_plan(mapping("new"), mapping("old", source=OLD_ARN), wanted=trigger_desired(age_hours=age_hours))
    assert [(change.action, change.parameters["UUID"]) for change in changes] == (
        [("lambda:DeleteEventSourceMapping", "old")] if deleted else []
    )


def test_trigger_of_an_older_stream_invokes_no_alias_and_sends_what_fails_nowhere_else() -> None:
    wanted = trigger_desired(age_hours=1)
    elsewhere = {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:999999999999:theirs"}}}
    old = mapping("old", source=OLD_ARN, qualifier="live", configuration={**elsewhere, "BatchSize": 1})
    [change] = trigger_plan(mapping("new"), old, wanted=wanted)
    assert change.opened
    name, declared = wanted.names.tenant.function.name, wanted.configuration["DestinationConfig"]
    assert change.parameters == {"UUID": "old", "FunctionName": name, "DestinationConfig": declared}


def test_triggers_of_older_streams_are_disabled_too() -> None:
    wanted = trigger_desired(trigger={"enabled": False})
    changes = trigger_plan(mapping("new"), mapping("old", source=OLD_ARN), wanted=wanted)
    assert {(change.parameters["UUID"], change.parameters["Enabled"]) for change in changes} == {
        ("new", False), ("old", False),
    }  # fmt: skip
    back = trigger_plan(mapping("new", state="Disabled"), mapping("old", source=OLD_ARN, state="Disabled"))
    assert {change.parameters["Enabled"] for change in back} == {True}


def test_trigger_is_disabled_without_a_known_stream() -> None:
    wanted = trigger_desired(stream_arn=None, trigger={"enabled": False})
    [change] = trigger_plan(mapping(), wanted=wanted)
    assert change.parameters["Enabled"] is False


@pytest.mark.parametrize(
    "source",
    ["arn:aws:sqs:us-east-1:123456789012:q", STREAM_ARN.replace("dynamodb/stream", "dynamodb-2/stream"),
     STREAM_ARN.replace("humangov-california", "humangov-florida")],
)  # fmt: skip
def test_event_source_mapping_of_another_source_is_reported_and_kept(source: str) -> None:
    foreign = mapping("f", source=source, tags=MINE, configuration={"BatchSize": 1})
    wanted = trigger_desired(age_hours=48)
    assert trigger_plan(mapping(), foreign, wanted=wanted) == []
    finding = trigger.finding(trigger_mappings.Observed(mappings=(mapping(), foreign)), wanted)
    assert finding.status == "True"
    assert "f invokes the function from another source" in finding.message


@pytest.mark.parametrize(
    ("mappings", "enabled", "status", "reason"),
    [
        ((), True, "Unknown", "NotFound"),
        ((mapping(),), True, "True", "Enabled"),
        ((mapping(state="Disabled"),), False, "True", "Disabled"),
        ((mapping(state="Disabled"),), True, "Unknown", "Updating"),
        ((mapping(),), False, "Unknown", "Updating"),
        ((mapping(state="Creating"),), True, "Unknown", "Creating"),
        ((mapping("old", source=OLD_ARN),), True, "Unknown", "NotFound"),
    ],
)
def test_trigger_finding_has_status_and_reason(
    mappings: tuple[MappingObserved, ...], enabled: bool, status: str, reason: str
) -> None:
    finding = trigger.finding(
        trigger_mappings.Observed(mappings=mappings), trigger_desired(trigger={"enabled": enabled})
    )
    assert (finding.status, finding.reason) == (status, reason)


def test_trigger_message_includes_lambdas_last_processing_result() -> None:
    ill = mapping(problem="PROBLEM: Function call failed")
    finding = trigger.finding(trigger_mappings.Observed(mappings=(ill,)), trigger_desired())
    assert "PROBLEM: Function call failed" in finding.message


# bucket


def bucket_with(*, versioning: str | None, region: str = "us-east-1") -> bucket.Observed:
    copies = OtherCopies(replicas=(), lifecycle=Lifecycle(), backup=None)
    return bucket.Observed(region=region, versioning=versioning, copies=copies)


@pytest.mark.parametrize(
    ("observed", "status", "reason"),
    [
        (None, "Unknown", "BucketNotFound"),
        (bucket_with(versioning=None), "True", "Available"),
        (bucket_with(versioning="Enabled"), "True", "Versioned"),
        (bucket_with(versioning="Suspended"), "True", "Versioned"),
        (bucket_with(versioning=None, region="eu-west-1"), "False", "RegionMismatch"),
    ],
)
def test_bucket_finding_has_status_and_reason(observed: bucket.Observed | None, status: str, reason: str) -> None:
    finding = bucket.finding(observed, names())
    assert (finding.status, finding.reason) == (status, reason)


@pytest.mark.parametrize(
    ("owner", "reported"),
    [
        ("here/florida/x", "here/florida/x"), ("there/florida/x", "there/florida/x"),
        ("here/california/x", "a HumanGovState of another namespace"),
        ("nonsense", "a HumanGovState of another namespace"), ("a/florida/b/c", "a HumanGovState of another namespace"),
    ],
)  # fmt: skip
def test_owner_is_named_only_to_the_readers_of_its_namespace(owner: str, reported: str) -> None:
    assert shown(owner, namespace="florida") == reported
