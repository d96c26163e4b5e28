"""Bulk reads: what a snapshot confirms is so, whatever the listings leave out, repeat, invent or fail at.

The listings are answers in AWS's form, in pages, and a lie is told in one of them. It runs on nothing; that a lie leads
to no wrong write is shown by whole reconciliations (tests/aws/test_bulk_reads.py). How late AWS's listings are, no test
can show.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from humangov.api.names import Names
from humangov.aws import (
    event_source_mapping,
    function_observed,
    log_group,
    role,
    stream_observed,
    trigger_mappings,
)
from humangov.aws.bulk import read
from humangov.aws.bulk.snapshot import Snapshot, wanted
from humangov.aws.bulk.verdict import Confirmation, judge
from humangov.aws.change import as_json
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.resources import FUNCTION, LOG_GROUP, ROLE, STREAM, TRIGGER, Observations
from hypothesis import given, settings
from hypothesis import strategies as st

from testing.samples import LABEL, names, tenant

CALIFORNIA, NEVADA = names(), names(of=tenant("nevada"))
BOTH = (CALIFORNIA, NEVADA)
PART_OF = {
    read.FUNCTIONS: FUNCTION, read.MAPPINGS: TRIGGER, read.ROLES: ROLE, read.LOG_GROUPS: LOG_GROUP, read.TAGS: None,
}  # fmt: skip
ITEMS = {
    read.FUNCTIONS: "Functions", read.MAPPINGS: "EventSourceMappings", read.ROLES: "Roles",
    read.LOG_GROUPS: "logGroups", read.TAGS: "ResourceTagMappingList",
}  # fmt: skip
TOKENS = {
    read.FUNCTIONS: ("NextMarker", "Marker"), read.MAPPINGS: ("NextMarker", "Marker"),
    read.ROLES: ("Marker", "Marker"), read.LOG_GROUPS: ("nextToken", "nextToken"),
    read.TAGS: ("PaginationToken", "PaginationToken"),
}  # fmt: skip
PARTS = {ROLE, LOG_GROUP, FUNCTION, TRIGGER}
MOMENT = datetime(2026, 3, 1, 11, tzinfo=UTC)
VALID_SECONDS = 900.0


def function(of: Names) -> dict[str, Any]:
    return {
        "FunctionName": of.tenant.function.name, "FunctionArn": of.function_arn, "Runtime": "python3.13",
        "Role": of.role_arn, "Handler": "h.h", "Timeout": 300, "MemorySize": 512, "CodeSha256": "sha",
        "Environment": {"Variables": {"HUMANGOV_TABLE": of.tenant.table.name}}, "PackageType": "Zip",
        "Architectures": ["arm64"], "Description": "d",
    }  # fmt: skip


def mapping(of: Names) -> dict[str, Any]:
    return {
        "UUID": f"uuid-{of.tenant.name}", "FunctionArn": of.function_arn, "State": "Enabled",
        "EventSourceArn": f"{of.table_arn}/stream/{LABEL}", "BatchSize": 1000, "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1, "MaximumRetryAttempts": 10, "MaximumRecordAgeInSeconds": 43200,
        "BisectBatchOnFunctionError": False, "LastModified": MOMENT, "LastProcessingResult": "OK",
    }  # fmt: skip


def iam_role(of: Names) -> dict[str, Any]:
    return {
        "RoleName": of.tenant.role_name, "Arn": of.role_arn, "Path": "/humangov/", "RoleId": f"AROA{of.tenant.name}",
        "CreateDate": MOMENT, "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []},
    }  # fmt: skip


def group(of: Names) -> dict[str, Any]:
    return {"logGroupName": of.tenant.log_group_name, "retentionInDays": 400}


def tags(of: Names) -> dict[str, str]:
    return {"humangov.io/tenant": of.owner, "team": "records"}


def tagged(of: Names) -> list[dict[str, Any]]:
    arns = (of.function_arn, of.mapping_arn(f"uuid-{of.tenant.name}"), of.log_group_arn, of.table_arn)
    shown = [{"Key": key, "Value": value} for key, value in tags(of).items()]
    return [{"ResourceARN": arn, "Tags": copy.deepcopy(shown)} for arn in arns]


def truth() -> dict[str, list[dict[str, Any]]]:
    """What the listings hold, beside functions of others."""
    other = function(CALIFORNIA) | {"FunctionArn": CALIFORNIA.function_arn + "-2"}
    return {
        read.FUNCTIONS: [function(CALIFORNIA), other, function(NEVADA)],
        read.MAPPINGS: [mapping(NEVADA), mapping(CALIFORNIA)],
        read.ROLES: [iam_role(CALIFORNIA), iam_role(NEVADA)],
        read.LOG_GROUPS: [group(CALIFORNIA), group(NEVADA)],
        read.TAGS: [*tagged(NEVADA), *tagged(CALIFORNIA)],
    }


def known(of: Names) -> Observations:
    """As single reads show the same."""
    shown = {**function(of), "State": "Active", "LastUpdateStatus": "Successful"}
    observed = event_source_mapping.observed(mapping(of), of)
    one = iam_role(of)
    return {
        FUNCTION: function_observed.read(shown, reserved_concurrency=5, tags=tags(of)),
        TRIGGER: trigger_mappings.Observed(mappings=(replace(observed, tags=tags(of)),)),
        ROLE: role.Observed(
            created=one["CreateDate"], path=one["Path"], trust=as_json(one["AssumeRolePolicyDocument"]), policy="p",
            boundary=None, tags=tags(of), role_id=one["RoleId"],
        ),
        LOG_GROUP: log_group.Observed(retention_days=400, kms_key_arn=None, tags=tags(of)),
        STREAM: stream_observed.Observed(
            table_id="t", table_status="ACTIVE", enabled=True, view_type="NEW_AND_OLD_IMAGES", kms_key_arn=None,
            arn=f"{of.table_arn}/stream/{LABEL}", label=LABEL, tags=tags(of),
        ),
    }  # fmt: skip


class Listings:
    """AWS's listings in pages of two; `lie` may replace a page, or raise, given the call and the page's number."""

    def __init__(
        self, held: Mapping[str, list[dict[str, Any]]], lie: Callable[[str, int, dict[str, Any]], Any] | None = None
    ) -> None:
        self.held, self.lie, self.calls = held, lie, 0

    def call(self, action: str, *, target: str, **parameters: Any) -> dict[str, Any]:
        self.calls += 1
        answered, asked = TOKENS[action]
        number = int(parameters.get(asked, 0))
        items = self.held[action][number * 2 : number * 2 + 2]
        page: dict[str, Any] = {ITEMS[action]: copy.deepcopy(items)}
        if len(self.held[action]) > number * 2 + 2:
            page[answered] = str(number + 1)
        return cast(dict[str, Any], self.lie(action, number, page)) if self.lie else page


def test_abandoned_listings_end_with_the_next_page() -> None:
    listings = Listings(truth())
    snapshot = read.take(
        cast(Clients, listings), wanted(BOTH), at=10.0, most_pages=100, ended=lambda: listings.calls >= 1
    )  # fmt: skip
    assert listings.calls == 1
    assert set(snapshot.unlisted) >= set(read.CALLS[1:])


def taken(listings: Listings, *, most_pages: int = 100) -> Snapshot:
    return read.take(cast(Clients, listings), wanted(BOTH), at=10.0, most_pages=most_pages)


def judged(snapshot: Snapshot, of: Names = CALIFORNIA, before: Confirmation | None = None) -> Confirmation:
    return judge(snapshot, known(of), of, before=before, valid_seconds=VALID_SECONDS)


def test_true_snapshot_confirms_every_part_and_all_tags_that_have_a_listing() -> None:
    listings = Listings(truth())
    snapshot = taken(listings)
    for of in BOTH:
        found = judged(snapshot, of)
        assert found.same == PARTS
        assert found.tags == {FUNCTION, TRIGGER, LOG_GROUP, STREAM}
        assert found.differences == frozenset()
    assert snapshot.pages == listings.calls
    assert (found.at, found.valid_until) == (10.0, 10.0 + VALID_SECONDS)
    assert found.counts(10.0 + VALID_SECONDS)
    assert not found.counts(10.1 + VALID_SECONDS)


def denied(action: str) -> AwsError:
    return AwsError(action=action, target="all", code="AccessDenied", text="no", meaning=Meaning.TERMINAL)


def _fails(action: str, number: int, page: dict[str, Any]) -> Any:
    raise denied(action)


BROKEN: dict[str, Callable[[str, int, dict[str, Any]], Any]] = {
    "fails": _fails,
    "has no list": lambda action, _, page: {key: value for key, value in page.items() if key != ITEMS[action]},
    "never ends": lambda action, _, page: {**page, TOKENS[action][0]: "0"},
    "has an entry without its name": lambda action, _, page: {**page, ITEMS[action]: [*page[ITEMS[action]], {}]},
}


@pytest.mark.parametrize("action", PART_OF)
@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("at_page", [0, 1])
def test_listing_with_a_failed_page_confirms_neither_presence_nor_absence(action: str, how: str, at_page: int) -> None:
    last = (len(truth()[action]) - 1) // 2

    def lie(asked: str, number: int, page: dict[str, Any]) -> Any:
        return BROKEN[how](asked, number, page) if (asked, number) == (action, min(at_page, last)) else page

    snapshot = taken(Listings(truth(), lie))
    assert set(snapshot.unlisted) == {action}
    found = judged(snapshot, before=judged(taken(Listings(truth()))))
    assert found.differences == frozenset(), "an error is no absence"
    lost = {PART_OF[action]} if action != read.TAGS else {FUNCTION}
    assert found.same == PARTS - lost
    assert bool(found.tags) == (action != read.TAGS)


def test_listings_end_where_single_reads_would_be_cheaper() -> None:
    listings = Listings(truth())
    snapshot = taken(listings, most_pages=3)
    assert listings.calls == 3
    assert {error.code for error in snapshot.unlisted.values()} == {read.CUT_OFF}
    assert judged(snapshot).differences == frozenset()


def changed(action: str, entry: dict[str, Any], field: str) -> None:
    """Somebody else's value, of the same form."""
    value = entry.get(field)
    match value:
        case bool():
            entry[field] = not value
        case int():
            entry[field] = value + 1
        case str():
            entry[field] = "Disabled" if field == "State" else value + "x"
        case datetime():
            entry[field] = value.replace(year=2025)
        case list():
            entry[field] = [*value[1:], {"Key": "team", "Value": "another"}] if action == read.TAGS else ["x86_64"]
        case _:
            entry[field] = {"Variables": {"a": "b"}} if field == "Environment" else {"Version": "x"}


