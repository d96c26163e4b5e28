"""What a person, a script or the HumanGovState's status is told of a sweep. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from humangov.api.names import Names
from humangov.api.spec import APPROVE_ANNOTATION, Sweep
from humangov.sweep.engine import DELETE, Summary

RUNNING, REPORTED, ERASED, STOPPED, REFUSED, FAILED = (
    "Running", "Reported", "Erased", "Stopped", "Refused", "Failed",
)  # fmt: skip
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def result(summary: Summary, *, failed: bool, stopped: bool) -> str:
    """One word for what became of the run."""
    if failed:
        return FAILED
    if stopped or (summary.erased.unfinished and not summary.erased.outcomes):
        return STOPPED
    if summary.mode != DELETE or summary.dry_run:
        return REPORTED
    if summary.brakes:
        return REFUSED
    return ERASED if summary.erased.outcomes else REPORTED


def message(summary: Summary, names: Names, *, trouble: str | None) -> str:
    """A sentence or two for `kubectl describe`. trouble: why it failed or was stopped."""
    if trouble is not None:
        return trouble
    told = [f"{summary.orphans:,} of {summary.listed:,} files are named by no record"]
    if summary.mode == DELETE:
        told.append(f"{summary.confirmed:,} of them were seen so by an earlier sweep too")
        told.append(f"{summary.erased.count('erased'):,} were erased")
    for brake in summary.brakes:
        told.append(
            f"{'nothing was erased' if summary.mode == DELETE else 'in mode Delete nothing would be'}: {brake.message}"
        )
        if brake.approval and summary.manifest:
            told.append(
                f"to let this list go: kubectl annotate humangovstate --namespace {names.tenant.namespace} "
                f"{names.tenant.name} {APPROVE_ANNOTATION}={summary.manifest.sha256} --overwrite"
            )
    if summary.erased.unfinished:
        told.append(f"unfinished: {summary.erased.unfinished}")
    return "; ".join(told)


def exit_code(summary: Summary, *, word: str) -> int:
    """0: nothing is left to do. 2: orphans are left. 3: a brake held. 1: it failed."""
    if word == FAILED:
        return 1
    if word == REFUSED:
        return 3
    return 2 if summary.left or word == STOPPED else 0


def status(
    summary: Summary, names: Names, *, word: str, trouble: str | None, now: datetime, before: Mapping[str, Any]
) -> dict[str, Any]:
    """status.sweep. before: what stands there; its numbers stay until there are new ones."""
    fields: dict[str, Any] = {
        **before,
        "run": summary.run,
        "startedAt": _time(summary.started),
        "mode": summary.mode,
        "result": word,
        "message": "under way" if word == RUNNING else message(summary, names, trouble=trouble),
        "nextRun": next_run(names.tenant.sweep, now=now),
    }
    if word != RUNNING:
        fields["finishedAt"] = _time(now)
    if word in (REPORTED, ERASED, REFUSED) or summary.manifest:
        erased = summary.erased
        fields |= {
            "records": summary.records,
            "listed": summary.listed,
            "tooYoung": summary.too_young,
            "live": summary.live,
            "orphans": summary.left,
            "orphanBytes": summary.orphan_bytes - erased.erased_bytes,
            "confirmed": summary.confirmed,
            "erased": erased.count("erased"),
            "retained": erased.count("retained"),
            "kept": erased.count("kept") + summary.spared,
            "failed": erased.count("failed"),
            "filesShared": len(summary.shared),
        }
    if summary.manifest:
        fields |= {"manifest": place(summary, names), "manifestSHA256": summary.manifest.sha256}
    return {name: value for name, value in fields.items() if value is not None}


def place(summary: Summary, names: Names) -> str | None:
    return f"s3://{names.tenant.bucket.name}/{summary.manifest.key}" if summary.manifest else None


def next_run(options: Sweep, *, now: datetime) -> str | None:
    """When the CronJob starts the next one; None if it does not, or that can't be told."""
    if options.suspend:
        return None
    try:
        following = next(CronSim(options.schedule, now.astimezone(ZoneInfo(options.time_zone))))
    except (CronSimError, StopIteration, ZoneInfoNotFoundError, ValueError):
        return None
    return _time(following)


