"""What a report can't show, and why. Pure.

A gap is a part of the period, or of what happened, for which there is no proof. Limits are what no report can show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

from humangov.api.conditions import FAILURES_HANDLED, RECORDS_DELIVERED, STOPPED, SWEEP_SUCCEEDED
from humangov.api.counts import counted
from humangov.proof.chain_check import ChainCheck, places_of
from humangov.proof.figures import Figures
from humangov.proof.log_events import not_chained
from humangov.proof.orphan_lists import SweepRuns
from humangov.proof.period import Period
from humangov.proof.receipts import SETTLED_WITHIN
from humangov.proof.surroundings import Declared, LogGroup
from humangov.proof.verification import Stated

LIMITS = (
    (
        "Receipts are about one bucket. No receipt covers copies elsewhere: replicas in other buckets, backups, "
        "exports, caches, copies under other names."
    ),
    (
        "Only a change that reached this program has a receipt. A record that was deleted while the table's stream was "
        "disabled has none: a sweep finds its file as an orphan."
    ),
    (
        "A receipt does not say who deleted the record. The application may know, or AWS CloudTrail if it records "
        "calls of DynamoDB."
    ),
    (
        "On a day without receipts, receipts alone don't show whether no record was deleted, or whether deletions were "
        "not handled. The conditions of the HumanGovState say whether they are delivered now."
    ),
    (
        "Stops, settings and legal holds are shown as they are when the report is written. Their history is in the "
        "logs of Kubernetes' API server and in AWS CloudTrail."
    ),
    (
        "In a bucket without versions, S3 answers the same whether or not the file existed: erased then means that "
        "nothing is stored under the name."
    ),
    (
        "A chain shows a line that was changed, or removed from its middle. It does not show a removed last line, a "
        "removed log stream, or a chain that was replaced as a whole: checkpoints do (humangov verify)."
    ),
)


class Gap(NamedTuple):
    """kind: for scripts, stable. message: one or two sentences."""

    kind: str
    message: str


def find(
    *,
    period: Period,
    now: datetime,
    group: LogGroup,
    read_problem: str | None,
    chain: ChainCheck,
    figures: Figures | None,
    declared: Declared | None,
    sweeps: SweepRuns | None,
    stated: Stated | None = None,
    differing: Mapping[str, str] = MappingProxyType({}),
    records: Sequence[str] = (),
) -> list[Gap]:
    """Those that concern most come first.

    read_problem: why not all receipts were read. figures: None if none were. sweeps: None: the bucket is not known.
    stated: by checkpoints; None: they are not known. differing: log streams that are not as they state, and how.
    records: those of the receipts in these streams, for people.
    """
    return [
        *_of_group(period, group, now=now),
        *([Gap("ReceiptsUnread", f"Not all receipts could be read: {read_problem}.")] if read_problem else ()),
        *_of_chain(chain),
        *_of_checkpoints(stated, differing, records),
        *_of_figures(figures),
        *_of_declared(declared),
        *_of_sweeps(sweeps, declared),
        *_of_end(period, now=now),
    ]


def _of_group(period: Period, group: LogGroup, *, now: datetime) -> Iterator[Gap]:
    if group.exists is False:
        yield Gap(
            "LogGroupMissing",
            f"Log group {group.name} does not exist, so there are no receipts: nothing of this period is proven.",
        )
    elif group.exists is None:
        yield Gap(
            "LogGroupUnknown",
            "Whether receipts of this period have expired, or were deleted with an earlier log group, is not known: "
            f"{group.problem}.",
        )
    if group.created is not None and group.created > period.since:
        yield Gap(
            "LogGroupYounger",
            f"Log group {group.name} was created at {_minute(group.created)}. Whatever was erased before has no "
            "receipt here.",
        )
    if group.retention_days is not None:
        kept_since = now - timedelta(days=group.retention_days)
        if kept_since > period.since:
            yield Gap(
                "ReceiptsExpired",
                f"Receipts are kept for {group.retention_days} days: those from before {_minute(kept_since)} have "
                "expired.",
            )


def _of_chain(chain: ChainCheck) -> Iterator[Gap]:
    if chain.broken:
        first = chain.breaks[0].stream
        places = places_of([one for one in chain.breaks if one.stream == first])
        yield Gap(
            "ChainBroken",
            f"The chain of receipts is broken in {counted(chain.broken.total(), 'place')}: lines were altered, removed "
            f"or inserted. The first is in log stream {first}: {places[0]}. What these lines say is not proven.",
        )
    if chain.unread:
        yield Gap(
            "LinesUnread",
            f"{counted(chain.unread.total(), 'line among the receipts has', plural='lines among the receipts have')} "
            "no number and hash, as receipts have.",
        )
    if chain.others:
        yield Gap(
            "LinesNotChained",
            f"{not_chained(chain.others)}: somebody else wrote that, or an early version of this program. Nothing of "
            "it is counted in this report.",
        )


def _of_checkpoints(
    stated: Stated | None, differing: Mapping[str, str], records: Sequence[str]
) -> Iterator[Gap]:  # fmt: skip
    if stated and stated.problem:
        yield Gap(
            "CheckpointsUnread",
            f"The checkpoints could not be read: {stated.problem}. Whether receipts were removed since they were "
            "stored is not known.",
        )
    if stated and stated.chain.problems:
        problems = stated.chain.problems
        yield Gap(
            "CheckpointsChanged",
            f"The checkpoints show {counted(len(problems), 'problem')}, so what they state is not proven. The first: "
            f"{problems[0]}.",
        )
    if differing:
        kinds = dict.fromkeys(differing.values())
        what = " or ".join(_DONE[kind] for kind in _DONE if kind in kinds)
        first, kind = next(iter(differing.items()))
        yield Gap(
            "NotAsStored",
            f"{counted(len(differing), 'log stream is', plural='log streams are')} not as a checkpoint states: "
            f"lines were {what} after they were stored. {_of_records(records)} The first log stream is {first} "
            f"({kind}). humangov verify says which lines, and what may be the cause.",
        )


_STAY = (
    "Files of deleted records stay, because erasures are stopped, or may be. Files of records deleted since the stop "
    "have no receipt yet and are not in these numbers. It is so"
)
_DONE = {"Altered": "altered", "Removed": "removed", "Inserted": "inserted"}
_NAMED_RECORDS = 3


def _of_records(records: Sequence[str]) -> str:
    if not records:
        return "No receipt of this report is in them."
    more = len(records) - _NAMED_RECORDS
    named = ", ".join(records[:_NAMED_RECORDS]) + (f" and {more:,} more" if more > 0 else "")
    return f"The receipts there are of {'record' if len(records) == 1 else 'records'} {named}: counted, but not proven."


def _of_figures(figures: Figures | None) -> Iterator[Gap]:
    if figures is None:
        return
    if number := figures["unknown"]:
        yield Gap(
            "CutOff",
            f"For {counted(number, 'file')} an attempt was announced and cut off, and no later receipt states the "
            "outcome.",
        )
    if number := (figures["open"] or 0) - (figures["unknown"] or 0):
        yield Gap(
            "NotSettled",
            f"{counted(number, 'file was', plural='files were')} not erased by the end of the period, because "
            "an attempt failed, or the erasure limit or a "
            "legal hold prevented it. What was not erased may still exist.",
        )
    if number := figures["sweep_open"]:
        yield Gap("SweepNotSettled", f"For {counted(number, 'orphan')}, a sweep's attempt failed or has no outcome.")
    if number := figures["uploads_open"]:
        yield Gap(
            "UploadsNotSettled",
            f"For {counted(number, 'incomplete upload')}, a sweep's attempt to abort failed or has no outcome. "
            "Parts may still exist.",
        )


def _of_declared(declared: Declared | None) -> Iterator[Gap]:
    if declared is None:
        yield Gap(
            "SettingsUnknown",
            "The HumanGovState was not read: whether it is stopped or suspended, and its settings, are not known.",
        )
        return
    if not declared.has_status:
        yield Gap(
            "StatusUnknown", "The HumanGovState has no conditions: whether deletions reach the function is not known."
        )
    if declared.suspended:
        yield Gap("Suspended", "The HumanGovState is suspended (spec.suspend): the operator corrects nothing.")
    if not declared.trigger_enabled:
        yield Gap("TriggerDisabled", "The trigger is disabled (spec.trigger.enabled): deletions are not handled.")
    if declared.hold is not None:
        yield Gap("Held", f"There is a legal hold: nothing is erased. Its reason: {declared.hold}.")
    texts = {
        STOPPED: ("Stopped", "False", _STAY),
        RECORDS_DELIVERED: ("NotDelivered", "True", "Not all deletions have reached the function"),
        FAILURES_HANDLED: ("FailuresWaiting", "True", "Failed invocations wait to be handled once more"),
        SWEEP_SUCCEEDED: ("SweepFailed", "True", "The last sweep did not succeed"),
    }
    for name, (kind, good, text) in texts.items():
        found = declared.condition(name)
        if found is not None and found.status != good:
            yield Gap(kind, f"{text}, since {found.since or 'an unknown time'}: {found.message}")


def _of_sweeps(sweeps: SweepRuns | None, declared: Declared | None) -> Iterator[Gap]:
    if declared is not None and declared.sweeps_suspended:
        yield Gap("SweepsSuspended", "Sweeps are suspended (spec.sweep.suspend): nobody looks for orphans.")
    if sweeps is None:
        yield Gap("SweepsUnknown", "No orphan list was read: which orphans there are is not known.")
        return
    if sweeps.problem:
        yield Gap("OrphanListsUnread", f"What sweeps found is not known in full: {sweeps.problem}.")
    elif not sweeps.runs:
        yield Gap("NoSweep", "No sweep of this period has left an orphan list: which orphans there were is not known.")
    if sweeps.unread:
        yield Gap(
            "ListsForeign",
            f"{counted(sweeps.unread, 'object')} among the orphan lists: not this state's, or removed.",
        )
    if sweeps.runs and sweeps.runs[-1].failed_checks:
        checks = ", ".join(sweeps.runs[-1].failed_checks)
        yield Gap("SafetyCheckFailed", f"In the last sweep of the period, safety checks failed: {checks}.")


def _of_end(period: Period, *, now: datetime) -> Iterator[Gap]:
    if period.until + SETTLED_WITHIN > now:
        yield Gap(
            "PeriodNotOver",
            "The report was written before the period had been over for an hour: it lacks receipts that were stored "
            "later.",
        )


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
