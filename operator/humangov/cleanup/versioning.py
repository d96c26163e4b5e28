"""Whether the bucket may keep versions, as one environment of the function knows it."""

from __future__ import annotations

from collections.abc import Callable

LASTS_SECONDS = 1.0
"""As long as a look at the files lasts (cleanup/look.py)."""


class Versioning:
    """Read before each batch, until it was enabled: an environment lives for hours.

    Versioning can be suspended, but never removed. While it can't be read, the bucket counts as one that keeps
    versions: exactly the listed versions are erased, which is right in any bucket. An erasure by key alone would write
    a delete marker, and a kill before it is removed would leave it, over a file that a record may name again.
    If versioning is enabled in the moment between the read and the erasure, S3's response shows it, and the marker is
    removed again. If it was also suspended in that moment, the marker that S3 writes can't be undone.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html

    read: asks S3, None if there is no answer; now: in seconds since the epoch.
    """

    def __init__(self, read: Callable[[], bool | None], *, now: Callable[[], float]) -> None:
        self._read, self._now = read, now
        self._is_kept, self._read_at = False, float("-inf")

    def may_be_kept(self) -> bool:
        """True also where it could not be read; then it is read again for the next batch."""
        if self._is_kept or 0 <= self._now() - self._read_at < LASTS_SECONDS:
            return self._is_kept
        answer = self._read()
        if answer is None:
            return True
        self._is_kept, self._read_at = answer, self._now()
        return answer
