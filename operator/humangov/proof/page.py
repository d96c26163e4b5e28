"""The page of a report, and of all tenants: HTML from the templates beside this module, written in pieces.

Every value is escaped (Jinja's autoescape), and what could forge a line or turn text around is spelled out first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from humangov import __version__
from humangov.api.times import timestamp
from humangov.logs import printable
from humangov.proof import figures, pictures
from humangov.proof.chain_check import places_of
from humangov.proof.gaps import LIMITS
from humangov.proof.report import Report, standing, sweeps_with_erased, sweeps_without_list
from humangov.proof.standing import record_name

_TEMPLATES = Path(__file__).parent / "templates"


def of_tenant(
    report: Report, rows: Iterable[Mapping[str, Any]], *, shown: int, database: str, database_sha256: str, data: str
) -> Iterator[str]:  # fmt: skip
    """rows: the receipts for the appendix, and shown: how many at most. data: name of the JSON file beside the page."""
    swept = sweeps_with_erased(report)
    of = report.period
    days = figures.each_day(report.figures, since=of.since, until=of.until) if report.figures else ()
    drawn = [pictures.of_days(days), pictures.of_times(days)] if report.figures and report.figures.days else []
    of_sweeps = pictures.of_sweeps([one for one, _, _ in swept], [erased for _, erased, _ in swept]) if swept else None
    return _environment().get_template("report.html.j2").generate(
        report=report, figures=report.figures, drawn=drawn, of_sweeps=of_sweeps, swept=swept,
        without_list=sweeps_without_list(report), rows=rows, shown=shown, limits=LIMITS, breaks=_breaks(report),
        standing=partial(standing, report),
        in_gaps=lambda text: any(text and text in gap.message for gap in report.gaps),
        database=database, database_sha256=database_sha256, data=data, version=__version__,
    )  # fmt: skip


def _breaks(report: Report) -> Sequence[tuple[str, str]]:
    """Each log stream whose chain is broken, and how."""
    every = report.chain.breaks
    streams = dict.fromkeys(one.stream for one in every)
    return [(stream, text) for stream in streams for text in places_of([one for one in every if one.stream == stream])]


def of_all(states: Iterable[Any], *, title: str, period: str, written: datetime) -> Iterator[str]:
    """states: proof.states.State, in the order of the table."""
    template = _environment().get_template("states.html.j2")
    return template.generate(states=states, title=title, period=period, written=written, version=__version__)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_plain,
    )  # fmt: skip
    environment.filters |= {"number": number, "seconds": seconds, "utc": utc, "svg": _svg, "record": record_name}
    return environment


def number(value: int | None) -> str:
    """1,234; a dash where nothing is known."""
    return "–" if value is None else f"{value:,}"


def seconds(milliseconds: int | None) -> str:
    """For people: 0.4 s, 12 s, 3 min, 5 h, 2 days; a dash where nothing is known."""
    if milliseconds is None:
        return "–"
    whole = milliseconds / 1000
    for unit, least, size in (("days", 172_800, 86_400), ("h", 7_200, 3_600), ("min", 120, 60)):
        if whole >= least:
            return f"{whole / size:.1f} {unit}"
    return f"{whole:.1f} s" if whole < 10 else f"{whole:.0f} s"


def utc(at: datetime | str | None) -> str:
    """2026-11-29 12:00:00 UTC; a dash where nothing is known."""
    if not at:
        return "–"
    text = timestamp(at.astimezone(UTC)) if isinstance(at, datetime) else at
    return text[:19].replace("T", " ") + " UTC"


def _plain(value: Any) -> Any:
    """What a template shows: a text without what turns it around, moves a cursor, or begins a line."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


def _svg(picture: pictures.Picture) -> Markup:
    return Markup(picture.svg)  # noqa: S704 - built element by element, by proof/pictures.py