LIES = ("missing", "another value", "twice", "another tenant's")
# What is compared of an entry, and by which a tenant's own is known.
COMPARED = {
    read.FUNCTIONS: ("CodeSha256", "Timeout", "Environment", "Role", "Architectures", "Description", "FunctionArn"),
    read.MAPPINGS: ("State", "BatchSize", "LastModified", "EventSourceArn", "UUID"),
    read.ROLES: ("RoleId", "CreateDate", "AssumeRolePolicyDocument", "Path", "Arn"),
    read.LOG_GROUPS: ("retentionInDays", "logGroupName"),
    read.TAGS: ("Tags", "ResourceARN"),
}


@settings(deadline=None)
@given(action=st.sampled_from(sorted(PART_OF)), lie=st.sampled_from(LIES), data=st.data())
def test_lie_about_one_entry_is_a_difference_of_that_part_and_confirms_nothing_of_it(
    action: str, lie: str, data: st.DataObject
) -> None:
    held = truth()
    of_california = [one for one in held[action] if "california" in str(one) and "delete-file-2" not in str(one)]
    entry = data.draw(st.sampled_from(of_california))
    field = data.draw(st.sampled_from(COMPARED[action]))
    if lie == "missing":
        held[action] = [one for one in held[action] if one is not entry]
    elif lie == "twice":
        again = copy.deepcopy(entry)
        changed(action, again, field)
        if again.get(COMPARED[action][-1]) != entry.get(COMPARED[action][-1]) and action != read.MAPPINGS:
            return  # an entry of another resource, which is nothing to this tenant
        held[action].insert(data.draw(st.sampled_from([0, len(held[action])])), again)
    elif lie == "another tenant's":
        [other, *_] = [one for one in held[action] if "nevada" in str(one)]
        held[action][held[action].index(entry)] = copy.deepcopy(other)
    else:
        changed(action, entry, field)
    true = judged(taken(Listings(truth())))
    found = judged(taken(Listings(held)), before=true)
    untouched = PARTS - ({PART_OF[action]} if action != read.TAGS else {FUNCTION, TRIGGER, LOG_GROUP})
    assert found.same >= untouched
    assert found.differences, "it goes unnoticed"
    assert found.news == found.differences
    assert (found.same, found.tags) != (true.same, true.tags)
    if action != read.TAGS:
        assert found.same == untouched
    assert judged(taken(Listings(held)), NEVADA).same >= untouched


