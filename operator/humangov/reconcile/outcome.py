"""The result of one reconciliation, for the work queue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """When the queue is to run the key again.

    requeue_after_seconds  None: at the next resync, or after the back-off if it failed
    failed, soon           which back-off applies: the short one (`soon`, transient errors) or the long one
    throttled              of a Ready tenant: it failed only because no more calls are taken, which is no news of it
    forget                 the key no longer exists
    put_off                of a resync: it was not run, and is still one
    progressed             something was done that had not been done before: a failure then restarts the back-off
    """

    requeue_after_seconds: float | None = None
    failed: bool = False
    soon: bool = True
    throttled: bool = False
    put_off: bool = False
    forget: bool = False
    progressed: bool = False
