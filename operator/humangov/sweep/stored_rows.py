"""Stored files as rows of a temporary SQLite file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from humangov.sweep.listing import Stored, StoredVersion

COLUMNS = "key, etag, size, modified, versions"
_CACHE_KIB = 16 * 1024


class TemporaryDatabase:
    """A SQLite file in a folder of its own, which its end removes. It exists only during this run, so it need not
    survive a crash. Its memory is bounded. Used by several threads, one at a time.
    """

    def __init__(self, *, prefix: str, schema: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix=prefix)
        self.folder = Path(self._folder.name)
        self._db = sqlite3.connect(self.folder / "rows.db", check_same_thread=False, isolation_level=None)
        for pragma in ("page_size=16384", "journal_mode=OFF", "synchronous=OFF", "temp_store=FILE",
                       f"cache_size=-{_CACHE_KIB}", "locking_mode=EXCLUSIVE", "mmap_size=0"):  # fmt: skip
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(schema)
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        with contextlib.suppress(OSError):
            self._folder.cleanup()


def row_of(one: Stored) -> tuple[bytes, str, int, int, str]:
    return one.key.encode(), one.etag, one.size, one.modified, _packed(one.versions)


def _packed(versions: Sequence[StoredVersion]) -> str:
    return json.dumps(versions, separators=(",", ":")) if versions else ""


def stored_of(row: Sequence[Any]) -> Stored:
    key, etag, size, modified, versions = row
    several = tuple(StoredVersion(*one) for one in json.loads(versions)) if versions else ()
    return Stored(key.decode(), etag, size, modified, several)
