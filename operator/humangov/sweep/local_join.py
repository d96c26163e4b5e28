"""The join of stored and named keys in a SQLite file that is deleted with the process, so memory stays bounded.

Keys are compared as the bytes that S3 and DynamoDB store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

from humangov.sweep.dangling import find_alike
from humangov.sweep.listing import Stored
from humangov.sweep.search import Joined, Orphan
from humangov.sweep.stored_rows import COLUMNS, TemporaryDatabase, row_of, stored_of

_SCHEMA = """
CREATE TABLE stored (key BLOB NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL,
    versions TEXT NOT NULL);
CREATE TABLE other (key BLOB NOT NULL);
CREATE TABLE named (key BLOB NOT NULL, record INTEGER);
CREATE TABLE named_since (key BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE named_twice (key BLOB NOT NULL PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE orphan (key BLOB NOT NULL PRIMARY KEY, etag TEXT NOT NULL, size INTEGER NOT NULL,
    modified INTEGER NOT NULL, versions TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE alike (key BLOB NOT NULL PRIMARY KEY, named BLOB NOT NULL) WITHOUT ROWID;
"""
_NO_LONGER_NEEDED = ("stored", "other", "named_twice")


class LocalJoin(TemporaryDatabase):
    """Used by several threads, one at a time. Raises sqlite3.Error if the disk is full."""

    def __init__(self) -> None:
        super().__init__(prefix="humangov-search-", schema=_SCHEMA)
        self._records = 0

    def store(self, several: Iterable[Stored]) -> None:
        """Candidates: keys that may be orphans."""
        self._db.executemany("INSERT INTO stored VALUES (?, ?, ?, ?, ?)", [row_of(one) for one in several])

    def store_other(self, keys: Iterable[str]) -> None:
        """Keys that are stored and are no orphans yet, or never."""
        self._db.executemany("INSERT INTO other VALUES (?)", [(key.encode(),) for key in keys])

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

    def join(self, *, named_twice: int) -> Joined:
        """Every candidate that no record names becomes an orphan. named_twice: how many such keys are wanted."""
        self._db.execute("CREATE INDEX named_key ON named (key)")
        self._db.execute(
            "INSERT INTO orphan SELECT * FROM stored WHERE NOT EXISTS "
            "(SELECT 1 FROM named WHERE named.key = stored.key) AND NOT EXISTS "
            "(SELECT 1 FROM named_since WHERE named_since.key = stored.key) ORDER BY key"
        )
        stored, orphans = self._db.execute(
            "SELECT (SELECT count(*) FROM stored), (SELECT count(*) FROM orphan)"
        ).fetchone()
        twice = self._named_twice(limit=named_twice) if named_twice else []
        if orphans:
            find_alike(self._db)
        for table in _NO_LONGER_NEEDED:
            self._db.execute(f"DROP TABLE {table}")
        return Joined(live=stored - orphans, named_twice=twice)

    def _named_twice(self, *, limit: int) -> list[bytes]:
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

    def named_among(self, keys: Sequence[bytes]) -> Set[bytes]:
        """Of these keys, those that a record may mean."""
        either = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE key = :k)" for table in ("named", "named_since"))
        return {key for key in keys if self._db.execute(f"SELECT {either}", {"k": key}).fetchone()[0]}

    def orphans(self) -> Iterator[Orphan]:
        """Sorted by key. Each with the key that a dangling record names, if it may mean this orphan."""
        rows = self._db.execute(f"SELECT {COLUMNS}, named FROM orphan LEFT JOIN alike USING (key) ORDER BY key")
        for *row, named in rows:
            yield Orphan(stored_of(row), None if named is None else named.decode())
