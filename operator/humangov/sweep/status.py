"""A sweep's result in the HumanGovState's status. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from humangov.api.counts import counted
from humangov.api.names import Names
from humangov.api.signatures import signature_of
from humangov.api.spec import APPROVE_ANNOTATION
from humangov.api.sweep_schedule import next_start, schedule_of
from humangov.api.times import timestamp
from humangov.reading.table_reading import scan_alone_sentence
from humangov.redrive import output as redriven
from humangov.sweep.erasure import ErasureResult
from humangov.sweep.incomplete_uploads import IncompleteUploads
from humangov.sweep.result import (
    DELETE,
    DETECTED,
    ERASED,
    ERASURE_FAILED,
    RUNNING,
    SAFETY_CHECK_FAILED,
    SweepResult,
)
from humangov.sweep.safety_checks import SafetyCheck

_GRANT = "check that its role has deploy/iam/sweep-policy.json, and that no policy of the bucket denies it"


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
    if word in (DETECTED, ERASED, ERASURE_FAILED, SAFETY_CHECK_FAILED) or result.orphan_list:
        fields |= _numbers(result)
    if result.orphan_list:
        fields |= {"orphanList": place_of_list(result, names), "orphanListSHA256": result.orphan_list.sha256}
    return {name: value for name, value in fields.items() if value is not None}


def message(result: SweepResult, names: Names, *, problem: str | None) -> str:
    """A sentence or two for `kubectl describe`."""
    if problem is not None:
        erased, redriven_before = result.erased.count("erased"), result.redriven.erased if result.redriven else 0
        parts = [problem]
        parts += [f"{counted(erased, 'file was', plural='files were')} erased before"] if erased else []
        parts += [f"the redrive before the sweep erased {counted(redriven_before, 'file')}"] if redriven_before else []
        parts += [*why_failed(result.erased), *settled(result)]
        return "; ".join([*parts, *(_of_uploads(result.uploads) if result.uploads.outcomes else [])])
    parts = [f"orphans found: {result.orphans:,} of {counted(result.listed, 'file')}"]
    if result.mode == DELETE:
        parts.append(f"also found by an earlier sweep: {result.confirmed:,}")
        parts.append(f"erased: {result.erased.count('erased'):,}")
        if number := result.erased.count("retained"):
            parts.append(f"retained by S3 (Object Lock or MFA delete): {number:,}")
        parts += why_failed(result.erased)
    parts += (_of_check(check, result) for check in result.failed_checks)
    if result.approved:
        parts.append(of_approval(result))
    if result.erased.unfinished:
        parts.append(f"unfinished: {result.erased.unfinished}")
    if result.scan_alone:
        parts.append(scan_alone_sentence(result.scan_alone))
    parts += settled(result)
    parts += [*_of_uploads(result.uploads), *([result.expired.problem] if result.expired.problem else [])]
    if result.redriven is not None and (result.redriven.left or not result.redriven.counted):
        parts.append(f"redrive: {redriven.summary(result.redriven)}")
    if approval := how_to_approve(result, names):  # the last, for an event that is too long loses its middle
        parts.append(approval)
    return "; ".join(parts)


def of_approval(result: SweepResult) -> str:
    """Of a sweep that goes on because of an approval."""
    by = f" by {result.approver}" if result.approver else ""
    return f"a safety check failed, but an orphan list was approved{by}: only its files can be erased"


def why_failed(of: ErasureResult | IncompleteUploads) -> list[str]:
    """Why confirmed orphans could not be erased, or uploads not be aborted, and what to do."""
    failures = {one: number for one, number in of.outcomes.items() if one.kind == "failed"}
    if not failures:
        return []
    codes = ", ".join(f"{one.detail}: {number:,}" for one, number in failures.items())
    remedy = _GRANT if any(one.detail == "AccessDenied" for one in failures) else "the next sweep tries them again"
    return [f"could not be erased: {of.count('failed'):,} ({codes}); {remedy}"]


def settled(result: SweepResult) -> list[str]:
    """What became of the files that an interrupted sweep had begun to erase."""
    number = result.settled.total()
    if not number:
        return []
    left = sum(many for outcome, many in result.settled.items() if outcome.kind != "absent")
    still = f"{left:,} of these {'is' if left == 1 else 'are'} still there"
    return [f"earlier sweeps had left the outcome of {counted(number, 'file')} open, and {still}"]


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


def how_to_approve(result: SweepResult, names: Names) -> str | None:
    """None if an approval would change nothing."""
    unreliable = any(check.doubtful and not check.approval for check in result.failed_checks)
    overridable = not unreliable and any(check.approval for check in result.failed_checks)
    if result.orphan_list is None or not (overridable or (result.approved and result.left)):
        return None
    return (
        f"to approve this orphan list: kubectl annotate humangovstate --namespace {names.tenant.namespace} "
        f"{names.tenant.name} {APPROVE_ANNOTATION}={result.orphan_list.sha256} "
        f"""{signature_of(APPROVE_ANNOTATION)}="$(kubectl auth whoami -o jsonpath='{{.status.userInfo.username}}')" """
        "--overwrite"
    )


def _of_check(check: SafetyCheck, result: SweepResult) -> str:
    prevented = "no orphan was erased" if result.mode == DELETE else "mode Delete would erase nothing"
    return f"safety check failed, {prevented}: {check.message}"


def _of_uploads(uploads: IncompleteUploads) -> list[str]:
    """Nothing where there are none."""
    parts = [uploads.problem] if uploads.problem else []
    if uploads.number:
        since = f"{datetime.fromtimestamp(uploads.oldest, UTC):%Y-%m-%d}" if uploads.oldest is not None else "?"
        parts.append(f"incomplete uploads: {uploads.number:,}, the oldest since {since}")
    if uploads.outcomes:
        parts += [f"incomplete uploads aborted: {uploads.count('erased'):,}", *why_failed(uploads)]
    return [*parts, *([f"unfinished: {uploads.unfinished}"] if uploads.unfinished else [])]


def _numbers(result: SweepResult) -> dict[str, Any]:
    erased, uploads = result.erased, result.uploads
    oldest = None if uploads.oldest is None else timestamp(datetime.fromtimestamp(uploads.oldest, UTC))
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
        "incompleteUploads": uploads.number,
        "oldestIncompleteUpload": oldest,
        "uploadsAborted": uploads.count("erased"),
    }
