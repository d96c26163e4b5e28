"""The files of a report: a page, its JSON, and the database on which its queries run. Each appears whole or not at all.

They hold names of records and files, so only their owner may read them.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from humangov.proof import page, report_bucket
from humangov.proof.figures import APPENDIX
from humangov.proof.report import Report, as_json
from humangov.proof.report_bucket import ReportBucket

_PARTIAL = ".partial"
_TYPES = {
    ".html": "text/html; charset=utf-8", ".json": "application/json", ".sqlite": "application/vnd.sqlite3",
}  # fmt: skip


class Files(NamedTuple):
    """Their paths. database: where the ledger is filled, and stays."""

    page: Path
    data: Path
    database: Path


def files_in(folder: Path, *, name: str) -> Files:
    """name: such as `humangov-california-2026-11`; what a file system may not like is replaced."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "report"
    return Files(*(folder / f"{stem}{suffix}" for suffix in (".html", ".json", ".sqlite")))


def partial_database(files: Files) -> Path:
    """A fresh, private path for the ledger until the report is written."""
    path = files.database.with_name(files.database.name + _PARTIAL)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    return path


def save(report: Report, files: Files, *, most_rows: int) -> None:
    """The filled ledger is at `partial_database(files)`, closed. most_rows: receipts in the page's appendix.

    Raises OSError, sqlite3.Error.
    """
    filled = files.database.with_name(files.database.name + _PARTIAL)
    with filled.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with closing(sqlite3.connect(f"{filled.absolute().as_uri()}?mode=ro", uri=True)) as database:
        chunks = page.of_tenant(
            report, _rows(database, most_rows), shown=most_rows, database=files.database.name, database_sha256=digest,
            data=files.data.name,
        )  # fmt: skip
        write_text(files.page, chunks)
    data = as_json(report, database=files.database.name, database_sha256=digest)
    write_json(files.data, data)
    filled.replace(files.database)


def upload(s3: Any, paths: Iterable[Path], bucket: ReportBucket, *, folder: str, now: datetime) -> None:
    """Under `folder` in the bucket, never over another. Raises what the SDK raises, and OSError."""
    for path in paths:
        with path.open("rb") as body:
            report_bucket.put(
                s3, bucket, f"{bucket.prefix}{folder}{path.name}", body, content_type=_TYPES[path.suffix], now=now
            )  # fmt: skip


def write_text(path: Path, chunks: Iterable[str]) -> None:
    """Raises OSError."""
    partial = path.with_name(path.name + _PARTIAL)
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    with partial.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(chunks)
    partial.replace(path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Raises OSError."""
    write_text(path, [json.dumps(value, indent=1, ensure_ascii=False), "\n"])


def _rows(database: sqlite3.Connection, most: int) -> Iterator[Mapping[str, Any]]:
    database.row_factory = sqlite3.Row
    for row in database.execute(f"{APPENDIX} LIMIT ?", (most,)):
        yield dict(row)
