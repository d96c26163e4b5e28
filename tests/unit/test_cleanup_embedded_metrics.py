"""The batch's line as CloudWatch reads it."""

from __future__ import annotations

from humangov.cleanup.embedded_metrics import metrics, sample
from hypothesis import given
from hypothesis import strategies as st


def test_embedded_metrics_have_a_value_and_a_unit_each() -> None:
    fields = metrics({"erased": 3, "failed": 0}, latencies_ms=[20, 10], at=1.5)

    assert fields == {
        "_aws": {
            "Timestamp": 1500,
            "CloudWatchMetrics": [
                {
                    "Namespace": "HumanGov",
                    "Dimensions": [["tenant"]],
                    "Metrics": [
                        {"Name": "erased", "Unit": "Count"},
                        {"Name": "failed", "Unit": "Count"},
                        {"Name": "erasure_latency_ms", "Unit": "Milliseconds"},
                    ],
                }
            ],
        },
        "erased": 3,
        "failed": 0,
        "erasure_latency_ms": [10, 20],
    }


def test_embedded_metrics_without_an_erasure_have_no_latency() -> None:
    fields = metrics({"erased": 0}, latencies_ms=[], at=0)

    assert "erasure_latency_ms" not in fields
    assert fields["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [{"Name": "erased", "Unit": "Count"}]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=2000))
def test_latency_sample_keeps_minimum_and_maximum_within_100_values(values: list[int]) -> None:
    found = sample(values)

    assert len(found) == min(len(values), 100)
    assert (found[0], found[-1]) == (min(values), max(values))
    assert set(found) <= set(values)
