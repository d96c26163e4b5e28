"""Candidates: the stored files that may be orphans by name and age. Pure.

A search asks this of what it lists, and the sweep asks it once more of each orphan that a search returns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import translate

from humangov.api.names import Names
from humangov.cleanup.references import reserved_prefixes
from humangov.reading.progress import FailedError
from humangov.sweep import bucket_claim
from humangov.sweep.listing import Stored
from humangov.sweep.search import Orphan


@dataclass(frozen=True, kw_only=True)
class Rules:
    """key_prefix: of all keys. reserved: prefixes of keys that are no files. included: whether spec.sweep.include
    matches. oldest_young: what was written later is too young, in seconds since the epoch.
    """

    key_prefix: str
    reserved: tuple[str, ...]
    included: Callable[[str], bool]
    oldest_young: float

    def is_candidate(self, one: Stored) -> bool:
        return (
            one.key.startswith(self.key_prefix)
            and not one.key.startswith(self.reserved)
            and not bucket_claim.may_be_claim(one.key)
            and self.included(one.key)
            and one.modified <= self.oldest_young
        )


def rules(names: Names, *, began: float) -> Rules:
    """began: S3's time before the listing, in seconds since the epoch."""
    prefix = names.tenant.bucket.key_prefix
    return Rules(
        key_prefix=prefix, reserved=reserved_prefixes(prefix), included=included(names),
        oldest_young=began - names.tenant.sweep.minimum_age_seconds,
    )  # fmt: skip


def included(names: Names) -> Callable[[str], bool]:
    """Whether spec.sweep.include matches a key."""
    options, length = names.tenant.sweep, len(names.tenant.bucket.key_prefix)
    pattern = re.compile("|".join(translate(one) for one in options.include))
    return lambda key: pattern.match(key, length) is not None


def checked(orphans: Iterable[Orphan], of: Rules) -> Iterator[Orphan]:
    """The same, each once and a candidate. Raises FailedError: no orphan of such a search may be erased."""
    before = b""
    for one in orphans:
        key = one.stored.key.encode()
        if key <= before:
            raise FailedError("the search for orphans returned keys twice or out of order, so no orphan was erased")
        if not of.is_candidate(one.stored):
            raise FailedError(
                "the search for orphans returned a file that is none by its name or its age, so no orphan was erased"
            )
        before = key
        yield one
