"""The auditor: sees everything that happens, knows the truth, and says what broke which promise.

It judges each erasure when it happens and each line of the log when it is stored; `ending` judges what is left.
`testing.world`'s docstring defines the promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from humangov.cleanup.outcomes import FileOutcome
from humangov.cleanup.receipt_lines import parse
from humangov.cleanup.references import FAILURES_PREFIX, is_reserved

from testing.world.actor import FUNCTION, REDRIVE, SWEEP, Actor
from testing.world.bucket import Bucket, Upload
from testing.world.promises import LOST, RECEIPT, Violation
from testing.world.setting import SHARED, Setting
from testing.world.stream import StreamRecord
from testing.world.sweep_audit import LISTS, SweepAudit
from testing.world.table import Naming, Table

OWN_PREFIX = ".humangov/"
SWEPT = "SWEEP"
"""The event of a sweep's receipts."""


class Erasure(NamedTuple):
    """A file that our code erased, and the changes that it was handling; of_sweep: the sweep's event."""

    key: str
    moment: int
    by: str
    events: tuple[str, ...]
    of_sweep: bool = False


class StoredOutcome(NamedTuple):
    """A stored outcome. outcome: None if nobody can read its text. by: the process that wrote it."""

    event_id: str
    key: str
    moment: int
    outcome: FileOutcome | None
    by: Actor
    of_sweep: bool


