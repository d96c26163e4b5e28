"""Who may name what, and who was first. Runs on nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames, Patterns
from humangov.api.conditions import Finding
from humangov.api.conflicts import conflict, refusal
from humangov.api.spec import InvalidSpecError, Tenant
from hypothesis import given
from hypothesis import strategies as st

from testing.samples import tenant

ANY = AllowedNames.only("humangov")
TABLE = {"name": "the-table"}


def at(hour: int, name: str, uid: str | None = None, **more: Any) -> Tenant:
    metadata = {"creationTimestamp": f"2026-03-01T{hour:02}:00:00Z", "uid": uid or f"uid-{name}"}
    return tenant(name, metadata=metadata, **more)


def refused(one: Tenant, others: Iterable[Tenant] = (), *, allowed: AllowedNames = ANY) -> Finding | None:
    return refusal(one, allowed=allowed, others=[one, *others])


def test_by_default_only_the_operators_own_namespace_has_allowed_names() -> None:
    assert refused(tenant()) is None
    finding = refused(tenant(namespace="florida"))
    assert finding is not None
    assert (finding.reason, finding.stalled) == ("NotAllowed", True)
    assert "No AWS call" in finding.message


@pytest.mark.parametrize(
    ("table", "bucket", "reported"),
    [
        ("florida-t", "florida-b", None),
        ("california-t", "florida-b", "table california-t"),
        ("florida-t", "california-b", "bucket california-b"),
        ("Florida-t", "florida-b", "table Florida-t"),
        ("xflorida-t", "florida-b", "table xflorida-t"),
    ],
)
def test_namespace_may_name_only_tables_and_buckets_that_its_patterns_match_whole(
    table: str, bucket: str, reported: str | None
) -> None:
    allowed = AllowedNames({"florida": Patterns(tables=("florida-*",), buckets=("florida-?", "x"))})
    finding = refused(tenant(namespace="florida", table={"name": table}, bucket={"name": bucket}), allowed=allowed)
    assert (finding.message if finding else None) == (finding.message if reported and finding else None)
    assert (finding is None) == (reported is None)
    if finding and reported:
        assert reported in finding.message


def test_failures_bucket_must_be_among_the_allowed_names() -> None:
    allowed = AllowedNames({"florida": Patterns(tables=("*",), buckets=("florida-*",))})
    florida: dict[str, Any] = {"namespace": "florida", "bucket": {"name": "florida-b"}}
    assert refused(tenant(**florida, failures={"bucket": "florida-f"}), allowed=allowed) is None
    finding = refused(tenant(**florida, failures={"bucket": "california-b"}), allowed=allowed)
    assert finding is not None
    assert "bucket california-b" in finding.message


SHARED = {"name": "shared", "keyPrefix": "florida/"}
PREFIXED = Patterns(tables=("*",), buckets=("shared/florida/*", "florida-*"))


@pytest.mark.parametrize(
    ("patterns", "failures", "allowed"),
    [
        (PREFIXED, "shared", False), (PREFIXED, "florida-failures", True),
        (replace(PREFIXED, failures_buckets=("shared",)), "shared", True),
        (replace(PREFIXED, buckets=("shared",)), "shared", True),
        (replace(PREFIXED, buckets=("shared/*",)), "shared", True),
    ],
)  # fmt: skip
def test_failed_invocations_lie_in_no_bucket_of_which_the_namespace_may_use_only_a_prefix(
    patterns: Patterns, failures: str, allowed: bool
) -> None:
    """Lambda's own key for them begins with aws/lambda/, beside those of all others in the bucket."""
    spec: dict[str, Any] = {"bucket": SHARED} if failures == "shared" else {
        "bucket": SHARED, "failures": {"bucket": failures}
    }  # fmt: skip
    said = of_florida(patterns, **spec)
    assert (said is None) == allowed, said
    assert allowed or "spec.failures.bucket" in str(said)