def lines(summary: Summary, names: Names, *, word: str, trouble: str | None) -> list[str]:
    """The table for people, the ten largest, and where the manifest is."""
    tenant, erased = names.tenant, summary.erased
    prefix = f" under {tenant.bucket.key_prefix}" if tenant.bucket.key_prefix else ""
    head = f"{tenant.key}: bucket {tenant.bucket.name}{prefix}, table {tenant.table.name}: {word.lower()}"
    if trouble is not None:
        return [head, trouble]
    old = tenant.sweep.minimum_age_seconds
    rows = [
        ("listed", summary.listed, f"files of {', '.join(tenant.sweep.include)}"),
        ("too young", summary.too_young, f"younger than {timedelta(seconds=old)}"),
        ("live", summary.live, f"named by one of {summary.records:,} records"),
        ("orphans", summary.orphans, f"named by none, {size(summary.orphan_bytes)}"),
        ("confirmed", summary.confirmed, "seen so by an earlier sweep, long enough ago"),
    ]
    if summary.mode == DELETE and not summary.dry_run:
        rows += [
            ("erased", erased.count("erased"), size(erased.erased_bytes)),
            ("retained", erased.count("retained"), "S3 keeps them: Object Lock or MFA delete"),
            ("kept", erased.count("kept") + summary.spared, "named or changed meanwhile"),
            ("failed", erased.count("failed"), _reasons(erased.outcomes)),
        ]
    width = max(len(name) for name, _, _ in rows)
    told = [head, *(f"  {name.ljust(width)}  {number:>11,}  {note}".rstrip() for name, number, note in rows)]
    if summary.redriven is not None and summary.redriven.found:
        told.append(f"redriven first: {summary.redriven.removed:,} of {summary.redriven.ours:,} failed invocations")
    if summary.largest:
        told.append("the largest orphans:")
        told += [
            f"  {size(one.size):>10}  {datetime.fromtimestamp(one.modified, UTC):%Y-%m-%d}  {one.key}"
            for one in summary.largest
        ]
    told += [f"named by more than one record: {key}" for key in summary.shared[:10]]
    would = "nothing was erased" if summary.mode == DELETE and not summary.dry_run else "in mode Delete it would refuse"
    told += [f"{would}: {brake.message}" for brake in summary.brakes]
    if summary.approved:
        told.append("a person has let this list go: it was erased in spite of a brake, and nothing beside it")
    if erased.unfinished:
        told.append(f"unfinished: {erased.unfinished}")
    if not erased.conditional:
        told.append("this S3 ignores the condition of a delete: each file was looked at just before instead")
    if summary.mode == DELETE and summary.orphans and not summary.confirmed:
        told.append("an orphan is erased once two sweeps have seen it, spec.sweep.confirmAfter apart: sweep again then")
    if summary.log_stream:
        told.append(f"receipts: log group {tenant.log_group_name}, stream {summary.log_stream}")
    if summary.manifest:
        told.append(f"manifest: {place(summary, names)} (sha256 {summary.manifest.sha256})")
    if summary.dry_run:
        told.append("nothing was written: this was a dry run")
    return told


def as_json(summary: Summary, names: Names, *, word: str, trouble: str | None, now: datetime) -> dict[str, Any]:
    """For scripts: status.sweep's fields, and more."""
    return {
        "tenant": names.owner,
        "bucket": names.tenant.bucket.name,
        "dryRun": summary.dry_run,
        **status(summary, names, word=word, trouble=trouble, now=now, before={}),
        "brakes": [{"name": brake.name, "message": brake.message} for brake in summary.brakes],
        "approved": summary.approved,
        "outcomes": dict(summary.erased.outcomes),
        "unfinished": summary.erased.unfinished,
        "shared": list(summary.shared),
        "largest": [{"key": one.key, "bytes": one.size, "modified": one.modified} for one in summary.largest],
        "logStream": summary.log_stream,
    }


def size(number: float) -> str:
    """Bytes for people: 1.5 MiB."""
    for unit in _UNITS[:-1]:
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"


def _reasons(outcomes: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name.removeprefix('failed: ')}: {number:,}"
        for name, number in outcomes.items()
        if name.startswith("failed: ")
    )


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
