"""AWS's public prices, on demand, and what it counts as one unit. `humangov check` and the bench of costs read them."""

from __future__ import annotations

from collections.abc import Mapping

PRICES_OF, PRICES_AS_OF = "us-east-1", "2026-11"

# https://aws.amazon.com/s3/pricing/ (S3 Standard), https://aws.amazon.com/cloudwatch/pricing/,
# https://aws.amazon.com/dynamodb/pricing/on-demand/, https://aws.amazon.com/lambda/pricing/ (arm64)
PRICES: Mapping[str, float] = {
    "lambda-request": 0.20 / 1_000_000,
    "lambda-gib-second": 0.0000133334,
    "dynamodb-read-unit": 0.125 / 1_000_000,
    "s3-list": 0.005 / 1_000,
    "s3-get": 0.0004 / 1_000,
    "logs-ingested-gb": 0.50,
    "logs-stored-gb-month": 0.03,
    "metric": 0.01 / 1_000,
}
"""In USD, without the free tier and taxes."""

DAYS = 30
KEYS_A_LIST = 1_000
READ_UNIT_BYTES = 4_096
"""Of a strongly consistent read."""
METRICS = 4 * 12 * 24 * DAYS
"""Four metrics of a state, every five minutes, in one call for all states."""
