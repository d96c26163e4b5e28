"""What becomes of the orphans of a run: a SQLite file that is deleted with the process, so memory stays bounded.

Sightings, confirmed orphans, incomplete uploads. Keys are compared as the bytes that S3 and DynamoDB store. Nothing of
it is needed after the run: the next sweep uses the orphan lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import islice

from humangov.sweep.incomplete_uploads import Upload
from humangov.sweep.listing import Stored
from humangov.sweep.orphan_list import Sighting
from humangov.sweep.search import Orphan
from humangov.sweep.stored_rows import COLUMNS, TemporaryDatabase, row_of, stored_of

APPROVED = -1
"""Number of the approved orphan list, in addition to its number as an earlier list."""

_AT_ONCE = 1000
_SCHEMA = """
CREATE TABLE sighted (list INTEGER NOT NULL, key BLOB NOT NULL, since REAL);
CREATE TABLE multipart_since (key BLOB NOT NULL PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE orphan (key BLOB NOT NULL PRIMARY KEY, etag TEXT NOT NULL, size INTEGER NOT NULL,
    modified INTEGER NOT NULL, versions TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE alike (key BLOB NOT NULL PRIMARY KEY, named BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE confirmed (modified INTEGER NOT NULL, key BLOB NOT NULL UNIQUE, PRIMARY KEY (modified, key)) WITHOUT ROWID;
CREATE TABLE upload (key BLOB NOT NULL, id TEXT NOT NULL, initiated INTEGER NOT NULL, PRIMARY KEY (key, id))
    WITHOUT ROWID;
"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """alike: orphans that a record may mean that names no file of the bucket."""

    orphans: int
    orphan_bytes: int
    alike: int


class Scratch(TemporaryDatabase):
    """Used by several threads, one at a time. Raises sqlite3.Error if the disk is full."""

    def __init__(self) -> None:
        super().__init__(prefix="humangov-sweep-", schema=_SCHEMA)
        self._has_uploads = False

    def store_uploads(self, several: Sequence[Upload]) -> None:
        """Incomplete uploads that may be aborted, unless a record names their key."""
        self._has_uploads = self._has_uploads or bool(several)
        self._db.executemany(
            "INSERT OR IGNORE INTO upload VALUES (?, ?, ?)",
            ((one.key.encode(), one.upload_id, one.initiated) for one in several),
        )

    def spare_uploads(self, named_among: Callable[[Sequence[bytes]], Set[bytes]]) -> None:
        """Removes the uploads to keys that a record names. named_among: which of these keys are named."""
        page = "SELECT DISTINCT key FROM upload WHERE key > ? ORDER BY key LIMIT ?"
        last = b""
        while keys := [key for (key,) in self._db.execute(page, (last, _AT_ONCE))]:
            last = keys[-1]
            self._db.executemany("DELETE FROM upload WHERE key = ?", [(key,) for key in named_among(keys)])

    def store_orphans(self, orphans: Iterable[Orphan], *, check: Callable[[], None] = lambda: None) -> Counts:
        """What a search found: each key once. check: called often; raises to stop."""
        rest = iter(orphans)
        while several := list(islice(rest, _AT_ONCE)):
            check()
            self._db.executemany("INSERT INTO orphan VALUES (?, ?, ?, ?, ?)", [row_of(one.stored) for one in several])
            named = [(one.stored.key.encode(), one.alike.encode()) for one in several if one.alike is not None]
            self._db.executemany("INSERT INTO alike VALUES (?, ?)", named)
        number, size, alike = self._db.execute(
            "SELECT count(*), coalesce(sum(size), 0), (SELECT count(*) FROM alike) FROM orphan"
        ).fetchone()
        return Counts(orphans=number, orphan_bytes=size, alike=alike)

    def sighted(self, number: int, seen: Iterable[Sighting]) -> int:
        """Stores which of today's orphans are in an earlier list: the same object, the same versions.

        number: number of that orphan list: 0, 1, 2… or APPROVED. Returns how many there are.
        """
        stored = self._db.executemany(
            "INSERT INTO sighted SELECT ?, key, ? FROM orphan "
            "WHERE key = ? AND etag = ? AND size = ? AND modified = ? AND versions = ?",
            ((number, one.since if one.stored.is_multipart else None, *row_of(one.stored)) for one in seen),
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
            f"SELECT {COLUMNS}, since, named FROM orphan LEFT JOIN multipart_since USING (key) "
            "LEFT JOIN alike USING (key) ORDER BY key"
        )
        for *row, since, named in rows:
            yield Sighting(stored_of(row), since, None if named is None else named.decode())

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
        rows = self._db.execute(f"SELECT {COLUMNS} FROM orphan ORDER BY size DESC, key LIMIT ?", (number,))
        return [stored_of(row) for row in rows]

    def confirmed_number(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM confirmed").fetchone()[0])

    def take_confirmed(self, limit: int) -> list[Stored]:
        """The oldest of them, which are then no longer among the confirmed ones."""
        oldest = "FROM confirmed ORDER BY modified, key LIMIT ?"
        columns = COLUMNS.replace("modified", "orphan.modified")
        rows = self._db.execute(f"SELECT {columns} FROM orphan JOIN (SELECT key {oldest}) USING (key)", (limit,))
        taken = sorted((stored_of(row) for row in rows), key=lambda one: (one.modified, one.key.encode()))
        self._db.executemany("DELETE FROM confirmed WHERE key = ?", ((one.key.encode(),) for one in taken))
        return taken