def two_namespaces(allow: str = "", **california: Any) -> Finding | None:
    """What is said to florida, the younger; `allow`: the namespaces that may share the bucket."""
    patterns = {
        name: Patterns(tables=("*",), buckets=("*",), failures_buckets=("common",) if name in allow else ())
        for name in ("florida", "california")
    }
    older = at(1, "california", namespace="california", table={"name": "c"}, **california)
    younger = at(
        2, "florida", namespace="florida", table={"name": "f"}, bucket={"name": "f"}, failures={"bucket": "common"}
    )
    return refused(younger, [older], allowed=AllowedNames(patterns))


@pytest.mark.parametrize(
    ("california", "needs"),
    [
        ({"bucket": {"name": "c"}, "failures": {"bucket": "common"}}, "florida, california"),
        ({"bucket": {"name": "common"}}, "florida, california"),
        ({"bucket": {"name": "common"}, "failures": {"bucket": "c"}}, "florida"),
    ],
)
def test_two_namespaces_share_no_failures_bucket_unless_both_may(california: dict[str, Any], needs: str) -> None:
    for allow in ("", "california", "florida", "florida, california"):
        found = two_namespaces(allow, **california)
        assert (found is None) == all(name in allow for name in needs.split(", ")), allow
        if found:
            assert (found.reason, found.stalled) == ("Conflict", True)
            assert "california" not in found.message
            assert "bucket common" in found.message
    assert two_namespaces(bucket={"name": "c"}) is None


def test_files_in_the_failures_bucket_of_an_older_tenant_of_another_namespace_are_a_conflict() -> None:
    allowed = AllowedNames({name: Patterns(tables=("*",), buckets=("*",)) for name in ("florida", "california")})
    older = at(1, "florida", namespace="florida", table={"name": "f"}, failures={"bucket": "common"})
    younger = at(2, "california", namespace="california", table={"name": "c"}, bucket={"name": "common"})
    assert refused(younger, [older], allowed=allowed) is not None
    assert refused(older, [younger], allowed=allowed) is None
    same = replace(younger, namespace="florida")
    assert refused(same, [older], allowed=allowed) is None


ROLE = "arn:aws:iam::{}:role/humangov-tenant-california"


@pytest.mark.parametrize("field", ["roleARN", "sweepRoleARN"])
def test_assumed_role_must_be_among_the_allowed_names(field: str) -> None:
    allowed = AllowedNames({"florida": Patterns(tables=("*",), buckets=("*",), roles=("arn:aws:iam::222*",))})
    for account, reported in (("222222222222", None), ("333333333333", "role " + ROLE.format("333333333333"))):
        finding = refused(tenant(namespace="florida", account={field: ROLE.format(account)}), allowed=allowed)
        assert (finding is None) == (reported is None)
        if finding and reported:
            assert reported in finding.message
            assert finding.reason == "NotAllowed"


def test_same_table_name_in_two_accounts_is_no_conflict_and_same_bucket_is_one() -> None:
    def of(account: str, name: str, bucket: str) -> Tenant:
        return at(1, name, table=TABLE, bucket={"name": bucket}, account={"roleARN": ROLE.format(account)},
                  function={"name": "f"})  # fmt: skip

    here, there = of("222222222222", "a", "a-bucket"), of("333333333333", "b", "b-bucket")
    assert conflict(here, there) is None
    assert conflict(here, of("222222222222", "c", "c-bucket")) == "table the-table"
    assert conflict(here, of("333333333333", "d", "a-bucket")) is not None
    # Which account the operator's own is may not be known yet.
    assert conflict(here, at(1, "e", table=TABLE, bucket={"name": "e-bucket"})) == "table the-table"


FLORIDA = Patterns(tables=("*",), buckets=("*",))


def of_florida(patterns: Patterns, name: str = "florida", **spec: Any) -> str | None:
    """Why a HumanGovState of namespace florida is refused."""
    finding = refused(tenant(name, namespace="florida", **spec), allowed=AllowedNames({"florida": patterns}))
    return finding.message if finding else None


@pytest.mark.parametrize(
    ("function", "allowed"),
    [
        (None, True), ("humangov-florida-other", True), ("humangov-florida-", True),
        ("humangov-california-delete-file", False), ("humangov-api", False), ("humangov-florida2-x", False),
        ("Humangov-florida-x", False),
    ],
)  # fmt: skip
def test_function_is_named_after_its_state_unless_other_names_are_allowed(function: str | None, allowed: bool) -> None:
    spec: dict[str, Any] = {"function": {"name": function}} if function else {}
    refusal_text = of_florida(FLORIDA, **spec)
    assert (refusal_text is None) == allowed
    assert allowed or f"function {function} is not among the allowed names" in str(refusal_text)
    assert of_florida(replace(FLORIDA, functions=("*",)), **spec) is None


