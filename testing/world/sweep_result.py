"""Whether what an ended sweep says is so: its word, and its numbers beside what it did and what its receipts say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from humangov.sweep.incomplete_uploads import ABORTED
from humangov.sweep.result import DELETE, DETECTED, ERASED, STOPPED
from humangov.sweep.run import EndedSweep

from testing.world.actor import Actor
from testing.world.audit import Audit, StoredOutcome

False_ = tuple[str, str]
"""A short reason, and this one."""

_SETTLED = (DETECTED, ERASED)
"""Words of a sweep that came to its end, and which no safety check held back."""


def what_is_false(ended: EndedSweep, status: Mapping[str, Any], actor: Actor, audit: Audit) -> Iterator[False_]:
    result, did = ended.result, ended.result.erased
    if result.orphan_list is None and ended.word in _SETTLED:
        yield f"a sweep is {ended.word} and has stored no orphan list", str(status["message"])
    if result.mode != DELETE and (actor.sweeping.erased or status.get("erased")):
        yield "a sweep in mode Detect erases, or counts erasures", str(sorted(actor.sweeping.erased))
    if ended.word == ERASED and not did.count("erased") and did.count("failed"):
        yield "every erasure of a sweep failed, and its result is Erased", str(status["message"])
    if ended.word in _SETTLED and (ended.problem or did.stopped):
        yield "a sweep ended early, and its result does not say so", f"{ended.word}: {ended.problem or did.unfinished}"
    if ended.word == STOPPED and not actor.sweeping.stop and not did.unfinished:
        yield "a sweep says that it was stopped, and nobody stopped it", str(ended.problem)
    if (counted := sum(did.outcomes.values())) < len(actor.sweeping.erased):
        yield "a sweep erased files that its result does not count", f"{counted} of {sorted(actor.sweeping.erased)}"
    own = [one for one in audit.outcomes if one.by is actor and _is_own(one, actor)]
    erased_keys = {
        one.key for one in own if one.outcome and one.outcome.kind == "erased" and one.outcome != ABORTED
    }  # fmt: skip
    if did.count("erased") < len(erased_keys):
        yield "a sweep counts fewer erasures than its receipts", f"{did.count('erased')}, not {sorted(erased_keys)}"
    if ended.problem is None and did.count("erased") > len(erased_keys):
        yield "a sweep counts more erasures than its receipts", f"{did.count('erased')}, not {sorted(erased_keys)}"
    if result.orphan_list is not None and status.get("erased", 0) != did.count("erased"):
        yield "the status of a sweep counts other erasures than its result", f"{status.get('erased')}"


def _is_own(one: StoredOutcome, actor: Actor) -> bool:
    return actor.sweeping.intended.get(one.key) == one.event_id
