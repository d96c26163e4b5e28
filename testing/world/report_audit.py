"""Whether the figures of a report are true: held against what the auditor saw happen, not against the log alone.

The report reads the whole log of the history, as CloudWatch Logs gives it: sorted by the times that the writers' clocks
gave the lines, which may be wrong.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from humangov.proof.ledger import OPEN, Ledger
from humangov.proof.period import Period
from humangov.proof.report import Report, Subject, build
from humangov.proof.surroundings import LogGroup

from testing.world.account import Account
from testing.world.promises import REPORT

_MARGIN = timedelta(days=2)
Pair = tuple[str, str]
"""Event ID and key: one file that one change freed, or one sweep began."""


def judge_report(account: Account) -> None:
    """At the end of a history."""
    with contextlib.closing(Ledger(Path(":memory:"))) as ledger:
        report = _report(account, ledger)
        rows = list(ledger.rows("SELECT * FROM files"))
        receipts = list(ledger.rows("SELECT * FROM receipts ORDER BY number"))
    for why, what in (
        *_false_counts(account, report, rows),
        *_false_erasures(account, rows),
        *_untold_erasures(account, rows, receipts),
        *_false_times(report, rows),
    ):
        account.audit.broken(REPORT, why, what)


def _report(account: Account, ledger: Ledger) -> Report:
    names, group = account.setting.names, account.logs
    events: list[dict[str, Any]] = sorted(
        (
            {"logStreamName": one.stream, "timestamp": one.timestamp, "message": one.message}
            for one in group.events if '"line":' in one.message
        ),
        key=lambda event: int(event["timestamp"]),
    )  # fmt: skip
    ends = [int(one["timestamp"]) / 1000 for one in (events[0], events[-1])] if events else [account.clock.now] * 2
    first, last = (datetime.fromtimestamp(at, UTC) for at in ends)
    period = Period(since=first - _MARGIN, until=last + _MARGIN, name="history")
    subject = Subject(
        tenant=names.tenant.key, owner=names.owner, account_id=None, region="us-east-1", bucket=None, key_prefix="",
        table=None,
    )  # fmt: skip
    return build(
        events, ledger, subject=subject, period=period,
        group=LogGroup(name=group.name, region="us-east-1", exists=True), declared=None, sweeps=None,
        now=last + 2 * _MARGIN,
    )  # fmt: skip


def _gap_of(event_id: str) -> str:
    """The gap that names an attempt of that event without an outcome."""
    if not event_id.startswith("sweep "):
        return "CutOff"
    return "UploadsNotSettled" if ", upload " in event_id else "SweepNotSettled"


def _false_counts(account: Account, report: Report, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Each file that the auditor saw begun or settled is counted once, and all parts make the whole."""
    figures = report.figures
    assert figures is not None
    audit = account.audit
    settled = {(one.event_id, one.key) for one in audit.outcomes}
    pairs = settled | set(audit.intents)
    if pairs != (shown := set(map(_pair, rows))):
        yield "a report does not count each file that was begun or settled", f"{sorted(pairs ^ shown)[:3]}"
    of_sweeps = {one for one in pairs if one[0].startswith("sweep ")}
    freed = len(pairs - of_sweeps)
    parts = [figures[name] or 0 for name in ("erased", "absent", "stays", "open")]
    if (sum(parts), figures["freed"]) != (freed, freed):
        yield "the parts of a report do not make its whole", f"{parts} of {figures['freed']}, {freed}"
    if figures["records"] != len({event for event, _ in pairs - of_sweeps}):
        yield "a report counts other changes than there were", f"{figures['records']}"
    unsettled = {_pair(row) for row in rows if row["kind"] == "unknown"}
    if lost := (set(audit.intents) - settled) - unsettled:
        yield "a report knows of a file what nobody has said", f"{sorted(lost)[:3]}"
    gaps = {gap.kind for gap in report.gaps}
    for one in sorted(unsettled):
        if (kind := _gap_of(one[0])) not in gaps:
            yield "a report has no gap where an attempt was cut off", f"{kind}: {one}"
            break
    if report.chain.broken:
        yield "a report says that a whole chain is broken", f"{report.chain.breaks[:1]}"
    if sum(day.deleted for day in figures.days) != figures["erased"]:
        yield "the days of a report do not make its whole", f"{figures['erased']}"


def _false_erasures(account: Account, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What counts as erased is not there, and was said to be erased."""
    audit = account.audit
    confirmed = {(one.event_id, one.key) for one in audit.outcomes if one.outcome and one.outcome.kind == "erased"}
    for row in rows:
        if row["kind"] != "erased":
            continue
        if _pair(row) not in confirmed:
            yield "a report counts a file as erased, and no receipt says so", f"{_pair(row)}"
        change = audit.table.changes.get(row["sequence_number"])
        moment = change.moment if change else audit.sweeps.began.get(row["event_id"], 0)
        if ", upload " not in row["event_id"] and any(one.moment < moment for one in audit.bucket.data(row["key"])):
            yield "a report counts a file as erased, and it is there", f"{_pair(row)}"


def _untold_erasures(
    account: Account, rows: Sequence[Mapping[str, Any]], receipts: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """What went is not hidden: some receipt says that it was erased, or may have been."""
    may_have = {_pair(row) for row in receipts if row["kind"] in ("erased", "absent", "failed", "unknown")}
    may_have |= {_pair(row) for row in receipts if ", after a " in row["outcome"] or row["versions_erased"]}
    shown = {_pair(row) for row in rows}
    for one in account.audit.erasures:
        pairs = {(event, one.key) for event in one.events}
        if pairs & shown and not pairs & may_have:
            yield "a file went, and the report says that it stays", f"{one.key}, {one.events}"


def _false_times(report: Report, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Counted again without SQL: the nearest rank."""
    figures = report.figures
    assert figures is not None
    times = sorted(
        row["latency_ms"] for row in rows
        if row["event"] != "SWEEP" and row["kind"] == "erased" and row["latency_ms"] is not None
    )  # fmt: skip
    expected = [times[-(-len(times) * percent // 100) - 1] if times else None for percent in (50, 99, 100)]
    if (shown := [figures[name] for name in ("median_ms", "p99_ms", "latest_ms")]) != expected:
        yield "the times of a report are others than those of its receipts", f"{shown}, {expected}"
    if figures["open"] != sum(row["event"] != "SWEEP" and row["kind"] in OPEN for row in rows):
        yield "a report counts other open files than there are", f"{figures['open']}"


def _pair(row: Mapping[str, Any]) -> Pair:
    return str(row["event_id"]), str(row["key"])
