"""The table's indexes by file name: which other records may name a freed file.

An index lags behind the table, so it proves nothing: each record that it finds is read consistently by the guard, and a
record that it does not show yet is missed.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from .calls import Calls, error_code
from .environment import FunctionSettings
from .guard import as_in_event
from .outcomes import FileOutcome, failed
from .records import FreedFile, RecordKey, record_id

QUERIES_AT_ONCE = 16

_MAXIMUM_VALUE_BYTES = 2048
"""Of an index's partition key: a longer text is in no index.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""


class IndexedRecords(NamedTuple):
    """of_file: object key → the records whose index entry names it: record id → primary key.

    unknown: the outcome of files about which an index could not be asked.
    """

    of_file: Mapping[str, Mapping[str, RecordKey]]
    unknown: Mapping[str, FileOutcome]


def find_records(calls: Calls, *, settings: FunctionSettings, files: Sequence[FreedFile]) -> IndexedRecords:
    """Asks each index for the file's bare name, and for every spelling by which a record freed it."""
    if not settings.file_indexes or not files:
        return IndexedRecords({}, {})
    with ThreadPoolExecutor(QUERIES_AT_ONCE) as pool:
        found = dict(
            zip(
                (file.key for file in files),
                pool.map(lambda file: _of_file(calls, settings=settings, file=file), files),
                strict=True,
            )
        )
    errors = {key: one for key, one in found.items() if isinstance(one, Exception)}
    # An index that refuses one call refuses all: one line of the log says so.
    codes = {error_code(error): error for error in errors.values()}
    outcomes = {code: failed(calls.failed("Query", error)) for code, error in codes.items()}
    return IndexedRecords(
        {key: records for key, records in found.items() if not isinstance(records, Exception)},
        {key: outcomes[error_code(error)] for key, error in errors.items()},
    )


def _of_file(calls: Calls, *, settings: FunctionSettings, file: FreedFile) -> dict[str, RecordKey] | Exception:
    texts = file.spellings | {file.key.removeprefix(settings.key_prefix)}
    key_names = tuple(file.freed_by[0].record_key)
    found: dict[str, RecordKey] = {}
    try:
        for index, attribute in settings.file_indexes:
            for text in sorted(texts):
                if len(text.encode()) <= _MAXIMUM_VALUE_BYTES:
                    request = _request(settings.table, index, attribute, text, key_names)
                    found |= {record_id(key): key for key in _entries(calls, request)}
    except Exception as error:  # however the call fails, the result is unknown
        return error
    return found


def _entries(calls: Calls, request: dict[str, Any]) -> Iterable[RecordKey]:
    while True:
        answer = calls.attempt(calls.dynamodb.query, **request)
        yield from map(as_in_event, answer["Items"])
        if not answer.get("LastEvaluatedKey"):
            return
        request = {**request, "ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _request(table: str, index: str, attribute: str, text: str, key_names: Sequence[str]) -> dict[str, Any]:
    # A key attribute may name a file: DynamoDB rejects a path that is given twice.
    names = {name: f"#n{number}" for number, name in enumerate(dict.fromkeys([attribute, *key_names]))}
    return {
        "TableName": table,
        "IndexName": index,
        "KeyConditionExpression": f"{names[attribute]} = :text",
        "ExpressionAttributeNames": {placeholder: name for name, placeholder in names.items()},
        "ExpressionAttributeValues": {":text": {"S": text}},
        "ProjectionExpression": ", ".join(names[name] for name in key_names),
    }
