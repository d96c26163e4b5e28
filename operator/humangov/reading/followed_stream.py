"""The table's stream, followed from before a scan: it names what the scan can't show.

A scan reads one place after the other. A record that was written meanwhile, at a place that had been read, is in the
stream, and so is one that moved there. Every key that such a record names, or named before, counts as named: this only
ever keeps a file. Where the stream can't tell that, `why_not` says why, and the scan stands alone.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.cleanup.calls import error_code
from humangov.cleanup.retry import retry
from humangov.reading.named_files import named_keys
from humangov.reading.records_by_key import TooBusyError, read_records
from humangov.reading.shards import (
    TRIMMED,
    Cursor,
    ListedStream,
    Record,
    ShardPage,
    first_place,
    listed_stream,
    next_page,
)

T = TypeVar("T")

Keep = Callable[[Iterable[bytes]], None]
"""Takes the keys that records name."""

BEHIND_SECONDS = 15.0
"""So long before an erasure at most, everything that was written is certain to have been read."""

_LISTED_EVERY_SECONDS = 10.0
_PAGE_EVERY_SECONDS = 60.0
"""During a scan. An iterator expires after fifteen minutes."""

_PAUSE_SECONDS = 0.5
"""The trigger reads the same shards; each may be read five times a second."""

_PAGES_AGAIN, _PAGES_AGAIN_PAUSE_SECONDS = 3, 0.2
"""A page may be empty in the midst of a shard: one alone does not show what came last."""

_READ_WITHIN_SECONDS = 15 * 60.0
_KEPT_SECONDS = 23 * 3600.0
"""DynamoDB keeps a record for 24 hours."""

_LATEST: Mapping[str, str] = {"ShardIteratorType": "LATEST"}
_PAUSES_SECONDS = (0.5, 1.0, 2.0)
_NO_RETRY_HELPS = ("AccessDeniedException", "ResourceNotFoundException", TRIMMED)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the reading of the stream stands. Times: AWS's, in whole seconds.

    known      shards that were listed, also those that need not be read
    cursors    of the shards that have not ended
    ended      shards that have, and whose successors are not listed yet
    listed_at  when the shards were last listed
    at         when the stream last answered
    """

    arn: str
    known: frozenset[str]
    cursors: tuple[Cursor, ...]
    ended: frozenset[str] = frozenset()
    listed_at: float
    at: float

    def is_read(self, *, up_to: float, shown_at: float = -math.inf) -> bool:
        """Whether all that was written in this second and before is read, and all that was shown in that one."""
        return not self.ended and all(
            one.read_up_to >= up_to and (one.empty or one.newest >= shown_at) for one in self.cursors
        )


class _UnusableError(Exception):
    """The stream can't complete the scan; the message says why."""


class _RefusedError(Exception):
    """A page or a place of a shard can't be read now: AWS's code."""


