"""The lines of a stored orphan list, read within limits: anybody who may write to the bucket may have forged it.

Whatever it holds, reading it takes bounded memory and ends: a line is as long as LINE_BYTES at most, and a list unpacks
to UNPACKED_BYTES at most, and to no more than is plausible for its size. Pure, but for reading the file.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from humangov.sweep.listing import Stored, StoredVersion

STORED_BYTES = 1 << 30
"""Of a list, compressed: about 30 million orphans."""

UNPACKED_BYTES = 8 << 30
LINE_BYTES = 1 << 20
"""An orphan with about ten thousand versions. `fits` says what a sweep does not write, so that it can read its own."""

_PLAUSIBLE_RATIO, _SMALL = 200, 16 << 20
"""Names, ETags and version IDs compress a fifth as well as this; zlib's most is 1,032."""

_CHUNK = 1 << 16
_MOST = 2**63
"""SQLite's integers are smaller."""


class ForgedError(ValueError):
    """No orphan list that a sweep has written; the message says why."""


def lines(path: Path) -> Iterator[bytes]:
    """Each line of a gzip file, without its end. Raises ForgedError, OSError."""
    rest = b""
    for chunk in _unpacked(path):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES or any(len(line) > LINE_BYTES for line in whole):
            raise ForgedError(f"a line has more than {LINE_BYTES:,} bytes")
        yield from whole
    if rest:
        raise ForgedError("the last line has no end")


def fits(line: bytes) -> bool:
    """Whether a line, without its end, can be read again."""
    return len(line) <= LINE_BYTES


def parsed(line: bytes) -> Mapping[str, Any]:
    """Raises ForgedError."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ForgedError("a line is not JSON") from error
    if not isinstance(value, dict):
        raise ForgedError("a line is not an object")
    return value


def stored_of(entry: Mapping[str, Any]) -> Stored:
    """The orphan of an entry. Raises ForgedError if any value is of another kind than a sweep writes."""
    key, etag, size, modified = (entry.get(name) for name in ("key", "etag", "size", "modified"))
    versions = entry.get("versions", [])
    if not (key and is_text(key) and is_text(etag) and is_count(size) and is_count(modified)):
        raise ForgedError("an entry is not that of a file")
    if not is_time(entry.get("since", 0)):
        raise ForgedError("an entry has a first sighting at no time")
    if not isinstance(versions, list) or not all(map(_is_version, versions)):
        raise ForgedError("an entry has versions that S3 does not give")
    return Stored(str(key), str(etag), int(size), int(modified), tuple(StoredVersion(*one) for one in versions))


def is_text(value: Any) -> bool:
    """A string that can be stored: no half of a character."""
    if type(value) is not str:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < _MOST


def is_time(value: Any) -> bool:
    """Seconds since the epoch, within the years that a date can have."""
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value < 2**37


VALID: Mapping[str, Callable[[Any], bool]] = {
    "str": is_text,
    "int": is_count,
    "int | None": lambda value: value is None or is_count(value),
    "float": is_time,
    "bool": lambda value: type(value) is bool,
    "tuple[str, ...]": lambda value: isinstance(value, list) and all(map(is_text, value)),
}
"""A field's type, as it is written in the source → whether a parsed value is one."""


def _is_version(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and is_text(value[0])
        and is_count(value[1])
        and type(value[2]) is bool
        and is_count(value[3])
    )


def _unpacked(path: Path) -> Iterator[bytes]:
    """The content of one gzip member (RFC 1952), in pieces. Raises ForgedError, OSError."""
    allowed = min(UNPACKED_BYTES, max(_SMALL, path.stat().st_size * _PLAUSIBLE_RATIO))
    unpacking, number = zlib.decompressobj(wbits=31), 0
    with path.open("rb") as file:
        while not unpacking.eof:
            packed = unpacking.unconsumed_tail or file.read(_CHUNK)
            if not packed:
                raise ForgedError("the file is cut off")
            try:
                chunk = unpacking.decompress(packed, _CHUNK)
            except zlib.error as error:
                raise ForgedError("the file is not compressed as an orphan list is") from error
            number += len(chunk)
            if number > allowed:
                raise ForgedError(f"it unpacks to more than {allowed:,} bytes")
            yield chunk
        if unpacking.unused_data or file.read(1):
            raise ForgedError("something follows its end")
