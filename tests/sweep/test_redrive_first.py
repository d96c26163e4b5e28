"""A sweep redrives failed invocations first: what goes wrong there is told, and ends no sweep."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from humangov.reading.unnamed import READ_ON_EVERY_SECONDS
from humangov.redrive.output import lines as redriven_lines
from humangov.sweep.output import lines
from humangov.sweep.status import message

from testing import samples
from testing.lambda_runtime.stream_events import employee, remove
from testing.sweep.dynamodb import place_of
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld

UUID, ELSEWHERE = "91eaeb7e-c976-4939-86c8-b8e4f4a5e3d0", "11111111-0000-4000-8000-000000000000"


def staffed() -> SweepWorld:
    """Nine records with their files, an orphan, and a file that a failed invocation frees."""
    names = samples.names(bucket={"name": "files"}, sweep={"mode": "Delete", "maximumOrphanPercent": 60})
    world = SweepWorld(names=replace(names, tenant=replace(names.tenant, mappings=(UUID,))))
    for number in range(9):
        world.upload(f"{number}.pdf", age=3 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload("orphan.pdf", "freed.pdf", age=3 * DAY)
    return world


def give_up(world: SweepWorld, one: str, name: str, *, uuid: str = UUID, ago: float = HOUR) -> None:
    arn = f"{world.names.table_arn}/stream/2026-01-01T00:00:00.000"
    record: dict[str, Any] = remove(
        employee(one, name), table=world.names.tenant.table.name, at=world.now - ago
    )  # fmt: skip
    record["eventSourceARN"] = arn
    body = {
        "requestContext": {"functionArn": world.names.function_arn, "condition": "RetryAttemptsExhausted"},
        "DDBStreamBatchInfo": {"streamArn": arn},
        "payload": json.dumps({"Records": [record]}),
    }
    world.upload(f"aws/lambda/{uuid}/shard/2026/03/01/{one}", body=json.dumps(body).encode())


def test_sweep_redrives_failed_invocations_and_lists_none_of_their_files_as_orphans() -> None:
    world = staffed()
    give_up(world, "x", "freed.pdf")
    found = world.sweep("Detect")
    assert found.redriven is not None
    assert (found.redriven.removed, found.orphans, "freed.pdf" in world.files) == (1, 1, False)


def test_sweep_redrives_no_planted_invocation_and_no_file_that_a_record_names() -> None:
    world = staffed()
    give_up(world, "x", "freed.pdf", uuid=ELSEWHERE)
    give_up(world, "y", "3.pdf")
    found = world.sweep("Detect")
    assert found.redriven is not None
    assert (found.redriven.others, found.redriven.own) == (1, 1)
    assert {"freed.pdf", "3.pdf"} < world.files
    assert world.lost == []


@pytest.mark.parametrize("ahead", [60.0, DAY, 900 * DAY])
def test_planted_invocation_cannot_claim_the_removal_of_a_file_that_comes_after_it(ahead: float) -> None:
    """Of an upload, whose record the application has yet to write: its name was known before."""
    world = staffed()
    give_up(world, "x", "announced.pdf", ago=-ahead)
    world.now += 10.0
    world.upload("announced.pdf", age=0.0)
    found = world.sweep("Detect")
    assert found.redriven is not None
    assert found.redriven.own == 1
    assert "announced.pdf" in world.files


@pytest.mark.parametrize("operation", ["ListObjectVersions", "CreateLogStream", "GetObject"])
def test_sweep_goes_on_and_says_why_if_failed_invocations_cannot_be_redriven(operation: str) -> None:
    world = staffed()
    give_up(world, "x", "freed.pdf")

    def fault(asked: str) -> str | None:
        # The claims are listed before, and the bucket after it.
        redrives = world.calls["ListObjectVersions"] > 0 and world.calls["ListObjectsV2"] == 1
        return "AccessDenied" if asked == operation and redrives else None

    world.faults = fault
    found = world.sweep("Detect")
    assert found.redriven is not None
    problem, unreadable = found.redriven.problem, list(found.redriven.unreadable.values())
    assert "AccessDenied" in str(problem or unreadable)
    assert "; redrive: 0 of " in message(found, world.names, problem=None)
    assert "AccessDenied" in str(lines(found, world.names, word="Detected", problem=None, files_named=True))
    assert (found.listed, found.orphans, "freed.pdf" in world.files) == (11, 2, True)


def test_redrive_keeps_the_file_of_a_record_that_comes_behind_its_scan_and_the_next_says_that_it_is_live() -> None:
    world = staffed()
    world.with_stream()
    world.page = 4
    give_up(world, "x", "freed.pdf")
    first = min((f"again-{number}" for number in range(2000)), key=place_of)
    world.table = {"ItemCount": 0}  # so one thread scans

    def meanwhile(operation: str) -> None:
        if operation == "Scan" and world.calls["Scan"] == 1:
            world.hire(first, "freed.pdf")

    world.meanwhile = meanwhile
    found = world.sweep("Detect").redriven
    assert found is not None
    assert (found.removed, found.left, found.scan_alone) == (0, 1, None)
    assert {line["outcome"] for line in world.receipts() if "outcome" in line} <= {"failed: NamedMeanwhile"}
    again = world.sweep("Detect", after=HOUR).redriven
    assert again is not None
    assert (again.removed, again.left, world.lost) == (1, 0, [])
    assert [line["outcome"] for line in world.receipts() if "outcome" in line][-1] == "kept: live"


def test_redrive_keeps_a_file_that_a_record_names_before_its_invocation_and_says_when_the_scan_stood_alone() -> None:
    world = staffed()
    stream = world.with_stream()
    give_up(world, "x", "freed.pdf")
    give_up(world, "y", "orphan.pdf")

    def meanwhile(operation: str) -> None:
        if operation == "PutLogEvents":
            world.now += READ_ON_EVERY_SECONDS
            world.hire("again", "orphan.pdf")

    world.meanwhile = meanwhile
    found = world.sweep("Detect").redriven
    assert found is not None
    assert (found.removed, found.left, "orphan.pdf" in world.files, world.lost) == (1, 1, True, [])
    stream.disable()
    found = world.sweep("Detect", after=HOUR).redriven
    assert found is not None
    assert (found.removed, found.left, found.scan_alone) == (1, 0, "its stream is not enabled")
    assert "the table was read by a scan alone" in str(redriven_lines(found, world.names, dry_run=False))


def test_sweep_that_may_not_erase_redrives_nothing() -> None:
    world = staffed()
    give_up(world, "x", "freed.pdf")
    found = world.sweep("Detect", may_erase=lambda: "annotation humangov.io/stop is set")
    assert found.redriven is not None
    assert found.redriven.problem == "annotation humangov.io/stop is set"
    assert "freed.pdf" in world.files


def test_sweep_lists_orphans_although_the_receipts_of_its_redrive_fail_and_says_what_was_erased() -> None:
    world = staffed()
    give_up(world, "x", "freed.pdf")
    asked = Counter[str]()

    def outcomes_fail(operation: str) -> str | None:
        asked[operation] += 1
        return "AccessDeniedException" if operation == "PutLogEvents" and asked[operation] > 1 else None

    world.faults = outcomes_fail
    found = world.sweep("Detect")
    assert (found.listed, found.orphans, "freed.pdf" in world.files) == (10, 1, False)
    said = message(found, world.names, problem=None)
    assert "redrive: 0 of 1 failed invocations handled, 1 file erased, stopped, because receipts could not be" in said
    failed = message(found, world.names, problem="the table was deleted")
    assert failed == "the table was deleted; the redrive before the sweep erased 1 file"


def test_sweep_says_why_its_redrive_was_refused() -> None:
    world = staffed()
    give_up(world, "x", "freed.pdf")
    world.names = replace(world.names, tenant=replace(world.names.tenant, files_shared=2))
    found = world.sweep("Detect")
    said = message(found, world.names, problem=None)
    assert "2 files are named by more than one record, so nothing is erased" in said
    assert "freed.pdf" in world.files
