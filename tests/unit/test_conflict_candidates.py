"""Candidates of a conflict are found by name: all that are in conflict, and few others. Runs on nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from humangov.api.allowed_names import AllowedNames, Patterns
from humangov.api.conflict_candidates import ConflictCandidates
from humangov.api.conflicts import conflict, refusal, shared_for_failures
from humangov.api.spec import Tenant
from humangov.reconcile.cache import Store
from hypothesis import given
from hypothesis import strategies as st

from testing.samples import resource, tenant

ALLOWED = AllowedNames(
    {
        one: Patterns(tables=("*",), buckets=("*",), functions=("*",), regions=("*",), failures_buckets=failures)
        for one, failures in (("florida", ("b-1", "b-2")), ("texas", ("b-1",)), ("utah", ()))
    }
)


def drawn_tenant(drawn: tuple[str, str, int, str, str, str, str, str]) -> Tenant:
    namespace, name, hour, region, table, function, bucket, failures = drawn
    bucket_name, _, prefix = bucket.partition("/")
    return tenant(
        name, namespace=namespace, region=region, table={"name": table}, function={"name": function},
        bucket={"name": bucket_name, "keyPrefix": prefix}, failures={"bucket": failures},
        metadata={"creationTimestamp": f"2026-03-01T{hour:02}:00:00Z"},
    )  # fmt: skip


TENANTS = st.tuples(
    st.sampled_from(["florida", "texas", "utah"]),
    st.sampled_from("abcd"),
    st.integers(1, 4),
    st.sampled_from(["us-east-1", "eu-west-1"]),
    st.sampled_from(["t-1", "t-2", "t-3", "t-4", "t-5"]),
    st.sampled_from(["f-1", "f-2", "f-3", "f-4", "f-5"]),
    st.sampled_from(["b-1", "b-1/a/", "b-1/a/b/", "b-1/ab/", "b-2/a/", "b-2/\U0010ffff", "b-2/\U0010ffff\U0010ffff"]),
    st.sampled_from(["b-1", "b-2", "b-3"]),
).map(drawn_tenant)


@given(st.lists(TENANTS, max_size=14), st.sets(st.integers(0, 13)))
def test_candidates_are_all_with_which_there_is_a_conflict_whatever_was_put_and_dropped_before(
    put: list[Tenant], dropped: set[int]
) -> None:
    candidates, there = ConflictCandidates(), dict[str, Tenant]()
    for number, one in enumerate(put):
        candidates.put(one)
        there[one.key] = one
        if number in dropped:
            candidates.drop(one.key)
            del there[one.key]
    for one in put:
        others = [other for key, other in there.items() if key != one.key]
        found = candidates.of(one)
        assert len({other.key for other in found}) == len(found)
        in_conflict = {other.key for other in others if conflict(one, other) or shared_for_failures(one, other)}
        assert in_conflict <= {other.key for other in found} <= {other.key for other in others}
        assert refusal(one, allowed=ALLOWED, others=found) == refusal(one, allowed=ALLOWED, others=others)


def test_nothing_of_deleted_tenants_stays_in_memory() -> None:
    candidates = ConflictCandidates()
    for number in range(20):
        candidates.put(tenant(f"t-{number}", bucket={"name": "shared", "keyPrefix": f"{number}/"}))
    for number in range(20):
        candidates.drop(f"humangov/t-{number}")
    assert all(not kept for kept in vars(candidates).values())


def candidates_of(specs: Sequence[Mapping[str, object]]) -> int:
    """The most that one of so many tenants has."""
    store = Store(default_region="us-east-1")
    for number, spec in enumerate(specs):
        store.put(resource(f"t-{number}", **spec))  # type: ignore[arg-type]
    assert len(store.tenants()) == len(specs)
    return max(len(store.conflict_candidates(one)) for one in store.tenants())


def test_tenants_of_a_shared_bucket_are_not_each_others_candidates() -> None:
    """Each with a key prefix of its own, and one failures bucket for all: none is looked at for another's sake."""
    shared = [
        {"bucket": {"name": "shared", "keyPrefix": f"{number:05}/"}, "failures": {"bucket": "failures"}}
        for number in range(2_000)
    ]
    assert candidates_of(shared) == 0
    assert candidates_of([{"bucket": {"name": f"b-{number}"}} for number in range(2_000)]) == 0
    assert candidates_of([*shared, {"bucket": {"name": "shared", "keyPrefix": "00007/x/"}}]) == 1