@dataclass
class Audit:
    """excused: live files that went within the declared limits: reason → number. mentioned: sequence numbers that a
    line other than a receipt names: malformed or unresolved. invocations_removed: records of them, and when."""

    setting: Setting
    bucket: Bucket
    table: Table
    violations: list[Violation] = field(default_factory=list)
    excused: Counter[str] = field(default_factory=Counter)
    erasures: list[Erasure] = field(default_factory=list)
    intents: dict[tuple[str, str], int] = field(default_factory=dict)
    outcomes: list[StoredOutcome] = field(default_factory=list)
    mentioned: set[str] = field(default_factory=set)
    invocations_removed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.file_names, self.key_prefix = self.setting.file_names, self.setting.key_prefix
        self.function_arn = self.setting.names.function_arn
        self.sweeps = SweepAudit(
            self.setting, self.bucket, self.table, self.broken, lambda why: self.excused.update((why,))
        )

    def broken(self, kind: str, why: str, what: str) -> None:
        self.violations.append(Violation(kind, why, what))

    @property
    def swept(self) -> int:
        return sum(one.of_sweep for one in self.erasures)

    # What our code erased.

    def destroyed(self, actor: Actor, key: str, version: Upload, *, newest: bool) -> None:
        """A version with data is gone. newest: no other version of the key is younger."""
        if is_reserved(key, key_prefix=self.key_prefix):
            self._reserved(actor, key, version)
            return
        if actor.sweeping.listed is not None:
            events = self.sweeps.swept(actor, key, version, newest=newest)
            self.erasures.append(Erasure(key, self.bucket.clock.moment, actor.kind, events, of_sweep=True))
            actor.destroyed[key] += 1
            return
        freeing = actor.freeing(key)
        events = tuple(one.event_id for one in freeing)
        self.erasures.append(Erasure(key, self.bucket.clock.moment, actor.kind, events))
        actor.destroyed[key] += 1
        if newest:
            self._live(actor, key, version, freeing)
        if not freeing:
            self.broken(RECEIPT, "a file was erased that no change of the batch freed", f"{key} by {actor.kind}")
        elif not any((one, key) in self.intents for one in events):
            self.broken(RECEIPT, "a file was erased before its intent was stored", f"{key} by {actor.kind}")

    def _reserved(self, actor: Actor, key: str, version: Upload) -> None:
        """Jobs remove this tenant's invocation records once they are handled, and what they keep for themselves."""
        if key.startswith(f"{self.key_prefix}{LISTS}") and actor.kind == SWEEP:
            self.sweeps.list_removed(key, version)
        if key.startswith(FAILURES_PREFIX) and self.function_arn.encode() in version.body and actor.kind != FUNCTION:
            actor.removed.add(key)
            self.invocations_removed[key] = self.bucket.clock.moment
        elif not key.startswith(f"{self.key_prefix}{OWN_PREFIX}") or actor.kind == FUNCTION:
            self.broken(LOST, "a reserved key was erased", f"{key} by {actor.kind}")

    def _live(self, actor: Actor, key: str, version: Upload, freeing: list[StreamRecord]) -> None:
        namers = self.table.named(key)
        awaited = self.bucket.awaited.get(key, 0) >= version.moment
        if not namers and not awaited:
            return
        if self.file_names == SHARED:
            self.broken(LOST, "file names are shared, and an event erased a live file", f"{key} by {actor.kind}")
            return
        removed = max((one.moment for one in freeing), default=0)
        known = {record: since for record, since in namers.items() if not self._discarded_by_age(actor, since, freeing)}
        reasons = [reason for record, since in known.items() if (reason := _blame(actor, record, since))]
        if version.moment > removed and actor.listed.get(key, version.moment + 1) > version.moment:
            reasons.append("the file was uploaded after the removal, and its age was not compared")
        for reason in reasons[:1]:
            self.broken(LOST, reason, f"{key}, named by {sorted(namers) or 'a record to come'}, by {actor.kind}")
        if not reasons:
            self.excused["named by another record than the batch tells of" if namers else "uploaded meanwhile"] += 1

    def _discarded_by_age(self, actor: Actor, since: Naming, freeing: list[StreamRecord]) -> bool:
        """Whether Lambda discarded the naming change by its age, well before the freeing ones: a declared limit.

        Well before is more than a minute, or a sixth of a record's greatest age.
        """
        naming = actor.shown.get(since.number or "")
        if actor.kind != FUNCTION or naming is None or naming.number in actor.given:
            return False
        limit = float(self.setting.trigger["MaximumRecordAgeInSeconds"])
        apart = min((one.at for one in freeing), default=0.0) - naming.at
        return self.bucket.clock.now - int(naming.at) >= limit and apart > min(60.0, limit / 6)

    # What our code said.

    def lines(self, actor: Actor, lines: Iterable[Mapping[str, Any]]) -> None:
        for line in lines:
            match line.get("receipt"):
                case "intent":
                    self.intents.setdefault(_pair(line), self.bucket.clock.tick())
                    if line.get("event") == SWEPT:
                        self.sweeps.intends(actor, str(line.get("key")), str(line.get("event_id")))
                case "outcome":
                    self._outcome(actor, line)
                case _ if line.get("sequence_number"):
                    self.mentioned.add(str(line["sequence_number"]))

    def _outcome(self, actor: Actor, line: Mapping[str, Any]) -> None:
        (event_id, key), text = _pair(line), str(line.get("outcome"))
        outcome = parse(text)
        of_sweep = line.get("event") == SWEPT
        self.outcomes.append(StoredOutcome(event_id, key, self.bucket.clock.tick(), outcome, actor, of_sweep))
        if of_sweep and outcome is not None:
            if false := self._false_of_sweep(actor, key, event_id, outcome):
                self.broken(RECEIPT, false, f"{key}, {event_id}, by {actor.kind}")
            return
        change = self.table.changes.get(str(line.get("sequence_number")))
        if outcome is None or change is None:
            self.broken(RECEIPT, "an outcome that nobody can read", f"{key}: {text}")
        elif false := self._false(actor, key, change, outcome):
            self.broken(RECEIPT, false, f"{key}, {event_id}, by {actor.kind}")

    def _false(self, actor: Actor, key: str, change: StreamRecord, outcome: FileOutcome) -> str | None:
        """Why this outcome is not true, or None."""
        older = [one for one in self.bucket.data(key) if one.moment < change.moment]
        if outcome.kind == "erased":
            if older:
                return "erased, and a file that is older than the removal is still there"
            return None if (change.event_id, key) in self.intents else "erased, and there is no intent"
        if outcome.kind == "absent":
            if older:
                return "absent, and the file is there"
            # Jobs may be handed one change several times; their receipts are judged in the end.
            erased = actor.kind == FUNCTION and actor.destroyed[key] and not self._admitted(key, actor)
            return "absent, and this very process has erased it" if erased else None
        if outcome.kind == "kept":
            if actor.kind == FUNCTION and actor.destroyed[key] and not self._admitted(key, actor):
                return "kept, and this very process has erased it"
            if outcome.detail == "live" and not self._named_since(key, actor.began):
                return "kept: live, and no record names it"
        return None

    def _false_of_sweep(self, actor: Actor, key: str, event_id: str, outcome: FileOutcome) -> str | None:
        """The same of a sweep's: it speaks of what there was when the run began whose event this is."""
        began = self.sweeps.began.get(event_id)
        older = [one for one in self.bucket.data(key) if began is not None and one.moment < began]
        if outcome.kind == "erased":
            if older:
                return "a sweep says erased, and what it had listed is still there"
            return None if (event_id, key) in self.intents else "a sweep says erased, and there is no intent"
        if outcome.kind == "absent":
            return "a sweep says absent, and the file is there" if older else None
        if outcome.kind == "kept":
            if key in actor.sweeping.erased and not self._admitted(key, actor):
                return "a sweep says kept, and has erased it"
            if outcome.detail == "live" and not self._named_since(key, actor.began):
                return "a sweep says kept: live, and no record names it"
        return None

    def _admitted(self, key: str, actor: Actor) -> bool:
        """Whether this process has said before that it erased the file, or may have: a change may come to it twice."""
        kinds = [one.outcome.kind for one in self.outcomes if one.key == key and one.by is actor and one.outcome]
        return "erased" in kinds or "failed" in kinds

    def is_settled(self, change: StreamRecord, key: str) -> bool:
        """Whether a stored line says what became of this file, or that nothing can be made of the change."""
        outcomes = (one for one in self.outcomes if (one.event_id, one.key) == (change.event_id, key))
        return change.number in self.mentioned or any(one.outcome and not one.outcome.is_failure for one in outcomes)

    def _named_since(self, key: str, moment: int) -> bool:
        return bool(self.table.named(key)) or self.table.freed_at.get(key, 0) >= moment


def _blame(actor: Actor, record: str, since: Naming) -> str | None:
    """Why this process had to know that the record names the file; None if the declared limits excuse it."""
    read = actor.read.get(record)
    if read is not None and read > since.moment and (actor.kind == FUNCTION or since.number in actor.shown):
        return "the naming record was read, and its file was erased all the same"
    if read is None and since.number in actor.shown:
        return "the batch tells of a record that names the file, and it was never read"
    reading = actor.scanned if actor.scanned is not None or actor.kind not in (REDRIVE, SWEEP) else actor.began
    if actor.kind != FUNCTION and reading is not None and since.moment < reading:
        return "a redrive erased what no reading of the table showed to be free"
    return None


def _pair(line: Mapping[str, Any]) -> tuple[str, str]:
    return str(line.get("event_id")), str(line.get("key"))
