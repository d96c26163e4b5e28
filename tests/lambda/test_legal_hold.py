"""The function under a legal hold: nothing is erased, what would have gone is stored at once, and goes when it ends.

The zip's code runs in this process behind the event source, whose clock is the test's, with a table and a bucket in
memory. That the operator puts the hold on the function, and when it is in effect, is shown in tests/aws.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from humangov.aws import trigger as trigger_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testing import samples
from testing.event_source.answers import Answer
from testing.event_source.clients import clients
from testing.event_source.decisions import Reading
from testing.event_source.functions import InProcess
from testing.event_source.story import BUCKET, Code, Step, Story, cleanup_code, operator_settings

from .test_properties import MAPPINGS, STEPS

REASON, SINCE = "Case 26-1234", "2026-11-28T21:00:00Z"
HELD = {"HUMANGOV_HOLD": REASON, "HUMANGOV_HOLD_SINCE": SINCE}


def mapping() -> dict[str, Any]:
    """The mapping that the operator makes of a tenant with a hold."""
    names = samples.names(hold={"reason": REASON})
    configuration = dict(trigger_of.desired(names, samples.context(names), table=None).configuration)
    return configuration | {"DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:s3:::{BUCKET}"}}}


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    return cleanup_code(tmp_path_factory.mktemp("code"))


def held(code: Code, steps: list[Step], *, settings: Mapping[str, Any] | None = None, **more: Any) -> Story:
    """A story under a hold, run to its end."""
    function = replace(code, environment={**code.environment, **HELD})
    story = Story(function, mapping() if settings is None else settings, steps=steps, keep_log=True, **more)
    story.run()
    return story


def redriven(story: Story, code: Code) -> list[Answer]:
    """The hold ends: the function without it is sent what was kept."""
    story.function = InProcess(
        code.directory, handler=code.handler, environment=code.environment, clients=clients(story.tenant),
        clock=story.clock,
    )  # fmt: skip
    return story.redrive()


def uploaded(story: Story) -> set[str]:
    return {f"file-{number}.pdf" for number in range(story._files)}


FIRED: list[Step] = [("hire", "1", 2), ("hire", "2", 1), ("fire", "1"), ("edit", "2", 1), ("turn",)]


def test_held_batch_erases_nothing_and_is_stored_whole_after_one_invocation(code: Code) -> None:
    story = held(code, FIRED)
    assert story.tenant.files == uploaded(story)
    assert len(story.source.invocations) == 1
    [stored] = story.tenant.failures.values()
    event = json.loads(json.loads(stored)["payload"])
    assert len(event["Records"]) == 4  # those that name files too: the redrive is to know what the function knew


def test_files_that_a_legal_hold_kept_are_erased_when_it_ends(code: Code) -> None:
    story = held(code, FIRED)
    assert redriven(story, code) == [Answer(result={"batchItemFailures": []})]
    assert story.tenant.files == story.tenant.live_files
    assert story.tenant.files < uploaded(story)


def test_receipt_of_a_held_file_says_since_when_and_why(code: Code) -> None:
    story = held(code, FIRED)
    stored = [json.loads(message) for messages in story.tenant.log_streams.values() for message in messages]
    outcomes = [line for line in stored if line.get("receipt") == "outcome"]
    assert [line["outcome"] for line in outcomes] == [f"held: {REASON} (since {SINCE})"] * 3
    assert all(line["erased_at"] is None for line in outcomes)
    [batch] = [line for line in story.function.lines if line.get("message") == "batch"]
    assert (batch["held"], batch["erased"], batch["failed"]) == (3, 0, 0)


def test_held_batch_that_frees_no_file_is_no_error_and_is_not_stored(code: Code) -> None:
    story = held(code, [("hire", "1", 1), ("hire", "2", 0), ("turn",)])
    assert [one.answer.error for one in story.source.invocations] == [None]
    assert story.tenant.failures == {}


def test_mapping_that_is_not_yet_changed_for_the_hold_keeps_everything_as_well(code: Code) -> None:
    story = held(code, FIRED, settings=operator_settings())
    assert story.tenant.files == uploaded(story)
    redriven(story, code)
    assert story.tenant.files == story.tenant.live_files


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEPS, min_size=1, max_size=60),
    other=st.one_of(st.none(), MAPPINGS),
    shards=st.integers(1, 3),
    reading=st.sampled_from(Reading),
    versioning=st.sampled_from(["", "Enabled", "Suspended"]),
)
def test_hold_erases_nothing_and_afterwards_exactly_the_files_of_live_records_remain(
    code: Code, steps: list[Step], other: dict[str, Any] | None, shards: int, reading: Reading, versioning: str
) -> None:
    """other: a mapping that the operator has not changed yet."""
    story = held(code, steps, settings=other, shards=shards, reading=reading, versioning=versioning)
    assert story.tenant.files == uploaded(story)
    redriven(story, code)
    assert story.tenant.lost == []
    assert story.tenant.files == story.tenant.live_files


def test_function_with_a_blank_hold_erases_nothing(code: Code) -> None:
    function = replace(code, environment={**code.environment, "HUMANGOV_HOLD": ""})
    story = Story(function, mapping(), steps=FIRED)
    story.run()
    assert story.tenant.files == uploaded(story)
