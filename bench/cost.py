"""What one tenant costs a month in AWS: arithmetic over list prices and over the calls that the other benches count.

Nothing is measured here. The prices are those that `humangov check` counts with (humangov/proof/prices.py); give your
own with --price. How many calls there are is this project's, and a test holds those that matter most against the
documents' own figures. `humangov check` says what a deletion costs at most; here is what is usual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil

from humangov.proof.prices import DAYS, KEYS_A_LIST, METRICS, PRICES, PRICES_OF, READ_UNIT_BYTES

from bench.measure import Report, Table

RECEIPT_BYTES = 1_000
"""Intent and outcome of one file together, with CloudWatch's 26 bytes an event."""


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """files, records: stored. deletions: records a day. A batch holds what was deleted within a second or so."""

    files: int = 100_000
    records: int = 100_000
    record_bytes: int = 1_000
    deletions: int = 500
    deletions_a_batch: float = 1.0
    function_seconds: float = 0.2
    function_gib: float = 0.5
    sweep_readings: int = 2  # mode Delete reads the table twice; Detect once
    retention_months: float = 13.0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One item of the bill: number of units times price of a unit, in USD a month."""

    item: str
    units: float
    price: float

    @property
    def usd(self) -> float:
        return self.units * self.price


def costs(tenant: Tenant, prices: Mapping[str, float] = PRICES) -> list[Cost]:
    """All that AWS bills for one tenant. IAM, Lambda's API and tags, stream reads by Lambda, and deletes are free."""
    batches = tenant.deletions / tenant.deletions_a_batch * DAYS
    scanned = tenant.records * tenant.record_bytes / READ_UNIT_BYTES
    checked = tenant.deletions * DAYS * ceil(tenant.record_bytes / READ_UNIT_BYTES)
    receipts_gb = tenant.deletions * DAYS * RECEIPT_BYTES / 1e9
    return [
        Cost(item="function: requests", units=batches, price=prices["lambda-request"]),
        Cost(
            item="function: GiB-seconds", units=batches * tenant.function_seconds * tenant.function_gib,
            price=prices["lambda-gib-second"],
        ),
        Cost(item="function: records read again, read units", units=checked, price=prices["dynamodb-read-unit"]),
        Cost(item="function: versioning read, S3 calls", units=batches, price=prices["s3-get"]),
        Cost(item="receipts: GB ingested", units=receipts_gb, price=prices["logs-ingested-gb"]),
        Cost(
            item="receipts: GB stored, in the last month of retention", units=receipts_gb * tenant.retention_months,
            price=prices["logs-stored-gb-month"],
        ),
        Cost(
            item="sweep: LIST calls", units=ceil(tenant.files / KEYS_A_LIST) * DAYS, price=prices["s3-list"]
        ),
        Cost(
            item="sweep: read units", units=scanned * tenant.sweep_readings * DAYS, price=prices["dynamodb-read-unit"]
        ),
        Cost(item="operator: metrics read", units=METRICS, price=prices["metric"]),
    ]  # fmt: skip


def run(tenant: Tenant, prices: Mapping[str, float] = PRICES) -> Report:
    """The bill, item by item."""
    found = costs(tenant, prices)
    total = sum(one.usd for one in found)
    rows = [(one.item, f"{one.units:,.2f}", f"{one.price:.10f}".rstrip("0"), f"{one.usd:.4f}") for one in found]
    title = f"A month: {tenant.files:,} files, {tenant.records:,} records, {tenant.deletions:,} deletions a day"
    table = Table(title, ("ITEM", "UNITS", "USD A UNIT", "USD"), [*rows, ("in all", "", "", f"{total:.2f}")])
    return Report(
        tables=[table],
        notes=[
            f"List prices of {PRICES_OF} without the free tier; others: ARGS=\"--price NAME=USD\".",
            "Free: deletes in S3, stream reads by Lambda, calls of IAM, Lambda, tags and CloudWatch Logs.",
            "Not in it: the operator's pod, shared by all tenants, and your table and bucket themselves.",
        ],
        figures={
            "bench": "cost", "tenant": asdict(tenant), "items": {one.item: round(one.usd, 4) for one in found},
            "usd_a_month": round(total, 2),
        },
    )  # fmt: skip


def prices_with(changes: Sequence[str]) -> Mapping[str, float]:
    """NAME=USD. Raises ValueError for a name that there is not."""
    given = dict(one.split("=", 1) for one in changes)
    if unknown := sorted(set(given) - set(PRICES)):
        raise ValueError(f"no price is called {', '.join(unknown)}; there are {', '.join(PRICES)}")
    return {**PRICES, **{name: float(value) for name, value in given.items()}}
