"""Stored files as rows of a temporary SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from humangov.sweep.listing import Stored, StoredVersion

COLUMNS = "key, etag, size, modified, versions"
_CACHE_KIB = 16 * 1024


def open_file(path: Path, schema: str) -> sqlite3.Connection:
    """A database that exists only during this run, so it need not survive a crash. Its memory is bounded."""
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    for pragma in ("page_size=16384", "journal_mode=OFF", "synchronous=OFF", "temp_store=FILE",
                   f"cache_size=-{_CACHE_KIB}", "locking_mode=EXCLUSIVE", "mmap_size=0"):  # fmt: skip
        db.execute(f"PRAGMA {pragma}")
    db.executescript(schema)
    db.execute("BEGIN")
    return db


def row_of(one: Stored) -> tuple[bytes, str, int, int, str]:
    return one.key.encode(), one.etag, one.size, one.modified, _packed(one.versions)


def _packed(versions: Sequence[StoredVersion]) -> str:
    return json.dumps(versions, separators=(",", ":")) if versions else ""


def stored_of(row: Sequence[Any]) -> Stored:
    key, etag, size, modified, versions = row
    several = tuple(StoredVersion(*one) for one in json.loads(versions)) if versions else ()
    return Stored(key.decode(), etag, size, modified, several)