@settings(deadline=None)
@given(data=st.data())
def test_no_part_is_confirmed_that_a_single_read_did_not_show_so(data: st.DataObject) -> None:
    """Whatever is changed, left out and repeated at once: what is confirmed was listed as it is known."""
    held = truth()
    for action in sorted(held):
        for entry in list(held[action]):
            match data.draw(st.sampled_from(["true", "true", *LIES[:3]])):
                case "missing":
                    held[action].remove(entry)
                case "another value":
                    changed(action, entry, data.draw(st.sampled_from(COMPARED[action])))
                case "twice":
                    again = copy.deepcopy(entry)
                    changed(action, again, data.draw(st.sampled_from(COMPARED[action])))
                    held[action].insert(data.draw(st.sampled_from([0, len(held[action])])), again)
    found = judged(taken(Listings(held)))
    for action, part in PART_OF.items():
        if part in found.same:
            listed = [one for one in held[action] if mine(action, one)]
            assert listed == [one for one in truth()[action] if mine(action, one)]
    for part, arn in (
        (FUNCTION, CALIFORNIA.function_arn), (LOG_GROUP, CALIFORNIA.log_group_arn), (STREAM, CALIFORNIA.table_arn),
    ):  # fmt: skip
        if part in found.tags:
            shown = [one["Tags"] for one in held[read.TAGS] if one["ResourceARN"] == arn]
            assert shown == [one["Tags"] for one in tagged(CALIFORNIA) if one["ResourceARN"] == arn]


