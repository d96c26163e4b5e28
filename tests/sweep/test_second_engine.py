"""A second engine, behind the same seam: every safety rule holds, also of one that answers what it must not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.reading.progress import FailedError
from humangov.sweep.listing import Stored
from humangov.sweep.local_search import LocalSearch
from humangov.sweep.search import Joined, Orphan, StoredFiles
from humangov.sweep.surroundings import Run
from hypothesis import given, settings
from hypothesis import strategies as st

from testing import samples
from testing.sweep import world as sweep_world
from testing.sweep.memory_search import MemorySearch, memory_search
from testing.sweep.tenant_data import DAY
from testing.sweep.world import SweepWorld
from tests.sweep.test_safety_checks import CASES, staffed, twice

EPOCH = datetime.fromtimestamp(0, UTC)


@pytest.fixture
def second_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_world, "SEARCH_OF", memory_search)


@pytest.mark.usefixtures("second_engine")
@pytest.mark.parametrize("name", CASES)
def test_safety_check_case_loses_no_live_file_with_a_second_engine(name: str) -> None:
    world = CASES[name].happens()
    assert (world.lost, world.missing) == ([], set())


@pytest.mark.usefixtures("second_engine")
@pytest.mark.parametrize("name", CASES)
def test_safety_check_case_without_its_rule_loses_a_live_file_with_a_second_engine(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    CASES[name].taken_out(monkeypatch)
    world = CASES[name].happens()
    assert world.lost or world.missing


@pytest.mark.usefixtures("second_engine")
def test_second_engine_erases_the_orphan() -> None:
    world = staffed()
    twice(world)
    assert "orphan.pdf" not in world.objects
    assert world.lost == []


class Young(MemorySearch):
    """What was uploaded a moment ago is an orphan."""

    def orphans(self) -> Iterator[Orphan]:
        yield from sorted((*super().orphans(), Orphan(self.stored[b"young.pdf"])))


class Reserved(MemorySearch):
    """A sweep's own files are orphans, too."""

    def orphans(self) -> Iterator[Orphan]:
        yield Orphan(Stored(".humangov/sweeps/1.jsonl.gz", '"1"', 1, 1))
        yield from super().orphans()


class NotIncluded(MemorySearch):
    """Files that spec.sweep.include does not match are orphans, too."""

    def orphans(self) -> Iterator[Orphan]:
        yield from sorted((*super().orphans(), Orphan(self.stored[b"notes.txt"])))


class Twice(MemorySearch):
    """Each orphan comes twice."""

    def orphans(self) -> Iterator[Orphan]:
        yield from (one for one in super().orphans() for _ in range(2))


class Counted(MemorySearch):
    """Its numbers are not those of its files: some have neither a record nor none."""

    def join(self, *, named_twice: int) -> Joined:
        joined = super().join(named_twice=named_twice)
        return replace(joined, live=joined.live - 1)


class Overlooked(MemorySearch):
    """It lists one file more than it joins."""

    def list_stored(self) -> StoredFiles:
        stored = super().list_stored()
        return replace(stored, listed=stored.listed + 1)


@pytest.mark.parametrize("engine", [Young, Reserved, NotIncluded, Twice, Counted, Overlooked])
def test_engine_whose_answer_breaks_a_rule_has_nothing_erased(
    engine: type[MemorySearch], monkeypatch: pytest.MonkeyPatch
) -> None:
    def search_of(run: Run) -> Any:
        return nullcontext(engine(run))

    monkeypatch.setattr(sweep_world, "SEARCH_OF", search_of)
    world = staffed(sweep={"include": ["*.pdf"]})
    world.upload("notes.txt", age=9 * DAY)
    before = {key for key in world.objects if not key.startswith(".humangov/")}
    for _ in range(2):
        world.now += DAY
        world.upload("young.pdf", age=60)
        with pytest.raises(FailedError, match="no orphan was erased"):
            world.sweep()
    assert before <= set(world.objects)


@given(
    files=st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from((60, 9 * DAY)), max_size=8),
    named=st.lists(
        st.sampled_from(("a.pdf", "b.pdf", "c.pdf", "C.pdf", "d", "x/e.pdf", "%66.pdf", "z.pdf")), max_size=6
    ),
    reused=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_both_engines_answer_the_same(files: dict[str, float], named: list[str], reused: bool) -> None:
    results = []
    for search_of in (LocalSearch, memory_search):
        table = {"fileNames": "Shared"} if reused else {}
        world = SweepWorld(names=samples.names(bucket={"name": "files"}, table={"name": "t", **table}))
        for name, age in files.items():
            world.upload(f"{name}.pdf", age=age)
        for number, name in enumerate(named):
            world.hire(str(number), name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sweep_world, "SEARCH_OF", search_of)
            results.append(replace(world.sweep(mode="Detect"), run="", orphan_list=None, started=EPOCH))
    assert results[0] == results[1]
