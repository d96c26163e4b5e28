"""The objects of one page of a listing, a column a field: an entry as the SDK makes it is made when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, overload
from urllib.parse import unquote_plus


class ListedObjects(Sequence[Mapping[str, Any]]):
    """keys, etags, sizes: of each object, in the page's order."""

    def __init__(
        self, keys: Sequence[str], modified: Sequence[str], etags: Sequence[str], sizes: Sequence[str]
    ) -> None:
        """All as S3 writes them, but ETags without their quotes. Raises ValueError for a time that is none."""
        self.keys = keys
        self._modified = list(map(datetime.fromisoformat, modified))
        self.etags = [f'"{etag}"' for etag in etags]
        self.sizes = list(map(int, sizes))

    def decode_keys(self) -> None:
        """Of a listing with EncodingType `url`, once: as the SDK does it for each."""
        together = "".join(self.keys)
        if "%" in together or "+" in together:
            self.keys = list(map(unquote_plus, self.keys))

    def modified_seconds(self) -> Iterator[int]:
        """Seconds since the epoch."""
        return map(int, map(datetime.timestamp, self._modified))

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Any]: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Mapping[str, Any]]: ...

    def __getitem__(self, place: int | slice) -> Any:
        return list(self)[place] if isinstance(place, slice) else self._entry(place)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(self._entry, range(len(self)))

    def _entry(self, place: int) -> Mapping[str, Any]:
        return {
            "Key": self.keys[place], "LastModified": self._modified[place], "ETag": self.etags[place],
            "Size": self.sizes[place],
        }  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as a list
