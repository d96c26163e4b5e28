"""The sandbox for as long as one command needs it: what was up before stays up, all else goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from sandbox import lifecycle, report
from sandbox.handle import Sandbox


@contextlib.contextmanager
def sandbox_up(
    say: Callable[[str], None], *, node: bool = False, controllers: bool = True
) -> Iterator[tuple[Sandbox, bool]]:
    """The sandbox, and whether it was started here: not up before, stopped again at the end. Raises SandboxError.

    controllers: whether one that is started here has the controller manager (`lifecycle.up`).
    """
    started_here = not any(row.condition != "stopped" for row in report.report().rows)
    try:
        yield lifecycle.up(node=node, controllers=controllers or not started_here, say=say), started_here
    finally:
        if started_here:
            lifecycle.down()
