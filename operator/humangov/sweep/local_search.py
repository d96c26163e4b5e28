"""A search in this process: lists the bucket, reads the table, and joins both in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from types import TracebackType
from typing import Self

from humangov.sweep import bucket_claim, candidates
from humangov.sweep.listing import Stored, list_bucket
from humangov.sweep.local_join import LocalJoin
from humangov.sweep.search import Joined, NamedFiles, Orphan, StoredFiles
from humangov.sweep.surroundings import Run, read


class LocalSearch:
    """See `search.Search`."""

    def __init__(self, run: Run) -> None:
        self._run, self._join = run, LocalJoin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._join.__exit__(kind, error, trace)

    def list_stored(self) -> StoredFiles:
        return list_stored(self._run, self._join)

    def read_named(self) -> NamedFiles:
        reading = read(
            self._run, self._join.name, keep_since=self._join.name_since, stage="reading the table",
            total=self._run.table.records or None,
        )  # fmt: skip
        return NamedFiles(records=reading.records, scan_alone=reading.scan_alone)

    def join(self, *, named_twice: int) -> Joined:
        return self._join.join(named_twice=named_twice)

    def named_among(self, keys: Sequence[bytes]) -> Set[bytes]:
        return self._join.named_among(keys)

    def orphans(self) -> Iterator[Orphan]:
        return self._join.orphans()


def list_stored(run: Run, join: LocalJoin) -> StoredFiles:
    """Lists the bucket and stores candidates in `join`, and the keys of all other files.

    Raises as `list_bucket` and the SDK do.
    """
    names, bucket, steps = run.names, run.names.tenant.bucket, run.around.steps
    of = candidates.rules(names, began=run.began)
    reserved, is_included, oldest_young = of.reserved, of.included, of.oldest_young
    listed = too_young = 0
    possible_claims: list[str] = []

    def sink(page: Sequence[Stored]) -> None:
        nonlocal listed, too_young
        old, others = [], []
        for one in page:
            key = one.key
            if key.startswith(reserved):
                continue
            if bucket_claim.may_be_claim(key):
                possible_claims.append(key)
                others.append(key)
            elif not is_included(key):
                others.append(key)
            else:
                listed += 1
                if one.modified > oldest_young:
                    too_young += 1
                    others.append(key)
                else:
                    old.append(one)
        join.store(old)
        join.store_other(others)

    steps.begin("listing")
    list_bucket(
        run.clients.patient_s3, bucket=bucket.name, owner=names.identity.account_id, prefix=bucket.key_prefix,
        versioned=run.versioned, sink=sink, steps=steps,
    )  # fmt: skip
    return StoredFiles(listed=listed, too_young=too_young, possible_claims=possible_claims)
