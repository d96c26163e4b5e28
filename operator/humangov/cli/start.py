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

    The operator restores the declared reserved concurrency and trigger.

    TENANT is NAME or NAMESPACE/NAME. --all ends the stop of all; a HumanGovState that has a stop of its own stays
    stopped.

    Exit code 0: the operator confirmed it. 2: not yet, or another stop is still in effect. 1: an error.
    """
    targets = Targets(**given)
    stops.show(stops.start(targets), form=targets.form)
