"""The seam: how orphans are searched for, apart from what is decided about them.

A search knows what is stored, what is named, and joins both. It may run in this process (`local_search`) or on another
engine. It decides nothing: which files may be orphans by name and age is checked once more of each that it returns
(`candidates.checked`), and safety checks, sightings, the second reading and the erasure never ask it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from humangov.sweep.listing import Stored
from humangov.sweep.surroundings import Run


@dataclass(frozen=True, kw_only=True)
class StoredFiles:
    """listed: keys that match spec.sweep.include; too_young: of those. possible_claims: keys where claims may lie."""

    listed: int
    too_young: int
    possible_claims: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class NamedFiles:
    """records: that were read. scan_alone: why no stream completes the reading to a snapshot; None: one does."""

    records: int
    scan_alone: str | None


@dataclass(frozen=True, kw_only=True)
class Joined:
    """live: of the candidates, those that a record names. named_twice: stored keys that several records may name."""

    live: int
    named_twice: Sequence[bytes]


class Orphan(NamedTuple):
    """A candidate that no record names. alike: the key that a dangling record names, if it may mean this file."""

    stored: Stored
    alike: str | None = None


class Search(Protocol):
    """Of one run, asked in this order. Every step raises FailedError, StoppedError, OSError, and what the SDK raises.

    list_stored   lists all that is stored under the key prefix
    read_named    reads, after that, the keys that records name: a consistent scan, and all that was written during it
    join          named_twice: how many of such keys are wanted
    named_among   of these keys, those that a record may mean
    orphans       every candidate that no record may mean, sorted by the keys' bytes; after `join`, any number of times
    """

    def list_stored(self) -> StoredFiles: ...

    def read_named(self) -> NamedFiles: ...

    def join(self, *, named_twice: int) -> Joined: ...

    def named_among(self, keys: Sequence[bytes]) -> Set[bytes]: ...

    def orphans(self) -> Iterator[Orphan]: ...


SearchOf = Callable[[Run], AbstractContextManager[Search]]
"""Begins the search of a run; its end removes what it has stored."""
