"""A sweep of one tenant: whether it may run, its mode, and its result."""

from __future__ import annotations

import gc
import sqlite3
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from humangov.api.names import Names
from humangov.api.signatures import signer
from humangov.api.spec import APPROVE_ANNOTATION, Tenant
from humangov.api.stop import STOP_ANNOTATION, why_not_erase
from humangov.aws.data_plane import connect_as_sweep
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.cleanup.calls import NoReceiptError
from humangov.reading.progress import FailedError, Progress, Steps, StoppedError
from humangov.sweep import engine
from humangov.sweep.bucket_claim import ClaimedError
from humangov.sweep.local_search import LocalSearch
from humangov.sweep.result import DELETE, DETECT, SweepResult, begin, exit_code, word_for
from humangov.sweep.surroundings import Surroundings


class NotNowError(Exception):
    """The tenant does not exist or must not be swept now; the message says why."""


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """The options of the command line. mode None: spec.sweep.mode. approved: sha256 of an orphan list.

    interrupted: the reason to stop, or None.
    """

    mode: str | None = None
    dry_run: bool = False
    approved: str | None = None
    interrupted: Callable[[], str | None] = lambda: None
    progress: Callable[[Progress], None] = lambda _progress: None


@dataclass(frozen=True, kw_only=True)
class EndedSweep:
    """word: its result. problem: why it failed or was stopped. note: an additional sentence.

    bug: a mistake of this program ended it. unreported: why the HumanGovState's status does not have the result; None:
    it has, or nobody asked for that.
    """

    names: Names
    result: SweepResult
    word: str
    problem: str | None
    note: str | None
    ended: datetime
    bug: bool = False
    unreported: str | None = None

    @property
    def exit_code(self) -> int:
        return 1 if self.unreported else exit_code(self.result, word=self.word)


def begin_process() -> None:
    """Once in a process that ends with its sweep: the garbage collector leaves out what was loaded before.

    The SDK's modules and models are several hundred thousand objects, which a listing's own have it visit often.
    """
    gc.freeze()


class BegunSweep(NamedTuple):
    """note: why its mode is Detect and not Delete."""

    result: SweepResult
    note: str | None


def sweep_tenant_of_manifest(names: Names, options: SweepRequest) -> EndedSweep:
    """Sweep a tenant that a manifest declares; only the caller can stop it. Raises NotNowError."""
    require_sweepable(names.tenant)
    begun = begin_sweep(names.tenant, options)
    stop = options.interrupted
    return run_sweep(names, begun, options, why_stop=stop, may_erase=stop)


def begin_sweep(tenant: Tenant, options: SweepRequest) -> BegunSweep:
    mode, note = _mode(tenant, options.mode)
    return BegunSweep(begin(mode=mode, dry_run=options.dry_run, now=time.time()), note)


def run_sweep(
    names: Names,
    begun: BegunSweep,
    options: SweepRequest,
    *,
    why_stop: Callable[[], str | None],
    may_erase: Callable[[], str | None],
) -> EndedSweep:
    """why_stop: called often; may_erase: called before files are erased. Each returns the reason to stop, or None."""
    annotations = names.tenant.annotations
    around = Surroundings(
        steps=Steps(why_stop=why_stop, show=options.progress),
        may_erase=may_erase,
        approved=options.approved or annotations.get(APPROVE_ANNOTATION),
        approver=None if options.approved else signer(annotations, APPROVE_ANNOTATION),
    )
    end = _to_its_end(names, begun.result, around)
    return EndedSweep(
        names=names, result=end.result, word=word_for(end.result, failed=end.failed, stopped=end.stopped),
        problem=end.problem, note=begun.note, ended=datetime.now(UTC), bug=end.bug,
    )  # fmt: skip


def require_sweepable(tenant: Tenant) -> None:
    """Raises NotNowError."""
    if STOP_ANNOTATION in tenant.annotations:
        raise NotNowError(f"{tenant.key}: annotation {STOP_ANNOTATION} is set, so no sweep runs. Start it first")
    if tenant.deleting:
        raise NotNowError(f"{tenant.key} is being deleted")
    if tenant.suspend:
        raise NotNowError(f"{tenant.key}: spec.suspend is true, so no sweep runs. Set it to false first")


def _mode(tenant: Tenant, wanted: str | None) -> tuple[str, str | None]:
    """The mode, and why it is Detect and not Delete."""
    mode = wanted or tenant.sweep.mode
    if mode != DELETE:
        return DETECT, None
    if reason := why_not_erase(tenant):
        return DETECT, f"{reason}, so this sweep ran in mode Detect and erased nothing"
    return DELETE, None


def _of_bug(error: Exception) -> str:
    """Without the error's text, which may name files."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}, line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
    return (
        f"the sweep has ended because of a bug: {type(error).__name__}{place}. Report it; the next sweep starts again"
    )


class _End(NamedTuple):
    """The result, as far as the run came, and what ended it early."""

    result: SweepResult
    problem: str | None = None
    stopped: bool = False
    bug: bool = False

    @property
    def failed(self) -> bool:
        return self.problem is not None and not self.stopped


def _to_its_end(names: Names, begun: SweepResult, around: Surroundings) -> _End:
    result = begun
    try:
        # Whatever ends the run early, the result until then is reported.
        for reached in engine.sweep(connect_as_sweep(names), names, begun, around=around, search_of=LocalSearch):
            result = reached
    except StoppedError as error:
        return _End(result, f"stopped: {error}", stopped=True)
    except (ClaimedError, FailedError, NoReceiptError) as error:
        return _End(result, str(error))
    except SDK_ERRORS as error:
        return _End(result, f"this error ended the sweep early: {without_names(error)}. The next sweep retries")
    except (OSError, sqlite3.Error) as error:
        more = "give it more space: the chart's value sweep.scratchSize, or TMPDIR"
        return _End(result, f"the sweep could not store its temporary data ({error}); {more}")
    except Exception as error:  # a mistake must not hide what was erased
        return _End(result, _of_bug(error), bug=True)
    return _End(result)
