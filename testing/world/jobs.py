"""The operator's jobs in the world: redrive, sweep, final stream read; and whether what they report is so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple
from unittest import mock

from humangov.cleanup.references import FAILURES_PREFIX
from humangov.final_read import cluster as final_read_status
from humangov.final_read.final_read import FinalRead
from humangov.redrive.redrive import Surroundings as RedriveSurroundings
from humangov.redrive.redrive import redrive
from humangov.redrive.result import RedriveResult
from humangov.sweep import run as sweep_run
from humangov.sweep.result import DELETE, FAILED
from humangov.sweep.run import EndedSweep, SweepRequest, begin_sweep, run_sweep
from humangov.sweep.status import status_fields
from humangov.sweep.surroundings import Surroundings

from testing.killed import Killed
from testing.world.account import Account
from testing.world.actor import FINAL_READ, REDRIVE, SWEEP, Actor
from testing.world.audit import Audit
from testing.world.clients import Processes, aws_clients
from testing.world.clock import HostClock
from testing.world.promises import STATUS
from testing.world.stream import KEPT_SECONDS, StreamRecord
from testing.world.sweep_audit import read_list
from testing.world.sweep_result import what_is_false

_MISTAKES = (TypeError, AttributeError, LookupError, NameError, AssertionError, ArithmeticError)
"""What no fault of AWS's excuses. Any other error is a job that says that it has failed, and so claims nothing."""


class Approved(NamedTuple):
    sha256: str
    keys: frozenset[str]


class Truth(NamedTuple):
    """What a sweep should find. unsure: keys whose age depends on when a sweep first saw them: uploaded in parts."""

    records: int
    too_young: frozenset[str]
    live: frozenset[str]
    orphans: frozenset[str]
    unsure: frozenset[str]


