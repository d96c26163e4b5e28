"""The sandbox for as long as one command needs it: what was up before stays up, all else goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from sandbox import lifecycle, report
from sandbox.handle import Sandbox


@contextlib.contextmanager
def sandbox_up(say: Callable[[str], None], *, node: bool = False) -> Iterator[tuple[Sandbox, bool]]:
    """The sandbox, and whether it was started here: not up before, stopped again at the end. Raises SandboxError."""
    started_here = not any(row.condition != "stopped" for row in report.report().rows)
    try:
        yield lifecycle.up(node=node, say=say), started_here
    finally:
        if started_here:
            lifecycle.down()
