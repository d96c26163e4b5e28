"""The erasure: how keys are spread over calls, and what each answer means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from humangov.cleanup.calls import Calls, Line
from humangov.cleanup.erase import erase
from humangov.cleanup.receipt_lines import spell
from hypothesis import given
from hypothesis import strategies as st


def everything(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"Deleted": [{"Key": one["Key"]} for one in request["Delete"]["Objects"]]}


@dataclass
class Bucket:
    """S3, as far as it deletes."""

    answer: Callable[[Mapping[str, Any]], Mapping[str, Any]] = everything
    together: list[list[str]] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    log: list[Line] = field(default_factory=list)
    calls_before_the_end: int = 1000

    def delete_objects(self, **request: Any) -> Mapping[str, Any]:
        self.together.append([one["Key"] for one in request["Delete"]["Objects"]])
        assert request["Delete"]["Quiet"] is False
        return self.answer(request)

    def delete_object(self, **request: Any) -> Mapping[str, Any]:
        self.alone.append(request["Key"])
        return {}

    def list_object_versions(self, **request: Any) -> Mapping[str, Any]:
        raise AssertionError("erase lists nothing")

    get_object_retention = get_object_legal_hold = list_object_versions

    def batch_get_item(self, **request: Any) -> Mapping[str, Any]:
        raise AssertionError("erase reads nothing")

    query = batch_get_item

    def erase(self, *keys: str) -> dict[str, str]:
        calls = Calls(
            dynamodb=self,
            s3=self,
            bucket_owner="123456789012",
            out_of_time=lambda: len(self.together) + len(self.alone) >= self.calls_before_the_end,
            pause=lambda _: None,
            now=lambda: 0.0,
            write=self.log.extend,
        )
        results, marked = erase(calls, bucket="b", keys=keys)
        outcomes = {key: spell(result.outcome) for key, result in results.items()}
        return outcomes | dict.fromkeys(marked, "versions remain")


def test_erasing_no_keys_makes_no_call() -> None:
    bucket = Bucket()

    assert bucket.erase() == {}
    assert bucket.together == []


def test_thousand_keys_are_erased_in_one_call_without_duplicates() -> None:
    bucket = Bucket()
    keys = [str(one) for one in range(1001)]

    assert bucket.erase(*keys, *keys) == dict.fromkeys(keys, "erased")
    assert [len(one) for one in bucket.together] == [1000, 1]


@pytest.mark.parametrize(
    ("answer", "outcomes"),
    [
        pytest.param({}, ("failed: NoAnswer", "failed: NoAnswer"), id="silent"),
        pytest.param({"Deleted": [{"Key": "a"}]}, ("erased", "failed: NoAnswer"), id="half"),
        pytest.param({"Deleted": [{"Key": "A"}, {"Key": "b "}]}, ("failed: NoAnswer",) * 2, id="other keys"),
        pytest.param(
            {"Deleted": [{"Key": "a"}], "Errors": [{"Key": "b", "Code": "AccessDenied"}]},
            ("erased", "failed: AccessDenied"),
            id="one refused",
        ),
        pytest.param(
            {"Deleted": [{"Key": "a"}, {"Key": "b"}], "Errors": [{"Key": "b"}]},
            ("erased", "failed: Unknown"),
            id="deleted and refused",
        ),
        pytest.param(
            {"Deleted": [{"Key": "a", "DeleteMarker": True}, {"Key": "b"}]},
            ("versions remain", "erased"),
            id="a marker",
        ),
        pytest.param({"Deleted": [{}]}, ("failed: KeyError",) * 2, id="not an answer"),
    ],
)
def test_outcome_of_each_key_is_read_from_the_delete_response(answer: Any, outcomes: tuple[str, str]) -> None:
    assert Bucket(lambda _: answer).erase("a", "b") == dict(zip("ab", outcomes, strict=True))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClientError({"Error": {"Code": "NoSuchBucket", "Message": "gone"}}, "DeleteObjects"), "NoSuchBucket"),
        (ReadTimeoutError(endpoint_url="https://s3.amazonaws.com"), "ReadTimeoutError"),
        (RuntimeError("surprise"), "RuntimeError"),
    ],
)
def test_failed_delete_call_fails_its_keys_and_logs_only_the_aws_error(error: Exception, code: str) -> None:
    def fail(_: Mapping[str, Any]) -> Mapping[str, Any]:
        raise error

    bucket = Bucket(fail)

    assert bucket.erase("a", "b") == dict.fromkeys("ab", f"failed: {code}")
    (line,) = bucket.log
    assert (line["message"], line["code"]) == ("DeleteObjects failed", code)
    assert line["text"] == ("gone" if code == "NoSuchBucket" else "")


def test_failed_delete_call_does_not_fail_the_next() -> None:
    def fail_first(request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request["Delete"]["Objects"][0]["Key"] == "0":
            raise ReadTimeoutError(endpoint_url="https://s3.amazonaws.com")
        return everything(request)

    outcomes = Bucket(fail_first).erase(*map(str, range(1500)))

    assert outcomes["999"] == "failed: ReadTimeoutError"
    assert outcomes["1000"] == "erased"


def test_no_erasure_starts_when_out_of_time() -> None:
    bucket = Bucket(calls_before_the_end=1)

    outcomes = bucket.erase("a", "bell\x07", "line\n")

    assert outcomes == {"a": "erased", "bell\x07": "failed: OutOfTime", "line\n": "failed: OutOfTime"}


@pytest.mark.parametrize(
    "key", ["\x00", "a\x07", "a\tb", "a\nb", "a\r", "\x7f", "\x85", "\u2028", "\uffff", " a", "a "]
)
def test_key_that_xml_may_change_is_erased_in_its_own_call(key: str) -> None:
    bucket = Bucket()

    bucket.erase("a", key, "b")

    assert (bucket.together, bucket.alone) == ([["a", "b"]], [key])


@given(st.lists(st.text(min_size=1, max_size=8), max_size=20))
def test_keys_erased_together_survive_xml_unchanged(keys: list[str]) -> None:
    bucket = Bucket()

    outcomes = bucket.erase(*keys)

    assert outcomes == dict.fromkeys(keys, "erased")
    assert sorted(key for call in [*bucket.together, bucket.alone] for key in call) == sorted(set(keys))
    for key in [key for call in bucket.together for key in call]:
        node = ElementTree.Element("Key")
        node.text = key
        assert ElementTree.fromstring(ElementTree.tostring(node)).text == key  # noqa: S314
