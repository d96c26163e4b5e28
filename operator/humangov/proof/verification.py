"""Whether the receipts of a log group are those of its checkpoints: nothing altered, inserted or removed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from humangov.api.counts import counted
from humangov.cleanup.receipt_lines import timestamp
from humangov.proof import receipts
from humangov.proof.chain_check import HOUR_MS, ChainCheck, places_of
from humangov.proof.checkpoint import SETTLES_AFTER_MINUTES, Chain, StreamEnd, first_required
from humangov.proof.log_events import line_of
from humangov.proof.standing import Judged, OfRecord, judged

OLD_AFTER = timedelta(days=2)
"""Checkpoints are written daily."""

_UNKNOWN = StreamEnd(0, "", ())


class Finding(NamedTuple):
    """kind: for scripts, stable. stream: None where it is about checkpoints."""

    kind: str
    stream: str | None
    message: str


class Stated(NamedTuple):
    """The checkpoints that a report is compared with. problem: why they could not be read; None: they were."""

    chain: Chain
    problem: str | None = None


def not_as_stated(
    check: ChainCheck, chain: Chain, *, since_ms: int, until_ms: int, retention_days: int | None, now_ms: int
) -> dict[str, str]:
    """Log streams that are not as the checkpoints state, and the kind of finding, among those whose last stated
    line is dated in this time.

    check: of all lines of this time, with chain.covered. `verify` says the same of all times, and what is not so.
    """
    found = {}
    for stream in sorted({*chain.streams, *check.inserted}):
        end = chain.streams.get(stream, _UNKNOWN)
        if check.inserted[stream]:
            found[stream] = "Inserted"
        elif stream in check.watched and check.watched[stream] != end.sha256:
            found[stream] = "Altered"
        elif (
            stream not in check.watched
            and _within(end, since_ms, until_ms)
            and first_required(end, retention_days=retention_days, now_ms=now_ms) <= end.lines
        ):
            found[stream] = "Removed"
    return found


def _within(end: StreamEnd, since_ms: int, until_ms: int) -> bool:
    """Whether its last line is dated in this time for certain: a checkpoint dates by the hour."""
    last = end.hours[-1][0] * HOUR_MS if end.hours else -1
    return since_ms <= last and last + HOUR_MS <= until_ms


@dataclass(frozen=True, kw_only=True)
class Verification:
    """findings: what does not hold; none: every line up to the last checkpoint is as it was stored, or has expired.

    verified  lines that a checkpoint proves
    expired   lines that checkpoints state, and whose retention is over
    later     lines after the last checkpoint, by stream: they are chained, but nothing would show that they are removed
    """

    findings: tuple[Finding, ...]
    verified: int
    expired: int
    later: dict[str, int]
    checkpoints: int
    until_ms: int


def verify(check: ChainCheck, chain: Chain, *, retention_days: int | None, now_ms: int) -> Verification:
    """check: of all lines of the log group, with chain.covered. retention_days: of the log group now."""
    findings = [*_of_checkpoints(chain, now_ms=now_ms)]
    verified = expired = 0
    for stream in sorted({*chain.streams, *check.ends}):
        end = chain.streams.get(stream, _UNKNOWN)
        required = first_required(end, retention_days=chain.retention_days, now_ms=now_ms)
        by_now = first_required(end, retention_days=retention_days, now_ms=now_ms)
        found = [
            *(_of_stream(check, stream, end, required=required, by_now=by_now) if end.lines else ()),
            *_of_lines(check, stream, known=bool(end.lines) or not chain.number, minimum_age=chain.minimum_age),
            *_of_breaks(check, stream, end, trusted=not chain.problems),
        ]
        first = _first(check, stream, end)
        verified += 0 if found else max(0, end.lines - first + 1)
        expired += min(required, first) - 1 if end.lines else 0
        findings += found
    for stream, number in sorted(check.unread.items()):
        findings.append(Finding("Unread", stream, f"{counted(number, 'line')} among its receipts: no receipts"))
    for stream, number in sorted(check.others.items()):
        lines = counted(number, "line calls itself a receipt", plural="lines call themselves receipts")
        findings.append(Finding("NotChained", stream, f"{lines}, and this log stream has no chain: not counted"))
    return Verification(
        findings=tuple(findings), verified=verified, expired=expired, later=dict(check.later),
        checkpoints=chain.number, until_ms=chain.until_ms,
    )  # fmt: skip


@dataclass
class Reading:
    """Goes through every line once. record: whose lines are kept; None: nobody asked."""

    events: Iterable[Mapping[str, Any]]
    chain: ChainCheck
    record: OfRecord | None = None

    def numbers(self) -> list[tuple[str, bool, int]]:
        """Log stream, whether its time is covered, number of receipts: as a report counts them."""
        covered = self.chain.covered.until_ms
        until = str(timestamp(covered / 1000)) if covered >= 0 else ""
        found = Counter((one.log_stream, one.logged_at <= until) for one in receipts.joined(self._taken()))
        self.chain.finish()
        return [(*key, number) for key, number in found.items()]

    def _taken(self) -> Iterator[Mapping[str, Any]]:
        for event in self.events:
            self.chain.take(event)
            if self.record is not None and (line := line_of(event)) is not None:
                self.record.take(event, line)
            yield event


def judged_by(found: Verification, check: ChainCheck, chain: Chain) -> Judged:
    """A log stream that a finding names is not as it was stored; if one is about checkpoints, nothing is proven."""
    differing = {one.stream for one in found.findings if one.stream is not None}
    return judged(check, chain, differing=differing, holds=not any(one.kind == "Checkpoint" for one in found.findings))


def _of_checkpoints(chain: Chain, *, now_ms: int) -> Iterator[Finding]:
    yield from (Finding("Checkpoint", None, problem) for problem in chain.problems)
    if chain.number == 0:
        yield Finding("NoCheckpoint", None, "there is no checkpoint: a removed last line, or stream, would not show")
    elif chain.until_ms > now_ms:
        yield Finding("Checkpoint", None, "the last checkpoint is dated in the future: until then none can follow it")
    elif now_ms - chain.until_ms > OLD_AFTER.total_seconds() * 1000:
        days = (now_ms - chain.until_ms) / (24 * HOUR_MS)
        yield Finding("CheckpointOld", None, f"the last checkpoint is {days:.1f} days old: they are written daily")


def _of_stream(check: ChainCheck, stream: str, end: StreamEnd, *, required: int, by_now: int) -> Iterator[Finding]:
    """required: the first line that has not expired. by_now: the same, by the retention that the log group has now."""
    if required > end.lines:
        return  # all may have expired: what is left of it is chained, and is checked as such
    first = _first(check, stream, end)
    if first > required and by_now >= first:
        yield Finding(
            "RetentionLowered", stream,
            f"{_lines(required, first - 1)} not there, and expired early: the log group's retention was lowered",
        )  # fmt: skip
    elif first > end.lines:
        yield Finding(
            "Removed", stream, f"{counted(end.lines, 'line is', plural='lines are')} removed, all that it had"
        )
    elif first > required:
        yield Finding("Removed", stream, f"{_lines(required, first - 1)} removed")
    if first > end.lines:
        return
    last = check.ends[stream].number
    if stream not in check.watched:
        yield Finding("Removed", stream, f"not all of its lines up to line {end.lines:,} exist; the last is {last:,}")
    elif check.watched[stream] != end.sha256:
        yield Finding(
            "Altered", stream,
            f"line {end.lines:,} was altered: it is not the one that a checkpoint states. Lines before it may have "
            "been altered too, if all after them were chained again",
        )  # fmt: skip


def _lines(first: int, last: int) -> str:
    return f"line {first:,} is" if first == last else f"lines {first:,} to {last:,} are"


def _first(check: ChainCheck, stream: str, end: StreamEnd) -> int:
    """The number of the first line that is there; that after the last one that was, if none is."""
    return check.firsts[stream].number if stream in check.firsts else end.lines + 1


def _of_lines(check: ChainCheck, stream: str, *, known: bool, minimum_age: int) -> Iterator[Finding]:
    """known: to checkpoints, or there are none; else its first lines cannot have expired.

    minimum_age: of lines that they cover.
    """
    if not known and check.firsts[stream].number > 1:
        yield Finding(
            "Removed", stream, f"removed at its beginning: {counted(check.firsts[stream].number - 1, 'line')}"
        )
    if check.inserted[stream]:
        them = "it" if check.inserted[stream] == 1 else "them"
        causes = f"somebody inserted {them}, or the writer's clock was behind"
        if minimum_age < SETTLES_AFTER_MINUTES:
            causes += (
                f", or CloudWatch Logs showed {them} after the checkpoint was written: a checkpoint covers lines of at "
                f"least {counted(minimum_age, 'minute')} (--minimum-age), and not of an hour"
            )
        yield Finding(
            "Inserted", stream,
            f"{counted(check.inserted[stream], 'line is', plural='lines are')} dated before the last checkpoint, "
            f"which does not have {them}: {causes}",
        )  # fmt: skip


def _of_breaks(check: ChainCheck, stream: str, end: StreamEnd, *, trusted: bool) -> Iterator[Finding]:
    """trusted: no checkpoint says that it states lines that were changed before."""
    if not check.broken[stream]:
        return
    holds = check.watched[stream] == end.sha256 if trusted and stream in check.watched else None
    places = places_of([one for one in check.breaks if one.stream == stream], covered=end.lines, holds=holds)
    yield Finding("Broken", stream, "; ".join(places) or "lines were altered, removed or inserted, in many places")
