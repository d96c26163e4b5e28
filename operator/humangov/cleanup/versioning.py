"""Whether the bucket ever kept versions, as one environment of the function knows it."""

from __future__ import annotations

from collections.abc import Callable

LASTS_SECONDS = 300.0


class Versioning:
    """Read before the first erasure, and every five minutes until it did; an environment lives for hours.

    Versioning can be suspended, but never removed. If it was enabled since the last read, or if the read failed, S3's
    response to the erasure shows it. If it was also suspended since, the marker that S3 writes can't be undone.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html

    read: asks S3; now: in seconds since the epoch.
    """

    def __init__(self, read: Callable[[], bool], *, now: Callable[[], float]) -> None:
        self._read, self._now = read, now
        self._is_kept, self._read_at = False, float("-inf")

    def is_kept(self) -> bool:
        """False also where it could not be read."""
        if not self._is_kept and not 0 <= self._now() - self._read_at < LASTS_SECONDS:
            self._read_at = self._now()
            self._is_kept = self._read()
        return self._is_kept
