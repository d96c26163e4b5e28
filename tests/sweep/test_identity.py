"""What a sweep erases is what it has seen: the same object by content and date, and old since it can be seen."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from humangov.cleanup.calls import Calls
from humangov.sweep import erasure
from humangov.sweep.listing import Stored, StoredVersion

from testing import samples
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld


def world_with(*, sweep: dict[str, Any] | None = None, **more: Any) -> SweepWorld:
    """Sixty employees with a file each."""
    spec = {"mode": "Delete", "maximumOrphanPercent": 100, **(sweep or {})}
    world = SweepWorld(names=samples.names(bucket={"name": "files"}, sweep=spec), **more)
    for number in range(60):
        world.upload(f"{number}.pdf", age=30 * DAY)
        world.hire(str(number), f"{number}.pdf")
    return world


def outcomes(world: SweepWorld) -> list[str]:
    return [line["outcome"] for line in world.receipts() if line["receipt"] == "outcome"]


def once(operation: str, happens: Callable[[], None]) -> Callable[[str], None]:
    """Just before the first call of this operation after the second scan."""
    done: list[str] = []

    def meanwhile(asked: str) -> None:
        if asked == operation and not done:
            done.append(asked)
            happens()

    return meanwhile


@pytest.mark.parametrize("versioning", [None, "Enabled", "Suspended"])
def test_an_upload_in_parts_that_was_finished_after_it_was_begun_is_no_older_than_its_first_sighting(
    versioning: str | None,
) -> None:
    world = world_with(sweep={"confirmAfter": "10h", "minimumAge": "24h"}, versioning=versioning)
    world.upload_in_parts("big.pdf", begun=25 * HOUR)
    world.needed.add("big.pdf")  # its record is about to be written
    world.sweep()
    second = world.sweep(after=11 * HOUR)
    assert (world.lost, world.missing) == ([], set())
    assert (second.orphans, second.confirmed) == (1, 0)
    world.needed.clear()
    third = world.sweep(after=14 * HOUR)
    assert (third.confirmed, "big.pdf" in world.files) == (1, False)


def test_the_first_sighting_of_an_upload_in_parts_outlives_the_list_that_saw_it() -> None:
    world = world_with(sweep={"confirmAfter": "10h", "minimumAge": "20d"})
    world.upload_in_parts("big.pdf", begun=21 * DAY)
    for _ in range(4):  # a list counts for 14 days, and is removed here
        result = world.sweep(after=6 * DAY)
        assert (result.orphans, result.confirmed) == (1, 0)
        for key in world.orphan_lists()[:-1]:
            world.objects.pop(key)
    assert world.sweep(after=6 * DAY).confirmed == 1
    assert "big.pdf" not in world.files


@pytest.mark.parametrize("honours", [True, False, None], ids=["conditions", "no conditions", "conditions refused"])
def test_the_same_bytes_uploaded_again_during_a_sweep_stay(honours: bool | None) -> None:
    world = world_with(honours=honours)
    world.upload("orphan.pdf", age=20 * DAY)
    world.sweep()
    world.meanwhile = once("CreateLogStream", lambda: world.upload("orphan.pdf"))
    result = world.sweep(after=DAY)
    assert "orphan.pdf" in world.files
    assert (result.erased.count("kept"), outcomes(world)) == (1, ["kept: newer"])


@pytest.mark.parametrize(
    "bucket", [{"honours": False}, {"versioning": "Suspended"}], ids=["conditions ignored", "a null version"]
)
def test_other_bytes_that_s3_dates_alike_stay(bucket: dict[str, Any]) -> None:
    world = world_with(**bucket)
    world.upload("orphan.pdf", age=20 * DAY)
    world.sweep()
    world.meanwhile = once("CreateLogStream", lambda: world.upload("orphan.pdf", body=b"nine more", age=21 * DAY))
    world.sweep(after=DAY)
    assert "orphan.pdf" in world.files
    assert outcomes(world) == ["kept: newer"]


def test_file_that_cannot_be_checked_stays() -> None:
    world = world_with()
    world.upload("orphan.pdf", age=20 * DAY)
    world.sweep()
    world.faults = lambda operation: "AccessDenied" if operation == "HeadObject" else None
    world.sweep(after=DAY)
    assert "orphan.pdf" in world.files
    assert outcomes(world) == ["failed: AccessDenied"]


def test_versioning_that_is_enabled_during_a_sweep_leaves_no_delete_marker_over_a_file() -> None:
    world = world_with()
    world.upload("orphan.pdf", age=9 * DAY)
    world.sweep()

    def enable() -> None:
        world.versioning = "Enabled"

    world.meanwhile = once("DeleteObject", enable)
    found = world.sweep(after=DAY)
    assert found.erased.unfinished is not None
    assert [version.is_marker for version in world.objects["orphan.pdf"]] == [False]
    assert "orphan.pdf" in world.files
    assert outcomes(world) == ["failed: VersioningChanged"]


@pytest.mark.parametrize(
    ("bucket", "again", "stays"),
    [
        ({}, b"%PDF", False),
        ({}, b"nine more", True),
        ({"honours": False}, b"nine more", False),
        ({"versioning": "Enabled"}, b"%PDF", True),
    ],
    ids=["the same bytes", "other bytes", "other bytes, conditions ignored", "versions"],
)
def test_upload_just_before_the_delete_stays_if_its_bytes_are_others_and_s3_heeds_conditions_or_keeps_versions(
    bucket: dict[str, Any], again: bytes, stays: bool
) -> None:
    """As docs/operations.md says of the milliseconds between the comparison and the delete."""
    world = world_with(**bucket)
    world.upload("orphan.pdf", age=20 * DAY)
    world.sweep()
    compared: list[str] = []

    def meanwhile(operation: str) -> None:
        if operation == "HeadObject":
            compared.append(operation)
        if operation in ("DeleteObject", "DeleteObjects") and (compared or bucket.get("versioning")):
            world.meanwhile = lambda _: None
            world.upload("orphan.pdf", body=again)

    world.meanwhile = meanwhile
    world.sweep(after=DAY)
    assert ("orphan.pdf" in world.files) is stays


@pytest.mark.parametrize(("etag", "milliseconds"), [('"abc"', 0), ('"abc-2"', 0), ('"abc"', 250)])
def test_version_that_s3_still_lists_is_not_erased_whatever_s3_answered(etag: str, milliseconds: int) -> None:
    """Of an upload in parts, and of a store that dates by the millisecond, too."""
    modified = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    listed = {"Key": "cv.pdf", "VersionId": "v1", "IsLatest": True, "LastModified": modified, "ETag": etag, "Size": 3}

    class Keeping:
        def list_object_versions(self, **_: Any) -> dict[str, Any]:
            return {"IsTruncated": False, "Versions": [listed]}

        def delete_objects(self, **request: Any) -> dict[str, Any]:
            return {"Deleted": [dict(one) for one in request["Delete"]["Objects"]]}

    nothing, keeping = cast(Any, None), cast(Any, Keeping())
    calls = Calls(
        dynamodb=nothing, s3=keeping, bucket_owner="1", out_of_time=lambda: False, pause=lambda _: None,
        now=lambda: 0.0, write=lambda _: None,
    )  # fmt: skip
    seconds = int(modified.timestamp())
    one = Stored("cv.pdf", etag, 3, seconds, (StoredVersion("v1", seconds, False, 3),))
    with ThreadPoolExecutor(1) as pool:
        [result] = erasure._versions([one], names=samples.names(), calls=calls, pool=pool)
    assert (result.outcome.detail, result.left) == ("StillThere", 1)
