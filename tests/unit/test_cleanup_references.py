"""What file a record names, and which keys are never touched."""

from __future__ import annotations

from typing import Any

import pytest
from humangov.cleanup.references import file_names, impossible, is_reserved, mentioned, object_key
from hypothesis import given
from hypothesis import strategies as st

MISSING = "attribute pdf is missing"
EMPTY = "attribute pdf is empty"
WRONG = "attribute pdf is not S, SS or L of S"
ODD = "attribute pdf contains a value that is not a string"


@pytest.mark.parametrize(
    ("image", "names", "problems"),
    [
        ({"pdf": {"S": "a"}}, ("a",), ()),
        ({"pdf": {"SS": ["a", "b"]}}, ("a", "b"), ()),
        ({"pdf": {"L": [{"S": "a"}, {"S": "b"}, {"S": "a"}]}}, ("a", "b"), ()),
        ({}, (), (MISSING,)),
        ({"pdf": {"S": ""}}, (), (EMPTY,)),
        ({"pdf": {"L": []}}, (), (EMPTY,)),
        ({"pdf": {"L": [{"S": "a"}, {"S": ""}]}}, ("a",), (EMPTY,)),
        ({"pdf": {"L": [{"S": "a"}, {"N": "1"}]}}, ("a",), (ODD,)),
        ({"pdf": {"L": ["a"]}}, (), (ODD,)),
        ({"pdf": {"N": "1"}}, (), (WRONG,)),
        ({"pdf": {"NULL": True}}, (), (WRONG,)),
        ({"pdf": {"B": "YQ=="}}, (), (WRONG,)),
        ({"pdf": {"M": {"S": {"S": "a"}}}}, (), (WRONG,)),
        ({"pdf": "a"}, (), (WRONG,)),
        ({"pdf": None}, (), (WRONG,)),
        ({"pdf": {"S": None}}, (), (WRONG,)),
    ],
)
def test_file_names_to_erase_are_read_strictly(
    image: dict[str, Any], names: tuple[str, ...], problems: tuple[str, ...]
) -> None:
    assert file_names(image, attributes=["pdf"]) == (names, problems)


@pytest.mark.parametrize(
    "value",
    [
        {"S": "a"},
        {"SS": ["b", "a"]},
        {"L": [{"N": "1"}, {"S": "a"}]},
        {"M": {"file": {"L": [{"S": "a"}]}}},
        {"SS": {"a"}},
        "a",
        ["a"],
    ],
)
def test_file_names_to_keep_are_read_generously(value: Any) -> None:
    assert "a" in mentioned({"pdf": value}, attributes=["pdf"])


def test_only_file_attributes_name_files() -> None:
    image = {"pdf": {"S": "a"}, "name": {"S": "b"}}

    assert file_names(image, attributes=["pdf", "scan"]).names == ("a",)
    assert mentioned(image, attributes=["pdf", "scan"]) == {"a"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["S", "SS", "L", "M"]), inner),
    max_leaves=6,
)


@given(JSON)
def test_any_erasable_file_name_is_kept_when_a_live_record_names_it(value: Any) -> None:
    names, _ = file_names({"pdf": value}, attributes=["pdf"])

    assert set(names) <= mentioned({"pdf": value}, attributes=["pdf"])


@given(st.text(), st.text())
def test_object_key_is_prefix_and_file_name_byte_for_byte(prefix: str, name: str) -> None:
    assert object_key(name, key_prefix=prefix) == prefix + name


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("a", None),
        ("x" * 1024, None),
        ("é" * 512, None),
        ("x" * 1025, "makes a key of 1025 bytes, over 1024"),
        ("é" * 513, "makes a key of 1026 bytes, over 1024"),
        ("\ud800", "is not valid Unicode"),
    ],
)
def test_impossible_s3_key_is_reported_with_its_reason(key: str, reason: str | None) -> None:
    assert impossible(key) == reason


@pytest.mark.parametrize(
    ("key", "prefix", "reserved"),
    [
        (".humangov/owner.json", "", True),
        ("aws/lambda/x", "", True),
        ("aws/lambda/", "", True),
        ("aws/lambda", "", False),
        ("aws/lambda.pdf", "", False),
        ("/aws/lambda/x", "", False),
        (".humangov.pdf", "", False),
        ("ca/.humangov/owner.json", "ca/", True),
        ("ca/aws/lambda/x", "ca/", True),
        (".humangov/owner.json", "ca/", True),
        ("aws/lambda/x", "aws/", True),
        ("nv/.humangov/owner.json", "ca/", False),
    ],
)
def test_keys_of_the_operator_and_lambda_are_reserved(key: str, prefix: str, reserved: bool) -> None:
    assert is_reserved(key, key_prefix=prefix) is reserved
