"""A second engine for sweeps: a search that keeps all it knows in memory. It shares no code of the join with the first.

What it answers is as right as that of `humangov.sweep.local_search`; a test may make it answer anything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import nullcontext
from typing import Any

from humangov.sweep import bucket_claim, candidates
from humangov.sweep.listing import Stored, list_bucket
from humangov.sweep.search import Joined, NamedFiles, Orphan, StoredFiles
from humangov.sweep.spellings import is_short, spellings
from humangov.sweep.surroundings import Run, read


class MemorySearch:
    """See `search.Search`."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.stored: dict[bytes, Stored] = {}
        self.records: list[frozenset[bytes]] = []
        self.since: set[bytes] = set()

    def list_stored(self) -> StoredFiles:
        names, steps = self.run.names, self.run.around.steps
        steps.begin("listing")
        list_bucket(
            self.run.clients.patient_s3, bucket=names.tenant.bucket.name, owner=names.identity.account_id,
            prefix=names.tenant.bucket.key_prefix, versioned=self.run.versioned, sink=self._take, steps=steps,
        )  # fmt: skip
        rules = candidates.rules(names, began=self.run.began)
        files = [one for one in self.stored.values() if rules.included(one.key)]
        claims = [one.key for one in self.stored.values() if bucket_claim.may_be_claim(one.key)]
        listed = [one for one in files if one.key not in claims]
        return StoredFiles(
            listed=len(listed), too_young=sum(not rules.is_candidate(one) for one in listed), possible_claims=claims
        )

    def _take(self, page: Sequence[Stored]) -> None:
        reserved = candidates.rules(self.run.names, began=0.0).reserved
        self.stored |= {one.key.encode(): one for one in page if not one.key.startswith(reserved)}

    def read_named(self) -> NamedFiles:
        reading = read(self.run, self._name, keep_since=self.since.update, stage="reading the table", total=None)
        return NamedFiles(records=reading.records, scan_alone=reading.scan_alone)

    def _name(self, records: Iterable[Sequence[bytes]]) -> None:
        self.records += map(frozenset, records)

    @property
    def _named(self) -> set[bytes]:
        return self.since.union(*self.records)

    def join(self, *, named_twice: int) -> Joined:
        times = Counter(key for record in self.records for key in record)
        twice = sorted(key for key, number in times.items() if number > 1 and key in self.stored)
        return Joined(live=len(self._candidates().keys() & self._named), named_twice=twice[:named_twice])

    def named_among(self, keys: Sequence[bytes]) -> Set[bytes]:
        return self._named.intersection(keys)

    def orphans(self) -> Iterator[Orphan]:
        found = {key: one for key, one in self._candidates().items() if key not in self._named}
        meant = self._meant(set(self.stored) - set(found))
        for key in sorted(found):
            forms = sorted(spellings(key) & meant.keys())
            yield Orphan(found[key], meant[forms[0]].decode() if forms else None)

    def _candidates(self) -> dict[bytes, Stored]:
        rules = candidates.rules(self.run.names, began=self.run.began)
        return {key: one for key, one in self.stored.items() if rules.is_candidate(one)}

    def _meant(self, live: Set[bytes]) -> dict[str, bytes]:
        """Each spelling of a dangling record's names, but for short ones that a file with a record has too."""
        dangling = {key for record in self.records if not record & self.stored.keys() for key in record}
        common = {form for key in live & self._named for form in spellings(key) if is_short(form)}
        return {form: key for key in sorted(dangling, reverse=True) for form in spellings(key) - common}


def memory_search(run: Run) -> Any:
    """As a `search.SearchOf`."""
    return nullcontext(MemorySearch(run))
