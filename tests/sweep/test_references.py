"""In whatever form a record names its file, no sweep erases it; and a name of no file stops nothing."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from humangov.sweep.result import SweepResult

from testing import samples
from testing.sweep.tenant_data import DAY
from testing.sweep.world import SweepWorld

FILES = 60
BUCKET = "california-files"


def staffed(prefix: str = "") -> SweepWorld:
    world = SweepWorld(names=samples.names(bucket={"name": BUCKET, "keyPrefix": prefix}, sweep={"mode": "Delete"}))
    for number in range(FILES):
        world.upload(f"{number}.pdf", age=30 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload("orphan.pdf", age=30 * DAY)
    return world


def nights(world: SweepWorld) -> SweepResult:
    """Three sweeps a day apart: what is an orphan is gone after the second."""
    return [world.sweep(after=DAY) for _ in range(3)][1]


NAMED = {
    f"https://{BUCKET}.s3.us-east-1.amazonaws.com/a-2019.pdf": "a-2019.pdf",
    f"https://s3.amazonaws.com/{BUCKET}/a%202018.pdf?versionId=7": "a 2018.pdf",
    f"s3://{BUCKET}/b-2019.pdf": "b-2019.pdf",
    "/c-2019.pdf": "c-2019.pdf",
    "d%20e.pdf": "d e.pdf",
    "f+g.pdf": "f g.pdf",
    unicodedata.normalize("NFC", "nuñez.pdf"): unicodedata.normalize("NFD", "nuñez.pdf"),
    unicodedata.normalize("NFD", "peña.pdf"): unicodedata.normalize("NFC", "peña.pdf"),
}


@pytest.mark.parametrize("prefix", ["", "ca/"])
def test_a_file_stays_that_a_record_names_in_another_form(prefix: str) -> None:
    world = staffed(prefix)
    for number, (named, stored) in enumerate(NAMED.items()):
        world.upload(stored, age=30 * DAY)
        world.needed.add(stored)
        world.hire(f"old-{number}", named)

    nights(world)

    assert world.lost == []
    assert set(NAMED.values()) <= world.files
    assert "orphan.pdf" not in world.files


def test_a_file_stays_that_a_record_names_in_binary_or_as_the_name_of_a_map_s_entry() -> None:
    world = staffed()
    values: dict[str, Any] = {
        "binary.pdf": {"B": b"binary.pdf"},
        "set.pdf": {"BS": [b"x", b"set.pdf"]},
        "entry.pdf": {"M": {"entry.pdf": {"M": {"pages": {"N": "3"}}}}},
        "nested.pdf": {"M": {"x": {"L": [{"S": "nested.pdf"}]}}},
    }
    for stored, value in values.items():
        world.upload(stored, age=30 * DAY)
        world.needed.add(stored)
        world.hire(stored)
        world.attributes[stored] = value

    nights(world)

    assert world.lost == []
    assert set(values) <= world.files
    assert "orphan.pdf" not in world.files


@pytest.mark.parametrize("name", ["", "n/a", "-", "none", f"s3://{BUCKET}/gone.pdf"])
@pytest.mark.parametrize("prefix", ["", "ca/"])
def test_records_with_the_same_name_of_no_file_share_none_and_stop_nothing(name: str, prefix: str) -> None:
    world = staffed(prefix)
    world.put(prefix or "-x", b"", at=world.now - 30 * DAY)  # as consoles make a folder
    world.hire("x", name)
    world.hire("y", name)

    result = nights(world)

    assert (result.shared, [check.name for check in result.failed_checks]) == ((), [])
    assert "orphan.pdf" not in world.files


@pytest.mark.parametrize("age", [30 * DAY, 60.0])
@pytest.mark.parametrize("stored", ["cv.pdf", "cv.png"])
@pytest.mark.parametrize("also", ["/", f"s3://{BUCKET}/", ""])
def test_records_that_name_one_stored_file_share_it_however_young_it_is_and_whatever_its_name(
    stored: str, age: float, also: str
) -> None:
    world = staffed()
    world.upload(stored, age=age)
    world.hire("x", stored)
    world.hire("y", f"{also}{stored}")

    result = world.sweep()

    assert result.shared == (stored,)
    assert [check.name for check in result.failed_checks] == ["FilesShared"]
