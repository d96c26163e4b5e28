"""Whatever happens: no live file is ever gone, and in the end exactly the files of live records remain.

The zip's code runs in this process, on the event source's fake clock, behind a table and a bucket in memory
(`testing.event_source.tenant`): thousands of lives a minute, which the zip in its own process could not. Not shown
here: AWS's runtime client, HTTP, stale reads. `test_event_source.py` has the same zip under the runtime client.

Two limits are the function's own, and documented. Between the guard's read and the erasure no removed record comes back
here (the window of milliseconds). And a file is at least a second older than its record's removal: within the same
second, a late event keeps it for the sweep.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import events
from testing.event_source.answers import Answer
from testing.event_source.decisions import Reading
from testing.event_source.source import pause_seconds
from testing.event_source.story import Code, Step, Story, cleanup_code, operator_settings, random_faults, walkthrough
from testing.event_source.tenant import Faults, no_faults
from testing.receipt_chain import broken_links

IDS = st.sampled_from([f"{one}" for one in range(6)])
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("hire"), IDS, st.integers(1, 3)),
    st.tuples(st.just("hire"), IDS, st.just(1)),
    st.tuples(st.just("fire"), IDS),
    st.tuples(st.just("fire"), IDS),
    st.tuples(st.just("return"), IDS),
    st.tuples(st.just("edit"), IDS, st.integers(0, 2)),
    st.tuples(st.just("shed"), IDS),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 3.0, 60.0, 1000.0, 20_000.0])),
    st.tuples(st.just("redeliver"), st.integers(1, 8)),
    st.just(("turn",)),
    st.just(("turn",)),
)
SETTINGS = operator_settings()
MAPPINGS = st.builds(
    lambda size, factor, retries, age, bisects: (
        SETTINGS
        | {
            "BatchSize": size,
            "ParallelizationFactor": factor,
            "MaximumRetryAttempts": retries,
            "MaximumRecordAgeInSeconds": age,
            "BisectBatchOnFunctionError": bisects,
        }
    ),
    st.sampled_from([1, 2, 5, 1000]),
    st.sampled_from([1, 3]),
    st.sampled_from([0, 1, 3, 10]),
    st.sampled_from([60, 3600, SETTINGS["MaximumRecordAgeInSeconds"]]),
    st.booleans(),
)


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    return cleanup_code(tmp_path_factory.mktemp("code"))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEPS, min_size=1, max_size=60),
    mapping=MAPPINGS,
    share=st.sampled_from([0.0, 0.05, 0.2, 0.6]),
    seed=st.integers(0, 2**32),
    shards=st.integers(1, 3),
    reading=st.sampled_from(Reading),
    versioning=st.sampled_from(["", "Enabled", "Suspended"]),
)
def test_random_streams_erase_no_live_file_and_leave_exactly_the_files_of_live_records(
    code: Code,
    steps: list[Step],
    mapping: dict[str, Any],
    share: float,
    seed: int,
    shards: int,
    reading: Reading,
    versioning: str,
) -> None:
    faults = random_faults(seed, share)
    story = Story(code, mapping, steps=steps, faults=faults, shards=shards, reading=reading, versioning=versioning)
    story.run()
    answers = story.redrive()

    assert story.tenant.lost == []
    assert story.tenant.live_files <= story.tenant.files
    assert story.tenant.unannounced == [], "every erased file has a stored intent"
    assert [broken_links(messages) for messages in story.tenant.log_streams.values() if broken_links(messages)] == []
    assert answers == [Answer(result={"batchItemFailures": []})] * len(answers)
    assert story.tenant.files == story.tenant.live_files


def test_walkthrough_function_loses_a_live_file(code: Code) -> None:
    """The same life kills the file of a record that came back: this world can see it, so the property can fail."""
    steps: list[Step] = [("hire", "1", 1), ("fire", "1"), ("return", "1"), ("turn",)]
    walkthrough_story = Story(walkthrough(), {}, steps=steps)
    walkthrough_story.run()
    with_cleanup = Story(code, SETTINGS, steps=steps)
    with_cleanup.run()

    assert walkthrough_story.tenant.lost == ["file-0.pdf"]
    assert with_cleanup.tenant.lost == []
    assert with_cleanup.tenant.files == {"file-0.pdf"}


def test_walkthrough_function_leaves_orphans() -> None:
    """A changed record's old file: this world sees what stays, too."""
    walkthrough_story = Story(walkthrough(), {}, steps=[("hire", "1", 1), ("edit", "1", 1), ("turn",)])
    walkthrough_story.run()

    assert walkthrough_story.tenant.files - walkthrough_story.tenant.live_files == {"file-0.pdf"}


