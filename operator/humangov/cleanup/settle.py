"""Settles freed files: checks each against the bucket and the live table, and erases it if nothing prevents that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from . import receipt_lines
from .calls import OUT_OF_TIME, RETRY_WITHIN_SECONDS, Calls, NoReceiptError
from .environment import SHARED, FunctionSettings
from .erase import KEYS_PER_CALL, REPLACED, Erased, erase, erase_versions, weight
from .guard import is_nearly_too_old
from .log_lines import bug_line, no_receipt_line
from .look import Look, Namers, Results, look, namers_of, without
from .outcomes import (
    ABSENT,
    ERASED,
    KEPT_RESERVED,
    LEFT_TO_SWEEP,
    LIMITED,
    NEARLY_TOO_OLD,
    NO_RECEIPT,
    FileOutcome,
    FileResult,
    failed,
    held,
)
from .records import FreedFile, RecordChange
from .references import is_reserved
from .versions import Versions

LISTED_TOGETHER = 200
"""So many listings take less than half a second."""


def settle(
    files: Sequence[FreedFile], *, changes: Iterable[RecordChange], settings: FunctionSettings, calls: Calls
) -> Results:
    """Each file's result, after a second attempt if the bucket turns out to keep versions.

    files: as many as one DeleteObjects allows. changes: the whole batch's, because any of them may name a file.
    """
    kept = {
        file.key: FileResult(why)
        for file in files
        if (why := _kept_unseen(file, settings, now=calls.now()) or calls.why_kept(file.key))
    }
    left = without(files, kept)
    if not left:
        return kept
    namers = namers_of(changes, {file.key for file in left})
    attempt = partial(_attempt, namers=namers, settings=settings, calls=calls)
    first = attempt(left, by_version=calls.keeps_versions(), announced=())
    results = kept | first.results
    if not first.hidden:
        return results
    hidden = [file for file in left if file.key in first.hidden]
    second = attempt(hidden, by_version=True, announced=first.hidden)
    return results | {
        key: _unless_hidden(result, first.hidden[key])._replace(announced=True)
        for key, result in second.results.items()
    }


def _kept_unseen(file: FreedFile, settings: FunctionSettings, *, now: float) -> FileOutcome | None:
    """Why the file stays, whatever the table and the bucket contain; else None."""
    if is_reserved(file.key, key_prefix=settings.key_prefix):
        return KEPT_RESERVED
    if settings.file_names == SHARED:
        return LEFT_TO_SWEEP
    if settings.hold:
        return held(reason=settings.hold.reason, since=settings.hold.since)
    too_old = (
        is_nearly_too_old(change.removed_at, limit_seconds=settings.record_age_limit_seconds, now=now)
        for change in file.freed_by
    )
    return NEARLY_TOO_OLD if any(too_old) else None


def _unless_hidden(result: FileResult, error: str) -> FileResult:
    """error: why the delete marker of the first attempt remains. It hides, or it replaced, a file that is kept.

    A file that the marker replaced is erased, even if another invocation has removed the marker since.
    """
    if error == REPLACED and result.outcome == ABSENT:
        return FileResult(ERASED)
    hidden = error and result.outcome.kind == "kept"
    return FileResult(failed(error)) if hidden else result


def _attempt(
    files: Sequence[FreedFile],
    *,
    by_version: bool,
    announced: Collection[str],
    namers: Namers,
    settings: FunctionSettings,
    calls: Calls,
) -> Erased:
    """Checks and erases these files; an unexpected error fails all of them. announced: keys with a written intent."""
    try:
        return _check_and_erase(
            files, by_version=by_version, announced=announced, namers=namers, settings=settings, calls=calls
        )
    except Exception as error:
        numbers = [change.sequence_number for file in files for change in file.freed_by]
        calls.write([bug_line(error, numbers, settings=settings)])
        return Erased({file.key: FileResult(failed(type(error).__name__)) for file in files}, {})


def _check_and_erase(
    files: Sequence[FreedFile],
    *,
    by_version: bool,
    announced: Collection[str],
    namers: Namers,
    settings: FunctionSettings,
    calls: Calls,
) -> Erased:
    """Versions are listed before the live read, and only those are erased: later ones are safe.

    What keeps a file may come between the look at it and its erasure. So a look is repeated if it began more than a
    second before S3 is asked to erase: storing the intents may take long, and so may many files, many versions, and
    asking whether to stop.
    """
    look_at = partial(look, by_version=by_version, namers=namers, settings=settings, calls=calls)
    first = look_at(files)
    kept = first.kept | _limited(without(files, first.kept), announced=announced, calls=calls)
    to_erase = without(files, kept)
    new = [file for file in to_erase if file.key not in announced]
    if why := _announce(new, seen=first.seen, settings=settings, calls=calls):
        return Erased(kept | {file.key: FileResult(why) for file in to_erase}, {})
    tried: Results = {}
    hidden: dict[str, str] = {}
    for part in _parts(to_erase, first):
        calls.out_of_time()  # it may have to ask, which may take seconds; the next calls then go by this answer
        if calls.now() - first.began(part) > RETRY_WITHIN_SECONDS:
            tried |= look_at(part, exact=first.exact).kept
        erased = _erase(without(part, tried), seen=first.seen, settings=settings, calls=calls)
        tried |= erased.results
        hidden |= erased.hidden
    return Erased(kept | {key: result._replace(announced=True) for key, result in tried.items()}, hidden)


def _parts(files: Sequence[FreedFile], first: Look) -> Iterator[Sequence[FreedFile]]:
    """As many files at once as can be looked at and erased within a second: what one DeleteObjects takes."""
    part: list[FreedFile] = []
    entries = listings = 0
    for file in files:
        more = weight(file.key, versions=len(first.seen.get(file.key, ())) or 1)
        listed = file.key in first.listed and file.key not in first.exact
        if part and (entries + more > KEYS_PER_CALL or listings + listed > LISTED_TOGETHER):
            yield part
            part, entries, listings = [], 0, 0
        part.append(file)
        entries, listings = entries + more, listings + listed
    if part:
        yield part


def _erase(
    files: Sequence[FreedFile], *, seen: Mapping[str, Versions], settings: FunctionSettings, calls: Calls
) -> Erased:  # fmt: skip
    versions = {file.key: seen[file.key] for file in files if file.key in seen}
    by_versions = erase_versions(calls, bucket=settings.bucket, seen=versions) if versions else {}
    whole = erase(calls, bucket=settings.bucket, keys=[file.key for file in files if file.key not in seen])
    return Erased(by_versions | whole.results, whole.hidden)


def _limited(files: Sequence[FreedFile], *, announced: Collection[str], calls: Calls) -> Results:
    """The files beyond the limit of erasures in an hour. One whose erasure has begun is brought to its end."""
    new = [file.key for file in files if file.key not in announced]
    beyond = calls.limit.beyond(new, now=calls.now()) if calls.limit else ()
    return {key: FileResult(LIMITED) for key in beyond}


def _announce(
    files: Sequence[FreedFile], *, seen: Mapping[str, Versions], settings: FunctionSettings, calls: Calls
) -> FileOutcome | None:
    """Stores the intents, and counts the files for the limit. Returns why nothing may be erased now, or None."""
    if calls.out_of_time():
        return failed(OUT_OF_TIME)
    lines = [
        receipt_lines.intent_line(
            change, file.key, settings=settings,
            versions_seen=len(seen[file.key]) if file.key in seen else None,
        )
        for file in files for change in file.freed_by
    ]  # fmt: skip
    try:
        calls.store(lines)
    except NoReceiptError as error:
        calls.write([no_receipt_line(error, number=len(lines), settings=settings)])
        return NO_RECEIPT
    if calls.limit:
        calls.limit.start([file.key for file in files], now=calls.now())
    return None
