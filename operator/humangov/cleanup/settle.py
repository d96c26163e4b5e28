"""Settles freed files: checks each against the bucket and the live table, and erases it if nothing prevents that."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from . import guard, indexes, receipt_lines
from .calls import OUT_OF_TIME, RETRY_WITHIN_SECONDS, Calls, NoReceiptError
from .environment import SHARED, FunctionSettings
from .erase import Erased, erase, erase_versions
from .log_lines import bug_line, no_receipt_line
from .outcomes import KEPT_RESERVED, LEFT_TO_SWEEP, LIMITED, NO_RECEIPT, FileOutcome, FileResult, failed, held
from .records import FreedFile, RecordChange, RecordKey
from .references import is_reserved
from .versions import Versions, keeps_versions, list_versions

LISTINGS_AT_ONCE = 16

Results = dict[str, FileResult]


class Namers(NamedTuple):
    """The records of the batch that may name a file, by record id → primary key.

    of_file   object key → the records that freed it or were given it
    of_any    records of which the stream does not tell what they name
    """

    of_file: Mapping[str, Mapping[str, RecordKey]]
    of_any: Mapping[str, RecordKey]


def settle(
    files: Sequence[FreedFile], *, changes: Iterable[RecordChange], settings: FunctionSettings, calls: Calls
) -> Results:
    """Each file's result, after a second attempt if the bucket turns out to keep versions.

    files: as many as one DeleteObjects allows. changes: the whole batch's, because any of them may name a file.
    """
    kept = {
        file.key: FileResult(why)
        for file in files
        if (why := _kept_unseen(file.key, settings) or calls.why_kept(file.key))
    }
    left = _without(files, kept)
    if not left:
        return kept
    namers = _namers(changes, {file.key for file in left})
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


def _kept_unseen(key: str, settings: FunctionSettings) -> FileOutcome | None:
    """Why the file stays, whatever the table and the bucket contain; else None."""
    if is_reserved(key, key_prefix=settings.key_prefix):
        return KEPT_RESERVED
    if settings.file_names == SHARED:
        return LEFT_TO_SWEEP
    return held(reason=settings.hold.reason, since=settings.hold.since) if settings.hold else None


def _namers(changes: Iterable[RecordChange], keys: set[str]) -> Namers:
    of_file: dict[str, dict[str, RecordKey]] = {key: {} for key in keys}
    of_any: dict[str, RecordKey] = {}
    for change in changes:
        # The record moved to a new id: it now names a file that another change freed.
        for key in keys.intersection(change.frees) | (keys & (change.names or set())):
            of_file[key][change.record_id] = change.record_key
        if change.names is None:
            of_any[change.record_id] = change.record_key
    return Namers(of_file, of_any)


def _unless_hidden(result: FileResult, error: str) -> FileResult:
    """error: why the delete marker of the first attempt remains. It hides, or it replaced, a file that is kept."""
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

    Listing and live read miss only what is written between them and the erasure: while the intents are stored. If that
    takes longer than a retry of the erasure may, both are repeated.
    """
    kept, seen = _by_age(files, by_version=by_version, settings=settings, calls=calls)
    undecided = _without(files, kept)
    kept |= _by_live_read(undecided, namers=namers, settings=settings, calls=calls)
    read_at = calls.now()
    kept |= _limited(_without(undecided, kept), announced=announced, calls=calls)
    to_erase = _without(undecided, kept)
    new = [file for file in to_erase if file.key not in announced]
    if why := _announce(new, seen=seen, settings=settings, calls=calls):
        return Erased(kept | {file.key: FileResult(why) for file in to_erase}, {})
    last: Results = {}
    if calls.now() - read_at > RETRY_WITHIN_SECONDS:
        last, _ = _by_age(to_erase, by_version=by_version, settings=settings, calls=calls)
        rest = _without(to_erase, last)
        last |= _by_live_read(rest, namers=namers, settings=settings, calls=calls)
    left = _without(to_erase, last)
    versions = {file.key: seen[file.key] for file in left if file.key in seen}
    by_versions = erase_versions(calls, bucket=settings.bucket, seen=versions) if versions else {}
    whole = erase(calls, bucket=settings.bucket, keys=[file.key for file in left if file.key not in seen])
    tried = {key: result._replace(announced=True) for key, result in (last | by_versions | whole.results).items()}
    return Erased(kept | tried, whole.hidden)


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


def _by_age(
    files: Sequence[FreedFile], *, by_version: bool, settings: FunctionSettings, calls: Calls
) -> tuple[Results, dict[str, Versions]]:
    """The results that a listing alone decides, and the versions of the other files that are erased by version.

    Lists the files that must be older than the removal, and all files if `by_version`.
    """
    now = calls.now()
    older_only = {
        file.key: guard.must_be_older(file.removed_at, file_names=settings.file_names, now=now) for file in files
    }
    to_list = [file for file in files if by_version or older_only[file.key]]
    kept: Results = {}
    seen: dict[str, Versions] = {}
    with ThreadPoolExecutor(LISTINGS_AT_ONCE) as pool:
        listings = pool.map(partial(_list, calls, settings.bucket), to_list) if to_list else ()
        for file, listed in zip(to_list, listings, strict=True):
            if isinstance(listed, FileOutcome):
                kept[file.key] = FileResult(listed)
            elif why := guard.age_verdict(listed, removed_at=file.removed_at, older_only=older_only[file.key]):
                kept[file.key] = FileResult(why)
            elif by_version or keeps_versions(listed):
                seen[file.key] = listed
    return kept, seen


def _list(calls: Calls, bucket: str, file: FreedFile) -> Versions | FileOutcome:
    """The file's versions in S3, or the outcome if they could not be listed."""
    try:
        return list_versions(calls, bucket=bucket, key=file.key)
    except Exception as error:
        return failed(calls.failed("ListObjectVersions", error))


def _by_live_read(
    files: Sequence[FreedFile], *, namers: Namers, settings: FunctionSettings, calls: Calls
) -> Results:  # fmt: skip
    """The files that a live record may name, and those for which that is unknown.

    Reads every record of the batch that may name one of them, and every record that an index finds.
    """
    indexed = indexes.find_records(calls, settings=settings, files=files)
    record_keys = {
        file.key: {**namers.of_file[file.key], **indexed.of_file.get(file.key, {})} for file in files
    }  # fmt: skip
    together = itertools.chain(namers.of_any.values(), *(one.values() for one in record_keys.values()))
    live = guard.read_live(calls, settings=settings, record_keys=together if files else ())
    # They may name any file: one of them that is unread leaves every file undecided.
    unread = [one for one in namers.of_any if one in live.unread][:1]
    verdicts = {
        file.key: guard.verdict(file, record_ids=[*record_keys[file.key], *unread], live=live)
        or indexed.unknown.get(file.key)
        for file in files
    }
    return {key: FileResult(why) for key, why in verdicts.items() if why}


def _without(files: Iterable[FreedFile], results: Results) -> list[FreedFile]:
    return [file for file in files if file.key not in results]
