"""The variables of the cleanup function when a bench runs it."""

from __future__ import annotations

from sandbox import emulator


def environment(url: str, *, table: str, bucket: str) -> dict[str, str]:
    """For the cleanup function, of a tenant of the bench, on the AWS at this address."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": emulator.ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": emulator.SECRET,
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "HUMANGOV_TENANT": "bench/humangov/california",
        "HUMANGOV_TABLE": table,
        "HUMANGOV_BUCKET": bucket,
        "HUMANGOV_MAXIMUM_ERASURES_PER_HOUR": "0",
    }
