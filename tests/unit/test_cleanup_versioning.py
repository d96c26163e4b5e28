"""What an environment of the function knows of the bucket's versioning, and when it asks S3 again."""

from __future__ import annotations

from humangov.cleanup.versioning import LASTS_SECONDS, Versioning


class Bucket:
    def __init__(self) -> None:
        self.now, self.reads = 1_800_000_000.0, 0
        self.keeps_versions: bool | None = False

    def read(self) -> bool | None:
        self.reads += 1
        return self.keeps_versions


def test_versioning_is_read_again_after_a_second_until_the_bucket_keeps_versions() -> None:
    bucket = Bucket()
    versioning = Versioning(bucket.read, now=lambda: bucket.now)
    assert [versioning.may_be_kept() for _ in range(3)] == [False] * 3
    assert bucket.reads == 1
    bucket.keeps_versions = True
    bucket.now += LASTS_SECONDS - 0.5
    assert (versioning.may_be_kept(), bucket.reads) == (False, 1)
    bucket.now += 0.5
    assert (versioning.may_be_kept(), bucket.reads) == (True, 2)
    bucket.now += 86_400
    assert (versioning.may_be_kept(), bucket.reads) == (True, 2), "it can't be removed"


def test_versioning_is_read_again_after_the_clock_was_set_back() -> None:
    bucket = Bucket()
    versioning = Versioning(bucket.read, now=lambda: bucket.now)
    versioning.may_be_kept()
    bucket.now -= 3600
    versioning.may_be_kept()
    assert bucket.reads == 2


def test_bucket_counts_as_one_that_keeps_versions_while_versioning_cannot_be_read() -> None:
    bucket = Bucket()
    versioning = Versioning(bucket.read, now=lambda: bucket.now)
    bucket.keeps_versions = None
    assert [versioning.may_be_kept() for _ in range(3)] == [True] * 3
    assert bucket.reads == 3, "it is read again for each batch"
    bucket.keeps_versions = False
    assert [versioning.may_be_kept() for _ in range(3)] == [False] * 3
    assert bucket.reads == 4
