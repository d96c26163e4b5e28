"""Pictures of a report: SVG by pygal, without its script, style and tooltips. The page's style colours them. Pure.

docs/design/2026-11-29-report.md says why pygal, and what is removed from its pictures.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pygal
from pygal.style import Style

from humangov.api.counts import counted
from humangov.proof.figures import Day
from humangov.proof.orphan_lists import SweepRun

# pygal's import hook finds plugins for maps, by a protocol that Python 3.12 removed. Nobody else needs it.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != pygal.__name__]

_SVG = "{http://www.w3.org/2000/svg}"
_REMOVED = ("script", "style", "desc", "title", "defs")
_KEPT_ATTRIBUTES = (
    "class", "d", "x", "y", "width", "height", "cx", "cy", "r", "rx", "ry", "transform", "viewBox", "text-anchor",
)  # fmt: skip
_WIDTH, _HEIGHT = 760, 270
_MOST_LABELS = 11
_COLORS = ("var(--one)", "var(--two)", "var(--three)")
_STYLE = Style(font_family="inherit", colors=_COLORS, value_colors=("currentColor",) * len(_COLORS))

ElementTree.register_namespace("", "http://www.w3.org/2000/svg")


class Picture(NamedTuple):
    """name: its ID in the page. description: for who can't see it; the table beside it has the numbers."""

    name: str
    title: str
    description: str
    svg: str


def of_days(days: Sequence[Day]) -> Picture:
    title = "Files erased each day"
    several = {"after a deletion or change": [one.deleted for one in days], "by sweeps": [one.swept for one in days]}
    chart = pygal.StackedBar(
        **_options(), y_title="files", y_labels=_whole(max(one.deleted + one.swept for one in days))
    )
    return _picture(
        "erased", title, chart, _short([one.name for one in days]), several,
        description=f"Bars of {_span(days)}: files erased after a deletion or change, and by sweeps.",
    )  # fmt: skip


def of_times(days: Sequence[Day]) -> Picture:
    """On a logarithmic scale: the latest file may be a thousand times later than the median."""
    title = "How soon files were erased"
    several = {
        name: [None if value is None else max(value, 1) / 1000 for value in values]
        for name, values in (
            ("half of the files within", [one.median_ms for one in days]),
            ("99 of 100 within", [one.p99_ms for one in days]),
            ("the latest after", [one.latest_ms for one in days]),
        )
    }
    chart = pygal.Line(**_options(), logarithmic=True, dots_size=4, stroke=False, y_title="seconds, logarithmic")
    return _picture(
        "times", title, chart, _short([one.name for one in days]), several,
        description=f"Dots over {_span(days)}: the times within which half, 99 of 100, and all files were erased.",
    )  # fmt: skip


def of_sweeps(runs: Sequence[SweepRun], erased: Sequence[int]) -> Picture:
    """erased: by each of the runs."""
    several = {
        "orphans found": [one.orphans for one in runs],
        "orphans erased": list(erased),
    }  # fmt: skip
    chart = pygal.Bar(**_options(), y_title="files", y_labels=_whole(max(one.orphans for one in runs)))
    return _picture(
        "sweeps", "Orphans that sweeps found and erased", chart, _short([one.at[:10] for one in runs]),
        several,
        description=f"Two bars for each of {counted(len(runs), 'sweep')}: the orphans that it found, "
        "and those that it erased.",
    )  # fmt: skip


def _options() -> dict[str, Any]:
    return {
        "style": _STYLE, "js": [], "css": [], "width": _WIDTH, "height": _HEIGHT, "explicit_size": False,
        "legend_at_bottom": True, "legend_at_bottom_columns": 3, "legend_box_size": 10, "margin": 6,
        "margin_bottom": 26, "spacing": 6, "truncate_legend": -1, "truncate_label": -1, "min_scale": 2, "max_scale": 6,
        "show_minor_x_labels": False, "show_x_guides": False, "disable_xml_declaration": True,
    }  # fmt: skip


def _picture(
    name: str, title: str, chart: Any, labels: list[str], several: dict[str, list[Any]], *, description: str
) -> Picture:  # fmt: skip
    chart.x_labels, chart.x_labels_major = labels, labels[:: max(1, -(-len(labels) // _MOST_LABELS))]
    for series, values in several.items():
        chart.add(series, values)
    root = _plain(chart.render_tree())
    root.attrib |= {
        "id": f"picture-{name}", "class": "picture", "role": "img",
        "aria-labelledby": f"picture-{name}-title picture-{name}-description",
    }  # fmt: skip
    root[:0] = [
        _text("title", title, name=f"picture-{name}-title"),
        _text("desc", description, name=f"picture-{name}-description"),
    ]
    return Picture(name, title, description, ElementTree.tostring(root, encoding="unicode"))


def _text(tag: str, text: str, *, name: str) -> ElementTree.Element:
    node = ElementTree.Element(f"{_SVG}{tag}", {"id": name})
    node.text = text
    return node


def _plain(node: Any) -> ElementTree.Element:
    """Shapes and texts alone: nothing that runs, loads, links or styles, and only attributes that a shape needs."""
    kept = {name: value for name, value in node.attrib.items() if name in _KEPT_ATTRIBUTES}
    found = ElementTree.Element(f"{_SVG}{_name(node)}", kept)
    found.text = node.text
    found.extend(_plain(child) for child in node if _is_shape(child))
    return found


def _is_shape(node: Any) -> bool:
    comment, tooltip = not isinstance(node.tag, str), node.attrib.get("class", "").split()[:1] == ["tooltip"]
    return not comment and not tooltip and _name(node) not in _REMOVED


def _name(node: Any) -> str:
    return str(node.tag).rpartition("}")[2]


def _whole(most: int) -> list[int]:
    """Numbers of files beside the axis: about five, and none of them a fraction."""
    step = max(1, math.ceil(most / 5))
    magnitude = 10 ** (len(str(step)) - 1)
    step = math.ceil(step / magnitude) * magnitude
    return list(range(0, max(most, 1) + step, step))


def _short(days: list[str]) -> list[str]:
    """Days without their year, where all are of one."""
    same_year = len({day[:4] for day in days}) == 1
    return [day[5:] for day in days] if same_year and len(days[0]) > len("2026-11") else days


def _span(days: Sequence[Day]) -> str:
    return f"{days[0].name} to {days[-1].name}" if days else "no day"
