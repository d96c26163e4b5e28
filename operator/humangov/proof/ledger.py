"""Receipts in a SQLite database: a report's figures are queries of it, and memory stays bounded.

The database is a part of the report: whoever has it and sqlite3 gets each figure again by the query beside it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from humangov.cleanup.outcomes import FileOutcome
from humangov.cleanup.receipt_lines import parse, spell
from humangov.proof.receipts import ABSENT_AFTER_INTENT, AFTER_CUT_OFF, AFTER_FAILURE, CUT_OFF, Receipt

UNKNOWN = "unknown"
OPEN = ("failed", "limited", "held", UNKNOWN)
"""Kinds after which a file is not settled: another delivery, a redrive or a sweep has to settle it."""

_BATCH = 5_000
_CACHE_KIB = 16 * 1024
_SCHEMA = """
CREATE TABLE receipts (
    number INTEGER PRIMARY KEY, event_id TEXT NOT NULL, key TEXT NOT NULL, bucket TEXT NOT NULL,
    record_key TEXT NOT NULL, event TEXT NOT NULL, origin TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,
    outcome TEXT NOT NULL, deleted_at TEXT, intended_at TEXT, erased_at TEXT, logged_at TEXT NOT NULL,
    latency_ms INTEGER, versions_erased INTEGER, versions_left INTEGER, cut_off INTEGER NOT NULL,
    sequence_number TEXT NOT NULL, tenant TEXT NOT NULL, log_stream TEXT NOT NULL);
"""
_COLUMNS = 21
_FILES = f"""
CREATE INDEX of_file ON receipts (event_id, key, number, kind);
CREATE TABLE files AS
SELECT receipts.*, receipts_of_file, failures FROM (
    SELECT max(number) AS last, min(CASE WHEN kind = 'erased' THEN number END) AS erased,
        count(*) AS receipts_of_file, count(CASE WHEN kind IN {OPEN} THEN 1 END) AS failures
    FROM receipts INDEXED BY of_file GROUP BY event_id, key) AS pair
JOIN receipts ON number = CASE
    WHEN erased IS NOT NULL AND (SELECT kind FROM receipts WHERE number = last) NOT IN {OPEN} THEN erased ELSE last END;
CREATE INDEX of_kind ON files (kind, origin);
ANALYZE;
"""
"""files: one row for each file that a change freed, or a sweep began. The last receipt says what became of it; but
where an earlier one says that it was erased, and the last does not say that anything failed, the earlier one does."""


class Kind(NamedTuple):
    """kind: of the outcome, or `unknown`. reason: the outcome without a date, and without what went before it."""

    kind: str
    reason: str


class Ledger:
    """Raises sqlite3.Error if the disk is full."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in (
            f"cache_size = -{_CACHE_KIB}", "temp_store = FILE", "synchronous = OFF", "journal_mode = OFF",
        ):  # fmt: skip
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_SCHEMA)

    def fill(self, receipts: Iterable[Receipt]) -> None:
        """In the order of the log. Once: then the queries can be asked."""
        rows = (_row(number, one) for number, one in enumerate(receipts, start=1))
        statement = f"INSERT INTO receipts VALUES ({', '.join('?' * _COLUMNS)})"
        while batch := list(itertools.islice(rows, _BATCH)):
            self._db.execute("BEGIN")
            self._db.executemany(statement, batch)
            self._db.execute("COMMIT")
        self._db.executescript(_FILES)

    def rows(self, query: str) -> Iterator[dict[str, Any]]:
        """Each row by the names of its columns."""
        with contextlib.closing(self._db.cursor()) as cursor:
            cursor.execute(query)
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    def value(self, query: str) -> int | None:
        """The first column of the only row; None if there is no row, or NULL."""
        row = self._db.execute(query).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        self._db.close()


def kind_of(text: str) -> Kind:
    """Of a receipt's outcome."""
    plain = text.removesuffix(AFTER_CUT_OFF).removesuffix(AFTER_FAILURE)
    if plain == ABSENT_AFTER_INTENT:
        return Kind("absent", plain)
    outcome = parse(plain)
    if plain == CUT_OFF or outcome is None:
        return Kind(UNKNOWN, plain)
    if outcome.kind == "held":
        return Kind("held", "held")
    return Kind(outcome.kind, spell(outcome.undated) if outcome.until is not None else spell(FileOutcome(*outcome)))


def origin_of(log_stream: str) -> str:
    """Who stored it: function, redrive, final-read or sweep."""
    first = log_stream.partition("/")[0]
    return first if first in ("redrive", "final-read", "sweep") else "function"


def latency_ms(one: Receipt) -> int | None:
    """From the removal, known to the second, to the erasure; None if either is not known."""
    try:
        erased, deleted = (datetime.fromisoformat(str(at)) for at in (one.erased_at, one.deleted_at))
        return round((erased - deleted).total_seconds() * 1000)
    except (TypeError, ValueError):
        return None


def _row(number: int, one: Receipt) -> tuple[Any, ...]:
    kind = kind_of(one.outcome)
    texts = (one.event_id, one.key, one.bucket, json.dumps(one.record_key, ensure_ascii=False), one.event)
    return (
        number, *map(_storable, texts), origin_of(one.log_stream), kind.kind, _storable(kind.reason),
        _storable(one.outcome), *map(_text, (one.deleted_at, one.intended_at, one.erased_at)), one.logged_at,
        latency_ms(one), _count(one.versions_erased), _count(one.versions_left), one.cut_off,
        *map(_storable, (one.sequence_number, one.tenant, one.log_stream)),
    )  # fmt: skip


def _storable(text: str) -> str:
    """Half of a character, which only a forged line has, is escaped."""
    return text.encode(errors="backslashreplace").decode()


def _text(value: Any) -> str | None:
    return None if value is None else _storable(str(value))


def _count(value: Any) -> int | None:
    return value if type(value) is int and abs(value) < 1 << 63 else None
