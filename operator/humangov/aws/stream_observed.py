"""What DynamoDB returns of the table and its latest stream, in the shape in which it is compared.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from humangov.api.names import Names
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, incomplete
from humangov.aws.ownership import tag_map
from humangov.aws.table_indexes import complete_indexes
from humangov.aws.unknown import shown

DESCRIBE = "dynamodb:DescribeTable"
_ENCRYPTED = ("ENABLED", "UPDATING")  # with a KMS key that the account sees


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The table and its latest stream. `tags` and `stream_status` are None where they were not read.

    indexes: complete global index → the string attribute that is its partition key.
    """

    table_id: str
    table_status: str
    enabled: bool
    view_type: str | None
    arn: str | None
    label: str | None
    kms_key_arn: str | None
    indexes: Mapping[str, str] = field(default_factory=dict)
    replicated: bool = False  # a global table's, whose stream AWS does not let anyone disable
    tags: Mapping[str, str] | None = None
    stream_status: str | None = None


def read(description: Mapping[str, Any], table: str) -> Observed:
    """Raises AwsError where the description lacks what DynamoDB shows of such a table."""

    def of(part: Mapping[str, Any], field: str) -> Any:
        return shown(part, field, action=DESCRIBE, target=table)

    specification = description.get("StreamSpecification") or {}
    enabled = bool(of(specification, "StreamEnabled")) if specification else False
    encryption = description.get("SSEDescription") or {}
    return Observed(
        table_id=str(description.get("TableId", "")),
        table_status=str(of(description, "TableStatus")),
        enabled=enabled,
        view_type=of(specification, "StreamViewType") if enabled else None,
        arn=of(description, "LatestStreamArn") if enabled else None,
        label=of(description, "LatestStreamLabel") if enabled else None,
        kms_key_arn=of(encryption, "KMSMasterKeyArn") if encryption.get("Status") in _ENCRYPTED else None,
        indexes=complete_indexes(description, table),
        replicated=bool(description.get("Replicas")),
    )


def require_disabled(clients: Clients, description: Mapping[str, Any], table: str) -> None:
    """That the table names no setting of a stream means that there is none, unless its latest stream is enabled.

    Raises AwsError.
    """
    latest = description.get("LatestStreamArn")
    try:
        answer = clients.find("dynamodb:DescribeStream", target=latest, StreamArn=latest, Limit=1) if latest else None
    except AwsError as error:
        # moto fails at a disabled stream, without a code of AWS's: then the table's own word counts.
        if error.code != "500" and not error.not_served:
            raise
        return
    status = (answer or {}).get("StreamDescription", {}).get("StreamStatus")
    if status in ("ENABLED", "ENABLING"):
        raise incomplete(action=DESCRIBE, target=table, field="StreamSpecification")


def stream_status(clients: Clients, arn: str) -> str:
    action = "dynamodb:DescribeStream"
    answer = clients.call(action, target=arn, StreamArn=arn, Limit=1)
    description = shown(answer, "StreamDescription", action=action, target=arn)
    return str(shown(description, "StreamStatus", action=action, target=arn))


def read_tags(clients: Clients, names: Names) -> dict[str, str]:
    """All tags of the table. Raises AwsError."""
    action, table = "dynamodb:ListTagsOfResource", names.tenant.table.name
    tags = clients.pages(
        action, "Tags", token=("NextToken", "NextToken"), target=table, ResourceArn=names.table_arn
    )  # fmt: skip
    return tag_map(tags, action=action, target=table)


def label_of(stream_arn: str) -> str:
    """Of `arn:…:table/<name>/stream/<label>`."""
    return stream_arn.rpartition("/stream/")[2]


def born_at(label: str | None) -> datetime | None:
    """A stream's label is its time of birth, UTC, in ISO 8601."""
    try:
        return datetime.fromisoformat(label).replace(tzinfo=UTC) if label else None
    except ValueError:
        return None
