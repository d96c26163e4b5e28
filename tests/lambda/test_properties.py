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
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import events
from testing.event_source.answers import Answer
from testing.event_source.decisions import Reading
from testing.event_source.source import pause_seconds
from testing.event_source.story import Code, Step, Story, our_settings, ours, random_faults, walkthrough
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
OURS = our_settings()
MAPPINGS = st.builds(
    lambda size, factor, retries, age, bisects: (
        OURS
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
    st.sampled_from([60, 3600, OURS["MaximumRecordAgeInSeconds"]]),
    st.booleans(),
)


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    return ours(tmp_path_factory.mktemp("code"))


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
def test_no_live_file_is_ever_gone_and_in_the_end_exactly_the_files_of_live_records_remain(
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


def test_the_function_of_the_walkthrough_loses_a_live_file_here(code: Code) -> None:
    """The same life kills the file of a record that came back: this world can see it, so the property can fail."""
    steps: list[Step] = [("hire", "1", 1), ("fire", "1"), ("return", "1"), ("turn",)]
    theirs = Story(walkthrough(), {}, steps=steps)
    theirs.run()
    with_ours = Story(code, OURS, steps=steps)
    with_ours.run()

    assert theirs.tenant.lost == ["file-0.pdf"]
    assert with_ours.tenant.lost == []
    assert with_ours.tenant.files == {"file-0.pdf"}


def test_the_function_of_the_walkthrough_leaves_orphans_here() -> None:
    """A changed record's old file: this world sees what stays, too."""
    theirs = Story(walkthrough(), {}, steps=[("hire", "1", 1), ("edit", "1", 1), ("turn",)])
    theirs.run()

    assert theirs.tenant.files - theirs.tenant.live_files == {"file-0.pdf"}


@pytest.mark.parametrize("reading", Reading)
def test_later_records_of_a_poison_records_shard_wait_at_most_for_its_retries(code: Code, reading: Reading) -> None:
    found = events.poison(code, OURS, reading=reading)

    retries = OURS["MaximumRetryAttempts"]
    splits = math.ceil(math.log2(6)) if reading is Reading.HALVES else 0  # of a batch of six
    assert found.attempts <= 1 + retries + splits
    assert found.never == 0
    assert max(found.together) == 0
    assert max(found.later) < found.given_up_after
    assert found.given_up_after == sum(pause_seconds(failure) for failure in range(1, found.attempts))


def test_the_walkthroughs_function_blocks_a_poison_records_shard_for_a_day(code: Code) -> None:
    found = events.poison(walkthrough(), {})

    assert found.given_up_after >= 24 * 3600 - 60
    assert max(found.later) > 23.9 * 3600
    assert found.never == 6  # what was removed within the poison record's own second or with it expires with it


def test_a_flood_of_mixed_events_with_faults_loses_no_live_file_and_leaves_no_orphan(code: Code) -> None:
    """`make bench NAME=events` has a hundred thousand of them."""
    once = OURS | {"MaximumRetryAttempts": 0}
    found = events.measure_flood(lambda _line: None, code, events=2000, share=0.2, seed=8, settings=once)

    assert sum(found.events.values()) >= 2000
    assert set(found.events) == {"INSERT", "MODIFY", "REMOVE"}
    assert sum(found.faults.values()) > 50
    assert found.to_destination > 0
    assert found.orphans_before > 0
    assert (found.lost, found.missing, found.orphans_after) == (0, 0, 0)
    assert found.live > 0


def test_the_report_of_the_bench_has_every_figure_that_is_promised(code: Code) -> None:
    blocked = {f"ours, {reading.name.lower()}": events.poison(code, OURS, reading=reading) for reading in Reading}
    blocked["walkthrough"] = events.poison(walkthrough(), {})
    flood = events.measure_flood(lambda _line: None, code, events=50, share=0.0, seed=1)
    figures = events.report(blocked, flood, share=0.0, seed=1).figures

    assert figures["poison_later_wait_s"] < 600
    assert figures["poison_never_erased"] == 0
    assert figures["walkthrough_poison_later_wait_s"] > 23 * 3600
    assert figures["events"] == 50
    assert figures["live_files_lost"] == figures["orphans_left"] == figures["faults"] == 0
    json.dumps(figures)


def test_a_record_that_moves_to_a_new_id_within_a_batch_keeps_its_file(code: Code) -> None:
    """File names are not unique here: two records name one, one after the other."""
    story = moved(code, OURS)
    assert story.tenant.lost == []
    assert story.tenant.files == {"cv.pdf"}


def test_without_inserts_a_record_that_moves_loses_its_file(code: Code) -> None:
    pattern = {"Filters": [{"Pattern": '{"eventName":["REMOVE","MODIFY"]}'}]}
    assert moved(code, {**OURS, "FilterCriteria": pattern}).tenant.lost == ["cv.pdf"]


def moved(code: Code, settings: dict[str, Any]) -> Story:
    story = Story(code, settings)
    story.tenant.upload("cv.pdf")
    story.tenant.write("old", "cv.pdf")
    story.source.run()
    story.clock.advance(10)
    story.tenant.write("new", "cv.pdf")
    story.tenant.remove("old")
    story.source.run()
    return story