def mine(action: str, one: dict[str, Any]) -> bool:
    key = {
        read.FUNCTIONS: ("FunctionArn", CALIFORNIA.function_arn),
        read.MAPPINGS: ("FunctionArn", CALIFORNIA.function_arn),
        read.ROLES: ("Arn", CALIFORNIA.role_arn), read.LOG_GROUPS: ("logGroupName", CALIFORNIA.tenant.log_group_name),
        read.TAGS: ("ResourceARN", "never"),
    }[action]  # fmt: skip
    return bool(one.get(key[0]) == key[1])


def test_difference_that_stays_is_news_once() -> None:
    """The tagging API may lag behind for long: what a full single reading has not shown is not asked for again."""
    held = truth()
    changed(read.FUNCTIONS, held[read.FUNCTIONS][0], "Timeout")
    first = judged(taken(Listings(held)))
    second = judged(taken(Listings(held)), before=first)
    assert first.news == first.differences == second.differences
    assert second.news == frozenset()
    assert FUNCTION not in second.same, "and it is read singly"
    changed(read.FUNCTIONS, held[read.FUNCTIONS][0], "Timeout")
    assert judged(taken(Listings(held)), before=second).news, "another one is news"


def test_missing_tags_are_a_difference_only_where_they_were_listed_before() -> None:
    """An endpoint that stands in for AWS may list no tags of a kind at all."""
    held = truth()
    held[read.TAGS] = [one for one in held[read.TAGS] if "log-group" not in one["ResourceARN"]]
    never = judged(taken(Listings(held)))
    assert LOG_GROUP in never.same
    assert LOG_GROUP not in never.tags
    assert never.differences == frozenset()
    before = judged(taken(Listings(truth())))
    stripped = judged(taken(Listings(held)), before=before)
    assert stripped.news
    assert LOG_GROUP not in stripped.same
    assert LOG_GROUP in judged(taken(Listings(held)), before=stripped).tagged


def test_function_is_not_confirmed_without_its_tags() -> None:
    """Whether the function is the tenant's is read with each of its single reads."""
    held = truth()
    held[read.TAGS] = []
    assert judged(taken(Listings(held))).same == PARTS - {FUNCTION}


def test_encrypted_filters_and_variables_are_not_quoted_in_messages() -> None:
    held = truth()
    held[read.MAPPINGS][1]["KMSKeyArn"] = "arn:aws:kms:us-east-1:123456789012:key/k"
    held[read.FUNCTIONS][0]["Environment"] = {"Error": {"ErrorCode": "AccessDenied", "Message": "kms"}}
    found = judged(taken(Listings(held)))
    assert found.same == {ROLE, LOG_GROUP}
    assert found.differences == frozenset()


def test_log_groups_are_listed_by_what_all_names_begin_with() -> None:
    assert wanted(BOTH).log_group_prefix == "/aws/lambda/humangov-"
    assert wanted([CALIFORNIA]).log_group_prefix == CALIFORNIA.tenant.log_group_name
    assert wanted([]).log_group_prefix == ""
