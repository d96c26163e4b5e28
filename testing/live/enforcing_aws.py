"""An emulated AWS that asks policies before it does anything: MiniStack with AUTH=true, in a process of its own.

It stands for AWS's evaluation of identity policies. It can't show what MiniStack does not ask: condition keys that are
never sent, resources that it does not know, and whatever AWS checks in a service of its own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sandbox import emulator, ports
from sandbox.paths import Layout
from testing.live.waiting import wait_for


@contextlib.contextmanager
def enforcing_aws(folder: Path) -> Iterator[str]:
    """Its URL. The account is `emulator.ACCOUNT`, whose root has that number and `emulator.SECRET` as its keys."""
    emulator.install(say=lambda _: None)
    layout = Layout(root=folder)
    for one in (layout.aws_data, layout.home, layout.temporary):
        one.mkdir(parents=True)
    listening = ports.choose([emulator.PART])
    log = layout.root / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            emulator.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=layout.root,
            env={
                "PATH": os.environ["PATH"], "HOME": str(layout.home), "TMPDIR": str(layout.temporary),
                **emulator.environment(layout, port=listening[emulator.PART]), "AUTH": "true",
            },
        )  # fmt: skip
    try:
        wait_for(
            lambda: process.poll() is not None or emulator.ready(listening), what="MiniStack answers", seconds=60.0,
            seen=lambda: log.read_text()[-2000:],
        )  # fmt: skip
        assert process.poll() is None, log.read_text()
        yield emulator.address(listening)
    finally:
        process.terminate()
        process.wait()