def test_state_that_is_named_like_another_takes_no_function_of_its_where_functions_are_listed() -> None:
    """Whoever makes a HumanGovState names it; docs/security.md says so of the default."""
    theirs = {"function": {"name": "humangov-california-delete-file"}}
    listed = replace(FLORIDA, functions=("humangov-florida-*",))
    assert of_florida(FLORIDA, "california", **theirs) is None
    assert "function humangov-california-delete-file" in str(of_florida(listed, "california", **theirs))
    assert "function humangov-california-delete-file" in str(of_florida(listed, "california"))
    assert of_florida(listed) is None


@pytest.mark.parametrize(
    ("prefix", "allowed"),
    [("florida/", True), ("florida/2026/", True), ("", False), ("california/", False), ("x/florida/", False)],
)
def test_key_prefix_of_a_shared_bucket_must_be_among_the_allowed_names(prefix: str, allowed: bool) -> None:
    patterns = Patterns(tables=("*",), buckets=("shared/florida/*",), failures_buckets=("shared",))
    refusal_text = of_florida(patterns, bucket={"name": "shared", "keyPrefix": prefix})
    assert (refusal_text is None) == allowed
    assert allowed or repr(prefix) in str(refusal_text)


@given(bucket=st.sampled_from(["ax", "a", "bx"]), prefix=st.text(alphabet="ax/", max_size=5))
def test_pattern_of_a_bucket_never_matches_into_the_key_prefix(bucket: str, prefix: str) -> None:
    prefix = prefix.lstrip("/").replace("//", "/")
    patterns = Patterns(tables=("*",), buckets=("a*/x/*",), failures_buckets=("*",))
    try:
        text = of_florida(patterns, bucket={"name": f"{bucket}-files", "keyPrefix": prefix})
    except InvalidSpecError:
        return
    assert (text is None) == (bucket.startswith("a") and prefix.startswith("x/"))


def test_region_kms_key_and_adoption_are_refused_unless_they_are_allowed() -> None:
    key = "arn:aws:kms:us-east-1:210987654321:key/1"
    assert "KMS key" in str(of_florida(FLORIDA, logs={"kmsKeyARN": key}))
    assert of_florida(replace(FLORIDA, kms_keys=("arn:aws:kms:*",)), logs={"kmsKeyARN": key}) is None
    assert "region" in str(of_florida(replace(FLORIDA, regions=("eu-*",))))
    assert of_florida(FLORIDA) is None
    assert "may not adopt" in str(of_florida(FLORIDA, adoption="IfUntagged"))
    assert of_florida(replace(FLORIDA, adoption=True), adoption="IfUntagged") is None
    assert refused(tenant(adoption="IfUntagged")) is None, "the operator's own namespace may"


def test_file_of_allowed_names_is_read_with_all_its_lists_and_refused_with_a_sentence() -> None:
    document = {
        "florida": {"tables": ["t"], "functions": [], "regions": ["eu-*"], "kmsKeyARNs": ["k"], "adoption": True}
    }
    [patterns] = AllowedNames.parse(document).namespaces.values()
    assert patterns == Patterns(tables=("t",), functions=(), regions=("eu-*",), kms_keys=("k",), adoption=True)
    for wrong in ({"adoption": "yes"}, {"function": ["x"]}, {"regions": "eu-west-1"}, {"tables": [""]}):
        with pytest.raises(ValueError, match="florida"):
            AllowedNames.parse({"florida": wrong})


def test_conflict_names_nothing_of_another_namespace() -> None:
    everything = {one: AllowedNames.only(one).namespaces[one] for one in ("florida", "california")}
    mine = at(2, "mine", namespace="florida", bucket={"name": "shared", "keyPrefix": "f/"})
    theirs = at(1, "secret", namespace="california", bucket={"name": "shared", "keyPrefix": ""})
    finding = refused(mine, [theirs], allowed=AllowedNames(everything))
    assert finding is not None
    assert "secret" not in finding.message
    assert "california" not in finding.message


