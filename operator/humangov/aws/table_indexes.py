"""The table's global indexes, by which the function finds the records that name a file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from humangov.aws.unknown import shown


def complete_indexes(description: Mapping[str, Any], table: str) -> dict[str, str]:
    """Complete global index → the string attribute that is its partition key. description: DescribeTable's.

    Raises AwsError: an index that is not told would no longer be asked whether a record names a file.
    """

    def of(part: Mapping[str, Any], field: str) -> Any:
        return shown(part, field, action="dynamodb:DescribeTable", target=table)

    indexes = description.get("GlobalSecondaryIndexes") or ()
    defined = of(description, "AttributeDefinitions") if indexes else ()
    types = {of(one, "AttributeName"): of(one, "AttributeType") for one in defined}
    keys = {
        of(index, "IndexName"): of(one, "AttributeName")
        for index in indexes
        # An index that is being filled shows a part of the table.
        if of(index, "IndexStatus") == "ACTIVE" and not index.get("Backfilling")
        for one in of(index, "KeySchema")
        if of(one, "KeyType") == "HASH"
    }
    return {index: partition for index, partition in keys.items() if of(types, partition) == "S"}
