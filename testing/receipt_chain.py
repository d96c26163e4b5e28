"""What a reader of receipts checks without the code that wrote them: docs/security.md, "How receipts are chained"."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def broken_links(messages: Sequence[str]) -> list[int]:
    """Places of the messages of one log stream, in the order of their numbers, that do not follow the one before."""
    previous, broken = "0" * 64, []
    for place, message in enumerate(messages):
        line = json.loads(message)
        if (line["line"], line["previous"]) != (place + 1, previous):
            broken.append(place)
        previous = hashlib.sha256(message.encode()).hexdigest()
    return broken


def each_once(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The lines, without those that were stored again in a next stream."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        found.setdefault(str(line.get("id")), dict(line))
    return list(found.values())
