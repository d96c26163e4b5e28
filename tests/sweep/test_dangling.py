"""Records that name no file of the bucket, beside orphans that they may mean in another spelling: a person is asked."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from humangov.sweep import dangling
from humangov.sweep.listing import Stored
from humangov.sweep.local_join import LocalJoin
from humangov.sweep.result import SweepResult

from testing import samples
from testing.sweep.tenant_data import DAY
from testing.sweep.world import SweepWorld


def staffed(**more: Any) -> SweepWorld:
    world = SweepWorld(names=samples.names(bucket={"name": "files"}, sweep={"mode": "Delete"}), **more)
    for number in range(40):
        world.upload(f"{number}.pdf", age=9 * DAY)
        world.hire(str(number), f"{number}.pdf")
    return world


def names(found: SweepResult) -> list[str]:
    return [check.name for check in found.failed_checks]


@pytest.mark.parametrize(
    ("stored", "named"),
    [
        ("cv.pdf", "CV.pdf"),
        ("cv.pdf", "cv"),
        ("José Díaz.pdf", "Jose_Diaz.pdf"),
        ("a%20b.pdf", "a b.pdf"),
        ("uploads/cv.pdf", "cv.pdf"),
        ("cv.pdf", "C:\\fakepath\\cv.pdf"),
        ("cv.pdf", "https://files.s3.amazonaws.com/old/CV.pdf?versionId=1"),
        ("cv.pdf", "s3://files/CV.pdf"),
    ],
)
@pytest.mark.parametrize("versioning", [None, "Enabled"])
def test_orphan_that_a_record_spells_differently_is_not_erased(stored: str, named: str, versioning: str | None) -> None:
    world = staffed(versioning=versioning)
    world.upload(stored, age=9 * DAY)
    world.needed.add(stored)
    world.hire("other", named)
    found = [world.sweep(after=DAY) for _ in range(3)]
    assert [names(one) for one in found] == [["DanglingRecords"]] * 3
    assert found[-1].alike == 1
    assert world.lost == []


def test_orphan_list_shows_beside_an_orphan_the_name_that_may_mean_it() -> None:
    world = staffed()
    world.upload("cv.pdf", "other.pdf", age=9 * DAY)
    world.hire("other", "CV.pdf")
    found = world.sweep()
    assert found.orphan_list is not None
    body = world.objects[found.orphan_list.key][-1].body
    lines = [json.loads(line) for line in gzip.decompress(body).splitlines()]
    assert [(one["key"], one.get("alike")) for one in lines if "key" in one] == [
        ("cv.pdf", "CV.pdf"),
        ("other.pdf", None),
    ]
    assert "CV.pdf" not in found.failed_checks[0].message  # it would stand in logs and in the status


@pytest.mark.parametrize(
    ("stored", "several"),
    [
        (("a b.pdf",), ("a%20b.pdf",)),  # one of the keys that the record may mean is stored
        (("dir/cv.pdf",), ("https://files.s3.amazonaws.com/dir/cv.pdf",)),
        ((), ("", "-", "n/a")),  # placeholders
        ((), ("lost-1.pdf", "lost-2.pdf")),
        (("1/resume.pdf", "2/resume.pdf"), ("1/resume.pdf", "2/resume.pdf", "3/resume.pdf")),  # a name that all have
    ],
)
def test_record_whose_file_is_stored_or_that_resembles_no_orphan_stops_nothing(
    stored: tuple[str, ...], several: tuple[str, ...]
) -> None:
    world = staffed()
    world.upload(*stored, "orphan.pdf", "9/resume.pdf", "x/A B.pdf", age=9 * DAY)
    for number, name in enumerate(several):
        world.hire(f"other-{number}", name)
    found = [world.sweep(after=DAY) for _ in range(2)]
    assert [(names(one), one.alike) for one in found] == [([], 0)] * 2
    assert world.files.isdisjoint({"orphan.pdf", "9/resume.pdf", "x/A B.pdf"})


def test_file_that_is_young_or_of_another_kind_is_no_dangling_records() -> None:
    world = staffed()
    world.upload("CV.pdf")
    world.upload("form.docx", "cv.pdf", "form.pdf", age=9 * DAY)
    world.hire("young", "CV.pdf")
    world.hire("kind", "form.docx")
    found = [world.sweep(after=DAY / 2) for _ in range(2)]
    assert [names(one) for one in found] == [[], []]


def test_more_short_names_than_memory_may_hold_are_all_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dangling, "_MOST_SHORT", 4)
    for number, alike in ((2, 0), (3, 3)):  # with and without extension: twice as many forms
        with LocalJoin() as join:
            orphans = [f"old/{each}.pdf" for each in range(number)]
            live = [f"new/{each}.pdf" for each in range(number)]
            join.store(Stored(key, '"1"', 1, 1) for key in (*orphans, *live))
            join.name([[key.encode()] for key in live] + [[f"lost/{each}.pdf".encode()] for each in range(number)])
            assert join.join(named_twice=0).live == number
            assert [one.stored.key for one in join.orphans() if one.alike] == orphans[:alike]
