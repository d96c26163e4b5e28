"""What the function can't protect, as docs/operations.md says under Limits; and what the page names as help helps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testing.lambda_runtime.stream_events import employee, failures, insert, remove

from .test_cleanup_batch import SETTINGS, Cloud
from .test_cleanup_look import SlowAws


def test_file_that_another_record_names_too_stays_only_if_that_record_is_in_the_same_batch() -> None:
    kept = Cloud(records={"8": employee("8", "cv.pdf")}, files={"cv.pdf"})
    assert kept.run(insert(employee("8", "cv.pdf")), remove(employee("7", "cv.pdf"))) == failures()
    assert kept.files == {"cv.pdf"}

    lost = Cloud(records={"8": employee("8", "cv.pdf")}, files={"cv.pdf"})
    assert lost.run(remove(employee("7", "cv.pdf"))) == failures()
    assert lost.files == set()


def test_file_that_another_record_names_too_stays_for_the_sweep_where_file_names_are_shared() -> None:
    cloud = Cloud(records={"8": employee("8", "cv.pdf")}, files={"cv.pdf"})
    assert cloud.run(remove(employee("7", "cv.pdf")), settings=replace(SETTINGS, file_names="Shared")) == failures()
    assert (cloud.files, cloud.requests) == ({"cv.pdf"}, [])


@pytest.mark.parametrize("order", ["written first", "removed first"])
def test_file_of_a_record_that_moves_stays_only_if_one_batch_has_both_changes(order: str) -> None:
    moved = {"new": employee("new", "cv.pdf")}
    written, removed = insert(employee("new", "cv.pdf")), remove(employee("old", "cv.pdf"))
    both = [written, removed] if order == "written first" else [removed, written]

    together = Cloud(records=dict(moved), files={"cv.pdf"})
    together.run(*both)
    assert together.files == {"cv.pdf"}

    apart = Cloud(records=dict(moved), files={"cv.pdf"})
    for one in both:
        apart.run(one)
    assert apart.files == set()


@pytest.mark.parametrize(("limit", "companions"), [(3600, 60), (360, 60), (300, 50), (60, 10)])
def test_second_half_of_a_move_is_handed_back_within_a_minute_or_a_sixth_of_the_limit(
    limit: int, companions: int
) -> None:
    """Lambda discarded the first half by its age; the second came so many seconds later, and is as much younger."""
    settings = replace(SETTINGS, record_age_limit_seconds=limit)
    for later, stays in ((companions - 1, True), (companions + 1, False)):
        if limit > 900 and not stays:
            continue  # a late event is decided by its file's age, which this bucket does not list
        cloud = Cloud(records={"new": employee("new", "cv.pdf")}, files={"cv.pdf"})
        cloud.run(remove(employee("old", "cv.pdf"), at=1000), now=1000.0 + limit - later, settings=settings)
        assert (cloud.files == {"cv.pdf"}) is stays, later


@pytest.mark.parametrize("name", ["https://sho.rt/abc", "cv", "7"])
def test_name_of_another_form_protects_no_file(name: str) -> None:
    cloud = Cloud(records={"7": employee("7", name)}, files={"cv.pdf"})
    cloud.run(remove(employee("7", "cv.pdf")))
    assert cloud.files == set()


def test_record_that_is_written_between_the_read_and_the_erasure_loses_its_file() -> None:
    """It takes a second at most: what is written before a look that is repeated keeps its file."""
    start = 1_800_000_000.0
    late = SlowAws(names_again={"0": start + 0.05})  # the read begins at once, and the erasure 85 ms later
    late.run(1)
    assert "0.pdf" in late.erased

    in_time = SlowAws(names_again={"0": start + 0.05}, storing_seconds=1.5)
    in_time.run(1)
    assert "0.pdf" not in in_time.erased
