"""What was observed of a settled tenant, kept as bytes: it is looked at twice a resync, and as objects takes 11 KiB.

Tenants are alike. So the first one that is packed is the dictionary with which all others are compressed: of another,
little more is left than its own names.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_DICTIONARY_LIMIT = 2**15  # zlib looks back no farther
_dictionary: list[bytes] = []  # of this process; set once


@dataclass(frozen=True)
class Packed:
    """data: None of what can't be written as bytes, which is kept as it is."""

    data: bytes | None
    plain: Mapping[str, Any] | None = None

    def unpacked(self) -> Mapping[str, Any]:
        """Equal to what was packed. Not to be changed: whoever asks a moment later gets the same objects."""
        return (self.plain or {}) if self.data is None else _unpacked(self.data)


@lru_cache(maxsize=16)
def _unpacked(data: bytes) -> Mapping[str, Any]:
    """A reconciliation asks several times; no more of them run at once than there are workers."""
    reader = zlib.decompressobj(zdict=_dictionary[0])
    found: dict[str, Any] = pickle.loads(reader.decompress(data) + reader.flush())  # noqa: S301 - our own
    return found


def packed(observed: Mapping[str, Any]) -> Packed:
    try:
        data = pickle.dumps(dict(observed), protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError):
        return Packed(data=None, plain=observed)
    if not _dictionary:
        _dictionary.append(data[:_DICTIONARY_LIMIT])
    writer = zlib.compressobj(zdict=_dictionary[0])
    return Packed(data=writer.compress(data) + writer.flush())
