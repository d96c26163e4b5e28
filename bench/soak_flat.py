"""Memory, threads and open files of the working operator over time: samples, their slope, the picture.

The slope is that of Theil and Sen, the median of the slopes between all pairs of samples: a peak does not move it.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pygal

WARM_UP_SHARE = 0.25
"""Of a life's samples: what a process takes at first, such as its clients and its cache, is no leak."""

MEMORY_SHARE = 0.05
"""Memory is flat if by its slope it grows by less than this share of its median while it is measured."""

GROWTH = 1.0
"""Threads and open files are flat if by their slope there is less than one more at the end."""

MOST = 400
"""Samples of which all pairs are taken: 80,000 slopes."""

ENOUGH = 12
_SHOWN = 500


class Sample(NamedTuple):
    """One look at a process. seconds: since the soak began."""

    seconds: float
    memory_mib: float
    threads: int
    files: int


MEASURES = ("memory_mib", "threads", "files")


@dataclass(frozen=True, kw_only=True)
class Flatness:
    """Of one measure in one life. per_hour: the slope. growth: the slope times what was measured of the life."""

    measure: str
    median: float
    highest: float
    per_hour: float
    growth: float

    @property
    def flat(self) -> bool:
        limit = MEMORY_SHARE * self.median if self.measure == "memory_mib" else GROWTH
        return self.growth < limit


def look(pid: int, *, seconds: float) -> Sample:
    """Resident memory, threads and descriptors (proc(5)). Raises OSError if there is no such process."""
    folder = Path(f"/proc/{pid}")
    status = dict(line.partition(":")[::2] for line in (folder / "status").read_text().splitlines())
    files = sum(1 for _ in (folder / "fd").iterdir())
    return Sample(seconds, int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), files)


def settled(life: Sequence[Sample]) -> Sequence[Sample]:
    """Without the warm-up."""
    return life[int(len(life) * WARM_UP_SHARE) :]


def is_long_enough(life: Sequence[Sample]) -> bool:
    """Whether a slope of it says anything."""
    return len(settled(life)) >= ENOUGH


def flatness(life: Sequence[Sample]) -> list[Flatness]:
    """Of each measure. Raises ValueError for a life that is too short to say anything."""
    samples = settled(life)
    if not is_long_enough(life):
        raise ValueError(f"{len(samples)} samples are too few for a slope")
    lasted = samples[-1].seconds - samples[0].seconds
    found = []
    for measure in MEASURES:
        values = [float(getattr(one, measure)) for one in samples]
        by_second = slope([(one.seconds, value) for one, value in zip(samples, values, strict=True)])
        found.append(
            Flatness(
                measure=measure, median=statistics.median(values), highest=max(values),
                per_hour=3600 * by_second, growth=lasted * by_second,
            )
        )  # fmt: skip
    return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Theil and Sen's. Of more than MOST points, as many are taken, evenly. Raises StatisticsError for one point."""
    taken = points[:: -(-len(points) // MOST)]
    pairs = itertools.combinations(taken, 2)
    return statistics.median((later - value) / (end - begin) for (begin, value), (end, later) in pairs if end > begin)


def draw(lives: Mapping[str, Sequence[Sample]], picture: Path, *, title: str) -> None:
    """Memory of each life, with threads and open files, over minutes."""
    chart = pygal.XY(
        title=title, x_title="minutes", width=860, height=440, js=(), pretty_print=True, dots_size=1,
        x_value_formatter=lambda value: f"{value:,.0f}", value_formatter=lambda value: f"{value:,.0f}",
        legend_at_bottom=True, range=(0, 1.15 * max(one.memory_mib for life in lives.values() for one in life)),
    )  # fmt: skip
    for name, life in lives.items():
        shown = life[:: -(-len(life) // _SHOWN)]
        chart.add(f"memory, MiB: {name}", [(one.seconds / 60, one.memory_mib) for one in shown])
    for measure, text in (("threads", "threads"), ("files", "open files")):
        every = [one for life in lives.values() for one in life[:: -(-len(life) // _SHOWN)]]
        chart.add(text, [(one.seconds / 60, getattr(one, measure)) for one in every])
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(chart.render())
