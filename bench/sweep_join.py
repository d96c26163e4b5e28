"""The join of stored and named keys by SQLite, as a sweep does it, beside DuckDB's: `python -m bench.sweep_join FILES`.

DuckDB is no dependency of this project: it is measured where it is installed (`pip install duckdb`), with one thread,
within 100 and within 200 MB of memory of its own, from CSV files, which is the fastest way into it without Arrow. Both
get their keys from Python, a page at a time. The last line is one JSON object; `null`: it ran out of that memory.
"""

from __future__ import annotations

import csv
import importlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.endpoint import ORPHAN_EVERY, PAGE, RECORDS_PER_PAGE, layout
from sandbox.paths import REPOSITORY

_MODIFIED, _SIZE, _ETAG = 1_767_225_600, 48213, '"9a0364b9e99bb480dd25e1f0284c8555"'
_STRIDE = 7919  # a table's order is none; of a number of files that it does not divide, each comes once


def _stored(files: int) -> Iterator[list[str]]:
    bucket = layout(files)
    for first in range(0, files, PAGE):
        yield [bucket.key(number) for number in range(first, min(first + PAGE, files))]


def _named(files: int) -> Iterator[list[str]]:
    bucket = layout(files)
    for first in range(0, files, RECORDS_PER_PAGE):
        numbers = (place * _STRIDE % files for place in range(first, min(first + RECORDS_PER_PAGE, files)))
        yield [bucket.key(number) for number in numbers if number % ORPHAN_EVERY]


def sqlite(files: int) -> tuple[int, int]:
    """The number of orphans, and the bytes on disk."""
    from humangov.sweep.listing import Stored
    from humangov.sweep.local_join import LocalJoin

    with LocalJoin() as join:
        for page in _stored(files):
            join.store([Stored(key, _ETAG, _SIZE, _MODIFIED) for key in page])
        for page in _named(files):
            join.name([[key.encode()] for key in page])
        assert not join.join(named_twice=1).named_twice
        return sum(1 for _ in join.orphans()), _bytes_in(join.folder)


def duckdb(files: int, *, memory_limit: str) -> tuple[int, int]:
    engine: Any = importlib.import_module("duckdb")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "stored.csv").open("w") as file:
            for page in _stored(files):
                csv.writer(file).writerows([(key, _ETAG, _SIZE, _MODIFIED) for key in page])
        with (folder / "named.csv").open("w") as file:
            for page in _named(files):
                csv.writer(file).writerows([(key,) for key in page])
        settings = {"threads": 1, "memory_limit": memory_limit, "temp_directory": str(folder / "more")}
        db = engine.connect(str(folder / "x.db"), config=settings)
        form = """header = false, auto_detect = false, delim = ',', quote = '"', escape = '"'"""
        columns = "columns = {'key': 'VARCHAR', 'etag': 'VARCHAR', 'size': 'BIGINT', 'modified': 'BIGINT'}"
        stored = f"read_csv('{folder}/stored.csv', {form}, {columns})"
        named = f"read_csv('{folder}/named.csv', {form}, columns = {{'key': 'VARCHAR'}})"
        db.execute(f"CREATE TABLE orphan AS SELECT * FROM {stored} s ANTI JOIN {named} n USING (key)")
        twice = f"SELECT count(*) FROM (SELECT key FROM {named} GROUP BY key HAVING count(*) > 1)"
        assert db.execute(twice).fetchone() == (0,)
        return db.execute("SELECT count(*) FROM orphan").fetchone()[0], _bytes_in(folder)


JOINS: dict[str, Callable[[int], tuple[int, int]]] = {
    "sqlite": sqlite,
    "duckdb_100mb": partial(duckdb, memory_limit="100MB"),
    "duckdb_200mb": partial(duckdb, memory_limit="200MB"),
}
_OUT_OF_MEMORY = "OutOfMemoryException"


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _measure(name: str, files: int) -> dict[str, Any]:
    if name != "sqlite":
        importlib.import_module("duckdb")
    started, cpu = time.perf_counter(), time.process_time()
    orphans, size = JOINS[name](files)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    assert orphans == -(-files // ORPHAN_EVERY)
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return {
        "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": int(found[1]) / 1024, "disk_mib": size / 2**20,
    }  # fmt: skip


def main() -> None:
    files = int(sys.argv[1])
    if len(sys.argv) > 2:
        print(json.dumps(_measure(sys.argv[2], files)))
        return
    found = {}
    for name in JOINS:
        command = [sys.executable, "-m", "bench.sweep_join", str(files), name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
        if done.returncode == 0:
            found[name] = json.loads(done.stdout)
        elif _OUT_OF_MEMORY in done.stderr:
            found[name] = None
    print(json.dumps({"files": files, **found}))


if __name__ == "__main__":
    main()
