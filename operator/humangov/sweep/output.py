"""A sweep's result for people and scripts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from humangov.api.counts import counted
from humangov.api.names import Names
from humangov.api.times import duration
from humangov.cleanup.outcomes import FileOutcome
from humangov.cleanup.receipt_lines import spell
from humangov.reading.table_reading import scan_alone_sentence
from humangov.redrive import output as redriven
from humangov.sweep.result import DELETE, SweepResult
from humangov.sweep.status import how_to_approve, of_approval, place_of_list, settled, status_fields, why_failed

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_SHOWN_SHARED = 10


def lines(
    result: SweepResult, names: Names, *, word: str, problem: str | None, files_named: bool
) -> list[str]:  # fmt: skip
    """The table for people, the ten largest orphans, and the location of the orphan list.

    files_named: whether a person reads it; where it becomes a log it names no file.
    """
    tenant = names.tenant
    prefix = f" under {tenant.bucket.key_prefix}" if tenant.bucket.key_prefix else ""
    head = f"{tenant.key}: bucket {tenant.bucket.name}{prefix}, table {tenant.table.name}: {_words(word)}"
    redriven = result.redriven and result.redriven.outcomes
    done = result.erased.outcomes or result.uploads.outcomes or result.settled or redriven
    if problem is not None and not done:
        return [head, problem]
    problems = [] if problem is None else [problem]
    return [
        head,
        *problems,
        *_table(result, names),
        *_details(result, files_named=files_named),
        *_remarks(result, names),
        *_places(result, names),
    ]


def _words(result: str) -> str:
    """`SafetyCheckFailed` as "safety check failed"."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in result).strip()


def as_json(
    result: SweepResult, names: Names, *, word: str, problem: str | None, now: datetime, files_named: bool
) -> dict[str, Any]:
    """The fields of status.sweep, and more. now: in UTC. files_named: as for `lines`."""
    shown = {
        "shared": list(result.shared),
        "largest": [{"key": one.key, "bytes": one.size, "modified": one.modified} for one in result.largest],
    }
    return {
        "tenant": names.owner,
        "bucket": names.tenant.bucket.name,
        "dryRun": result.dry_run,
        **status_fields(result, names, word=word, problem=problem, now=now, before={}),
        "safetyChecks": [{"name": check.name, "message": check.message} for check in result.failed_checks],
        "approved": result.approved,
        "approvedBy": result.approver,
        "outcomes": {spell(outcome): number for outcome, number in result.erased.outcomes.items()},
        "unfinished": result.erased.unfinished,
        **(shown if files_named else {}),
        "logStream": result.log_stream,
        "scanAlone": result.scan_alone,
    }


def size(number: float) -> str:
    """Bytes for people: 1.5 MiB."""
    for unit in _UNITS[:-1]:
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"


def _deletes(result: SweepResult) -> bool:
    return result.mode == DELETE and not result.dry_run


def _table(result: SweepResult, names: Names) -> list[str]:
    options, erased = names.tenant.sweep, result.erased
    rows = [
        ("listed", result.listed, f"files that match {', '.join(options.include)}"),
        ("too young", result.too_young, f"younger than {duration(options.minimum_age_seconds)}"),
        ("live", result.live, f"named by at least one of {counted(result.records, 'record')}"),
        ("orphans", result.orphans, f"named by no record, {size(result.orphan_bytes)}"),
        ("confirmed", result.confirmed, "also found by an earlier sweep, at least spec.sweep.confirmAfter ago"),
    ]
    if _deletes(result):
        rows += [
            ("erased", erased.count("erased"), size(erased.erased_bytes)),
            ("retained", erased.count("retained"), "kept by S3: Object Lock or MFA delete"),
            ("kept", erased.count("kept") + result.spared, "named or changed during the sweep"),
            ("failed", erased.count("failed"), _reasons(erased.outcomes)),
        ]
    uploads = result.uploads
    if uploads.number is not None:
        since = "" if uploads.oldest is None else f"the oldest since {_day(uploads.oldest)}"
        rows.append(("incomplete uploads", uploads.number, since))
    if uploads.outcomes:
        rows.append(("uploads aborted", uploads.count("erased"), _reasons(uploads.outcomes)))
    width = max(len(name) for name, _, _ in rows)
    return [f"  {name.ljust(width)}  {number:>11,}  {note}".rstrip() for name, number, note in rows]


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _reasons(outcomes: Mapping[FileOutcome, int]) -> str:
    return ", ".join(f"{one.detail}: {number:,}" for one, number in outcomes.items() if one.is_failure)


def _details(result: SweepResult, *, files_named: bool) -> list[str]:
    shown = []
    if result.redriven is not None and (result.redriven.found or result.redriven.problem):
        shown.append(f"redriven before the sweep: {redriven.summary(result.redriven)}")
        shown += redriven.named(result.redriven) if files_named else []
    if not files_named:
        return shown
    if result.largest:
        shown.append("largest orphans:")
    shown += [f"  {size(one.size):>10}  {_day(one.modified)}  {one.key}" for one in result.largest]
    return shown + [f"named by more than one record: {key}" for key in result.shared[:_SHOWN_SHARED]]


def _remarks(result: SweepResult, names: Names) -> list[str]:
    effect = "no orphan was erased" if _deletes(result) else "mode Delete would erase nothing"
    shown = [f"safety check failed, {effect}: {check.message}" for check in result.failed_checks]
    if result.approved:
        shown.append(of_approval(result))
    if approval := how_to_approve(result, names):
        shown.append(f"{approval}; or sweep by hand with --approve and that checksum")
    if result.erased.unfinished:
        shown.append(f"unfinished: {result.erased.unfinished}")
    shown += [*why_failed(result.erased), *settled(result)]
    if result.scan_alone:
        shown.append(scan_alone_sentence(result.scan_alone))
    shown += [f"unfinished: {result.uploads.unfinished}"] if result.uploads.unfinished else []
    shown += [problem for problem in (result.uploads.problem, result.expired.problem) if problem]
    if result.expired.names or result.expired.numbers:
        shown.append(
            f"orphan lists whose names were removed: {result.expired.names:,}; whose numbers were removed: "
            f"{result.expired.numbers:,}"
        )
    if not result.erased.conditional:
        shown.append("this S3 ignores conditional deletes: each file was only checked just before it was erased")
    if result.mode == DELETE and result.orphans and not result.confirmed:
        shown.append(
            "a sweep erases only orphans that an earlier sweep also found. Sweep again after spec.sweep.confirmAfter"
        )
    return shown


def _places(result: SweepResult, names: Names) -> list[str]:
    shown = []
    if result.log_stream:
        shown.append(f"receipts: log group {names.tenant.log_group_name}, stream {result.log_stream}")
    if result.orphan_list:
        shown.append(f"orphan list: {place_of_list(result, names)} (sha256 {result.orphan_list.sha256})")
    if result.dry_run:
        shown.append("dry run: nothing was written")
    return shown
