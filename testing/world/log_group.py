"""The log group: what was stored, in order. Lines of stdout go there too, as long as it exists."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class LogEvent(NamedTuple):
    stream: str
    timestamp: int
    message: str


@dataclass
class LogGroup:
    """exists: somebody may delete it, and the operator makes it anew. lost: lines of stdout that nobody stored."""

    name: str
    exists: bool = True
    streams: set[str] = field(default_factory=set)
    events: list[LogEvent] = field(default_factory=list)
    lost: int = 0

    def store(self, stream: str, timestamp: int, messages: list[str]) -> list[Mapping[str, Any]]:
        """Returns the lines that are JSON objects."""
        self.streams.add(stream)
        self.events += [LogEvent(stream, timestamp, message) for message in messages]
        return [line for message in messages if (line := parsed(message)) is not None]

    def recreate(self) -> None:
        self.exists = True
        self.streams.clear()


def parsed(message: str) -> Mapping[str, Any] | None:
    try:
        line = json.loads(message)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


@dataclass
class Stdout:
    """The standard output of one environment of the function: whole lines go to the log group at once."""

    take: Callable[[list[str]], None]
    _rest: str = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self.take(lines)
        return len(text)

    def flush(self) -> None:
        """Each line was taken when it was written."""
