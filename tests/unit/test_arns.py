"""Amazon Resource Names, taken apart and put together. Runs on nothing."""

from __future__ import annotations

import pytest
from humangov.api.arns import function_of, parse_arn, table_of_stream

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:f"
STREAM = "arn:aws-cn:dynamodb:cn-north-1:123456789012:table/t/stream/2026-03-01T11:00:00.000"


@pytest.mark.parametrize("text", [FUNCTION, STREAM, "arn:aws:s3:::a-bucket/a:b", "arn:aws:iam::1:role/humangov/r"])
def test_parsed_arn_is_written_back_unchanged(text: str) -> None:
    parsed = parse_arn(text)
    assert parsed is not None
    assert str(parsed) == text


@pytest.mark.parametrize("text", ["", "arn", "a-bucket", "arn:aws:s3", "urn:aws:s3:::b"])
def test_invalid_arn_is_not_parsed(text: str) -> None:
    assert parse_arn(text) is None


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (FUNCTION, "f"), (f"{FUNCTION}:live", "f"), (FUNCTION.replace("function", "layer"), ""), ("", ""),
        (FUNCTION.replace("lambda", "logs"), ""),
    ],
)  # fmt: skip
def test_function_name_is_read_from_its_arn_with_or_without_a_version(arn: str, name: str) -> None:
    assert function_of(arn) == name


@pytest.mark.parametrize(
    ("arn", "table"),
    [
        (STREAM, "t"), (STREAM.partition("/stream")[0], None), (STREAM.replace("dynamodb", "kinesis"), None),
        ("", None), ("arn:aws:sqs:us-east-1:123456789012:q", None),
    ],
)  # fmt: skip
def test_table_name_is_read_from_a_stream_arn_only(arn: str, table: str | None) -> None:
    assert table_of_stream(arn) == table
