"""A sweep's result in the HumanGovState's status. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from humangov.api.names import Names
from humangov.api.spec import APPROVE_ANNOTATION
from humangov.api.sweep_schedule import next_start, schedule_of
from humangov.api.times import timestamp
from humangov.redrive import output as redriven
from humangov.sweep.result import DELETE, DETECTED, ERASED, RUNNING, SAFETY_CHECK_FAILED, SweepResult
from humangov.sweep.safety_checks import SafetyCheck


def status_fields(
    result: SweepResult, names: Names, *, word: str, problem: str | None, now: datetime, before: Mapping[str, Any]
) -> dict[str, Any]:
    """status.sweep. problem: why it failed or was stopped. now: in UTC. before: the current fields.

    Current numbers stay until there are new ones.
    """
    fields: dict[str, Any] = {
        **before,
        "run": result.run,
        "startedAt": timestamp(result.started),
        "mode": result.mode,
        "result": word,
        "message": "in progress" if word == RUNNING else message(result, names, problem=problem),
        "nextRun": next_run(names, now=now),
    }
    if word != RUNNING:
        fields["finishedAt"] = timestamp(now)
    if word in (DETECTED, ERASED, SAFETY_CHECK_FAILED) or result.orphan_list:
        fields |= _numbers(result)
    if result.orphan_list:
        fields |= {"orphanList": place_of_list(result, names), "orphanListSHA256": result.orphan_list.sha256}
    return {name: value for name, value in fields.items() if value is not None}


def message(result: SweepResult, names: Names, *, problem: str | None) -> str:
    """A sentence or two for `kubectl describe`."""
    if problem is not None:
        erased = result.erased.count("erased") + (result.redriven.erased if result.redriven else 0)
        return f"{problem}; {erased:,} files were erased before" if erased else problem
    parts = [f"orphans: {result.orphans:,} of {result.listed:,} files"]
    if result.mode == DELETE:
        parts.append(f"also found by an earlier sweep: {result.confirmed:,}")
        parts.append(f"erased: {result.erased.count('erased'):,}")
    for check in result.failed_checks:
        parts += _of_check(check, result, names)
    if result.erased.unfinished:
        parts.append(f"unfinished: {result.erased.unfinished}")
    if result.redriven is not None and (result.redriven.left or not result.redriven.counted):
        parts.append(f"redrive: {redriven.summary(result.redriven)}")
    return "; ".join(parts)


def place_of_list(result: SweepResult, names: Names) -> str | None:
    """The URI of the orphan list."""
    return f"s3://{names.tenant.bucket.name}/{result.orphan_list.key}" if result.orphan_list else None


def next_run(names: Names, *, now: datetime) -> str | None:
    """When the CronJob starts the next sweep; None if it does not, or if that is unknown."""
    options = names.tenant.sweep
    if options.suspend:
        return None
    following = next_start(schedule_of(options, owner=names.owner), options.time_zone, after=now)
    return timestamp(following) if following else None


def _of_check(check: SafetyCheck, result: SweepResult, names: Names) -> list[str]:
    prevented = "nothing was erased" if result.mode == DELETE else "mode Delete would erase nothing"
    parts = [f"safety check failed, {prevented}: {check.message}"]
    if check.approval and result.orphan_list:
        parts.append(
            f"to approve this orphan list: kubectl annotate humangovstate --namespace {names.tenant.namespace} "
            f"{names.tenant.name} {APPROVE_ANNOTATION}={result.orphan_list.sha256} --overwrite"
        )
    return parts


def _numbers(result: SweepResult) -> dict[str, int]:
    erased = result.erased
    return {
        "records": result.records,
        "listed": result.listed,
        "tooYoung": result.too_young,
        "live": result.live,
        "orphans": result.left,
        "orphanBytes": result.orphan_bytes - erased.erased_bytes,
        "confirmed": result.confirmed,
        "erased": erased.count("erased"),
        "retained": erased.count("retained"),
        "kept": erased.count("kept") + result.spared,
        "failed": erased.count("failed"),
        "filesShared": len(result.shared),
    }
