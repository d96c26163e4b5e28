"""`humangov stop`: stops the erasure of files, of some HumanGovStates or of all."""

from __future__ import annotations

from typing import Any

import click

from humangov.cli import options, stops
from humangov.cli.stops import Targets


@click.command("stop", context_settings=options.CONTEXT)
@stops.target_options
@click.option("-m", "--reason", default="", help="Why you stop it. The HumanGovState's condition Stopped shows it.")
def command(*, reason: str, **given: Any) -> None:
    """Stop the erasure of files.

    Function, redrive, sweep and final stream read erase nothing until `humangov start`.

    TENANT is NAME or NAMESPACE/NAME. The operator sets the function's reserved concurrency to 0 and disables the
    trigger: within seconds no new invocation begins. Invocations that had begun may still erase files; the output
    says until when. Argo CD and Flux do not undo a stop. The stream keeps records for 24 hours: start again within
    that time, and nothing is lost.

    Exit code 0: the operator confirmed it. 2: not yet. 1: an error.
    """
    targets = Targets(**given)
    stops.show(stops.stop(targets, reason=reason), form=targets.form)