def test_namespace_without_patterns_may_name_nothing() -> None:
    assert refused(tenant(), allowed=AllowedNames({"humangov": Patterns()})) is not None


def test_older_tenant_wins_a_conflict_and_the_younger_names_it() -> None:
    older, younger = at(1, "a", table=TABLE), at(2, "b", table=TABLE)
    assert refused(older, [younger]) is None
    finding = refused(younger, [older])
    assert finding is not None
    assert finding.reason == "Conflict"
    assert "humangov/a" in finding.message
    assert "table the-table" in finding.message


def test_older_tenant_outside_its_allowed_names_wins_no_conflict() -> None:
    older, younger = at(1, "a", table=TABLE, namespace="florida"), at(2, "b", table=TABLE)
    assert refused(younger, [older]) is None


def test_exactly_one_of_two_tenants_created_in_the_same_second_wins_a_conflict() -> None:
    one, other = at(1, "a", uid="1", table=TABLE), at(1, "b", uid="2", table=TABLE)
    assert refused(one, [other]) is None
    assert refused(other, [one]) is not None


def test_tenant_is_in_no_conflict_with_its_own_older_version() -> None:
    assert refused(at(2, "a", uid="u"), [at(1, "a", uid="u")]) is None


@pytest.mark.parametrize(
    ("mine", "theirs", "overlap"),
    [("", "", True), ("", "a/", True), ("a/", "", True), ("a/", "a/", True), ("a/", "a/b/", True), ("a", "ab/", True),
     ("a/", "b/", False), ("a/", "ab/", False)],
)  # fmt: skip
def test_overlapping_prefixes_of_one_bucket_conflict_in_any_region(mine: str, theirs: str, overlap: bool) -> None:
    one = at(1, "a", bucket={"name": "the-bucket", "keyPrefix": mine}, region="us-east-1")
    other = at(2, "b", bucket={"name": "the-bucket", "keyPrefix": theirs}, region="eu-west-1")
    assert bool(conflict(one, other)) == overlap
    assert bool(conflict(other, one)) == overlap


def test_tables_and_functions_in_two_regions_do_not_conflict() -> None:
    function = {"name": "f"}
    one, other = at(1, "a", table=TABLE, function=function), at(2, "b", table=TABLE, function=function)
    assert conflict(one, other) == "table the-table"
    assert conflict(one, at(2, "b", function=function)) == "function f"
    elsewhere = at(2, "b", table=TABLE, function=function)
    assert conflict(one, parse_region(elsewhere)) is None


def parse_region(of: Tenant) -> Tenant:
    return replace(of, region="eu-west-1")


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from("xyz"), st.sampled_from("pq"), st.sampled_from(["", "a/", "b/"])),
        max_size=6,
    )
)
def test_no_two_tenants_that_win_their_conflicts_share_a_resource(drawn: list[tuple[int, str, str, str]]) -> None:
    tenants = [
        at(
            hour,
            f"t{number}",
            table={"name": f"table-{table}"},
            bucket={"name": f"bucket-{bucket}", "keyPrefix": prefix},
        )
        for number, (hour, table, bucket, prefix) in enumerate(drawn)
    ]
    going = [one for one in tenants if refused(one, tenants) is None]
    assert all(conflict(one, other) is None for one in going for other in going if one is not other)
    if tenants:
        assert going, "the oldest always goes on"


@pytest.mark.parametrize(
    "document",
    [None, [], "x", {"a": None}, {"a": []}, {"a": {"table": []}}, {"a": {"tables": "x"}}, {"a": {"tables": [1]}},
     {"a": {"tables": [""]}}],
)  # fmt: skip
def test_invalid_allowed_names_file_is_refused_with_the_expected_form(document: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        AllowedNames.parse(document)


def test_allowed_names_file_is_parsed_and_omitted_lists_are_empty() -> None:
    allowed = AllowedNames.parse({"florida": {"tables": ["a", "b-*"]}, "x": {}})
    assert allowed.namespaces == {"florida": Patterns(tables=("a", "b-*")), "x": Patterns()}
