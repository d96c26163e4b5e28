"""The limits that the fake AWS of the scale bench keeps, an account and region. Pure.

Numbers and sources are those of the operator's own list (humangov/aws/limits.py). Where the fake has to judge harder
than the operator's budget begins, or as AWS does, the entry says why. A call over a limit is throttled in AWS's words.
AWS publishes rates and, of most, no burst: here a bucket holds what one second brings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from humangov.aws import limits as operators

_CONTROL_PLANE = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-control-plane.html"
UNPUBLISHED = "not published; an assumption of this bench"


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Calls a second of `operations` (service:Operation; service:* = the others of it) together.

    why: the difference from the operator's list; empty: there is none.
    """

    name: str
    operations: tuple[str, ...]
    per_second: float
    source: str
    why: str = ""


def _as_the_operator(name: str, known: operators.Limit, *operations: str) -> Limit:
    return Limit(
        name=name, operations=operations, per_second=known.per_second, source=known.source or UNPUBLISHED
    )  # fmt: skip


_OF = operators.OF_ACTION
LIMITS: tuple[Limit, ...] = (
    _as_the_operator("Lambda GetFunction", _OF["lambda:GetFunction"], "lambda:GetFunction"),
    _as_the_operator("Lambda GetPolicy", _OF["lambda:GetPolicy"], "lambda:GetPolicy"),
    _as_the_operator("Lambda, all other control plane calls", operators.LAMBDA, "lambda:*"),
    _as_the_operator(
        "DynamoDB ListTagsOfResource", _OF["dynamodb:ListTagsOfResource"], "dynamodb:ListTagsOfResource"
    ),
    Limit(
        name="DynamoDB TagResource, UntagResource", operations=("dynamodb:TagResource", "dynamodb:UntagResource"),
        per_second=_OF["dynamodb:TagResource"].per_second, source=_OF["dynamodb:TagResource"].source,
        why="AWS may count both together, as the fake does: the operator's budget has a limit for each",
    ),
    _as_the_operator("DynamoDB DescribeStream", _OF["dynamodb:DescribeStream"], "dynamodb:DescribeStream"),
    Limit(
        name="DynamoDB, all other control plane calls", operations=("dynamodb:*",), per_second=2500,
        source=_CONTROL_PLANE, why="AWS allows as many: the operator needs fewer, and its budget begins below",
    ),
    _as_the_operator("Logs DescribeLogGroups", _OF["logs:DescribeLogGroups"], "logs:DescribeLogGroups"),
    _as_the_operator("Logs CreateLogGroup", _OF["logs:CreateLogGroup"], "logs:CreateLogGroup"),
    Limit(
        name="Logs, all other calls", operations=("logs:*",), per_second=operators.LOGS.per_second, source=UNPUBLISHED,
        why="the fake counts them together, which is stricter: the operator's budget has a limit for each",
    ),
    Limit(
        name="IAM, all calls", operations=("iam:*",), per_second=20, source=UNPUBLISHED,
        why="stricter than the budget begins, so that the bench shows what the operator does then",
    ),
    _as_the_operator("CloudWatch GetMetricData", _OF["cloudwatch:GetMetricData"], "monitoring:GetMetricData"),
    _as_the_operator("Tagging GetResources", _OF["tag:GetResources"], "tagging:GetResources"),
)  # fmt: skip


@dataclass
class Buckets:
    """A token bucket for each limit; `now` in seconds that never go back."""

    limits: tuple[Limit, ...] = LIMITS
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)  # tokens, and when

    def take(self, operation: str, *, now: float, late: float = 0.0) -> bool:
        """Whether a call is admitted. late: for how long who judges was kept from it: what came then came evenly."""
        limit = limit_of(operation, self.limits)
        if limit is None:
            return True
        tokens, since = self._left.get(limit.name, (limit.per_second, now))
        tokens = min(limit.per_second * (1.0 + late), tokens + (now - since) * limit.per_second)
        admitted = tokens >= 1.0
        self._left[limit.name] = (tokens - 1.0 if admitted else tokens, now)
        return admitted


def limit_of(operation: str, limits: tuple[Limit, ...] = LIMITS) -> Limit | None:
    """The limit that names the operation; else that of its whole service."""
    whole = f"{operation.partition(':')[0]}:*"
    for wanted in (operation, whole):
        for limit in limits:
            if wanted in limit.operations:
                return limit
    return None


def tightest(calls: Mapping[str, int]) -> tuple[str, float]:
    """The limit that these calls take longest to pass, and how many seconds that is."""
    seconds: dict[str, float] = {}
    for operation, number in calls.items():
        if limit := limit_of(operation):
            seconds[limit.name] = seconds.get(limit.name, 0.0) + number / limit.per_second
    return max(seconds.items(), key=lambda one: one[1], default=("none", 0.0))
