"""A redrive's result for people and scripts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from humangov.api.counts import counted
from humangov.api.names import Names
from humangov.cleanup.receipt_lines import spell
from humangov.reading.table_reading import scan_alone_sentence
from humangov.redrive.result import RedriveResult

_SHOWN = 10


def lines(result: RedriveResult, names: Names, *, dry_run: bool) -> list[str]:
    tenant = names.tenant
    shown = [f"{tenant.key}: failed invocations under aws/lambda/ in bucket {tenant.failures.bucket}"]
    rows = [("found", result.found), ("of other mappings, not read or changed", result.others)]
    rows += [(f"of this tenant, {condition}", number) for condition, number in sorted(result.by_condition.items())]
    rows += [("stream records of this tenant", result.records)]
    if not dry_run:
        outcomes = {spell(outcome): number for outcome, number in result.outcomes.items()}
        rows += [(f"file {outcome}", number) for outcome, number in sorted(outcomes.items())]
        rows += [("malformed stream records, skipped", result.malformed)] if result.malformed else []
        skipped = "stream records with an unresolved file name, skipped"
        rows += [(skipped, result.unresolved)] if result.unresolved else []
        rows += [("handled and removed", result.removed)]
    width = max(len(name) for name, _ in rows)
    shown += [f"  {name.ljust(width)}  {number:>9,}" for name, number in rows]
    if result.oldest:
        shown.append(f"  oldest: written at {result.oldest:%Y-%m-%d %H:%M} UTC")
    shown += named(result)
    if result.log_stream:
        shown.append(f"receipts: log group {tenant.log_group_name}, stream {result.log_stream}")
    shown += _why_ended(result)
    if result.scan_alone:
        shown.append(scan_alone_sentence(result.scan_alone))
    if result.stopped:
        shown.append("stopped early: run the command again to continue")
    if dry_run and result.own:
        shown.append("dry run: nothing was changed")
    return shown


def named(result: RedriveResult) -> list[str]:
    """What is left, by key and reason; ten of each kind."""
    failed = {key: ", ".join(map(spell, why)) for key, why in result.failed.items()}
    return [
        *_listed("failed again, not removed", failed),
        *_listed("could not be read, not removed", result.unreadable),
        *_listed(
            "of mappings that are not known as this tenant's (--mapping, if one was)",
            {uuid: f"{number:,}" for uuid, number in result.by_other_mapping.items()},
        ),
        *_listed("handled, but S3 did not remove them", result.kept),
    ]


def summary(result: RedriveResult) -> str:
    """One sentence without a key: `3 of 4 failed invocations handled, 1 could not be read`.

    Where it ended early, it says what was erased before.
    """
    parts = [f"{result.removed:,} of {result.own:,} failed invocations handled"]
    if result.erased and not result.counted:
        parts.append(f"{counted(result.erased, 'file')} erased")
    if result.malformed:
        parts.append(f"{counted(result.malformed, 'malformed record')} skipped")
    if result.unresolved:
        parts.append(f"{counted(result.unresolved, 'record')} with an unresolved file name")
    if result.unreadable:
        parts.append(f"{len(result.unreadable):,} could not be read")
    return ", ".join([*parts, *_why_ended(result)])


def as_json(result: RedriveResult, names: Names) -> dict[str, Any]:
    return {
        "tenant": names.owner,
        "bucket": names.tenant.failures.bucket,
        "found": result.found,
        "others": result.others,
        "own": result.own,
        "by_condition": dict(result.by_condition),
        "by_mapping": dict(result.by_mapping),
        "by_other_mapping": dict(result.by_other_mapping),
        "oldest": result.oldest.isoformat() if result.oldest else None,
        "records": result.records,
        "outcomes": {spell(outcome): number for outcome, number in result.outcomes.items()},
        "malformed": result.malformed,
        "unresolved": result.unresolved,
        "removed": result.removed,
        "failed": {key: [spell(outcome) for outcome in why] for key, why in result.failed.items()},
        "unreadable": dict(result.unreadable),
        "kept": dict(result.kept),
        "left": result.left,
        "problem": result.problem,
        "stopped": result.stopped,
        "log_stream": result.log_stream,
        "unstored": result.unstored,
        "scan_alone": result.scan_alone,
    }


def _why_ended(result: RedriveResult) -> list[str]:
    reasons = [f"stopped, because receipts could not be stored: {result.unstored}"] if result.unstored else []
    return [*reasons, *([f"nothing more was handled: {result.problem}"] if result.problem else [])]


def _listed(title: str, entries: Mapping[str, str]) -> list[str]:
    if not entries:
        return []
    # Anyone who may write to the bucket chooses keys.
    shown = [f"  {key.encode('unicode_escape').decode()}: {reason}" for key, reason in sorted(entries.items())[:_SHOWN]]
    more = [f"  and {len(entries) - _SHOWN:,} more"] if len(entries) > _SHOWN else []
    return [f"{title}: {len(entries):,}", *shown, *more]
