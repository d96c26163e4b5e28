"""What a HumanGovState costs in AWS: calls and dollars in 30 days, and for 1,000 deletions. Pure.

Prices are AWS's public ones (prices.py), on demand, without the free tier and taxes. Where a number is not known, the
dearer is taken. docs/operations.md has the arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from humangov.api.counts import counted
from humangov.api.names import Names
from humangov.api.sweep_schedule import next_start, schedule_of
from humangov.proof.prices import DAYS, KEYS_A_LIST, METRICS, PRICES, PRICES_OF, READ_UNIT_BYTES

# docs/measurements.md: what a settled state's reconciliation reads alone, on average of an hour; one each ten minutes.
_RECONCILE_CALLS = round(9.67 * 6 * 24 * DAYS)
_PAGE_BYTES = 1 << 20
_RECEIPT_BYTES = 2 * 1024
"""Of a deletion's lines, at most: intent and outcome of a file with a name of usual length."""

_SECONDS_OF_A_DELETION, _GIB = 0.3, 0.5
"""As long as if each deletion came alone, in a function of 512 MiB."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """table_bytes: as DescribeTable says, hours old. on_demand: whether reads of the table are charged each.

    files: in the bucket; whole: these are all. versioned: whether versions are listed as well.
    """

    table_bytes: int
    on_demand: bool
    files: int
    whole: bool
    versioned: bool


@dataclass(frozen=True, kw_only=True)
class Costs:
    """calls and dollars: in 30 days. least: files were counted in part, so sweeps cost more."""

    operator_calls: int
    operator_dollars: float
    sweeps: int
    sweep_calls: int
    sweep_dollars: float
    least: bool
    dollars_of_thousand_deletions: float


def estimate(size: Size, names: Names, *, now: datetime) -> Costs:
    sweeps = 0 if names.tenant.sweep.suspend else sweeps_in_days(names, after=now)
    readings = 2 if names.tenant.sweep.mode == "Delete" else 1
    lists = max(1, math.ceil(size.files / KEYS_A_LIST))
    scans = readings * max(1, math.ceil(size.table_bytes / _PAGE_BYTES))
    units = readings * math.ceil(size.table_bytes / READ_UNIT_BYTES) if size.on_demand else 0
    return Costs(
        operator_calls=_RECONCILE_CALLS,
        operator_dollars=_RECONCILE_CALLS * PRICES["s3-get"] + METRICS * PRICES["metric"],
        sweeps=sweeps,
        sweep_calls=sweeps * (lists + scans),
        sweep_dollars=sweeps * (lists * PRICES["s3-list"] + units * PRICES["dynamodb-read-unit"]),
        least=not size.whole,
        dollars_of_thousand_deletions=1000 * _of_deletion(size),
    )


def sweeps_in_days(names: Names, *, after: datetime) -> int:
    """How many start within 30 days; 0 where that is unknown."""
    sweep = names.tenant.sweep
    text, until, number = schedule_of(sweep, owner=names.owner), after + timedelta(days=DAYS), 0
    at = next_start(text, sweep.time_zone, after=after)
    while at is not None and at < until:
        number += 1
        at = next_start(text, sweep.time_zone, after=at)
    return number


def _of_deletion(size: Size) -> float:
    """In dollars. One invocation, one consistent read of the record, and a listing of versions."""
    reads = PRICES["dynamodb-read-unit"] if size.on_demand else 0.0
    lists = PRICES["s3-list"] if size.versioned else 0.0
    receipts = _RECEIPT_BYTES / 1e9 * PRICES["logs-ingested-gb"]
    seconds = _SECONDS_OF_A_DELETION * _GIB * PRICES["lambda-gib-second"]
    return PRICES["lambda-request"] + seconds + reads + PRICES["s3-get"] + lists + receipts


def sentence(costs: Costs) -> str:
    """For people."""
    calls, dollars = costs.operator_calls + costs.sweep_calls, costs.operator_dollars + costs.sweep_dollars
    return (
        f"{'at least' if costs.least else 'about'} {calls:,} AWS calls and ${dollars:,.2f} in {DAYS} days, at list "
        f"prices of {PRICES_OF}: the operator's reads and metrics ${costs.operator_dollars:.2f}, "
        f"{counted(costs.sweeps, 'sweep')} ${costs.sweep_dollars:,.2f}; "
        f"and at most ${costs.dollars_of_thousand_deletions:.3f} for each 1,000 deletions"
    )
