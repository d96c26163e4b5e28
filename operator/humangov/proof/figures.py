"""The figures of a report. Each is one query of the ledger, which stands beside it: nothing else is counted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from humangov.proof.ledger import OPEN, Ledger

_EVENTS = "event <> 'SWEEP'"
_SWEPT = "event = 'SWEEP' AND reason NOT LIKE '%: incomplete upload' AND event_id NOT LIKE 'sweep %, upload %'"
_UPLOADS = "event = 'SWEEP' AND event_id LIKE 'sweep %, upload %'"
_TIMED = f"{_EVENTS} AND kind = 'erased' AND latency_ms IS NOT NULL"
ERASED = f"{_EVENTS} AND kind = 'erased'"
"""Files that were erased after a deletion or change."""

LONGEST_BY_DAY = 92
"""Days. Pictures of a longer period have a bar for each month."""


class Question(NamedTuple):
    """name: in the JSON. label: for people. query: SQL that gives one number, or NULL where nothing is to be shown."""

    name: str
    label: str
    query: str


class Figure(NamedTuple):
    name: str
    label: str
    value: int | None
    query: str


class Reason(NamedTuple):
    """How many files have this outcome. reason: as receipts spell it, without dates. meaning: for people."""

    reason: str
    number: int
    meaning: str


class Day(NamedTuple):
    """name: a day, or a month. Times in milliseconds; None where no removal was dated."""

    name: str
    deleted: int
    swept: int
    median_ms: int | None
    p99_ms: int | None
    latest_ms: int | None


class SweptBy(NamedTuple):
    """The files of one sweep by outcome, from its receipts. run: as in its orphan list."""

    run: str
    first: str
    erased: int
    others: int


@dataclass(frozen=True, kw_only=True)
class Figures:
    """numbers: by name. queries: of the tables, by name.

    stays: files of deleted and changed records that were neither erased nor absent. absent: those that were absent.
    """

    numbers: Mapping[str, Figure]
    stays: Sequence[Reason]
    absent: Sequence[Reason]
    sweep_outcomes: Sequence[Reason]
    days: Sequence[Day]
    sweeps: Sequence[SweptBy]
    queries: Mapping[str, str]

    def __getitem__(self, name: str) -> int | None:
        return self.numbers[name].value


def _rank(percent: int) -> str:
    """The nearest rank: the smallest time within which at least so many of a hundred were erased."""
    place = f"(SELECT (count(*) * {percent} + 99) / 100 - 1 FROM files WHERE {_TIMED})"
    return f"SELECT latency_ms FROM files WHERE {_TIMED} ORDER BY latency_ms LIMIT 1 OFFSET max(0, {place})"


def _files(condition: str) -> str:
    return f"SELECT count(*) FROM files WHERE {condition}"


QUESTIONS = (
    Question("receipts", "receipts read", "SELECT count(*) FROM receipts"),
    Question(
        "records", "deletions and changes of records that freed a file",
        f"SELECT count(DISTINCT event_id) FROM files WHERE {_EVENTS}",
    ),
    Question(
        "deletions", "of these, deletions of records",
        f"SELECT count(DISTINCT event_id) FROM files WHERE {_EVENTS} AND event = 'REMOVE'",
    ),
    Question("freed", "files that these records named", _files(_EVENTS)),
    Question("erased", "files erased, as S3 confirmed", _files(f"{_EVENTS} AND kind = 'erased'")),
    Question(
        "names_erased", "different names among the erased files",
        f"SELECT count(DISTINCT key) FROM files WHERE {_EVENTS} AND kind = 'erased'",
    ),
    Question("absent", "files that did not exist any more when they were to be erased",
             _files(f"{_EVENTS} AND kind = 'absent'")),
    Question("stays", "files that stay for a reason that their receipt states",
             _files(f"{_EVENTS} AND kind IN ('kept', 'retained')")),
    Question("open", "files whose erasure had failed, or waited, at the end of the period",
             _files(f"{_EVENTS} AND kind IN {OPEN}")),
    Question("unknown", "of these, files whose last attempt was cut off: nothing states what became of them",
             _files(f"{_EVENTS} AND kind = 'unknown'")),
    Question("failed_then_settled", "files that were settled after an earlier attempt had failed or waited",
             _files(f"{_EVENTS} AND failures > 0 AND kind NOT IN {OPEN}")),
    Question("redriven", "files that a redrive settled",
             _files(f"{_EVENTS} AND origin = 'redrive' AND kind NOT IN {OPEN}")),
    Question("final_read", "files that a final stream read settled",
             _files(f"{_EVENTS} AND origin = 'final-read' AND kind NOT IN {OPEN}")),
    Question("timed", "erased files whose time of removal is known", _files(_TIMED)),
    Question("median_ms", "half of the files were erased within (milliseconds)", _rank(50)),
    Question("p99_ms", "99 of 100 files were erased within (milliseconds)", _rank(99)),
    Question("latest_ms", "the latest file was erased after (milliseconds)",
             f"SELECT max(latency_ms) FROM files WHERE {_TIMED}"),
    Question("within_second", "files erased within a second", _files(f"{_TIMED} AND latency_ms <= 1000")),
    Question("swept", "orphans that sweeps erased", _files(f"{_SWEPT} AND kind = 'erased'")),
    Question("sweep_open", "orphans whose erasure by a sweep failed, or has no outcome",
             _files(f"{_SWEPT} AND kind IN {OPEN}")),
    Question("uploads_aborted", "incomplete uploads that sweeps aborted", _files(f"{_UPLOADS} AND kind = 'erased'")),
    Question("uploads_open", "incomplete uploads whose abort by a sweep failed, or has no outcome",
             _files(f"{_UPLOADS} AND kind IN {OPEN}")),
)  # fmt: skip

_STAYS = (
    f"SELECT reason, count(*) AS number FROM files WHERE {_EVENTS} AND kind NOT IN ('erased', 'absent') "
    "GROUP BY reason ORDER BY number DESC, reason"
)
_ABSENT = (
    f"SELECT reason, count(*) AS number FROM files WHERE {_EVENTS} AND kind = 'absent' "
    "GROUP BY reason ORDER BY number DESC, reason"
)
_OF_SWEEPS = f"SELECT reason, count(*) AS number FROM files WHERE {_SWEPT} GROUP BY reason ORDER BY number DESC, reason"
_RUNS = (
    "SELECT substr(event_id, 7) AS run, min(logged_at) AS first, "
    "count(CASE WHEN kind = 'erased' THEN 1 END) AS erased, count(CASE WHEN kind <> 'erased' THEN 1 END) AS others "
    f"FROM files WHERE {_SWEPT} GROUP BY event_id ORDER BY first, run"
)
APPENDIX = "SELECT * FROM receipts ORDER BY number"


def ask(ledger: Ledger, *, days: int) -> Figures:
    """days: the length of the period."""
    length = 10 if days <= LONGEST_BY_DAY else 7
    queries = {
        "stays": _STAYS, "absent": _ABSENT, "sweep_outcomes": _OF_SWEEPS, "days": _of_days(length), "sweeps": _RUNS,
    }  # fmt: skip
    return Figures(
        numbers={one.name: Figure(one.name, one.label, ledger.value(one.query), one.query) for one in QUESTIONS},
        stays=_reasons(ledger, queries["stays"]),
        absent=_reasons(ledger, queries["absent"]),
        sweep_outcomes=_reasons(ledger, queries["sweep_outcomes"]),
        days=[Day(**row) for row in ledger.rows(queries["days"])],
        sweeps=[SweptBy(**row) for row in ledger.rows(queries["sweeps"])],
        queries=queries,
    )


def each_day(figures: Figures, *, since: datetime, until: datetime) -> list[Day]:
    """The days, or months, of a period, also those without receipts."""
    known = {one.name: one for one in figures.days}
    length = len(next(iter(known), "")) or 10
    span = (until - since) // timedelta(days=1) + 1
    names = {f"{since + timedelta(days=number):%Y-%m-%d}"[:length] for number in range(span)}
    every = sorted({*names, f"{until:%Y-%m-%d}"[:length], *known})
    return [known.get(name, Day(name, 0, 0, None, None, None)) for name in every]


def _reasons(ledger: Ledger, query: str) -> list[Reason]:
    return [Reason(**row, meaning=meaning_of(row["reason"])) for row in ledger.rows(query)]


def _of_days(length: int) -> str:
    """The day is that of the receipt: the removal may be days before."""
    day = f"substr(logged_at, 1, {length})"
    return f"""
