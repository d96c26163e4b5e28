"""A sweep's result for people and scripts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from humangov.api.names import Names
from humangov.api.times import duration
from humangov.cleanup.outcomes import FileOutcome
from humangov.cleanup.receipt_lines import spell
from humangov.redrive import output as redriven
from humangov.sweep.result import DELETE, SweepResult
from humangov.sweep.status import place_of_list, status_fields

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_SHOWN_SHARED = 10


def lines(result: SweepResult, names: Names, *, word: str, problem: str | None) -> list[str]:
    """The table for people, the ten largest orphans, and the location of the orphan list."""
    tenant = names.tenant
    prefix = f" under {tenant.bucket.key_prefix}" if tenant.bucket.key_prefix else ""
    head = f"{tenant.key}: bucket {tenant.bucket.name}{prefix}, table {tenant.table.name}: {word.lower()}"
    if problem is not None and not result.erased.outcomes and not (result.redriven and result.redriven.outcomes):
        return [head, problem]
    problems = [] if problem is None else [problem]
    return [head, *problems, *_table(result, names), *_details(result), *_remarks(result), *_places(result, names)]


def as_json(
    result: SweepResult, names: Names, *, word: str, problem: str | None, now: datetime
) -> dict[str, Any]:  # fmt: skip
    """The fields of status.sweep, and more. now: in UTC."""
    return {
        "tenant": names.owner,
        "bucket": names.tenant.bucket.name,
        "dryRun": result.dry_run,
        **status_fields(result, names, word=word, problem=problem, now=now, before={}),
        "safetyChecks": [{"name": check.name, "message": check.message} for check in result.failed_checks],
        "approved": result.approved,
        "outcomes": {spell(outcome): number for outcome, number in result.erased.outcomes.items()},
        "unfinished": result.erased.unfinished,
        "shared": list(result.shared),
        "largest": [{"key": one.key, "bytes": one.size, "modified": one.modified} for one in result.largest],
        "logStream": result.log_stream,
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
        ("live", result.live, f"named by one of {result.records:,} records"),
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
    width = max(len(name) for name, _, _ in rows)
    return [f"  {name.ljust(width)}  {number:>11,}  {note}".rstrip() for name, number, note in rows]


def _reasons(outcomes: Mapping[FileOutcome, int]) -> str:
    return ", ".join(f"{one.detail}: {number:,}" for one, number in outcomes.items() if one.is_failure)


def _details(result: SweepResult) -> list[str]:
    shown = []
    if result.redriven is not None and (result.redriven.found or result.redriven.problem):
        shown += [f"redriven before the sweep: {redriven.summary(result.redriven)}", *redriven.named(result.redriven)]
    if result.largest:
        shown.append("largest orphans:")
    shown += [
        f"  {size(one.size):>10}  {datetime.fromtimestamp(one.modified, UTC):%Y-%m-%d}  {one.key}"
        for one in result.largest
    ]
    return shown + [f"named by more than one record: {key}" for key in result.shared[:_SHOWN_SHARED]]


def _remarks(result: SweepResult) -> list[str]:
    effect = "nothing was erased" if _deletes(result) else "mode Delete would erase nothing"
    shown = [f"safety check failed, {effect}: {check.message}" for check in result.failed_checks]
    if result.approved:
        shown.append("a safety check failed, but the orphan list was approved: only files in that list can be erased")
    if result.erased.unfinished:
        shown.append(f"unfinished: {result.erased.unfinished}")
    if not result.erased.conditional:
        shown.append("this S3 ignores conditional deletes: each file was checked just before it was erased")
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
