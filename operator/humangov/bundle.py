"""The cleanup function as the zip that Lambda runs: the same bytes on every machine and Python."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
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
    """Reads the function's source and packs it.

    Stored, not deflated: zlib's output differs between versions, and a new CodeSha256 would be permanent drift.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(path.relative_to(source).as_posix() for path in source.rglob("*.py")):
            info = zipfile.ZipInfo(f"cleanup/{name}", _DATE)
            info.create_system = _UNIX
            info.external_attr = _REGULAR_FILE_0644
            archive.writestr(info, (source / name).read_bytes().replace(b"\r\n", b"\n"))
    content = buffer.getvalue()
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return Bundle(zip=content, code_sha256=digest, handler=HANDLER)