@dataclass(kw_only=True)
class FollowedStream:
    """Not safe to use from several threads at once.

    keep     takes the keys that the stream's records name
    check    called before each page; what it raises ends the read
    why_not  why the stream does not complete the scan, as a part of a sentence about the table; None: it does
    """

    clients: AwsClients
    names: Names
    keep: Keep
    check: Callable[[], None]
    now: Callable[[], float]
    pause: Callable[[float], None]
    why_not: str | None = None
    _place: _Place | None = field(default=None, init=False)
    _paged_at: float = field(default=-math.inf, init=False)

    def begin(self) -> None:
        """Takes the place after which everything is read. To be called before the scan."""
        self._try(lambda _: self._first_place())

    def keep_alive(self) -> None:
        """Called often during the scan: reads a page at times, so that no place expires."""
        if not 0 <= self.now() - self._paged_at < _PAGE_EVERY_SECONDS:
            self._try(lambda place: self._next(place).place)

    def read_up_to_now(self) -> None:
        """To be called after the scan: what was written before this call is then read."""
        self._try(self._up_to_now)

    def read_on(self) -> None:
        """To be called before files are erased: what the stream shows now is then read, and for certain all that was
        written BEHIND_SECONDS before.
        """
        self._try(self._on)

    def _try(self, step: Callable[[_Place], _Place]) -> None:
        if self.why_not is not None:
            return
        try:
            self._place = step(self._place) if self._place else self._first_place()
        except _UnusableError as error:
            self.why_not = str(error)
        except TooBusyError:
            self.why_not = "DynamoDB was too busy to read records that its stream names by their keys alone"
        except _RefusedError as error:
            self.why_not = f"reading its stream failed: {error}"
        except (ClientError, BotoCoreError) as error:
            self.why_not = f"reading its stream failed: {error_code(error)}"
        self._paged_at = self.now()

    def _first_place(self) -> _Place:
        arn = _usable_stream(self.clients, self.names)
        listed = self._listed(arn)
        if math.isinf(listed.at):
            raise _UnusableError("its stream answers without a valid Date header")
        cursors = [self._first_of(arn, shard.name, _LATEST) for shard in listed.shards if not shard.is_closed]
        if not cursors:
            raise _UnusableError("its stream has no open shard")
        known = frozenset(shard.name for shard in listed.shards)
        place = _Place(arn=arn, known=known, cursors=tuple(cursors), listed_at=listed.at, at=listed.at)
        # A page at once: so that the place is certainly taken before the scan.
        return self._page_each(place).place

    def _up_to_now(self, place: _Place) -> _Place:
        listed = self._with_new_shards(place)
        return self._read(listed, up_to=listed.listed_at)

    def _on(self, place: _Place) -> _Place:
        read = self._next(place).place
        for _ in range(_PAGES_AGAIN):
            self.pause(_PAGES_AGAIN_PAUSE_SECONDS)
            read = self._next(read).place
        now = read.at
        if now - read.listed_at > _LISTED_EVERY_SECONDS:
            read = self._with_new_shards(read)
        return self._read(read, up_to=now - BEHIND_SECONDS, shown_at=now)

    def _read(self, place: _Place, *, up_to: float, shown_at: float = -math.inf) -> _Place:
        began, began_here = place.at, self.now()
        while not place.is_read(up_to=up_to, shown_at=shown_at):
            # By our clock too: responses without a date would never end it.
            if max(place.at - began, abs(self.now() - began_here)) > _READ_WITHIN_SECONDS:
                raise _UnusableError("its stream could not be read up to the present within 15 minutes")
            step = self._next(place)
            place = step.place
            if not step.came:
                self.pause(_PAUSE_SECONDS)
        return place

    def _next(self, place: _Place) -> _Step:
        """The next page of each shard. Which shards follow one that has ended is listed at once."""
        step = self._page_each(place)
        return step._replace(place=self._with_new_shards(step.place)) if step.place.ended else step

    def _page_each(self, place: _Place) -> _Step:
        following, came, ended = list[Cursor](), False, set[str]()
        for cursor in place.cursors:
            self.check()
            page = self._patiently(partial(_page, self.clients.streams, cursor))
            self._keep_named(page.records)
            came = came or bool(page.records)
            if page.following:
                following.append(page.following)
            else:
                ended.add(cursor.shard)
        at = max([place.at, *(one.at for one in following)])
        return _Step(replace(place, cursors=tuple(following), ended=place.ended | ended, at=at), came=came)

    def _with_new_shards(self, place: _Place) -> _Place:
        """The shards that have come since the last list are read from their first record on."""
        self.check()
        listed = self._listed(place.arn)
        if listed.at - place.listed_at > _KEPT_SECONDS:
            raise _UnusableError("its stream has not kept all records since the scan began")
        names = [shard.name for shard in listed.shards if shard.name not in place.known]
        cursors = (*place.cursors, *(self._first_of(place.arn, name) for name in names))
        return replace(
            place, known=place.known.union(names), cursors=cursors, listed_at=listed.at, at=max(place.at, listed.at),
            ended=place.ended - {shard.parent for shard in listed.shards},
        )  # fmt: skip

    def _listed(self, arn: str) -> ListedStream:
        """Raises _UnusableError where it is not enabled: what is written is in another stream, or in none."""
        listed = self._patiently(lambda: listed_stream(self.clients.streams, arn))
        if listed.status != "ENABLED":
            raise _UnusableError(f"its stream is {listed.status}")
        return listed

    def _first_of(self, arn: str, shard: str, *where: Mapping[str, str]) -> Cursor:
        return self._patiently(partial(_place_in, self.clients.streams, arn, shard, *where))

    def _patiently(self, call: Callable[[], T]) -> T:
        """One error of AWS's in an hour's scan must not cost the snapshot."""
        return retry(
            call,
            retriable=lambda error: _code(error) not in (None, *_NO_RETRY_HELPS),
            pauses_seconds=_PAUSES_SECONDS,
            pause=self.pause,
        )

    def _keep_named(self, records: Sequence[Record]) -> None:
        """Raises TooBusyError, and what the SDK raises."""
        self.keep(named_keys(list(_images(records)), self.names))
        unseen = [one["dynamodb"]["Keys"] for one in records if _names_unseen(one)]
        if unseen:
            self.keep(named_keys(read_records(self.clients, self.names, unseen, pause=self.pause), self.names))


