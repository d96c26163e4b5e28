"""A report of a million receipts, beside a CloudWatch Logs that answers at its quota: seconds, memory, files.

The lines are those of a busy month, chained as the function stores them; pages come no faster than the quota of
FilterLogEvents allows, with as many events as one holds. What the SDK takes to parse a page is not in it.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
"""

from __future__ import annotations

import hashlib
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from humangov.cleanup.receipt_chain import EMPTY, linked
from humangov.proof import period, report_files
from humangov.proof.ledger import Ledger
from humangov.proof.report import Subject, build
from humangov.proof.surroundings import LogGroup

from bench.measure import Report, Table
from bench.rig import NotMeasuredError, Say

RECEIPTS = 1_000_000
_A_PUT, _PUTS_A_STREAM = 1000, 100
_PAGE_BYTES, _PAGES_A_SECOND = 1_048_576, 5.0

_NOTES = """
A receipt is two lines of about 500 bytes. Page, JSON and database are written.
""".strip().splitlines()


def run(*, say: Say, receipts: int) -> Report:
    """Raises NotMeasuredError if the report does not count what was stored."""
    month = period.month("2026-11")
    subject = Subject(
        tenant="humangov/california", owner=None, account_id=None, region="us-east-1", bucket=None, key_prefix="",
        table=None,
    )  # fmt: skip
    started, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="humangov-bench-") as folder:
        files = report_files.files_in(Path(folder), name="california")
        ledger = Ledger(report_files.partial_database(files))
        found = build(
            _paced(_lines(receipts, month.since)), ledger, subject=subject, period=month, declared=None, sweeps=None,
            group=LogGroup(name="/aws/lambda/x", region="us-east-1", exists=True),
            now=datetime(2026, 12, 5, tzinfo=UTC),
            progress=lambda lines, at: say(f"{lines:,} lines, up to {at:%Y-%m-%d}") if lines % 200_000 == 0 else None,
        )  # fmt: skip
        ledger.close()
        report_files.save(found, files, most_rows=5000)
        sizes = [path.stat().st_size for path in files]
    if found.figures is None or found.figures["erased"] != receipts or found.chain.broken:
        raise NotMeasuredError("the report does not count what was stored")
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shown = (f"{size / 1_048_576:,.1f}" for size in sizes)
    row = (f"{receipts:,}", f"{seconds:.0f}", f"{cpu:.0f}", f"{memory:.0f}", *shown)
    header = ("RECEIPTS", "SECONDS", "CPU SECONDS", "MiB OF MEMORY", "MiB OF PAGE", "OF JSON", "OF DATABASE")
    return Report(
        tables=[Table("A report of one month", header, [row])],
        notes=_NOTES,
        figures={
            "receipts": receipts, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1),
            "memory_mib": round(memory, 1), "bytes": sizes,
        },
    )  # fmt: skip


def _lines(receipts: int, start: datetime) -> Iterator[dict[str, Any]]:
    """The intents of a put, then its outcomes."""
    step = timedelta(days=29) / max(1, receipts // _A_PUT)
    end = EMPTY
    for first in range(0, receipts, _A_PUT):
        put = first // _A_PUT
        at, number = start + put * step, min(_A_PUT, receipts - first)
        end = end if put % _PUTS_A_STREAM else EMPTY
        for kind, late in (("intent", 0), ("outcome", 900)):
            for place in range(first, first + number):
                message, end = linked(_line(kind, place, at), after=end)
                yield {
                    "logStreamName": f"receipts/2026/11/01/{put // _PUTS_A_STREAM}",
                    "timestamp": round(at.timestamp() * 1000) + late,
                    "message": message,
                }  # fmt: skip


def _line(kind: str, place: int, at: datetime) -> dict[str, Any]:
    erased = at + timedelta(milliseconds=100 + place % 800)
    done = {
        "outcome": "erased",
        "versions_erased": 1,
        "versions_left": 0,
        "announced": True,
        "erased_at": _text(erased),
    }
    return {
        "receipt": kind, "tenant": "cluster/humangov/california", "bucket": "humangov-california-s3-zsmb",
        "key": f"employees/2026/contract-{place:08d}.pdf", "record_key": {"id": {"S": f"CA-{place:08d}"}},
        "event_id": hashlib.sha256(str(place).encode()).hexdigest()[:32], "sequence_number": str(10**20 + place),
        "event": "REMOVE", "expired": False, "deleted_at": _text(at), "id": f"w-{place}-{kind}",
        **(done if kind == "outcome" else {"versions_seen": 1}),
    }  # fmt: skip


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _paced(events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A page of a mebibyte at a time, no sooner than the quota allows."""
    following, size = time.monotonic(), 0
    for event in events:
        size += len(event["message"])
        if size > _PAGE_BYTES:
            time.sleep(max(0.0, following - time.monotonic()))
            following, size = max(following, time.monotonic()) + 1 / _PAGES_A_SECOND, 0
        yield event
