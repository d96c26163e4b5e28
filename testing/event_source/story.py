"""One tenant's life in memory: the application's steps, the event source and the function, woven into each other."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humangov.aws import trigger as trigger_of
from humangov.bundle import bundle

from testing import samples
from testing.event_source.answers import Answer
from testing.event_source.clients import clients
from testing.event_source.clock import StillClock
from testing.event_source.decisions import Reading
from testing.event_source.functions import InProcess
from testing.event_source.mapping import trigger
from testing.event_source.source import EventSource, redeliver
from testing.event_source.tenant import Faults, Tenant, no_faults

BUCKET = "california-files"
WALKTHROUGH_FUNCTION = Path(__file__).with_name("walkthrough_function.py")
STREAM = "arn:aws:dynamodb:us-east-1:123456789012:table/california/stream/2026-01-01T00:00:00.000"
Step = tuple[Any, ...]
"""`hire ID FILES`, `edit ID FILES` (replaces its files), `shed ID` (one file fewer), `fire ID`, `return ID` (a removed
record comes back with the files that it had), `wait SECONDS`, `redeliver COUNT`, `turn` (the function's turn)."""

_SECONDS_A_STEP = 1.25
"""A file is at least a second older than its record's removal: within one second a late event keeps it, by rule."""

_OF_CALLS = {
    "BatchGetItem": ("throttled", "lost", "killed before", "killed after"),
    "DeleteObjects": ("throttled", "lost", "killed before", "killed after"),
    "DeleteObject": ("throttled", "lost", "killed before", "killed after"),
    "PutLogEvents": ("throttled", "lost", "killed before", "killed after", "ThrottlingException"),
}
_OF_OTHER_CALLS = ("throttled", "lost")
_OF_KEYS = {
    "BatchGetItem": ("unprocessed",),
    "DeleteObjects": ("InternalError", "SlowDown", "AccessDenied", "done, InternalError"),
}


@dataclass(frozen=True)
class Code:
    """A function's unzipped code, and how it is called."""

    directory: Path
    handler: str
    environment: Mapping[str, str]


def cleanup_code(directory: Path) -> Code:
    """The zip's code, unpacked there."""
    found = bundle()
    zipfile.ZipFile(io.BytesIO(found.zip)).extractall(directory)
    named = {"HUMANGOV_TENANT": "uid/humangov/california", "HUMANGOV_TABLE": "california"}
    return Code(directory, found.handler, named | {"HUMANGOV_BUCKET": BUCKET})


def walkthrough() -> Code:
    """The function that HumanGov had before."""
    return Code(WALKTHROUGH_FUNCTION.parent, f"{WALKTHROUGH_FUNCTION.stem}.lambda_handler", {"BUCKET": BUCKET})


def operator_settings() -> dict[str, Any]:
    """The mapping that the operator makes from a manifest without `trigger`, with failures going to the bucket."""
    configuration = trigger_of.desired(samples.names(), samples.context(), table=None).configuration
    return dict(configuration) | {"DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:s3:::{BUCKET}"}}}


def random_faults(seed: int, share: float) -> Faults:
    """So large a share of calls, and of keys within calls, goes wrong; the same ones for the same seed."""

    def faults(operation: str, subject: str, attempt: int) -> str | None:
        chance = zlib.crc32(f"{seed}/{operation}/{subject}/{attempt}".encode())
        if chance >= share * 2**32:
            return None
        kinds = _OF_KEYS[operation] if subject.startswith("key ") else _OF_CALLS.get(operation, _OF_OTHER_CALLS)
        return kinds[zlib.crc32(f"{chance}".encode()) % len(kinds)]

    return faults


class Story:
    """steps: what the application does. Each `turn` lets the function work; in its calls the steps go on."""

    def __init__(
        self,
        code: Code,
        settings: Mapping[str, Any],
        *,
        steps: Iterable[Step] = (),
        faults: Faults = no_faults,
        shards: int = 1,
        reading: Reading = Reading.HALVES,
        versioning: str = "",
        keep_log: bool = False,
    ) -> None:
        self.clock = StillClock()
        self.tenant = Tenant(
            self.clock,
            publish=lambda record, shard: self.source.put(record, shard=shard),
            shards=shards,
            faults=faults,
            meanwhile=self._meanwhile,
            versioning=versioning,
        )
        self.function = InProcess(
            code.directory, handler=code.handler, environment=code.environment,
            clients=clients(self.tenant, owner_named="HUMANGOV_BUCKET" in code.environment), clock=self.clock,
            keep_log=keep_log,
        )  # fmt: skip
        self.source = EventSource(
            trigger(settings, stream_arn=STREAM),
            clock=self.clock, invoke=self.invoke, deliver=self.tenant.failures.__setitem__, reading=reading,
        )  # fmt: skip
        self.steps, self._over = iter(steps), False
        self._removed: dict[str, tuple[str, ...]] = {}
        self._files = 0

    def invoke(self, event: Any) -> Answer:
        self.tenant.begin()
        try:
            return self.function(event)
        finally:
            self.tenant.end()

    def run(self) -> None:
        """Every step, and then the event source until it has nothing left."""
        while not self._over:
            self._until_turn()
            self.source.step()
        self.source.run()

    def redrive(self) -> list[Answer]:
        """What went to the destination is sent once more, and nothing goes wrong any more."""
        self.tenant.faults = no_faults
        return redeliver(self.tenant.failures, self.invoke)

    def _meanwhile(self) -> None:
        self._until_turn()
        if not self._over:
            self.source.step()  # another lane, while this one runs

    def _until_turn(self) -> None:
        for step in self.steps:
            if step[0] == "turn":
                return
            self.clock.advance(_SECONDS_A_STEP)
            self._take(step)
        self._over = True

    def _take(self, step: Step) -> None:
        tenant = self.tenant
        match step:
            case ("hire", str(one), int(count)) if one not in tenant.records:
                tenant.write(one, *self._uploaded(count))
            case ("edit", str(one), int(count)) if one in tenant.records:
                tenant.write(one, *self._uploaded(count))
            case ("shed", str(one)) if one in tenant.records:
                tenant.write(one, *sorted(tenant.names(one))[1:])
            case ("fire", str(one)) if one in tenant.records:
                self._removed[one] = tuple(sorted(tenant.names(one)))
                tenant.remove(one)
            case ("return", str(one)) if one in self._removed and one not in tenant.records:
                names = self._removed[one]
                # What is gone, or was named by another record since, does not come back under its name.
                if tenant.may_revive and all(map(tenant.is_there, names)):
                    tenant.write(one, *names)
            case ("wait", seconds):
                self.clock.advance(seconds)
            case ("redeliver", int(count)):
                self.source.rewind(count)

    def _uploaded(self, count: int) -> list[str]:
        names = [f"file-{self._files + number}.pdf" for number in range(count)]
        self._files += count
        for name in names:
            self.tenant.upload(name)
        self.clock.advance(_SECONDS_A_STEP)
        return names
