"""What a sweep has found and done, and the word for it. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from humangov.redrive.result import RedriveResult
from humangov.sweep.erasure import ErasureResult
from humangov.sweep.listing import Stored
from humangov.sweep.orphan_list import OrphanList
from humangov.sweep.safety_checks import SafetyCheck

DETECT, DELETE = "Detect", "Delete"
RUNNING, DETECTED, ERASED, STOPPED, SAFETY_CHECK_FAILED, FAILED = (
    "Running", "Detected", "Erased", "Stopped", "SafetyCheckFailed", "Failed",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """As far as the sweep has come. Numbers are files, if nothing else is said; times are S3's.

    started        by this machine's clock
    listed         under the key prefix, and of spec.sweep.include
    too_young      younger than spec.sweep.minimumAge
    live           of the others, named by a record
    orphans        named by none
    confirmed      of those, seen so by an earlier sweep long enough ago
    spared         confirmed, and named after all when the table was read again
    shared         keys that several records name, though each should be named by one
    failed_checks  why nothing was erased; in mode Detect: why nothing would be
    approved       a person has let the orphan list go, in spite of a check that failed
    orphan_list    as it is kept in the bucket
    """

    run: str
    mode: str
    dry_run: bool
    started: datetime
    records: int = 0
    listed: int = 0
    too_young: int = 0
    live: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    confirmed: int = 0
    spared: int = 0
    shared: tuple[str, ...] = ()
    largest: Sequence[Stored] = ()
    failed_checks: Sequence[SafetyCheck] = ()
    approved: bool = False
    redriven: RedriveResult | None = None
    erased: ErasureResult = field(default_factory=ErasureResult)
    orphan_list: OrphanList | None = None
    log_stream: str | None = None

    @property
    def left(self) -> int:
        """Orphans that are still there."""
        return self.orphans - self.erased.count("erased") - self.erased.count("absent")


def begin(*, mode: str, dry_run: bool = False, now: float) -> SweepResult:
    """Of a run that is about to be. now: seconds since the epoch."""
    return SweepResult(run=secrets.token_hex(4), mode=mode, dry_run=dry_run, started=datetime.fromtimestamp(now, UTC))


def word_for(result: SweepResult, *, failed: bool, stopped: bool) -> str:
    """One word for what became of the run."""
    if failed:
        return FAILED
    if stopped or (result.erased.unfinished and not result.erased.outcomes):
        return STOPPED
    if result.mode != DELETE or result.dry_run:
        return DETECTED
    if result.failed_checks:
        return SAFETY_CHECK_FAILED
    return ERASED if result.erased.outcomes else DETECTED


def exit_code(result: SweepResult, *, word: str) -> int:
    """0: nothing is left to do. 2: orphans are left. 3: a safety check failed. 1: the sweep failed."""
    if word == FAILED:
        return 1
    if word == SAFETY_CHECK_FAILED:
        return 3
    return 2 if result.left or word == STOPPED else 0