@dataclass
class Jobs:
    """status: status.sweep, as the last sweep left it. last: the same. orphans: keys of the last complete orphan list.
    approved: the list that a person approved. deleting: number of sweeps in mode Delete."""

    account: Account
    processes: Processes
    host: HostClock
    checked: bool
    status: dict[str, Any] = field(default_factory=dict)
    last: EndedSweep | None = None
    orphans: frozenset[str] | None = None
    approved: Approved | None = None
    deleting: int = 0

    @property
    def _audit(self) -> Audit:
        return self.account.audit

    @contextmanager
    def _process(self, kind: str) -> Iterator[tuple[Actor, Any]]:
        actor = Actor(kind, self.host, self.account.clock.tick())
        clients = aws_clients(self.account, actor, checked=self.checked)
        with self.processes.run(actor, clients):
            yield actor, clients

    def redrive(self) -> str:
        before = own_invocations(self.account)
        with self._process(REDRIVE) as (actor, clients):
            try:
                result = _redrive(clients, self.account, self.host)
            except Killed:
                return "redrive: killed"
            except _MISTAKES:
                raise
            except Exception as error:
                return f"redrive: failed, {error!r}"
        self._check_redrive(result, actor, before=before)
        return f"redrive: {result.removed} of {result.own} failed invocations handled"

    def approve(self) -> str | None:
        """A person approves the last orphan list, if a safety check failed and no file in it is needed."""
        result = self.last.result if self.last else None
        if result is None or result.orphan_list is None or not any(one.approval for one in result.failed_checks):
            return None
        stored = self.account.bucket.data(result.orphan_list.key)
        keys = read_list(stored[-1].body)[1] if stored else None
        if keys is None or any(map(self.account.table.is_missed, keys)):
            return None
        self.approved = Approved(result.orphan_list.sha256, keys)
        self.account.weather.note("sweep: list approved")
        return f"a person approves {result.orphan_list.key}"

    def sweep(self, *, quiet: bool) -> str:
        """quiet: nothing else happens meanwhile, so every number can be checked."""
        names = self.account.setting.names
        options = SweepRequest(approved=self.approved.sha256 if self.approved else None)
        before = own_invocations(self.account)
        began, truth = self.account.clock.now, list[Truth]()
        with self._process(SWEEP) as (actor, _), self._as_sweep():
            actor.sweeping.on_list = lambda: truth.append(what_is_there(self.account, began=began))
            begun = begin_sweep(names.tenant, options)
            self.deleting += begun.result.mode == DELETE
            self.status |= {"result": "Running"}
            try:
                ended = run_sweep(
                    names, begun, options, why_stop=lambda: actor.sweeping.stop, may_erase=lambda: actor.sweeping.stop
                )
            except Killed:
                self.account.weather.note(f"sweep: killed in mode {begun.result.mode}")
                return "sweep: killed"
        assert not ended.bug, ended.problem
        self.last = ended
        self.status = status_fields(
            ended.result, names, word=ended.word, problem=ended.problem,
            now=datetime.fromtimestamp(self.account.clock.now, UTC), before=self.status,
        )  # fmt: skip
        if ended.result.redriven is not None:
            self._check_redrive(ended.result.redriven, actor, before=before)
        self._check_sweep(ended, actor, truth=truth[-1] if quiet and truth else None)
        return f"sweep: {ended.word}, {self.status['message']}"

    @contextmanager
    def _as_sweep(self) -> Iterator[None]:
        around = partial(Surroundings, now=self.host.time, pause=self.host.sleep)
        with (
            mock.patch.object(sweep_run, "connect_as_sweep", return_value=self.processes.clients),
            mock.patch.object(sweep_run, "Surroundings", around),
        ):
            yield

    def final_read(self, *, now: datetime) -> str:
        """The stream read once more, after the mapping's deletion."""
        account = self.account
        owed = [one for one in account.table.changes.values() if self._readable(one)]
        with self._process(FINAL_READ) as (actor, clients):
            try:
                found, redriven, status = _read_finally(clients, account, self.host)
            except Killed:
                return "final read: killed"
            except _MISTAKES:
                raise
            except Exception as error:
                return f"final read: failed, {error!r}"
        self._check_final_read(found, status, owed)
        if not _redrive_ended_early(redriven):
            erased = found.erased + _erased(redriven)
            self._check_erased("a final read", erased, actor, ended_early=found.problem is not None)
        return f"final read: {status['message']}, complete: {found.complete}"

    def _readable(self, change: StreamRecord) -> bool:
        young = self.account.clock.now - change.at < KEPT_SECONDS - 600
        return young and change.stream == self.account.table.stream.arn

    # Invariant 4.

    def _wrong(self, why: str, what: str) -> None:
        self._audit.broken(STATUS, why, what)

    def _check_redrive(self, result: RedriveResult, actor: Actor, *, before: frozenset[str]) -> None:
        # Another redrive may have been faster: S3 says the same to both.
        removed = self._audit.invocations_removed
        disappeared = {key for key, moment in removed.items() if moment >= actor.began}
        if result.removed > len(disappeared):
            self._wrong(
                "a redrive counts records as removed that are there", f"{result.removed}, not {len(disappeared)}"
            )
        left = len(before & own_invocations(self.account))
        ended_early = _redrive_ended_early(result)
        if result.left < left and not result.stopped and not ended_early:
            self._wrong("a redrive counts fewer failed invocations than are left", f"{result.left}, not {left}")
        self._check_erased("a redrive", _erased(result), actor, ended_early=ended_early)

    def _check_erased(self, who: str, erased: int, actor: Actor, *, ended_early: bool) -> None:
        """Files of which lines say that they were erased: between the number of files and of lines.

        A job that could not store its outcomes says so, and counts what it erased all the same.
        """
        if ended_early:
            return
        outcomes = [
            one for one in self._audit.outcomes
            if one.by is actor and one.outcome and one.outcome.kind == "erased" and not one.of_sweep
        ]  # fmt: skip
        if not len({one.key for one in outcomes}) <= erased <= len(outcomes):
            self._wrong(f"{who} counts other erasures than its receipts", f"{erased}, and {len(outcomes)} lines")

    def _check_sweep(self, ended: EndedSweep, actor: Actor, *, truth: Truth | None) -> None:
        """truth: what was there when the orphan list was stored, if nothing else happened meanwhile."""
        result, status = ended.result, self.status
        for why, what in what_is_false(ended, status, actor, self._audit):
            self._wrong(why, what)
        if result.orphan_list is None:
            return
        head, listed = read_list(self.account.bucket.data(result.orphan_list.key)[-1].body)
        self.orphans = listed if ended.word != FAILED else self.orphans
        no_longer = result.orphans - result.left
        numbers = {
            "orphans": len(listed) - no_longer, "records": head["records"], "live": head["live"],
            "listed": head["listed"],
        }  # fmt: skip
        if wrong := {name: status.get(name) for name, number in numbers.items() if status.get(name) != number}:
            self._wrong("the status of a sweep differs from its orphan list", f"{wrong}, not {numbers}")
        named = [key for key in listed if self._named_all_the_time(key, actor)]
        if named:
            self._wrong("an orphan list holds files that a record names", str(named))
        if truth is not None:
            self._check_numbers(head, listed, truth)

    def _named_all_the_time(self, key: str, actor: Actor) -> bool:
        return any(since.moment < actor.began for since in self.account.table.named(key).values())

    def _check_numbers(self, head: Mapping[str, Any], listed: frozenset[str], truth: Truth) -> None:
        """What a sweep saw while nothing else happened."""
        unsure, files = truth.unsure, truth.too_young | truth.live | truth.orphans
        at_least = {
            "too_young": len(truth.too_young - unsure), "live": len(truth.live - unsure),
            "orphans": len(truth.orphans - unsure), "listed": len(files), "records": truth.records,
        }  # fmt: skip
        found = {name: int(head[name]) for name in at_least}
        kinds = sum(found[name] for name in ("too_young", "live", "orphans"))
        if any(found[name] < number for name, number in at_least.items()) or kinds != found["listed"] != len(files):
            self._wrong("a sweep's numbers are not what was there", f"{found}, not {at_least}")
        if wrong := (truth.orphans ^ listed) - unsure:
            self._wrong("an orphan list is not what was there", f"{sorted(wrong)}")

    def _check_final_read(self, found: FinalRead, status: Mapping[str, Any], owed: list[StreamRecord]) -> None:
        if bool(status["complete"]) != found.complete:
            self._wrong("a final read's status differs from its result", str(status))
        if found.complete:
            for change in owed:
                if left := [key for key in change.freed if self._is_open(change, key)]:
                    self._wrong("a final read is complete, and a removal was not handled", f"{change.number}: {left}")

    def _is_open(self, change: StreamRecord, key: str) -> bool:
        """Whether nobody has said what became of this file, which is still there and which no record names."""
        return (
            bool(self.account.bucket.data(key))
            and not self.account.table.named(key)
            and not self._audit.is_settled(change, key)
        )


