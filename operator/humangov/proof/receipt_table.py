"""Receipts as a table for people, and as CSV and JSON. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from humangov.api.counts import counted
from humangov.cleanup.outcomes import ERASED
from humangov.cleanup.receipt_lines import parse, spell
from humangov.logs import printable
from humangov.proof.receipts import ABSENT_AFTER_INTENT, Receipt

NOT_COVERED = (
    "These outcomes are about this bucket only. Replicas in other buckets, older copies elsewhere (backups, exports, "
    "caches) and the parts of incomplete multipart uploads are not covered"
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_lines(receipts: Iterable[Receipt]) -> Iterator[str]:
    """RFC 4180 with a header. A cell that a spreadsheet would run as a formula begins with an apostrophe."""
    yield _csv_line([one.name for one in fields(Receipt)])
    for receipt in receipts:
        row = asdict(receipt) | {"record_key": json.dumps(receipt.record_key, ensure_ascii=False)}
        yield _csv_line(["" if value is None else _harmless(str(value)) for value in row.values()])


def json_lines(receipts: Iterable[Receipt]) -> Iterator[str]:
    for receipt in receipts:
        yield json.dumps(asdict(receipt))


def yaml_lines(receipts: Iterable[Receipt]) -> Iterator[str]:
    """One document for each receipt."""
    import yaml  # only who asks for it waits for it to load

    for receipt in receipts:
        yield "---"
        yield from yaml.safe_dump(asdict(receipt), sort_keys=False, allow_unicode=False).splitlines()


def table_lines(receipts: Iterable[Receipt]) -> Iterator[str]:
    """A table for people, with totals by outcome at the end."""
    header = ("DELETED", "ERASED", "OUTCOME", "VERSIONS", "FILE", "RECORD")
    rows, totals = [header], Counter[str]()
    for one in receipts:
        totals[_counted_as(one.outcome)] += 1
        versions = "-" if one.versions_erased is None else str(one.versions_erased)
        rows.append(
            (
                _short(one.deleted_at),
                _short(one.erased_at),
                printable(one.outcome),
                versions,
                printable(one.key),
                _named(one.record_key),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in totals.most_common())
    yield ""
    number = sum(totals.values())
    yield f"{counted(number, 'receipt')}{f': {outcomes}' if outcomes else ''}"
    if totals[spell(ERASED)] or totals[ABSENT_AFTER_INTENT]:
        yield NOT_COVERED


def _csv_line(cells: Iterable[str]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue().removesuffix("\r\n")


def _counted_as(text: str) -> str:
    """The outcome without the date of a retention."""
    outcome = parse(text)
    return outcome.kind if outcome is not None and outcome.until is not None else text


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _short(moment: str | None) -> str:
    return moment[:19].replace("T", " ") if moment else "-"


def _named(record_key: Mapping[str, Any]) -> str:
    parts = (f"{name}={next(iter(value.values()), '')}" for name, value in record_key.items())
    return printable(" ".join(parts))
