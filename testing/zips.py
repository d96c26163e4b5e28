"""A Lambda function's code as one uploads it."""

from __future__ import annotations

import io
import zipfile


def zipped(name: str, source: str) -> bytes:
    """A zip with this one file in it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, source)
    return packed.getvalue()
