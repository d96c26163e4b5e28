"""A look at freed files: what keeps them now, by what S3 lists under their keys and by what live records name."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from . import guard, indexes
from .calls import Calls
from .environment import FunctionSettings
from .outcomes import FileOutcome, FileResult, failed
from .records import FreedFile, RecordChange, RecordKey
from .versions import NULL, Versions, keeps_versions, list_versions

LISTINGS_AT_ONCE = 16

Results = dict[str, FileResult]


class Namers(NamedTuple):
    """The records of the batch that may name a file, by record id → primary key.

    of_file   object key → the records that freed it or were given it
    of_any    records of which the stream does not tell what they name
    """

    of_file: Mapping[str, Mapping[str, RecordKey]]
    of_any: Mapping[str, RecordKey]


class Look(NamedTuple):
    """What a look at some files found.

    kept    the results that it decides
    seen    the versions of the other files that are erased by version
    listed  keys that were listed
    listing_began, reading_began  in seconds since the epoch
    """

    kept: Results
    seen: Mapping[str, Versions]
    listed: Set[str]
    listing_began: float
    reading_began: float

    @property
    def exact(self) -> Set[str]:
        """Keys that need no second listing: a version ID always names the same version, except `null`."""
        return {key for key, versions in self.seen.items() if all(one.version_id != NULL for one in versions)}

    def began(self, files: Iterable[FreedFile]) -> float:
        """When the first call began that decides about one of these files."""
        by_date = self.listed - self.exact
        return self.listing_began if any(file.key in by_date for file in files) else self.reading_began


def look(
    files: Sequence[FreedFile],
    *,
    by_version: bool,
    exact: Collection[str] = (),
    namers: Namers,
    settings: FunctionSettings,
    calls: Calls,
) -> Look:
    """Lists the files that must be older than the removal, and all if `by_version`; but none that is `exact`.

    Then reads the live records that may name one of them.
    """
    listing_began = calls.now()
    older_only = {
        file.key: guard.must_be_older(file.removed_at, file_names=settings.file_names, now=listing_began)
        for file in files
    }
    to_list = [file for file in files if (by_version or older_only[file.key]) and file.key not in exact]
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
    reading_began = calls.now()
    kept |= _by_live_read(without(files, kept), namers=namers, settings=settings, calls=calls)
    return Look(kept, seen, {file.key for file in to_list}, listing_began, reading_began)


def without(files: Iterable[FreedFile], results: Collection[str]) -> list[FreedFile]:
    """The files that have no result yet."""
    return [file for file in files if file.key not in results]


def namers_of(changes: Iterable[RecordChange], keys: set[str]) -> Namers:
    """keys: of the files that are looked at."""
    of_file: dict[str, dict[str, RecordKey]] = {key: {} for key in keys}
    of_any: dict[str, RecordKey] = {}
    for change in changes:
        # The record moved to a new id: it now names a file that another change freed.
        for key in keys.intersection(change.frees) | (keys & (change.names or set())):
            of_file[key][change.record_id] = change.record_key
        if change.names is None:
            of_any[change.record_id] = change.record_key
    return Namers(of_file, of_any)


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
