"""The soak's judgement: what counts as flat, and what its report says. The soak itself: `make bench NAME=soak`."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import soak, soak_flat
from bench.rig import NotMeasuredError
from bench.soak_flat import Sample


def life(*, mib_a_sample: float = 0.0, files_a_sample: float = 0.0, number: int = 48) -> list[Sample]:
    """One sample every five seconds, of a process that has 100 MiB, 20 threads and 30 open files at first."""
    return [
        Sample(5.0 * place, 100 + mib_a_sample * place, 20, int(30 + files_a_sample * place)) for place in range(number)
    ]


def flat(samples: list[Sample]) -> dict[str, bool]:
    return {one.measure: one.flat for one in soak_flat.flatness(samples)}


def test_a_life_that_grows_steadily_is_not_flat() -> None:
    assert flat(life()) == {"memory_mib": True, "threads": True, "files": True}
    assert flat(life(mib_a_sample=0.3)) == {"memory_mib": False, "threads": True, "files": True}
    assert flat(life(files_a_sample=0.1)) == {"memory_mib": True, "threads": True, "files": False}


def test_neither_the_warm_up_nor_a_peak_makes_a_life_grow() -> None:
    samples = [one._replace(memory_mib=40.0 + 6 * place) for place, one in enumerate(life()[:10])] + life()[10:]
    samples[40] = samples[40]._replace(memory_mib=400.0, files=300)
    assert all(flat(samples).values())


@given(per_second=st.floats(-2, 2), noise=st.lists(st.floats(-0.001, 0.001), min_size=20, max_size=60))
def test_the_slope_is_that_of_the_line_under_the_noise(per_second: float, noise: list[float]) -> None:
    points = [(float(place), 7 + per_second * place + one) for place, one in enumerate(noise)]
    assert soak_flat.slope(points) == pytest.approx(per_second, abs=0.002)


def test_a_life_that_was_too_short_says_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        soak_flat.flatness(life(number=10))
    with pytest.raises(NotMeasuredError, match="long enough"):
        soak.report(soak.Soak(states=1, minutes=1, forecast="calm", seed=1, lives={"life 1": life(number=10)}))


def test_a_process_is_seen_as_the_kernel_sees_it() -> None:
    seen = soak_flat.look(os.getpid(), seconds=3.0)
    assert (seen.seconds, seen.threads >= 1, seen.files >= 3) == (3.0, True, True)
    assert 10 < seen.memory_mib < 10_000


def test_the_report_names_what_was_lost_what_is_left_and_who_grew(tmp_path: Path) -> None:
    found = soak.Soak(
        states=2, minutes=9, forecast="breezy", seed=7, lives={"life 1, process 1": life(mib_a_sample=0.3)}, deleted=9,
        lost=["a/1.pdf"], not_erased=["b/2.pdf", "b/3.pdf"], drifts=4, drifts_open=["the log's retention of b"],
        leader_changes=2, upgrades=1, restarts=1, other_code=["b"], left={"roles": ["r"]}, not_deleted="b is there",
    )  # fmt: skip
    made = soak.report(found)
    expected = {
        "flat": False, "deleted": 9, "lost": 1, "not_erased": 2, "drifts": 4, "drifts_open": 1, "leader_changes": 2,
        "upgrades": 1, "restarts": 1, "other_code": 1, "left_over": 1, "gone": False,
    }  # fmt: skip
    assert {name: made.figures[name] for name in expected} == expected
    assert made.figures["memory_mib_per_hour"] == pytest.approx(0.3 * 720)
    assert {"lost: a/1.pdf", "not erased: b/2.pdf, b/3.pdf", "left in AWS: roles: r", "not deleted: b is there"} <= set(
        made.notes
    )
    soak_flat.draw(found.lives, tmp_path / "soak.svg", title="Memory")
    assert ElementTree.parse(tmp_path / "soak.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own file
