"""Which single reads are due of a settled tenant, and what stands for the others. Pure.

docs/operations.md ("What is read, and when") has the table. In short: the table is read in each reconciliation;
function, trigger, role and log group too, unless a snapshot of the account's listings confirms them (aws/bulk); the
rest, part by part and spread evenly, within the hour. Only single reads get into a Reading, and only a Reading stands
for reads.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from humangov.aws import function_undeclared, stream_observed, trigger_mappings
from humangov.aws.bulk.verdict import Confirmation
from humangov.aws.resources import BUCKET, FAILURES, FUNCTION, LOG_GROUP, ROLE, STREAM, TRIGGER, Observations, Unread
from humangov.reconcile.packed import Packed, packed

PERIOD_SECONDS, TURN_WITHIN_SECONDS = 2900.0, 3600.0
"""With the resync of 10 minutes (and 10 % more), no more than an hour lies between two reads."""
COPIES_SECONDS = 6 * 3600.0
"""What else may hold copies of the bucket's files: facts for people, of which nothing is corrected."""
COPIES = "Copies"
AFTER_START = 0.25
"""Of the period: no less than a resync, in which all tenants are read for the first time, out of the same limits."""
ADDITIONS_SECONDS = 6 * 3600.0
"""With thousands of tenants: URLs of the function, destinations and code signing, which do no harm as long as nobody
else may invoke it. That takes three of the calls of which Lambda allows 15 a second."""
ADDITIONS = "Additions"
READ = (STREAM, ROLE, LOG_GROUP, FUNCTION, TRIGGER)
EVERY = frozenset((*READ, BUCKET, FAILURES, COPIES, ADDITIONS))
_IN_TURN = (*READ, BUCKET, FAILURES)
# What only a deep read shows of a part.
_DEEP_FIELDS: Mapping[str, tuple[str, ...]] = {
    STREAM: ("tags", "stream_status"),
    ROLE: ("other_policies", "attached", "unknown"),
    LOG_GROUP: ("tags", "subscriptions", "unknown"),
    FUNCTION: ("undeclared",),
}
# Parts of which nothing is left to a deep read where a snapshot confirms the tags too.
_TAGS_ALONE = (STREAM, TRIGGER)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What single reads showed last of a tenant in sync, and when.

    packed    every part of READ, as a deep read shows it
    read_at   monotonic, of each of EVERY's deep reads; right after `full_at` spread over the period, to stay so
    full_at   when all was last read
    """

    generation: int
    packed: Packed
    read_at: Mapping[str, float]
    full_at: float

    @property
    def observed(self) -> Observations:
        """Not to be changed."""
        return self.packed.unpacked()


@dataclass(frozen=True, kw_only=True)
class DueReads:
    """deep: what is read with all that seldom changes. confirmed: what need not be read, as it was read last."""

    deep: frozenset[str]
    confirmed: Observations

    @property
    def full(self) -> bool:
        return self.deep == EVERY


FULL = DueReads(deep=EVERY, confirmed={})
AT_START = DueReads(deep=EVERY - {FUNCTION, ADDITIONS}, confirmed={})
"""Of a tenant that was in sync before this process began, where there are many: who else may invoke its function, and
what Lambda keeps beside it, takes six of the calls of which Lambda allows 15 a second. It is read in its turn."""
AT_START_OF_THOUSANDS = DueReads(deep=AT_START.deep - {ROLE}, confirmed={})
"""Where there are thousands, the other policies of its role too: two of the four calls that a role takes of IAM."""


def due(reading: Reading | None, confirmation: Confirmation | None, *, now: float, seldom: bool = False) -> DueReads:
    """now: monotonic. confirmation: what the last snapshot said of the tenant.

    seldom: ADDITIONS are read within ADDITIONS_SECONDS, not with each deep read of the function.

    A snapshot that began before all was last read (after an edit, a drift) says nothing of what was read then.
    """
    if reading is None:
        return FULL
    if confirmation is None or not confirmation.counts(now) or confirmation.at < reading.full_at:
        return DueReads(deep=_in_turn(reading, now=now, spared=(), seldom=seldom), confirmed={})
    if confirmation.news:
        return FULL
    spared = [part for part in _TAGS_ALONE if part in confirmation.tags and part in (*confirmation.same, STREAM)]
    deep = _in_turn(reading, now=now, spared=spared, seldom=seldom)
    observed = reading.observed
    same = {part: observed[part] for part in READ if part in confirmation.same and part not in deep}
    return DueReads(deep=deep, confirmed=same)


def _in_turn(reading: Reading, *, now: float, spared: Collection[str], seldom: bool) -> frozenset[str]:
    turn = {part for part in _IN_TURN if part not in spared and now - reading.read_at[part] >= PERIOD_SECONDS}
    copies = BUCKET in turn and now - reading.read_at[COPIES] >= COPIES_SECONDS
    last = ADDITIONS_SECONDS - TURN_WITHIN_SECONDS if seldom else 0.0  # at the next turn they would be too old
    additions = FUNCTION in turn and now - reading.read_at[ADDITIONS] >= last
    return frozenset(turn | ({COPIES} if copies else set()) | ({ADDITIONS} if additions else set()))


def first(
    generation: int, observed: Observations, *, uid: str, now: float, copies_at: float, deferred: Collection[str] = ()
) -> Reading | None:
    """After a full reading; None where not all of it was read, or something is absent.

    copies_at: of their read. deferred: parts that were not read deep. They are due at any time within the period, but
    not in the first AFTER_START of it; after each start at another one: who is restarted often is not left with the
    same for ever.
    """
    parts = {part: observed.get(part) for part in READ}
    if any(found is None or isinstance(found, Unread) for found in parts.values()):
        return None
    start = zlib.crc32(uid.encode())
    shares = {part: ((place + start) % len(_IN_TURN) + 1) / len(_IN_TURN) for place, part in enumerate(_IN_TURN)}
    drawn = {part: zlib.crc32(f"{uid} {part} {now}".encode()) / 2**32 for part in (*deferred, ADDITIONS)}
    shares |= {part: AFTER_START + (1 - AFTER_START) * drawn[part] for part in deferred}
    shares[ADDITIONS] = drawn[ADDITIONS]
    periods = {ADDITIONS: ADDITIONS_SECONDS}
    read_at = {part: now - periods.get(part, PERIOD_SECONDS) * (1 - share) for part, share in shares.items()}
    return Reading(generation=generation, packed=packed(parts), read_at={**read_at, COPIES: copies_at}, full_at=now)


def continued(
    reading: Reading, observed: Observations, *, deep: Collection[str], failed: Collection[str], now: float
) -> Reading | None:
    """After a reconciliation that found it in sync and wrote nothing; None where a read showed something else.

    observed: of the parts that were read now. deep: of these, those that were read deep. failed: read in vain.
    """
    before = reading.observed
    found: dict[str, Any] = dict(before)
    for part in READ:
        if part not in observed or part in failed or isinstance(observed[part], Unread):
            continue
        read = observed[part] if part in deep else _with_deep(part, observed[part], before[part])
        if part == FUNCTION and part in deep and ADDITIONS not in deep:
            read = _with_additions(read, before[part])
        if read is None or (part not in deep and read != before[part]):
            return None
        found[part] = read
    unread = {*failed, ADDITIONS} if FUNCTION in failed else set(failed)
    read_at = {part: now for part in deep if part not in unread}
    return replace(
        reading, packed=reading.packed if found == before else packed(found), read_at={**reading.read_at, **read_at}
    )  # fmt: skip


def _with_additions(read: Any, known: Any) -> Any:
    """A deep read of the function without ADDITIONS, with what was read of them before."""
    if read is None or read.undeclared is None:
        return read
    return replace(read, undeclared=function_undeclared.with_known(read.undeclared, known.undeclared))


def _with_deep(part: str, read: Any, known: Any) -> Any:
    """A read that was not deep, with what the deep one before has shown."""
    if read is None:
        return None
    if isinstance(read, trigger_mappings.Observed):
        tags = {mapping.uuid: mapping.tags for mapping in known.mappings}
        return trigger_mappings.Observed(mappings=tuple(replace(one, tags=tags.get(one.uuid)) for one in read.mappings))
    if isinstance(read, stream_observed.Observed) and read.arn != known.arn:
        return read
    there = {field.name for field in fields(read)}
    return replace(read, **{name: getattr(known, name) for name in _DEEP_FIELDS[part] if name in there})
