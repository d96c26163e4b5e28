"""Which log events are lines of receipts: the one rule, for all that read them. Pure.

The function's role may write to any log stream of its log group. Only a chained stream shows what was inserted: a line
elsewhere is no receipt, whatever it says. It is counted, and told to whoever reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from humangov.api.counts import counted

CHAINED = ("receipts/", "redrive/", "final-read/", "sweep/")
"""The names of log streams whose lines are chained begin so."""


def line_of(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The line of a receipt that a log event of a chained stream holds; None: it holds none."""
    return _line(event) if _is_chained(event) else None


def is_not_chained(event: Mapping[str, Any]) -> bool:
    """Whether it calls itself a line of a receipt, and its log stream has no chain."""
    return not _is_chained(event) and _line(event) is not None


def not_chained(streams: Mapping[str, int]) -> str:
    """How many such lines there are, by log stream, for people."""
    number, first = sum(streams.values()), next(iter(streams))
    lines = counted(number, "line calls itself a receipt and is", plural="lines call themselves receipts and are")
    where = f"log stream {first}" if len(streams) == 1 else f"{len(streams):,} log streams, the first of them {first}"
    return f"{lines} in no chain, in {where}"


def stream_of(event: Mapping[str, Any]) -> str:
    return str(event.get("logStreamName"))


def _is_chained(event: Mapping[str, Any]) -> bool:
    return stream_of(event).startswith(CHAINED)


def _line(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        line = json.loads(str(event["message"]))
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and line.get("receipt") in ("intent", "outcome") else None
