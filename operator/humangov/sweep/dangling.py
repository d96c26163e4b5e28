"""Dangling records: those that name no stored key. Beside an orphan in another spelling they may mean that file.

A search in the scratch database, after its join, so memory stays bounded.
"""

from __future__ import annotations

import sqlite3
from itertools import islice

from humangov.sweep.spellings import is_short, spellings

_MOST_SHORT = 10_000
_INDEXES = """
CREATE INDEX stored_key ON stored (key);
CREATE INDEX other_key ON other (key);
CREATE INDEX named_record ON named (record) WHERE record IS NOT NULL;
CREATE TABLE spelled (form TEXT NOT NULL, key BLOB NOT NULL);
CREATE TABLE meant (form TEXT NOT NULL PRIMARY KEY, named BLOB NOT NULL) WITHOUT ROWID;
"""
_DANGLING = """
SELECT DISTINCT key FROM named
WHERE NOT EXISTS (SELECT 1 FROM stored WHERE stored.key = named.key)
AND NOT EXISTS (SELECT 1 FROM other WHERE other.key = named.key)
AND (record IS NULL OR record NOT IN (
    SELECT record FROM named AS of_record INDEXED BY named_record WHERE record IS NOT NULL AND (
        EXISTS (SELECT 1 FROM stored WHERE stored.key = of_record.key)
        OR EXISTS (SELECT 1 FROM other WHERE other.key = of_record.key))))
"""
"""Of a record that may mean several keys, none is stored."""

_LIVE = """
SELECT key FROM stored WHERE NOT EXISTS (SELECT 1 FROM orphan WHERE orphan.key = stored.key)
UNION ALL SELECT key FROM other WHERE EXISTS (SELECT 1 FROM named WHERE named.key = other.key)
"""


def find_alike(db: sqlite3.Connection) -> int:
    """Fills the table `alike`: the orphans that a dangling record may mean. Returns how many there are.

    A short name that a file with a record has too says nothing.
    """
    for statement in _INDEXES.split(";"):
        db.execute(statement)
    orphans = db.execute("SELECT key FROM orphan")
    spelled = ((form, key) for (key,) in orphans for form in spellings(key))
    db.executemany("INSERT INTO spelled VALUES (?, ?)", spelled)
    db.execute("CREATE INDEX spelled_form ON spelled (form)")
    dangling = db.execute(_DANGLING)
    meant = ((form, key, form) for (key,) in dangling for form in spellings(key))
    db.executemany("INSERT OR IGNORE INTO meant SELECT ?, ? WHERE EXISTS (SELECT 1 FROM spelled WHERE form = ?)", meant)
    _forget_common_names(db)
    db.execute("INSERT OR IGNORE INTO alike SELECT spelled.key, meant.named FROM spelled JOIN meant USING (form)")
    for table in ("spelled", "meant"):
        db.execute(f"DROP TABLE {table}")
    return int(db.execute("SELECT count(*) FROM alike").fetchone()[0])


def _forget_common_names(db: sqlite3.Connection) -> None:
    forms = (form for (form,) in db.execute("SELECT form FROM meant"))
    short = set(islice(filter(is_short, forms), _MOST_SHORT + 1))
    if len(short) > _MOST_SHORT:  # memory stays bounded, and a person is asked in any case
        return
    for (key,) in db.execute(_LIVE) if short else ():
        common = short & spellings(key)
        if common:
            db.executemany("DELETE FROM meant WHERE form = ?", ((form,) for form in common))
            short -= common
        if not short:
            return
