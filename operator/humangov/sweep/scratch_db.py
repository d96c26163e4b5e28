"""The sweep's temporary data: a SQLite file that is deleted with the process, so memory stays bounded.

Keys are compared as the bytes that S3 and DynamoDB store. Nothing here is needed after the run: the next sweep uses
the orphan lists.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from humangov.sweep.dangling import find_alike
from humangov.sweep.incomplete_uploads import Upload
from humangov.sweep.listing import Stored, StoredVersion
from humangov.sweep.orphan_list import Sighting

APPROVED = -1
"""Number of the approved orphan list, in addition to its number as an earlier list."""

_CACHE_KIB = 16 * 1024
_SCHEMA = """
CREATE TABLE stored (key BLOB NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL,
    versions TEXT NOT NULL);
CREATE TABLE other (key BLOB NOT NULL);
CREATE TABLE named (key BLOB NOT NULL, record INTEGER);
CREATE TABLE named_since (key BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE named_twice (key BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE sighted (list INTEGER NOT NULL, key BLOB NOT NULL, since REAL);
CREATE TABLE multipart_since (key BLOB NOT NULL PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE orphan (key BLOB NOT NULL PRIMARY KEY, etag TEXT NOT NULL, size INTEGER NOT NULL,
    modified INTEGER NOT NULL, versions TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE alike (key BLOB NOT NULL PRIMARY KEY, named BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE confirmed (modified INTEGER NOT NULL, key BLOB NOT NULL UNIQUE, PRIMARY KEY (modified, key)) WITHOUT ROWID;
CREATE TABLE upload (key BLOB NOT NULL, id TEXT NOT NULL, initiated INTEGER NOT NULL, PRIMARY KEY (key, id))
    WITHOUT ROWID;
"""
_COLUMNS = "key, etag, size, modified, versions"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """live: of the stored keys, those that a record names. The rest are orphans."""

    live: int
    orphans: int
    orphan_bytes: int


class Scratch:
    """Used by several threads, one at a time. Raises sqlite3.Error if the disk is full."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="humangov-sweep-")
        self.folder = Path(self._folder.name)
        # The file exists only during this run: it need not survive a crash.
        self._db = sqlite3.connect(self.folder / "scratch.db", check_same_thread=False, isolation_level=None)
        for pragma in ("page_size=16384", "journal_mode=OFF", "synchronous=OFF", "temp_store=FILE",
                       f"cache_size=-{_CACHE_KIB}", "locking_mode=EXCLUSIVE", "mmap_size=0"):  # fmt: skip
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")
        self._records = 0
        self._has_uploads = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        with contextlib.suppress(OSError):
            self._folder.cleanup()

    def store(self, several: Iterable[Stored]) -> None:
        """Keys that may be orphans."""
        rows = [
            (key.encode(), etag, size, modified, _packed(versions)) for key, etag, size, modified, versions in several
        ]
        self._db.executemany("INSERT INTO stored VALUES (?, ?, ?, ?, ?)", rows)

    def store_other(self, keys: Iterable[str]) -> None:
        """Keys that are stored and are no orphans yet, or never."""
        self._db.executemany("INSERT INTO other VALUES (?)", [(key.encode(),) for key in keys])

    def store_uploads(self, several: Sequence[Upload]) -> None:
        """Incomplete uploads that may be aborted, unless a record names their key."""
        self._has_uploads = self._has_uploads or bool(several)
        self._db.executemany(
            "INSERT OR IGNORE INTO upload VALUES (?, ?, ?)",
            ((one.key.encode(), one.upload_id, one.initiated) for one in several),
        )

    def name(self, records: Iterable[Sequence[bytes]]) -> None:
        """For each record the keys that it may mean, each once."""
        certain: list[Sequence[bytes]] = []
        possible: list[tuple[bytes, int]] = []
        for keys in records:
            if len(keys) == 1:
                certain.append(keys)
            else:  # one of them is what the record means
                self._records += 1
                possible += ((key, self._records) for key in keys)
        self._db.executemany("INSERT INTO named VALUES (?, NULL)", certain)
        self._db.executemany("INSERT INTO named VALUES (?, ?)", possible)

    def name_since(self, keys: Iterable[bytes]) -> None:
        """Keys that the stream names, as often as it does: the scan may have shown the same record."""
        self._db.executemany("INSERT OR IGNORE INTO named_since VALUES (?)", ((key,) for key in keys))

    def join(self) -> Counts:
        """Every stored key that no record names becomes an orphan; an upload to a key that one names is spared."""
        self._db.execute("CREATE INDEX named_key ON named (key)")
        self._db.execute(
            "DELETE FROM upload WHERE EXISTS (SELECT 1 FROM named WHERE named.key = upload.key) "
            "OR EXISTS (SELECT 1 FROM named_since WHERE named_since.key = upload.key)"
        )
        self._db.execute(
            "INSERT INTO orphan SELECT * FROM stored WHERE NOT EXISTS "
            "(SELECT 1 FROM named WHERE named.key = stored.key) AND NOT EXISTS "
            "(SELECT 1 FROM named_since WHERE named_since.key = stored.key) ORDER BY key"
        )
        stored, orphans, size = self._db.execute(
            "SELECT (SELECT count(*) FROM stored), count(*), coalesce(sum(size), 0) FROM orphan"
        ).fetchone()
        return Counts(live=stored - orphans, orphans=orphans, orphan_bytes=size)

    def named_twice(self, *, limit: int) -> list[bytes]:
        """Stored keys that were named more than once: by several records, or by one that was seen twice.

        What is not stored is no file: records may have the same placeholder, or a name whose file is gone.
        """
        self._db.execute("INSERT INTO named_twice SELECT key FROM named GROUP BY key HAVING count(*) > 1")
        if not self._db.execute("SELECT EXISTS (SELECT 1 FROM named_twice)").fetchone()[0]:
            return []
        rows = self._db.execute(
            "SELECT key FROM stored JOIN named_twice USING (key) UNION "
            "SELECT key FROM other JOIN named_twice USING (key) ORDER BY key LIMIT ?",
            (limit,),
        )
        return [row[0] for row in rows]

    def find_alike(self) -> int:
        """Finds the orphans that a dangling record may mean (see `dangling`); returns how many there are."""
        return find_alike(self._db)

    def forget_names(self) -> None:
        """What only `join`, `named_twice` and `find_alike` need."""
        for table in ("stored", "other", "named", "named_since", "named_twice"):
            self._db.execute(f"DROP TABLE {table}")

    def sighted(self, number: int, seen: Iterable[Sighting]) -> int:
        """Stores which of today's orphans are in an earlier list: the same object, the same versions.

        number: number of that orphan list: 0, 1, 2… or APPROVED. Returns how many there are.
        """
        stored = self._db.executemany(
            "INSERT INTO sighted SELECT ?, key, ? FROM orphan "
            "WHERE key = ? AND etag = ? AND size = ? AND modified = ? AND versions = ?",
            ((number, one.since if one.stored.is_multipart else None, *_row(one.stored)) for one in seen),
        )
        return stored.rowcount

    def date_multiparts(self) -> None:
        """An orphan that was uploaded in parts ages from its first sighting in the earlier lists."""
        self._db.execute(
            "INSERT INTO multipart_since SELECT key, min(since) FROM sighted WHERE since IS NOT NULL GROUP BY key"
        )

    def confirm(self, lists: int, *, multipart_before: float, approved_only: bool) -> int:
        """Confirms the orphans that are in all of this number of lists; returns how many there are.

        multipart_before: one that was uploaded in parts must have been seen by then, in seconds since the epoch.
        """
        in_all = (
            "SELECT key FROM sighted GROUP BY key "
            "HAVING count(DISTINCT CASE WHEN list >= 0 THEN list END) = ? AND (? OR min(list) = ?)"
        )
        self._db.execute(
            f"INSERT INTO confirmed SELECT modified, key FROM ({in_all}) JOIN orphan USING (key) "
            "LEFT JOIN multipart_since USING (key) WHERE instr(etag, '-') = 0 OR since <= ?",
            (lists, not approved_only, APPROVED, multipart_before),
        )
        return self.confirmed_number()

    def spare(self, records: Iterable[Sequence[bytes]]) -> None:
        """Removes from the confirmed ones the keys that each of these records may mean now, and uploads to them."""
        self.spare_keys(key for keys in records for key in keys)

    def spare_keys(self, keys: Iterable[bytes]) -> None:
        """Removes from the confirmed ones keys that a record names now, and uploads to them."""
        rows = [(key,) for key in keys]
        self._db.executemany("DELETE FROM confirmed WHERE key = ?", rows)
        if self._has_uploads:
            self._db.executemany("DELETE FROM upload WHERE key = ?", rows)

    def orphans(self) -> Iterator[Sighting]:
        """Sorted by key. One that was uploaded in parts, and that an earlier list has, with its first sighting.

        Each with the key that a dangling record names, if it may mean this orphan.
        """
        rows = self._db.execute(
            f"SELECT {_COLUMNS}, since, named FROM orphan LEFT JOIN multipart_since USING (key) "
            "LEFT JOIN alike USING (key) ORDER BY key"
        )
        for *row, since, named in rows:
            yield Sighting(_stored(row), since, None if named is None else named.decode())

    def uploads(self) -> Iterator[Upload]:
        """Incomplete uploads that no record names, sorted by key."""
        for key, upload_id, initiated in self._db.execute("SELECT key, id, initiated FROM upload ORDER BY key, id"):
            yield Upload(key.decode(), upload_id, initiated)

    def uploads_number(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM upload").fetchone()[0])

    def take_uploads(self, limit: int) -> list[Upload]:
        """The oldest of them, each once."""
        rows = self._db.execute(
            "SELECT key, id, initiated FROM upload ORDER BY initiated, key, id LIMIT ?", (limit,)
        ).fetchall()
        self._db.executemany("DELETE FROM upload WHERE key = ? AND id = ?", [row[:2] for row in rows])
        return [Upload(key.decode(), upload_id, initiated) for key, upload_id, initiated in rows]

    def largest(self, number: int) -> list[Stored]:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM orphan ORDER BY size DESC, key LIMIT ?", (number,))
        return [_stored(row) for row in rows]

    def confirmed_number(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM confirmed").fetchone()[0])

    def take_confirmed(self, limit: int) -> list[Stored]:
        """The oldest of them, which are then no longer among the confirmed ones."""
        oldest = "FROM confirmed ORDER BY modified, key LIMIT ?"
        columns = _COLUMNS.replace("modified", "orphan.modified")
        rows = self._db.execute(f"SELECT {columns} FROM orphan JOIN (SELECT key {oldest}) USING (key)", (limit,))
        taken = sorted((_stored(row) for row in rows), key=lambda one: (one.modified, one.key.encode()))
        self._db.executemany("DELETE FROM confirmed WHERE key = ?", ((one.key.encode(),) for one in taken))
        return taken


def _row(one: Stored) -> tuple[bytes, str, int, int, str]:
    return one.key.encode(), one.etag, one.size, one.modified, _packed(one.versions)


def _packed(versions: Sequence[StoredVersion]) -> str:
    return json.dumps(versions, separators=(",", ":")) if versions else ""


def _stored(row: Sequence[Any]) -> Stored:
    key, etag, size, modified, versions = row
    several = tuple(StoredVersion(*one) for one in json.loads(versions)) if versions else ()
    return Stored(key.decode(), etag, size, modified, several)