@pytest.mark.parametrize("reading", Reading)
def test_records_behind_a_poison_record_wait_at_most_for_its_retries(code: Code, reading: Reading) -> None:
    found = events.poison(code, SETTINGS, reading=reading)

    retries = SETTINGS["MaximumRetryAttempts"]
    assert found.attempts == 1 + retries
    assert found.never == 0
    assert max(found.together) == 0
    assert max(found.later) < found.discarded_after
    assert found.discarded_after == sum(pause_seconds(failure) for failure in range(1, found.attempts))


def test_walkthrough_function_blocks_the_shard_of_a_poison_record_for_a_day(code: Code) -> None:
    found = events.poison(walkthrough(), {})

    assert found.discarded_after >= 24 * 3600 - 60
    assert max(found.later) > 23.9 * 3600
    assert found.never == 6  # what was removed within the poison record's own second or with it expires with it


def test_flood_of_mixed_events_with_faults_loses_no_live_file_and_leaves_no_orphan(code: Code) -> None:
    """`make bench NAME=events` has a hundred thousand of them."""
    once = SETTINGS | {"MaximumRetryAttempts": 0}
    found = events.measure_flood(lambda _line: None, code, events=2000, share=0.2, seed=8, settings=once)

    assert sum(found.events.values()) >= 2000
    assert set(found.events) == {"INSERT", "MODIFY", "REMOVE"}
    assert sum(found.faults.values()) > 50
    assert found.to_destination > 0
    assert found.orphans_before > 0
    assert (found.lost, found.missing, found.orphans_after) == (0, 0, 0)
    assert found.live > 0


def test_events_report_has_every_documented_figure(code: Code) -> None:
    blocked = {f"ours, {reading.name.lower()}": events.poison(code, SETTINGS, reading=reading) for reading in Reading}
    blocked["walkthrough"] = events.poison(walkthrough(), {})
    flood = events.measure_flood(lambda _line: None, code, events=50, share=0.0, seed=1)
    figures = events.report(blocked, flood, share=0.0, seed=1).figures

    assert figures["poison_later_wait_s"] < 600
    assert figures["poison_never_erased"] == 0
    assert figures["walkthrough_poison_later_wait_s"] > 23 * 3600
    assert figures["events"] == 50
    assert figures["live_files_lost"] == figures["orphans_left"] == figures["faults"] == 0
    json.dumps(figures)


def test_record_moved_to_a_new_id_within_a_batch_keeps_its_file(code: Code) -> None:
    """File names are not unique here: two records name one, one after the other."""
    story = moved(code, SETTINGS)
    assert story.tenant.lost == []
    assert story.tenant.files == {"cv.pdf"}


def test_moved_record_loses_its_file_if_inserts_are_filtered_out(code: Code) -> None:
    pattern = {"Filters": [{"Pattern": '{"eventName":["REMOVE","MODIFY"]}'}]}
    assert moved(code, {**SETTINGS, "FilterCriteria": pattern}).tenant.lost == ["cv.pdf"]


def once(fault: str) -> Faults:
    """The first read goes wrong in this way."""
    left = [fault]
    return lambda operation, subject, _attempt: (
        left.pop() if left and operation == "BatchGetItem" and not subject.startswith("key ") else None
    )


@pytest.mark.parametrize("reading", Reading)
@pytest.mark.parametrize("fault", ["throttled", "lost", "killed before", "killed after"])
def test_record_that_moved_keeps_its_file_when_its_batch_is_retried(code: Code, fault: str, reading: Reading) -> None:
    again = {**SETTINGS, "MaximumRetryAttempts": 3}
    story = moved(code, again, faults=once(fault), reading=reading)

    assert story.tenant.lost == []
    assert story.tenant.files == {"cv.pdf"}


def test_a_bisected_batch_loses_the_file_of_a_record_that_moved(code: Code) -> None:
    """So the trigger does not bisect: the half with the removal lacks what protects the file."""
    assert SETTINGS["BisectBatchOnFunctionError"] is False
    bisecting = {**SETTINGS, "BisectBatchOnFunctionError": True}

    assert moved(code, bisecting, faults=once("killed before")).tenant.lost == ["cv.pdf"]


def moved(
    code: Code, settings: dict[str, Any], *, faults: Faults = no_faults, reading: Reading = Reading.HALVES
) -> Story:
    story = Story(code, settings, faults=faults, reading=reading)
    story.tenant.upload("cv.pdf")
    story.tenant.write("old", "cv.pdf")
    story.source.run()
    story.clock.advance(10)
    story.tenant.write("new", "cv.pdf")
    story.tenant.remove("old")
    story.source.run()
    story.redrive()
    return story