class _Step(NamedTuple):
    """came: whether any record came."""

    place: _Place
    came: bool


def why_unusable(table: Mapping[str, Any]) -> str | None:
    """Why a table's stream can't complete a scan, by what DescribeTable answers; None: nothing there speaks against it.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
    """
    if not (table.get("StreamSpecification") or {}).get("StreamEnabled") or not table.get("LatestStreamArn"):
        return "its stream is not enabled"
    if table.get("Replicas") or table.get("GlobalTableVersion"):
        return "it is a replica of a global table, whose stream may have only one reader"
    return None


def _usable_stream(clients: AwsClients, names: Names) -> str:
    """The stream's ARN. Raises _UnusableError, and what the SDK raises."""
    table = clients.patient_dynamodb.describe_table(TableName=names.tenant.table.name)["Table"]
    if reason := why_unusable(table):
        raise _UnusableError(reason)
    arn = str(table["LatestStreamArn"])
    try:
        others = _other_readers(clients, names, arn)
    except (ClientError, BotoCoreError) as error:
        raise _UnusableError(f"who else reads its stream can't be listed: {error_code(error)}") from error
    if others:
        # A shard may have two readers, and the trigger is one: ours would take the place of the other.
        raise _UnusableError(f"its stream has other readers than the trigger: {others} event source mappings")
    return arn


def _other_readers(clients: AwsClients, names: Names, arn: str) -> int:
    """How many mappings of other functions read the stream. What reads without one shows when it is throttled."""
    number, more = 0, dict[str, Any]()
    while True:
        answer = clients.functions.list_event_source_mappings(EventSourceArn=arn, **more)
        mappings = answer.get("EventSourceMappings") or ()
        number += sum(_is_other(one, names) for one in mappings)
        if not answer.get("NextMarker"):
            return number
        more = {"Marker": answer["NextMarker"]}


def _is_other(mapping: Mapping[str, Any], names: Names) -> bool:
    """A mapping may name a version or an alias of the function."""
    function = str(mapping.get("FunctionArn"))
    own = function == names.function_arn or function.startswith(f"{names.function_arn}:")
    return not own and mapping.get("State") not in ("Disabled", "Deleting")


def _page(streams: Any, cursor: Cursor) -> ShardPage:
    """Raises _RefusedError."""
    page = next_page(streams, cursor)
    if page.following and page.following.renewed and page.unread is None:  # nothing was answered, not even the time
        page = next_page(streams, page.following)
    if page.unread is not None:
        raise _RefusedError(page.unread)
    return page


def _place_in(streams: Any, arn: str, shard: str, *where: Mapping[str, str]) -> Cursor:
    """Raises _RefusedError."""
    cursor = first_place(streams, arn, shard, *where)
    if isinstance(cursor, str):
        raise _RefusedError(cursor)
    return cursor


def _code(error: Exception) -> str | None:
    """AWS's code; None of what is no error of AWS's."""
    if isinstance(error, _RefusedError):
        return str(error)
    return error_code(error) if isinstance(error, ClientError | BotoCoreError) else None


def _images(records: Sequence[Record]) -> Iterator[Mapping[str, Any]]:
    """What the records were before and after."""
    for record in records:
        change = record["dynamodb"]
        yield from (change[image] for image in ("OldImage", "NewImage") if image in change)


def _names_unseen(record: Record) -> bool:
    """Whether the record may name a file that the stream's view type does not show."""
    return record.get("eventName") != "REMOVE" and "NewImage" not in record["dynamodb"]
