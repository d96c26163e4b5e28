"""`humangov start`: ends a stop."""

from __future__ import annotations

from typing import Any

import click

from humangov.cli import options, stops
from humangov.cli.stops import Targets


@click.command("start", context_settings=options.CONTEXT)
@stops.target_options
def command(**given: Any) -> None:
    """Start what `humangov stop` has stopped.

    The declared reserved concurrency and trigger come back.

    TENANT is NAME or NAMESPACE/NAME. --all ends the stop of all; a HumanGovState that has a stop of its own stays
    stopped.

    Exit code 0: the operator confirmed it. 2: not yet, or it is still stopped otherwise. 1: an error.
    """
    stops.show(stops.start(Targets(**given)))
