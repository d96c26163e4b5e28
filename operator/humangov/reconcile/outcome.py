"""What one reconciliation asks of the work queue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run asks of the queue. `after` seconds; None = at the next resync, or by back-off if it failed."""

    after: float | None = None
    failed: bool = False
    soon: bool = True
    forget: bool = False  # the key is gone
    progressed: bool = False  # something came about that had not before; of a failure, that it begins the back-off anew
