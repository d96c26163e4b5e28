"""What becomes of a search's answer: candidates alone come through, and uploads to named keys are spared."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence, Set

import pytest
from humangov.reading.progress import FailedError, StoppedError
from humangov.sweep import candidates, scratch_db
from humangov.sweep.incomplete_uploads import Upload
from humangov.sweep.listing import Stored
from humangov.sweep.run import begin_process
from humangov.sweep.scratch_db import Scratch
from humangov.sweep.search import Orphan

from testing import samples


def test_uploads_to_named_keys_are_spared_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_db, "_AT_ONCE", 3)
    asked: list[bytes] = []

    def named_among(keys: Sequence[bytes]) -> Set[bytes]:
        asked.extend(keys)
        return {key for key in keys if key.endswith(b"7.pdf")}

    with Scratch() as scratch:
        uploads = [Upload(f"{number:02d}.pdf", upload_id, 1) for number in range(20) for upload_id in ("a", "b")]
        scratch.store_uploads(uploads)
        scratch.spare_uploads(named_among)
        assert asked == sorted({one.key.encode() for one in uploads})
        assert list(scratch.uploads()) == [one for one in uploads if not one.key.endswith("7.pdf")]


def test_orphans_are_taken_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_db, "_AT_ONCE", 3)
    orphans = [Orphan(Stored(f"{number}.pdf", '"1"', 5, 1), "x" if number == 4 else None) for number in range(8)]
    checks: list[int] = []
    with Scratch() as scratch:
        counts = scratch.store_orphans(orphans, check=lambda: checks.append(1))
        assert (counts.orphans, counts.orphan_bytes, counts.alike, len(checks)) == (8, 40, 1, 3)
        assert [(one.stored, one.alike) for one in scratch.orphans()] == orphans


def test_stop_ends_the_taking_of_orphans_before_the_next_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_db, "_AT_ONCE", 3)
    asked: list[int] = []

    def orphans() -> Iterator[Orphan]:
        for number in range(8):
            asked.append(number)
            yield Orphan(Stored(f"{number}.pdf", '"1"', 5, 1), None)

    def check() -> None:
        if len(asked) > 3:
            raise StoppedError("a person")

    with Scratch() as scratch:
        with pytest.raises(StoppedError, match="a person"):
            scratch.store_orphans(orphans(), check=check)
        assert [one.stored.key for one in scratch.orphans()] == ["0.pdf", "1.pdf", "2.pdf"]
        assert len(asked) == 6


@pytest.mark.parametrize("key", ["b.pdf", "other/a.pdf", "cv/.humangov/x.pdf", "cv/a.txt", "cv/x/.humangov/owner.json"])
def test_candidates_of_a_key_prefix_are_its_files_alone(key: str) -> None:
    names = samples.names(bucket={"name": "files", "keyPrefix": "cv/"}, sweep={"include": ["*.pdf", "*.json"]})
    rules = candidates.rules(names, began=2e9)
    assert rules.is_candidate(Stored("cv/a.pdf", '"1"', 1, 1))
    assert not rules.is_candidate(Stored(key, '"1"', 1, 1))
    with pytest.raises(FailedError, match="none by its name or its age"):
        list(candidates.checked([Orphan(Stored(key, '"1"', 1, 1))], rules))


def test_keys_out_of_order_are_no_answer_of_a_search() -> None:
    rules = candidates.rules(samples.names(bucket={"name": "files"}), began=2e9)
    several = [Orphan(Stored(key, '"1"', 1, 1)) for key in ("b.pdf", "a.pdf")]
    with pytest.raises(FailedError, match="out of order"):
        list(candidates.checked(several, rules))


def test_process_of_a_sweep_has_what_is_loaded_left_out_of_garbage_collection() -> None:
    gc.unfreeze()  # what this process of tests has left out
    assert gc.get_freeze_count() == 0
    try:
        begin_process()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
