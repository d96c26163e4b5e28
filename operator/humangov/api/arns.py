"""Amazon Resource Names: `arn:<partition>:<service>:<region>:<account>:<resource>`. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Arn:
    """The parts of an ARN; `region` and `account_id` are empty where the service has none. `str()` joins them."""

    partition: str
    service: str
    region: str
    account_id: str
    resource: str

    def __str__(self) -> str:
        return ":".join(("arn", self.partition, self.service, self.region, self.account_id, self.resource))


def parse_arn(text: str) -> Arn | None:
    """The parts; None of what is no ARN."""
    parts = text.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return None
    _, partition, service, region, account_id, resource = parts
    return Arn(partition=partition, service=service, region=region, account_id=account_id, resource=resource)


def function_of(arn: str) -> str:
    """The name of a function, whatever version or alias the ARN also names; empty of what is no function's ARN."""
    parsed = parse_arn(arn)
    if parsed is None or parsed.service != "lambda":
        return ""
    kind, _, rest = parsed.resource.partition(":")
    return rest.partition(":")[0] if kind == "function" else ""


def table_of_stream(arn: str) -> str | None:
    """The table whose stream the ARN names, `table/<table>/stream/<label>`; None of any other ARN."""
    parsed = parse_arn(arn)
    if parsed is None or parsed.service != "dynamodb":
        return None
    match parsed.resource.split("/", 3):
        case ["table", table, "stream", label] if table and label:
            return table
        case _:
            return None
