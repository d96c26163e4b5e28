"""Records that the functions handed back because of the erasure limit, by the minute, from CloudWatch.

The function writes the number in CloudWatch's embedded metric format. So the operator needs no permission for its log
group, which holds the receipts. https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from humangov.api.erasure_limit import LimitedRecords
from humangov.aws import metric_data
from humangov.aws.clients import Clients
from humangov.aws.metric_data import Metric
from humangov.cleanup.embedded_metrics import DIMENSION, LIMITED_RECORDS, NAMESPACE

WINDOW = timedelta(hours=3)
"""An operator that was down for so long still sees it. CloudWatch keeps values of a minute for 15 days."""

_PERIOD_SECONDS = 60


def read(clients: Clients, owners: Sequence[str], *, now: datetime) -> dict[str, tuple[LimitedRecords, ...]]:
    """By owner, the value of the ownership tag; of one that CloudWatch could not read, nothing. Raises AwsError."""
    metrics = [
        Metric(
            owner=owner, field="limited", namespace=NAMESPACE, name=LIMITED_RECORDS, dimensions={DIMENSION: owner},
            statistic="Sum", period_seconds=_PERIOD_SECONDS,
        )
        for owner in owners
    ]  # fmt: skip
    answers = metric_data.read(clients, metrics, target=f"{len(owners)} functions", now=now, window=WINDOW)
    return {
        answer.metric.owner: tuple(
            LimitedRecords(
                begun=value.begun, ended=value.begun + timedelta(seconds=_PERIOD_SECONDS), number=round(value.number)
            )
            for value in answer.values
            if value.number > 0
        )
        for answer in answers
        if answer.values or answer.complete
    }
