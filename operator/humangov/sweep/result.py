"""What a sweep found and did, and the word for its result. Pure."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from humangov.cleanup.outcomes import FileOutcome
from humangov.redrive.result import RedriveResult
from humangov.sweep.erasure import ErasureResult
from humangov.sweep.incomplete_uploads import IncompleteUploads
from humangov.sweep.list_expiry import ExpiredLists
from humangov.sweep.listing import Stored
from humangov.sweep.orphan_list import OrphanList
from humangov.sweep.safety_checks import SafetyCheck

DETECT, DELETE = "Detect", "Delete"
RUNNING, DETECTED, ERASED, ERASURE_FAILED, STOPPED, SAFETY_CHECK_FAILED, FAILED = (
    "Running", "Detected", "Erased", "ErasureFailed", "Stopped", "SafetyCheckFailed", "Failed",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """The result so far. Numbers count files unless stated otherwise; times are S3's.

    started        by this machine's clock
    listed         under the key prefix, matching spec.sweep.include
    too_young      younger than spec.sweep.minimumAge
    live           of the others, named by a record
    orphans        named by no record
    alike          orphans that a record may mean that names no file of the bucket
    confirmed      orphans that an earlier sweep saw long enough ago
    spared         confirmed, but named by a record when the table was read again, up to their batch
    scan_alone     why a reading of the table was no snapshot, as a part of a sentence about the table; None: all were
    shared         keys that several records name, although file names are unique
    failed_checks  why no orphan was erased; in mode Detect: why mode Delete would erase nothing
    approved       a safety check failed, but a person approved the orphan list
    approver       who that was, by the signature of the approval; None: not known
    settled        files that an interrupted sweep had begun to erase, by what this one found of them
    orphan_list    as stored in the bucket
    uploads        incomplete multipart uploads
    expired        orphan lists whose names, or numbers, were removed
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
    alike: int = 0
    confirmed: int = 0
    spared: int = 0
    shared: tuple[str, ...] = ()
    largest: Sequence[Stored] = ()
    failed_checks: Sequence[SafetyCheck] = ()
    approved: bool = False
    approver: str | None = None
    redriven: RedriveResult | None = None
    settled: Counter[FileOutcome] = field(default_factory=Counter)
    erased: ErasureResult = field(default_factory=ErasureResult)
    orphan_list: OrphanList | None = None
    log_stream: str | None = None
    scan_alone: str | None = None
    uploads: IncompleteUploads = field(default_factory=IncompleteUploads)
    expired: ExpiredLists = field(default_factory=ExpiredLists)

    @property
    def left(self) -> int:
        """Orphans that remain."""
        return self.orphans - self.erased.count("erased") - self.erased.count("absent")


def begin(*, mode: str, dry_run: bool = False, now: float) -> SweepResult:
    """The result of a run that starts now. now: seconds since the epoch."""
    return SweepResult(run=secrets.token_hex(4), mode=mode, dry_run=dry_run, started=datetime.fromtimestamp(now, UTC))


def word_for(result: SweepResult, *, failed: bool, stopped: bool) -> str:
    """One word for the run's result."""
    if failed:
        return FAILED
    if stopped or result.erased.stopped or result.uploads.stopped:
        return STOPPED
    if result.mode != DELETE or result.dry_run:
        return DETECTED
    if result.failed_checks:
        return SAFETY_CHECK_FAILED
    if result.erased.count("failed") or result.uploads.count("failed"):
        return ERASURE_FAILED
    if result.erased.unfinished and not result.erased.outcomes:  # such as a reading that was too old from the beginning
        return ERASURE_FAILED
    return ERASED if result.erased.count("erased") or result.uploads.count("erased") else DETECTED


def exit_code(result: SweepResult, *, word: str) -> int:
    """0: no orphans remain. 2: orphans remain. 3: a safety check failed. 4: files could not be erased. 1: it failed."""
    codes = {FAILED: 1, SAFETY_CHECK_FAILED: 3, ERASURE_FAILED: 4}
    if word in codes:
        return codes[word]
    return 2 if result.left or word == STOPPED else 0
