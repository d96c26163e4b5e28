"""The cleanup function as the zip that Lambda runs: the same bytes on every machine and Python."""

from __future__ import annotations

import ast
import base64
import bisect
import hashlib
import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HANDLER = "cleanup.handler.handle"

_SOURCE = Path(__file__).with_name("cleanup")
_DATE = 1 << 5 | 1  # 1980-01-01, the earliest
_REGULAR_FILE_0644 = 0o100644 << 16
_UNIX = 3

_SHORTEST, _LONGEST, _FARTHEST, _TRIED, _MOST_BITS = 3, 258, 32768, 8, 13
_LENGTHS = [
    *((length, 0) for length in range(3, 11)),
    *((3 + (4 + step << bits), bits) for bits in range(1, 6) for step in range(4)),
    (258, 0),
]
_DISTANCES = [
    *((distance, 0) for distance in range(1, 5)),
    *((1 + (2 + step << bits), bits) for bits in range(1, 14) for step in range(2)),
]
"""Where each code's interval begins, and how many extra bits it has."""


@dataclass(frozen=True)
class Bundle:
    """code_sha256: base64, as Lambda's CodeSha256. handler: for Lambda's Handler."""

    zip: bytes
    code_sha256: str
    handler: str


def bundle(source: Path = _SOURCE) -> Bundle:
    """Reads the function's source and packs it, without its comments and docstrings: Lambda has no reader.

    Deflated here: zlib's output differs between versions, and a new CodeSha256 would be permanent drift.
    """
    names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*.py"))
    content = archive({f"cleanup/{name}": code_of((source / name).read_text()).encode() for name in names})
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Bundle(zip=content, code_sha256=digest, handler=HANDLER)


def archive(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files, each a regular one of mode 0644 and of 1980-01-01.

    https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
    """
    members = directory = b""
    for name, content in files.items():
        packed, path = deflated(content), name.encode()
        # version, flags (UTF-8), method, time, date, CRC-32, sizes, lengths of name and extra field
        about = struct.pack(
            "<5H3L2H", 20, 0x800, zipfile.ZIP_DEFLATED, 0, _DATE, zlib.crc32(content), len(packed), len(content),
            len(path), 0,
        )  # fmt: skip
        place = struct.pack("<3H2L", 0, 0, 0, _REGULAR_FILE_0644, len(members))
        directory += b"PK\x01\x02" + struct.pack("<H", _UNIX << 8 | 20) + about + place + path
        members += b"PK\x03\x04" + about + path + packed
    ends = struct.pack("<4H2LH", 0, 0, len(files), len(files), len(directory), len(members), 0)
    return members + directory + b"PK\x05\x06" + ends


def deflated(data: bytes) -> bytes:
    """Deflate, one block of fixed codes: the same bytes on every machine. https://www.rfc-editor.org/rfc/rfc1951"""
    packed, bits, used = bytearray(), 0b011, 3  # the last block; fixed codes
    symbols = [_reversed(*_fixed_code(symbol)) for symbol in range(286)]
    distances = [_reversed(code, 5) for code in range(30)]
    for symbol, extra, extra_bits, distance in _tokens(data):
        code, size = symbols[symbol]
        bits |= code << used | extra << used + size
        used += size + extra_bits
        if distance:
            number, extra, extra_bits = _interval(distance, _DISTANCES)
            code, size = distances[number]
            bits |= code << used | extra << used + size
            used += size + extra_bits
        whole = used // 8
        packed += (bits & (1 << 8 * whole) - 1).to_bytes(whole, "little")
        bits, used = bits >> 8 * whole, used % 8
    return bytes(packed) + bits.to_bytes((used + 7) // 8, "little")


def _tokens(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Symbol, its extra bits, their number, and the distance of a match; the symbol of the end last."""
    seen: dict[bytes, list[int]] = {}
    at = 0
    while at < len(data):
        length, distance = _longest(data, at, seen.get(data[at : at + _SHORTEST], ()))
        if length:
            symbol, extra, extra_bits = _interval(length, _LENGTHS)
            yield 257 + symbol, extra, extra_bits, distance
        else:
            yield data[at], 0, 0, 0
        for place in range(at, at + max(length, 1)):
            seen.setdefault(data[place : place + _SHORTEST], []).append(place)
        at += max(length, 1)
    yield 256, 0, 0, 0


def _longest(data: bytes, at: int, places: Sequence[int]) -> tuple[int, int]:
    """Length and distance of the longest match; (0, 0) if there is none."""
    longest, distance = 0, 0
    most = min(_LONGEST, len(data) - at)
    for place in places[-_TRIED:]:
        length = max(longest, _SHORTEST)  # a shorter one is not wanted; of two that are equally long the nearer is
        if length > most or at - place > _FARTHEST or data[place : place + length] != data[at : at + length]:
            continue
        while length < most and data[place + length] == data[at + length]:
            length += 1
        longest, distance = length, at - place
    return longest, distance


def _interval(value: int, starts: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
    """Code, extra bits and their number. starts: of each code's interval, and its number of extra bits."""
    code = bisect.bisect_right(starts, (value, _MOST_BITS)) - 1
    return code, value - starts[code][0], starts[code][1]


def _fixed_code(symbol: int) -> tuple[int, int]:
    if symbol < 144:
        return 0x30 + symbol, 8
    if symbol < 256:
        return 0x190 + symbol - 144, 9
    return (symbol - 256, 7) if symbol < 280 else (0xC0 + symbol - 280, 8)


def _reversed(code: int, size: int) -> tuple[int, int]:
    """The code as it is written, its first bit lowest; and its size."""
    return int(f"{code:0{size}b}"[::-1], 2), size


def code_of(source: str) -> str:
    """What runs of a module's source, each statement on its line, so that a traceback names the source's lines.

    Raises SyntaxError.
    """
    lines = source.splitlines()
    for start, end in sorted(_prose(source), reverse=True):
        (row, column), (last_row, last_column) = start, end
        # A docstring may be all that a class has; an empty one is a statement as well.
        kept = "" if lines[row][column] == "#" else '""'
        after = lines[last_row][last_column:]
        lines[row : last_row + 1] = [f"{lines[row][:column]}{kept}{after}".rstrip(), *[""] * (last_row - row)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _prose(source: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where comments and docstrings begin and end: lines from 0, and characters within them."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield (token.start[0] - 1, token.start[1]), (token.end[0] - 1, token.end[1])
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
            yield (first, node.col_offset), (last, _characters(lines[last], node.end_col_offset or 0))


def _characters(line: str, utf8_bytes: int) -> int:
    return len(line.encode()[:utf8_bytes].decode())
