"""A report of one tenant: receipts and orphan lists in, figures, gaps and facts out; and its JSON.

Receipts go through a ledger on disk, so that memory does not grow with their number.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from humangov import __version__
from humangov.api.times import timestamp, timestamp_milliseconds
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.proof import figures, gaps, orphan_lists, receipts
from humangov.proof.chain_check import ChainCheck
from humangov.proof.figures import Figures, SweptBy
from humangov.proof.gaps import LIMITS, Gap
from humangov.proof.ledger import Ledger
from humangov.proof.orphan_lists import SweepRun, SweepRuns
from humangov.proof.period import Period
from humangov.proof.standing import (
    DIFFERS,
    LATER,
    PROVEN,
    Judged,
    Standings,
    counts_of,
    judged,
    record_name,
)
from humangov.proof.surroundings import Declared, LogGroup
from humangov.proof.verification import Stated, not_as_stated

FORMAT = 1
_PROGRESS_EVERY = 20_000

Progress = Callable[[int, datetime], None]
"""Called with the number of lines read, and the time of the last one."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whose report it is. tenant: `namespace/name`, or the log group where only that is known.

    stored_in: the bucket of reports and checkpoints, and how keys begin there; None: not known.
    """

    tenant: str
    owner: str | None
    account_id: str | None
    region: str
    bucket: str | None
    key_prefix: str
    table: str | None
    stored_in: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Covering:
    """What checkpoints cover. number: of checkpoints. until: None: there is none. receipts: of the report, stored up to
    then, as the query counts them. standings: of all receipts of the report; erased: of files that were erased after a
    deletion or change. differing: log streams that are not as checkpoints state, and how. holds: the checkpoints are as
    they were written, and all was read. as_stated: that, and no log stream differs, or is broken. signed: how many of
    them have a signature, which nobody checked."""

    number: int
    until: datetime | None
    receipts: int | None
    query: str
    standings: Standings
    erased: Standings
    differing: Mapping[str, str]
    holds: bool
    as_stated: bool
    signed: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """written: when. query: the command that reads the same lines. figures: None if no receipt could be read.

    verifying: the command that compares the lines with checkpoints; None: the tenant is not known.
    checkpoints: what they cover of this report; None: it was not compared with any. judged: log streams, by them.
    versions: whether the bucket keeps versions, as the receipts of erased files say; None: there are none.
    """

    subject: Subject
    period: Period
    written: datetime
    group: LogGroup
    query: str
    verifying: str | None
    lines: int
    chain: ChainCheck
    figures: Figures | None
    sweeps: SweepRuns | None
    declared: Declared | None
    gaps: tuple[Gap, ...]
    checkpoints: Covering | None = None
    judged: Judged | None = None
    versions: bool | None = None


@dataclass
class Reading:
    """Goes through log events once, and knows then what it read. problem: why it ended early; None: it did not."""

    events: Iterable[Mapping[str, Any]]
    progress: Progress
    lines: int = 0
    problem: str | None = None
    chain: ChainCheck = field(default_factory=ChainCheck)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        try:
            for event in self.events:
                self.lines += 1
                self.chain.take(event)
                if self.lines % _PROGRESS_EVERY == 0:
                    self.progress(self.lines, datetime.fromtimestamp(event["timestamp"] / 1000, UTC))
                yield event
        except SDK_ERRORS as error:
            self.problem = without_names(error)
        self.chain.finish()


def build(
    events: Iterable[Mapping[str, Any]],
    ledger: Ledger,
    *,
    subject: Subject,
    period: Period,
    group: LogGroup,
    declared: Declared | None,
    sweeps: SweepRuns | None,
    now: datetime,
    stated: Stated | None = None,
    progress: Progress = lambda _number, _at: None,
) -> Report:
    """events: those of receipts.around. stated: by checkpoints; None: they are not known. Raises sqlite3.Error.

    What AWS refuses becomes a gap; what was read before it counts.
    """
    chain = ChainCheck(stated.chain.covered) if stated else ChainCheck()
    reading = Reading(() if group.exists is False else events, progress, chain=chain)
    ledger.fill(receipts.of_events(reading, since=period.since, until=period.until))
    nothing_read = group.exists is False or (reading.problem is not None and not reading.lines)
    found = None if nothing_read else figures.ask(ledger, days=(period.until - period.since) // timedelta(days=1))
    differing = _differing(stated, reading, period=period, group=group, now=now)
    compared = _judged(stated, reading, differing)
    return Report(
        subject=subject, period=period, written=now, group=group, query=_query(group, period),
        verifying=_verifying(subject), lines=reading.lines,
        chain=reading.chain, figures=found, sweeps=sweeps, declared=declared,
        gaps=tuple(
            gaps.find(
                period=period, now=now, group=group, read_problem=reading.problem, chain=reading.chain, figures=found,
                declared=declared, sweeps=sweeps, stated=stated, differing=differing,
                records=_records(ledger, differing),
            )
        ),
        checkpoints=_covering(stated, ledger, reading, compared, differing=differing),
        judged=compared, versions=_versions(ledger),
    )  # fmt: skip


def _differing(
    stated: Stated | None, reading: Reading, *, period: Period, group: LogGroup, now: datetime
) -> Mapping[str, str]:  # fmt: skip
    """Log streams that are not as checkpoints state, and how. Where reading ended early, nothing can be said."""
    if stated is None or stated.problem or reading.problem or group.exists is False:
        return {}
    since, until = period.since - receipts.SETTLED_WITHIN, min(now, period.until + receipts.SETTLED_WITHIN)
    return not_as_stated(
        reading.chain, stated.chain, since_ms=receipts.milliseconds(since), until_ms=receipts.milliseconds(until),
        retention_days=group.retention_days if group.exists else stated.chain.retention_days,
        now_ms=receipts.milliseconds(now),
    )  # fmt: skip


def _judged(stated: Stated | None, reading: Reading, differing: Mapping[str, str]) -> Judged | None:
    if stated is None or stated.problem:
        return None
    holds = not (stated.chain.problems or reading.problem)
    return judged(reading.chain, stated.chain, differing=differing, holds=holds)


def _covering(
    stated: Stated | None, ledger: Ledger, reading: Reading, compared: Judged | None, *, differing: Mapping[str, str]
) -> Covering | None:  # fmt: skip
    if stated is None or compared is None:
        return None
    number, chain = stated.chain.number, reading.chain
    until = datetime.fromtimestamp(stated.chain.until_ms / 1000, UTC) if number else None
    covered = f"logged_at <= '{timestamp_milliseconds(until)}'" if until else "0"
    query = f"SELECT count(*) FROM receipts WHERE {covered}"

    def standings(table: str) -> Standings:
        rows = ledger.rows(f"SELECT log_stream, {covered} AS covered, count(*) AS number FROM {table} GROUP BY 1, 2")
        return counts_of([(row["log_stream"], bool(row["covered"]), row["number"]) for row in rows], compared)

    return Covering(
        number=number, until=until, receipts=ledger.value(query), query=query,
        standings=standings("receipts"),
        erased=standings(f"files WHERE {figures.ERASED}"),
        differing=differing,
        holds=compared.holds,
        as_stated=compared.holds and not (differing or chain.broken or chain.unread),
        signed=stated.chain.signed,
    )  # fmt: skip


def _versions(ledger: Ledger) -> bool | None:
    if not ledger.value("SELECT count(*) FROM receipts WHERE kind = 'erased'"):
        return None
    return bool(ledger.value("SELECT count(versions_erased) FROM receipts WHERE kind = 'erased'"))


def _records(ledger: Ledger, differing: Mapping[str, str]) -> Sequence[str]:
    """The records of receipts in these log streams, for people."""
    found = ledger.rows("SELECT DISTINCT log_stream, record_key FROM receipts WHERE event <> 'SWEEP' ORDER BY number")
    return list(dict.fromkeys(record_name(row["record_key"]) for row in found if row["log_stream"] in differing))


def sweeps_with_erased(report: Report) -> list[tuple[SweepRun, int, int]]:
    """Each orphan list of the period, with the numbers of files that receipts say its sweep erased, and did not.

    Sweeps that have receipts and no list follow in `sweeps_without_list`.
    """
    of_run = {one.run: one for one in report.figures.sweeps} if report.figures else {}
    runs = report.sweeps.runs if report.sweeps else ()
    none = SweptBy("", "", 0, 0)
    return [(one, (its := of_run.get(one.run, none)).erased, its.others) for one in runs]


def sweeps_without_list(report: Report) -> list[SweptBy]:
    """Sweeps whose receipts are in the period, and whose orphan list is not: it was removed, or began before."""
    known = {one.run for one in report.sweeps.runs} if report.sweeps else set()
    return [one for one in (report.figures.sweeps if report.figures else ()) if one.run not in known]


def as_json(report: Report, *, database: str, database_sha256: str) -> dict[str, Any]:
    """database: the name of the file beside the report on which the queries run."""
    chain, created = report.chain, report.group.created
    return {
        "humangovReport": FORMAT,
        "program": __version__,
        **asdict(report.subject),
        "since": timestamp_milliseconds(report.period.since),
        "until": timestamp_milliseconds(report.period.until),
        "written": timestamp(report.written),
        "logGroup": {**asdict(report.group), "created": created and timestamp(created)},
        "read": {"command": report.query, "lines": report.lines},
        "database": {"name": database, "sha256": database_sha256},
        "chain": {
            "lines": chain.lines, "streams": len(chain.ends), "broken": chain.broken.total(),
            "breaks": [one._asdict() for one in chain.breaks], "begunBefore": chain.begun,
            "notChained": chain.others.total(), "unread": chain.unread.total(),
        },
        "bucketVersions": report.versions,
        "checkpoints": _checkpoints(report.checkpoints) if report.checkpoints else None,
        **(figures.as_json(report.figures) if report.figures else {"figures": None}),
        "orphanLists": orphan_lists.as_json(report.sweeps) if report.sweeps else None,
        "declared": _declared(report.declared) if report.declared else None,
        "gaps": [one._asdict() for one in report.gaps],
        "limits": list(LIMITS),
    }  # fmt: skip


def standing(report: Report, row: Mapping[str, Any]) -> str:
    """Whether checkpoints prove that this receipt of the ledger is as it was stored; "": nobody compared."""
    covering, stream = report.checkpoints, row["log_stream"]
    if report.chain.broken[stream] or report.chain.unread[stream]:
        return "not proven: lines of its log stream were altered, removed or inserted"
    if covering is None or covering.until is None or report.judged is None:
        return ""
    covered = row["logged_at"] <= timestamp_milliseconds(covering.until)
    texts = {
        DIFFERS: "not proven: its log stream is not as a checkpoint states",
        LATER: "not proven yet: stored after the last checkpoint",
        PROVEN: "proven by a checkpoint",
    }
    unknown = "not compared: its log stream goes on after the period" if covering.holds else ""
    return texts.get(report.judged.standing(stream, covered=covered), unknown)


def _checkpoints(covering: Covering) -> dict[str, Any]:
    return {
        **asdict(covering),
        "until": covering.until and timestamp_milliseconds(covering.until),
        "standings": covering.standings._asdict(),
        "erased": covering.erased._asdict(),
    }


def _declared(declared: Declared) -> dict[str, Any]:
    return {
        "settings": [one._asdict() for one in declared.settings],
        "deeds": [one._asdict() for one in declared.deeds],
        "conditions": [one._asdict() for one in declared.conditions],
    }


def _query(group: LogGroup, period: Period) -> str:
    since, until = period.since - receipts.SETTLED_WITHIN, period.until + receipts.SETTLED_WITHIN
    return (
        f"aws logs filter-log-events --region {group.region} --log-group-name {shlex.quote(group.name)} "
        f"--start-time {receipts.milliseconds(since)} --end-time {receipts.milliseconds(until)} "
        f"--filter-pattern {shlex.quote(receipts.CHAINED_PATTERN)}"
    )


def _verifying(subject: Subject) -> str | None:
    if subject.owner is None:
        return None
    bucket, prefix = subject.stored_in or ("BUCKET", "")
    more = f" --prefix {shlex.quote(prefix)}" if prefix else ""
    return f"humangov verify {shlex.quote(subject.tenant)} --bucket {shlex.quote(bucket)}{more}"
