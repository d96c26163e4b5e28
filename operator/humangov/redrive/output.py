"""What a person, or a script, is told of a redrive. Pure."""

from __future__ import annotations

from typing import Any

from humangov.api.names import Names
from humangov.redrive.redrive import Summary

_SHOWN = 10


def lines(summary: Summary, names: Names, *, dry_run: bool) -> list[str]:
    tenant = names.tenant
    told = [f"{tenant.key}: failed invocations under aws/lambda/ in bucket {tenant.failures.bucket}"]
    rows = [("found", summary.found), ("of other functions or tables, left alone", summary.not_ours)]
    rows += [(f"of this tenant, {condition}", number) for condition, number in sorted(summary.by_condition.items())]
    rows += [("stream records in them", summary.records)]
    if not dry_run:
        rows += [(f"file {outcome}", number) for outcome, number in sorted(summary.outcomes.items())]
        rows += [("malformed stream records, let through", summary.malformed)] if summary.malformed else []
        rows += [("handled and removed", summary.removed)]
    width = max(len(name) for name, _ in rows)
    told += [f"  {name.ljust(width)}  {number:>9,}" for name, number in rows]
    if summary.oldest:
        told.append(f"  the oldest was written at {summary.oldest:%Y-%m-%d %H:%M} UTC")
    told += _listed("failed again, and left", {key: ", ".join(codes) for key, codes in summary.failed.items()})
    told += _listed("can't be read, and left", summary.unreadable)
    told += _listed("handled, but S3 does not let go of it", summary.kept)
    if summary.log_stream:
        told.append(f"receipts: log group {tenant.log_group_name}, stream {summary.log_stream}")
    if summary.stopped:
        told.append("stopped before the end: run it again")
    if dry_run and summary.ours:
        told.append("nothing was changed: this was a dry run")
    return told


def as_json(summary: Summary, names: Names) -> dict[str, Any]:
    return {
        "tenant": names.owner,
        "bucket": names.tenant.failures.bucket,
        "found": summary.found,
        "not_ours": summary.not_ours,
        "ours": summary.ours,
        "by_condition": dict(summary.by_condition),
        "by_mapping": dict(summary.by_mapping),
        "oldest": summary.oldest.isoformat() if summary.oldest else None,
        "records": summary.records,
        "outcomes": dict(summary.outcomes),
        "malformed": summary.malformed,
        "removed": summary.removed,
        "failed": summary.failed,
        "unreadable": summary.unreadable,
        "kept": summary.kept,
        "left": summary.left,
        "stopped": summary.stopped,
        "log_stream": summary.log_stream,
    }


def _listed(title: str, entries: dict[str, str]) -> list[str]:
    if not entries:
        return []
    shown = [f"  {key}: {reason}" for key, reason in sorted(entries.items())[:_SHOWN]]
    more = [f"  and {len(entries) - _SHOWN:,} more"] if len(entries) > _SHOWN else []
    return [f"{title}: {len(entries):,}", *shown, *more]
