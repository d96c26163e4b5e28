"""`humangov stop`: stops the erasure of files, of some HumanGovStates or of all."""

from __future__ import annotations

from typing import Any

import click

from humangov.cli import options, stops
from humangov.cli.stops import Targets


@click.command("stop", context_settings=options.CONTEXT)
@stops.target_options
@click.option("-m", "--reason", default="", help="Why. It is shown in the HumanGovState's condition Stopped.")
def command(*, reason: str, **given: Any) -> None:
    """Stop the erasure of files.

    Function, redrive, sweep and final stream read erase nothing until `humangov start`.

    TENANT is NAME or NAMESPACE/NAME. The operator sets the function's reserved concurrency to 0 and disables the
    trigger: within seconds nothing is erased any more but what invocations that had begun still erase. It names them.
    Argo CD and Flux do not undo a stop. The stream keeps records for 24 hours: start again within that time, and
    nothing is lost.

    Exit code 0: the operator confirmed it. 2: not yet. 1: an error.
    """
    stops.show(stops.stop(Targets(**given), reason=reason))
