"""The limits that the scale bench's fake AWS keeps, and its bookkeeping of them. Runs on nothing."""

from __future__ import annotations

import pytest
from humangov.aws import limits as operators
from humangov.aws.actions import ACTIONS

from bench.scale_limits import LIMITS, UNPUBLISHED, Buckets, Limit, limit_of, tightest

NAMES = {"cloudwatch": "monitoring", "tag": "tagging"}
"""IAM's name of a service → the one that requests are signed for."""


def bench_limit(action: str) -> Limit | None:
    service, _, operation = action.partition(":")
    return limit_of(f"{NAMES.get(service, service)}:{operation}")


def test_every_limit_has_its_source_or_is_stated_to_be_assumed() -> None:
    assert all(
        limit.source == UNPUBLISHED or limit.source.startswith("https://docs.aws.amazon.com/") for limit in LIMITS
    )
    assert [limit.name for limit in LIMITS if limit.source == UNPUBLISHED] == [
        "Logs, all other calls",
        "IAM, all calls",
    ]


def test_limits_are_those_of_the_operator_or_say_why_not() -> None:
    """Per limit of the bench: whether each call that counts against it has that number and source in the operator."""
    alike: dict[str, bool] = {}
    for action, method in ACTIONS.items():
        if found := bench_limit(action):
            known = operators.limit_of(action, writes=method.writes)
            same = (known.per_second, known.source or UNPUBLISHED) == (found.per_second, found.source)
            alike[found.name] = alike.get(found.name, True) and same
    assert set(alike) == {limit.name for limit in LIMITS}
    shared = {"DynamoDB TagResource, UntagResource", "Logs, all other calls"}
    for limit in LIMITS:
        assert (limit.why == "") == (alike[limit.name] and limit.name not in shared), limit.name


@pytest.mark.parametrize(
    "action", sorted(one for one in ACTIONS if one.partition(":")[0] not in ("s3", "sts", "backup"))
)
def test_every_call_that_the_operator_makes_is_under_a_limit_unless_aws_publishes_none(action: str) -> None:
    assert bench_limit(action) is not None


def test_named_operation_has_a_limit_of_its_own_and_the_others_share_one() -> None:
    names = [getattr(limit_of(f"lambda:{one}"), "name", "") for one in ("GetFunction", "ListTags", "CreateFunction")]
    assert names == ["Lambda GetFunction", *["Lambda, all other control plane calls"] * 2]


def test_bucket_lets_through_what_a_second_brings_and_no_more() -> None:
    buckets = Buckets()
    first = [buckets.take("lambda:ListTags", now=100.0) for _ in range(20)]
    assert first.count(True) == 15
    later = [buckets.take("lambda:CreateFunction", now=100.2) for _ in range(20)]
    assert later.count(True) == 3, "of the same limit"
    assert sum(buckets.take("lambda:GetFunction", now=100.2) for _ in range(150)) == 100
    assert all(buckets.take("s3:GetBucketLocation", now=100.2) for _ in range(999))
    assert sum(buckets.take("lambda:ListTags", now=900.0) for _ in range(20)) == 15, "nothing is saved up"


def test_tightest_limit_is_the_one_that_takes_longest() -> None:
    assert tightest({"lambda:GetFunction": 1000, "logs:DescribeLogGroups": 200, "lambda:ListTags": 150}) == (
        "Logs DescribeLogGroups", 20.0,
    )  # fmt: skip
    assert tightest({"s3:GetBucketLocation": 5}) == ("none", 0.0)


def test_calls_that_came_while_the_fake_stood_still_are_judged_as_if_they_had_come_evenly() -> None:
    buckets = Buckets()
    assert sum(buckets.take("lambda:ListTags", now=0.0) for _ in range(40)) == 15
    assert sum(buckets.take("lambda:ListTags", now=2.0) for _ in range(40)) == 15, "it was there, and nothing came"
    assert sum(buckets.take("lambda:ListTags", now=4.0, late=1.0) for _ in range(40)) == 30
    assert sum(buckets.take("lambda:ListTags", now=4.5, late=1.0) for _ in range(40)) == 7, "no more than the rate"
