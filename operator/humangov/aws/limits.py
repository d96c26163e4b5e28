"""AWS's limits of how often its APIs may be called: which limit a call counts against, how high it is, and who says so.

Of an account and a region; IAM's are of an account. Where AWS publishes no number, the one here is what calls begin
with: the budget (budget.py) finds out by itself whether AWS allows as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_LAMBDA = "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html#api-requests"
_LOGS = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html"
_DYNAMODB = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_"
_STREAMS = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_DescribeStream.html"
_METRICS = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html"
_TAGGING = "https://docs.aws.amazon.com/tag-editor/latest/userguide/reference.html"
_UNPUBLISHED = ""
_DOMAINS = (
    "amazonaws.com", "api.aws", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "amazonaws.eu",
    "api.amazonwebservices.eu", "c2s.ic.gov", "api.aws.ic.gov", "sc2s.sgov.gov", "api.aws.scloud", "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk", "csp.hci.ic.gov", "api.aws.hci.ic.gov",
)  # fmt: skip
"""Of all partitions, as the SDK's partitions.json has them (test_budget.py compares)."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """name: for metrics and docs. source: where AWS says so; empty: AWS does not publish it."""

    name: str
    per_second: float
    source: str
    is_global: bool = False  # of the account, whatever the region


def _limit(name: str, per_second: float, source: str, *, is_global: bool = False) -> Limit:
    return Limit(name=name, per_second=per_second, source=source, is_global=is_global)


LAMBDA = _limit("lambda", 15, _LAMBDA)
"""All of Lambda's calls but those that have a limit of their own. It can't be raised."""
IAM_READS = _limit("iam-reads", 30, _UNPUBLISHED, is_global=True)
IAM_WRITES = _limit("iam-writes", 15, _UNPUBLISHED, is_global=True)
DYNAMODB = _limit("dynamodb", 50, _UNPUBLISHED)
"""UpdateTable too: that 500 tables may be changed at once is no rate."""
LOGS = _limit("logs", 10, _UNPUBLISHED)
"""Each call by itself: CloudWatch Logs has a limit for each."""
S3 = _limit("s3", 100, _UNPUBLISHED)

OF_ACTION: Mapping[str, Limit] = {
    "lambda:GetFunction": _limit("lambda-GetFunction", 100, _LAMBDA),
    "lambda:GetPolicy": _limit("lambda-GetPolicy", 15, _LAMBDA),
    "dynamodb:DescribeTable": _limit("dynamodb-DescribeTable", 100, _UNPUBLISHED),
    "dynamodb:DescribeStream": _limit("dynamodb-DescribeStream", 10, _STREAMS),
    "dynamodb:ListTagsOfResource": _limit("dynamodb-ListTags", 10, f"{_DYNAMODB}ListTagsOfResource.html"),
    "dynamodb:TagResource": _limit("dynamodb-Tag", 5, f"{_DYNAMODB}TagResource.html"),
    "dynamodb:UntagResource": _limit("dynamodb-Untag", 5, f"{_DYNAMODB}UntagResource.html"),
    "logs:DescribeLogGroups": _limit("logs-DescribeLogGroups", 10, _LOGS),
    "logs:CreateLogGroup": _limit("logs-CreateLogGroup", 10, _LOGS),
    "logs:DeleteLogGroup": _limit("logs-DeleteLogGroup", 10, _LOGS),
    "cloudwatch:GetMetricData": _limit("cloudwatch-GetMetricData", 50, _METRICS),
    "tag:GetResources": _limit("tag-GetResources", 15, _TAGGING),
    "sts:GetCallerIdentity": _limit("sts", 100, _UNPUBLISHED),
}  # fmt: skip
_OF_SERVICE: Mapping[str, Limit] = {"lambda": LAMBDA, "dynamodb": DYNAMODB, "s3": S3}
"""The rest of a service's calls, together."""
_OTHERS_PER_SECOND = 10.0


def limit_of(action: str, *, writes: bool) -> Limit:
    """The limit that a call of the action (IAM's name) counts against."""
    service = action.partition(":")[0]
    if action in OF_ACTION:
        return OF_ACTION[action]
    if service == "iam":
        return IAM_WRITES if writes else IAM_READS
    if service == "logs":
        return _limit(action.replace(":", "-"), LOGS.per_second, LOGS.source)
    return _OF_SERVICE.get(service) or _limit(service, _OTHERS_PER_SECOND, _UNPUBLISHED)


def are_kept_at(endpoint_url: str) -> bool:
    """Whether AWS answers there (empty: nothing else was asked for), if only in a VPC, or with FIPS."""
    try:
        host = (urlsplit(endpoint_url).hostname or "").removesuffix(".")
    except ValueError:  # the SDK says so of each call
        return False
    return not endpoint_url or any(host == domain or host.endswith(f".{domain}") for domain in _DOMAINS)


def every() -> list[Limit]:
    """For the documentation."""
    return sorted(
        {LAMBDA, IAM_READS, IAM_WRITES, DYNAMODB, S3, *OF_ACTION.values()}, key=lambda one: one.name
    )  # fmt: skip