def _redrive(clients: Any, account: Account, host: HostClock) -> RedriveResult:
    """As `humangov redrive` calls it."""
    return redrive(clients, account.setting.names, around=RedriveSurroundings(now=host.time, pause=host.sleep))


def _read_finally(
    clients: Any, account: Account, host: HostClock
) -> tuple[FinalRead, RedriveResult, Mapping[str, Any]]:
    """As a deletion calls it: what it read, what it redrove, and status.finalRead."""
    found = final_read_status.handle_finally(clients, account.setting.names, now=host.time, pause=host.sleep)
    status = final_read_status.status_fields(found, now=datetime.fromtimestamp(account.clock.now, UTC))
    return found.read, found.redriven, status


def _erased(result: RedriveResult) -> int:
    return sum(number for outcome, number in result.outcomes.items() if outcome.kind == "erased")


def _redrive_ended_early(result: RedriveResult) -> bool:
    """Whether it says so: then its numbers tell only how far it came."""
    return bool(result.unstored or result.problem)


def own_invocations(account: Account) -> frozenset[str]:
    """Keys of the invocation records of this tenant's function."""
    own = account.setting.names.function_arn.encode()
    return frozenset(
        key for key in account.bucket.objects
        if key.startswith(FAILURES_PREFIX) and any(own in one.body for one in account.bucket.data(key))
    )  # fmt: skip


def what_is_there(account: Account, *, began: float) -> Truth:
    """What bucket and table hold for a sweep that began then, true time."""
    minimum = account.setting.names.tenant.sweep.minimum_age_seconds
    files = frozenset(files_of(account))
    young = frozenset(key for key in files if int(_youngest(account, key)) > int(began) - minimum)
    orphans = frozenset(key for key in files - young if not account.table.named(key))
    unsure = frozenset(key for key in files if any(one.parts for one in account.bucket.data(key)))
    return Truth(len(account.table.rows), young, files - young - orphans, orphans, unsure)


def files_of(account: Account) -> list[str]:
    """Every key of a file of the tenant's of which anything is left: hidden versions and markers too."""
    prefix = account.setting.key_prefix
    return [
        key for key, versions in account.bucket.objects.items()
        if versions and key.startswith(f"{prefix}file-") and key.endswith(".pdf")
    ]  # fmt: skip


def _youngest(account: Account, key: str) -> float:
    return max(one.modified for one in account.bucket.objects[key])
