"""The bulk read monitor: when it lists, and what that spares. On an account in memory, with whole reconciliations."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from humangov.aws.bulk import read
from humangov.manager.bulk_read_monitor import SPARED_READS, is_worthwhile, most_pages

from bench.bulk import measure

LISTINGS = set(read.CALLS)


def test_snapshot_is_taken_where_single_reads_would_cost_twice_as_much() -> None:
    assert not is_worthwhile(1, unworthy=None)
    assert is_worthwhile(2, unworthy=None)
    assert most_pages(1000) * 2 == SPARED_READS * 1000


def test_account_too_large_is_listed_again_only_for_half_as_many_tenants_more() -> None:
    assert not is_worthwhile(100, unworthy=100)
    assert not is_worthwhile(150, unworthy=100)
    assert is_worthwhile(151, unworthy=100)


@pytest.fixture(scope="module")
def hours() -> dict[str, Any]:
    return {
        "alone": asyncio.run(measure(1, bulk=True)),
        "singly": asyncio.run(measure(12, bulk=False)),
        "in bulk": asyncio.run(measure(12, bulk=True)),
    }


def test_tenant_alone_is_read_singly(hours: dict[str, Any]) -> None:
    assert hours["alone"].calls["lambda:ListFunctions"] == 0
    assert hours["alone"].calls["lambda:GetFunction"] == hours["alone"].rounds


def test_settled_tenants_in_bulk_cost_half_of_the_calls_and_no_status_write(hours: dict[str, Any]) -> None:
    singly, bulk = hours["singly"], hours["in bulk"]
    assert bulk.total < singly.total * 0.6
    assert bulk.scarce < singly.scarce * 0.5
    assert bulk.calls["dynamodb:DescribeTable"] == 12 * bulk.rounds, "the stream is looked at in each reconciliation"
    assert bulk.status_writes == singly.status_writes == 0
    listed: Counter[str] = Counter({call: bulk.calls[call] for call in LISTINGS - {"logs:DescribeLogGroups"}})
    assert set(listed.values()) == {bulk.rounds}, "once a resync, for all"


def test_every_single_read_happens_within_the_hour_with_snapshots_too(hours: dict[str, Any]) -> None:
    told_whole = {"dynamodb:ListTagsOfResource", "dynamodb:DescribeStream", "lambda:ListTags"}
    seldom = {"s3:GetReplicationConfiguration", "s3:GetLifecycleConfiguration", "backup:DescribeProtectedResource"}
    singly, bulk = hours["singly"].calls, hours["in bulk"].calls
    for call in set(singly) - told_whole - seldom - LISTINGS - {"sts:GetCallerIdentity"}:
        assert bulk[call] >= 12, call
