"""Which records Lambda is to bring again, so that a retry sees every record that protects a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from humangov.cleanup.environment import FunctionSettings
from humangov.cleanup.hand_back import hand_back
from humangov.cleanup.records import RecordChange, read_change
from hypothesis import given
from hypothesis import strategies as st

from testing.lambda_runtime.stream_events import employee, insert, modify, remove

SETTINGS = FunctionSettings(tenant="t", table="california", bucket="b", account_id="123456789012")


def changes(*records: Any) -> list[RecordChange]:
    return [read_change(record, settings=SETTINGS) for record in records]


def handed_back(several: Sequence[RecordChange], *failed: int) -> list[int]:
    order = [one.sequence_number for one in several]
    numbers = hand_back(several, order=order, failed=[order[place] for place in failed])
    return [order.index(number) for number in numbers]


def without_new_image(record: Any) -> Any:
    del record["dynamodb"]["NewImage"]
    return record


def put(one: str, pdf: str) -> Any:
    return insert(employee(one, pdf))


def gone(one: str, pdf: str) -> Any:
    return remove(employee(one, pdf))


@pytest.mark.parametrize(
    ("records", "failed", "back"),
    [
        pytest.param([gone("1", "a"), gone("2", "b"), gone("3", "c")], [1], [1], id="no other record names the file"),
        pytest.param([gone("1", "a"), gone("2", "b"), gone("3", "c")], [0, 2], [0, 2], id="two failed"),
        pytest.param([gone("1", "a"), gone("2", "b")], [], [], id="none failed"),
        pytest.param([put("2", "a"), gone("1", "a")], [1], [0, 1], id="a record moved"),
        pytest.param([put("2", "a"), put("3", "a"), gone("1", "a")], [2], [0, 2], id="the earliest of two"),
        pytest.param([gone("1", "a"), put("2", "a")], [0], [0], id="the later one comes again anyway"),
        pytest.param([put("2", "a"), gone("9", "x"), gone("1", "a")], [1], [0, 1], id="another file failed before"),
        pytest.param(
            [put("2", "a"), put("4", "b"), gone("1", "a"), gone("3", "b")], [3], [0, 1, 3], id="and so on from there"
        ),
        pytest.param([put("2", "b"), gone("1", "a")], [1], [1], id="a record with another file"),
        pytest.param([gone("1", "a"), gone("2", "a")], [1], [0, 1], id="another record freed it too"),
        pytest.param(
            [put("2", "s3://b/a"), gone("1", "a")], [1], [0, 1], id="named by a URI"
        ),
        pytest.param(
            [modify(employee("2", "b"), employee("2", "a")), gone("1", "a")], [1], [0, 1], id="an edit that names it"
        ),
        pytest.param([without_new_image(put("2", "x")), gone("1", "a")], [1], [0, 1], id="no new image"),
        pytest.param([gone("1", "a"), without_new_image(put("2", "x"))], [0], [0], id="no new image, later"),
    ],
)  # fmt: skip
def test_with_a_failed_record_every_earlier_record_that_names_its_file_is_handed_back(
    records: list[Any], failed: list[int], back: list[int]
) -> None:
    assert handed_back(changes(*records), *failed) == back


def test_with_a_removal_that_could_not_be_read_every_earlier_record_that_names_a_file_is_handed_back() -> None:
    several = changes(gone("1", "a"), put("2", "b"), gone("3", "c"))
    order = [*(one.sequence_number for one in several), "unread"]

    assert hand_back(several, order=order, failed=["unread"]) == (order[1], "unread")


def test_a_record_without_a_number_is_not_handed_back() -> None:
    several = changes(put("2", "a"), gone("1", "a"))
    nameless = replace(several[0], sequence_number="")

    assert hand_back(
        [nameless, several[1]], order=[several[1].sequence_number], failed=["", several[1].sequence_number]
    ) == (several[1].sequence_number,)


FILES = st.sampled_from("abcd")
RECORDS = st.builds(lambda make, one, pdf: make(one, pdf), st.sampled_from([put, gone]), FILES, FILES)


@given(st.lists(RECORDS, min_size=1, max_size=12), st.data())
def test_no_record_that_names_a_file_of_the_retry_comes_before_it(records: list[Any], data: st.DataObject) -> None:
    several = changes(*records)
    failed = data.draw(st.sets(st.integers(0, len(records) - 1), min_size=1))

    start = handed_back(several, *failed)[0]

    assert start <= min(failed)
    freed = {key for one in several[start:] for key in one.frees}
    assert not any(freed & ({*one.frees} | (one.names or set())) for one in several[:start])