WITH timed AS (SELECT {day} AS day, latency_ms FROM files WHERE {_TIMED}),
    sizes AS (SELECT day, count(*) AS size FROM timed GROUP BY day),
    ranked AS (SELECT day, latency_ms, row_number() OVER (PARTITION BY day ORDER BY latency_ms) AS place FROM timed),
    times AS (
        SELECT day, min(CASE WHEN place >= (size * 50 + 99) / 100 THEN latency_ms END) AS median_ms,
            min(CASE WHEN place >= (size * 99 + 99) / 100 THEN latency_ms END) AS p99_ms,
            max(latency_ms) AS latest_ms
        FROM ranked JOIN sizes USING (day) GROUP BY day),
    counts AS (
        SELECT {day} AS day, count(CASE WHEN {_EVENTS} AND kind = 'erased' THEN 1 END) AS deleted,
            count(CASE WHEN {_SWEPT} AND kind = 'erased' THEN 1 END) AS swept
        FROM files GROUP BY day)
SELECT day AS name, deleted, swept, median_ms, p99_ms, latest_ms FROM counts LEFT JOIN times USING (day) ORDER BY day
""".strip()


_MEANINGS = {
    "kept: live": "another record still names the file",
    "kept: newer": "a file of this name was uploaded after the record was removed, or possibly after",
    "kept: undated": "it cannot be shown that the file is older than the removal of its record",
    "kept: reserved": "the name is reserved for this program's own files",
    "kept: interrupted": "a sweep that was interrupted had begun it; it is still there, and is an orphan",
    "left to the sweep": "several records may name one file here, so only sweeps erase",
    "retained until": "the bucket's Object Lock retains it until a date, which its receipt states",
    "retained: legal hold": "the bucket's Object Lock has a legal hold on it",
    "retained: MFA delete": "the bucket requires a second factor to erase it",
    "limited": "the erasure limit was reached: it waits to be handled once more",
    "held": "a legal hold keeps it: it waits until the hold ends",
    "unknown: cut off": "an attempt began and was cut off: nothing states whether the file was erased",
    "absent": "nothing was stored under its name when it was looked for",
    "absent after intent": (
        "nothing is stored under its name; it went after an attempt had begun, by that attempt or by somebody else"
    ),
    "absent: incomplete upload": "the upload was completed or aborted by somebody else",
    "absent: delete markers are left": "no data is stored under its name",
    "erased": "S3 confirmed the erasure",
    "erased: incomplete upload": "the parts of an upload that was never completed were removed",
}  # fmt: skip


def meaning_of(reason: str) -> str:
    """Of an outcome, for people."""
    if reason.startswith("failed: "):
        return "an attempt failed with this code; the file may still exist"
    return _MEANINGS.get(reason, "this program does not know this outcome; see docs/security.md")


def as_json(figures: Figures) -> dict[str, Any]:
    return {
        "figures": [one._asdict() for one in figures.numbers.values()],
        "stays": [one._asdict() for one in figures.stays],
        "absent": [one._asdict() for one in figures.absent],
        "sweepOutcomes": [one._asdict() for one in figures.sweep_outcomes],
        "days": [one._asdict() for one in figures.days],
        "sweeps": [one._asdict() for one in figures.sweeps],
        "queries": dict(figures.queries),
    }
