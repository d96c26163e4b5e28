"""spec.sweep.maximumErasures counts erasures: nothing that S3 keeps, whatever the reason, uses it up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.reconcile import sweep_job_manifests
from humangov.sweep.erasure import BATCH
from humangov.sweep.result import exit_code, word_for
from humangov.sweep.status import message, status_fields

from testing import samples
from testing.sweep import s3
from testing.sweep.reply import Reply
from testing.sweep.tenant_data import DAY, TenantData
from testing.sweep.world import SweepWorld

LOCKED = "Access Denied because object protected by object lock."
DENIED = "User: x is not authorized to perform: s3:DeleteObjectVersion"


def world_with(maximum: int, *, retained: int = 0, free: int = 0, why: str = LOCKED, **more: Any) -> SweepWorld:
    """Orphans that S3 keeps are older than the others, so they come first."""
    spec = {"mode": "Delete", "maximumOrphanPercent": 100, "maximumErasures": maximum}
    world = SweepWorld(names=samples.names(bucket={"name": "files"}, sweep=spec), versioning="Enabled", **more)
    for number in range(60):
        world.upload(f"{number}.pdf", age=30 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload(*(f"held-{number:03}.pdf" for number in range(retained)), age=90 * DAY)
    world.upload(*(f"free-{number:03}.pdf" for number in range(free)), age=20 * DAY)

    def delete(data: TenantData, params: Mapping[str, Any]) -> Reply:
        several = params["Delete"]["Objects"]
        kept = [one for one in several if one["Key"].startswith("held")]
        answer = s3.delete_objects(data, {"Delete": {"Objects": [one for one in several if one not in kept]}}).answer
        errors = [{**one, "Code": "AccessDenied", "Message": why} for one in kept]
        return Reply(200, answer | {"Errors": errors})

    world.operations["DeleteObjects"] = delete
    world.operations["GetObjectLegalHold"] = lambda _data, _params: Reply(200, {"LegalHold": {"Status": "ON"}})
    world.sweep()
    return world


def left(world: SweepWorld, kind: str) -> int:
    return sum(name.startswith(kind) for name in world.files)


@pytest.mark.parametrize("why", [LOCKED, DENIED], ids=["Object Lock", "AccessDenied"])
def test_files_that_s3_keeps_do_not_keep_a_sweep_from_the_others(why: str) -> None:
    world = world_with(3, retained=2 if why == DENIED else 7, free=5, why=why)
    result = world.sweep(after=DAY)
    assert (result.erased.count("erased"), left(world, "free")) == (3, 2)
    world.sweep(after=DAY)
    assert left(world, "free") == 0
    assert left(world, "held") == (2 if why == DENIED else 7)


def test_a_sweep_says_how_many_files_s3_retains() -> None:
    world = world_with(3, retained=7)
    result = world.sweep(after=DAY)
    assert "; erased: 0; retained by S3 (Object Lock or MFA delete): 7" in message(result, world.names, problem=None)


def test_a_sweep_erases_no_more_than_its_maximum_and_says_how_many_are_left() -> None:
    world = world_with(BATCH + 20, free=BATCH + 50)
    result = world.sweep(after=DAY)
    assert (result.erased.count("erased"), left(world, "free")) == (BATCH + 20, 30)
    assert (
        result.erased.unfinished == f"the next sweep handles the other 30 (spec.sweep.maximumErasures is {BATCH + 20})"
    )


def test_a_sweep_that_is_refused_every_file_ends_at_its_maximum() -> None:
    world = world_with(BATCH, retained=3 * BATCH, why=DENIED)
    result = world.sweep(after=DAY)
    assert result.erased.count("failed") == BATCH
    assert result.erased.unfinished is not None


def test_a_sweep_that_was_refused_every_file_has_not_succeeded_and_says_what_to_do() -> None:
    world = world_with(10, retained=5, why=DENIED)
    for _ in range(3):
        result = world.sweep(after=DAY)
    word = word_for(result, failed=False, stopped=False)
    reported = status_fields(
        result, world.names, word=word, problem=None, now=datetime.fromtimestamp(world.now, UTC), before={}
    )  # fmt: skip
    finding = sweep_job_manifests.finding(world.names.tenant, reported, owner=world.names.owner, jobs=None)
    assert (word, exit_code(result, word=word), reported["failed"]) == ("ErasureFailed", 4, 5)
    assert (finding.status, finding.reason) == ("False", "ErasureFailed")
    assert "could not be erased: 5 (AccessDenied: 5); check that its role has" in finding.message


def test_files_that_a_sweep_was_denied_are_erased_by_the_next_once_permission_is_granted() -> None:
    world = world_with(10, retained=5, why=DENIED)
    for _ in range(2):
        result = world.sweep(after=DAY)
    assert word_for(result, failed=False, stopped=False) == "ErasureFailed"
    world.operations["DeleteObjects"] = s3.delete_objects
    result = world.sweep(after=DAY)
    assert (word_for(result, failed=False, stopped=False), left(world, "held")) == ("Erased", 0)


def test_files_with_an_unknown_result_count_for_the_maximum_of_erasures() -> None:
    world = world_with(4, free=10)
    world.faults = lambda operation: "InternalError" if operation == "DeleteObjects" else None
    result = world.sweep(after=DAY)
    assert result.erased.count("failed") == 4
