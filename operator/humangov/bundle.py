"""The cleanup function as the zip that Lambda runs: the same bytes on every machine and Python."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import tokenize
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HANDLER = "cleanup.handler.handle"

_SOURCE = Path(__file__).with_name("cleanup")
_DATE = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE_0644 = 0o100644 << 16
_UNIX = 3


@dataclass(frozen=True)
class Bundle:
    """code_sha256: base64, as Lambda's CodeSha256. handler: for Lambda's Handler."""

    zip: bytes
    code_sha256: str
    handler: str


def bundle(source: Path = _SOURCE) -> Bundle:
    """Reads the function's source and packs it, without its comments and docstrings: Lambda has no reader.

    Stored, not deflated: zlib's output differs between versions, and a new CodeSha256 would be permanent drift.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(path.relative_to(source).as_posix() for path in source.rglob("*.py")):
            info = zipfile.ZipInfo(f"cleanup/{name}", _DATE)
            info.create_system = _UNIX
            info.external_attr = _REGULAR_FILE_0644
            archive.writestr(info, code_of((source / name).read_text()).encode())
    content = buffer.getvalue()
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Bundle(zip=content, code_sha256=digest, handler=HANDLER)


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
