"""The chain of a log stream: each line holds its number and the SHA-256 of the line before it. Pure.

A line is one ASCII JSON object. Its hash is that of the stored message, byte for byte. docs/security.md describes the
fields for whoever checks a chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

from .calls import Line

EVENTS_PER_CALL = 10_000
BYTES_PER_CALL = 1_048_576
BYTES_PER_EVENT = 26
"""Bytes that CloudWatch adds per event to the size of a call.
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""


class Link(NamedTuple):
    """The end of a chain: number and hash of its last line."""

    number: int
    sha256: str


EMPTY = Link(0, "0" * 64)
"""Of a stream without lines."""


class Part(NamedTuple):
    """The messages of one PutLogEvents, and the chain's end after them."""

    messages: list[str]
    end: Link


def linked(line: Line, *, after: Link) -> tuple[str, Link]:
    """The message to store, and the chain's end after it."""
    message = json.dumps({**line, "line": after.number + 1, "previous": after.sha256})
    return message, Link(after.number + 1, hashlib.sha256(message.encode()).hexdigest())


def first_part(lines: Iterable[Line], *, after: Link) -> Part:
    """As many of the first lines as one PutLogEvents allows, at least one if there is one."""
    messages: list[str] = []
    end, size = after, 0
    for line in lines:
        message, following = linked(line, after=end)
        size += len(message) + BYTES_PER_EVENT
        if messages and (len(messages) == EVENTS_PER_CALL or size > BYTES_PER_CALL):
            break
        messages.append(message)
        end = following
    return Part(messages, end)
