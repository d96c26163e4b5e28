"""Free ports on 127.0.0.1."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterable, Mapping, Sequence

from sandbox.errors import SandboxError

HOST = "127.0.0.1"
# Below the range from which the kernel takes outgoing ports, so that no connection sits on a port of ours.
RANGE = range(20000, 30000)
ENDING_SECONDS = 2.0


def free(port: int) -> bool:
    with socket.socket() as attempt:
        # A server sets this as well; without it a port whose last connection is ending counts as taken.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OSError:
            return False
        return True


def choose(names: Iterable[str], *, taken: Iterable[int] = ()) -> dict[str, int]:
    """A free port for each name. Raises SandboxError if there are none."""
    avoid = set(taken)
    chosen: dict[str, int] = {}
    candidates: Sequence[int] = random.sample(RANGE, k=len(RANGE))
    remaining = iter(candidates)
    for name in names:
        port = next((port for port in remaining if port not in avoid and free(port)), None)
        if port is None:
            raise SandboxError(f"There is no free port between {RANGE.start} and {RANGE.stop - 1} on {HOST}.")
        chosen[name] = port
    return chosen


def soon_free(port: int, *, seconds: float = ENDING_SECONDS) -> bool:
    """Whether the port is free, or becomes so: a killed server keeps it until the last of its threads has ended."""
    deadline = time.monotonic() + seconds
    while not free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def keep_or_choose(names: Iterable[str], *, known: Mapping[str, int], in_use: Iterable[str]) -> dict[str, int]:
    """The known ports where they are ours already (`in_use`) or free, and new ones where they are not."""
    own = set(in_use)
    wanted = list(names)
    kept = {name: known[name] for name in wanted if name in known and (name in own or soon_free(known[name]))}
    missing = [name for name in wanted if name not in kept]
    return {**known, **kept, **choose(missing, taken=known.values())}
