"""One reading of the table: a consistent scan, which the table's stream completes to a snapshot where it can.

Whoever erases reads on before each batch. Where the stream can't complete the scan, only what is erased within fifteen
minutes of its start may rest on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.reading.followed_stream import FollowedStream, Keep
from humangov.reading.named_files import keys_by_record, read_table
from humangov.reading.progress import Steps
from humangov.reading.snapshot import Item, TableDescription

KeepByRecord = Callable[[Iterable[Sequence[bytes]]], None]
"""Takes the keys that each record may mean, each once."""

SCAN_ALONE_LASTS_SECONDS = 15 * 60
"""Nothing is erased longer after the start of a scan that stands alone."""


def scan_alone_sentence(why: str) -> str:
    """Without its first capital and its full stop. why: a reading's `scan_alone`."""
    return f"the table was read by a scan alone, which is no snapshot: {why}"


@dataclass(frozen=True, kw_only=True)
class TableReading:
    """records: that the scan read. began: the scan's start, in seconds since the epoch."""

    records: int
    began: float
    stream: FollowedStream

    @property
    def scan_alone(self) -> str | None:
        """Why the scan stands alone, as a part of a sentence about the table; None: the reading is a snapshot."""
        return self.stream.why_not

    def is_too_old(self, *, now: float) -> bool:
        """Whether nothing more may be erased by it. To be asked after `read_on`."""
        return self.scan_alone is not None and not 0 <= now - self.began <= SCAN_ALONE_LASTS_SECONDS

    def read_on(self) -> None:
        """Before each batch: names what was written since. Raises what Steps.check raises."""
        self.stream.read_on()


def read_completely(
    clients: AwsClients,
    names: Names,
    keep: KeepByRecord,
    *,
    keep_since: Keep,
    table: TableDescription,
    steps: Steps,
    now: Callable[[], float],
    pause: Callable[[float], None],
) -> TableReading:
    """Reads the whole table; see `TableReading`.

    keep: takes the keys that each record may mean. keep_since: takes those that the stream names, now
    and whenever it is read on. Raises as `scan` does; what goes wrong with the stream is the reading's `scan_alone`.
    """
    stream = FollowedStream(clients=clients, names=names, keep=keep_since, check=steps.check, now=now, pause=pause)
    stream.begin()
    began = now()

    def sink(items: Sequence[Item]) -> None:
        keep(keys_by_record(items, names))
        stream.keep_alive()

    records = read_table(clients, names, sink, table=table, steps=steps, pause=pause)
    stream.read_up_to_now()
    return TableReading(records=records, began=began, stream=stream)
