"""The report of a month of receipts, in a process of its own: `python -m bench.report_program RECEIPTS`.

The lines are those of a busy month, chained as the function stores them; pages come no faster than the quota of
FilterLogEvents allows, with as many events as one holds. The last line printed is one JSON object; progress is on
standard error. Exit code 1: the report does not count what was stored.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
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

_A_PUT, _PUTS_A_STREAM = 1000, 100
_PAGE_BYTES, _PAGES_A_SECOND = 1_048_576, 5.0


def main() -> int:
    receipts = int(sys.argv[1])
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
            now=datetime(2026, 12, 5, tzinfo=UTC), progress=_progress,
        )  # fmt: skip
        ledger.close()
        report_files.save(found, files, most_rows=5000)
        sizes = [path.stat().st_size for path in files]
    if found.figures is None or found.figures["erased"] != receipts or found.chain.broken:
        return 1
    figures = {
        "receipts": receipts, "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1), "bytes": sizes,
    }  # fmt: skip
    print(json.dumps(figures))
    return 0


def _progress(lines: int, at: datetime) -> None:
    if lines % 200_000 == 0:
        print(f"{lines:,} lines, up to {at:%Y-%m-%d}", file=sys.stderr, flush=True)


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


if __name__ == "__main__":
    sys.exit(main())
