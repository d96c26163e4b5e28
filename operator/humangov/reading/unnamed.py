"""Of some keys, those that no record names: by a reading of the whole table.

Anyone may have written the event of a failed invocation, and a record of an old event may have moved to another id
since. So redrive and final stream read erase only what a reading of the whole table shows to be named by no record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.aws.function_environment import environment
from humangov.cleanup.environment import FunctionSettings, in_account_of, read_settings
from humangov.cleanup.outcomes import KEPT_LIVE, FileOutcome, failed
from humangov.cleanup.records import read_change
from humangov.reading.named_files import ready_table, require_same_table
from humangov.reading.progress import Steps
from humangov.reading.snapshot import TableDescription, describe
from humangov.reading.table_reading import TableReading, read_completely

_UPDATING_PAUSE_SECONDS, _UPDATING_PAUSES = 2.0, 60
"""A table is UPDATING for up to a minute after its stream was disabled, as it is before a final stream read."""

READ_ON_EVERY_SECONDS = 2.0
"""A legal hold leaves thousands of failed invocations, each of which is handled in a fraction of this."""

NOT_IN_THE_READING = failed("NotInTheReading")
READING_TOO_OLD = failed("ReadingTooOld")
NAMED_MEANWHILE = failed("NamedMeanwhile")
"""The stream names it, and what it names may be gone by now: the next reading shows whether a record names it."""


@dataclass(kw_only=True)
class AskedKeys:
    """What a reading of the table found of the keys that were asked for.

    named: by the scan. named_since: by the stream. reading: None if none was.
    """

    asked: frozenset[str]
    named: set[str] = field(default_factory=set)
    named_since: set[str] = field(default_factory=set)
    reading: TableReading | None = None
    _read_on_at: float = field(default=-math.inf, init=False)

    @property
    def scan_alone(self) -> str | None:
        """See TableReading."""
        return self.reading.scan_alone if self.reading else None

    def read_on(self, *, now: float) -> None:
        """To be called before each batch. Small ones share what was read seconds before. Raises StoppedError."""
        if self.reading and not 0 <= now - self._read_on_at < READ_ON_EVERY_SECONDS:
            self.reading.read_on()
            self._read_on_at = now

    def why_kept(self, key: str, *, now: float) -> FileOutcome | None:
        """None if the reading shows that no record names the key."""
        if key in self.named:
            return KEPT_LIVE
        if key in self.named_since:
            return NAMED_MEANWHILE
        if self.reading is None or key not in self.asked:
            return NOT_IN_THE_READING
        return READING_TOO_OLD if self.reading.is_too_old(now=now) else None

    def keep(self, records: Iterable[Sequence[bytes]]) -> None:
        self.named |= self._asked(key for keys in records for key in keys)

    def keep_since(self, keys: Iterable[bytes]) -> None:
        self.named_since |= self._asked(keys)

    def _asked(self, keys: Iterable[bytes]) -> frozenset[str]:
        return self.asked.intersection(key.decode() for key in keys)


def function_settings(names: Names) -> FunctionSettings:
    """The function's settings, for its code in this process. No index is asked: the sweep's role must not."""
    return in_account_of(read_settings(environment(names)), names.function_arn)


def freed_keys(records: Iterable[Any], names: Names) -> frozenset[str]:
    """The keys that these stream records free. What can't be read as a record frees nothing."""
    settings = function_settings(names)
    keys: set[str] = set()
    for record in records:
        try:
            keys.update(read_change(record, settings=settings).frees)
        except Exception:  # noqa: S112 - anybody may have written it; as in the function, it frees nothing
            continue
    return frozenset(keys)


def read_named(
    clients: AwsClients,
    names: Names,
    keys: Collection[str],
    *,
    why_stop: Callable[[], str | None],
    now: Callable[[], float],
    pause: Callable[[float], None],
) -> AskedKeys:
    """Which of these keys a record names; no scan for no keys. Waits for a table that is being updated.

    Raises FailedError if the table can't be read reliably now, StoppedError, and what the SDK raises.
    """
    found = AskedKeys(asked=frozenset(keys))
    if found.asked:
        table = _settled_table(clients, names, why_stop=why_stop, pause=pause)
        found.reading = read_completely(
            clients, names, found.keep, keep_since=found.keep_since, table=table, steps=Steps(why_stop=why_stop),
            now=now, pause=pause,
        )  # fmt: skip
        require_same_table(clients, names, table=table)
    return found


def _settled_table(
    clients: AwsClients, names: Names, *, why_stop: Callable[[], str | None], pause: Callable[[float], None]
) -> TableDescription:
    """Raises FailedError if the table is not ACTIVE, and what the SDK raises."""
    for _ in range(_UPDATING_PAUSES):
        if why_stop() or describe(clients.patient_dynamodb, names).status != "UPDATING":
            break
        pause(_UPDATING_PAUSE_SECONDS)
    return ready_table(clients, names)
