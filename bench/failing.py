"""One healthy state beside 49 that fail: whether its reconciliations, and a change of its spec, wait for theirs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

from multidict import CIMultiDict

from bench import rig
from bench.measure import Report, Table, spread, spread_row
from bench.rig import Rig, Say
from sandbox.proxy import Handler, HungUpError, Layer, Request, Response

HEALTHY = "healthy"
RESYNC_SECONDS = 10.0
CHANGES = 8  # an even number: at the end the spec is as it was
RECONCILIATIONS = 6
HANG_SECONDS = 30.0  # longer than any client waits
_SETTLE_SECONDS = 400.0
_NOTES = (
    "A change: kubectl patch begun → Ready about that generation. Between reconciliations: of the healthy state, ends.",
    f"The operator's resync is {RESYNC_SECONDS:.0f} s, give or take a tenth.",
    "Errors: every call about one of the failing states is answered with 500. Silence: it is never answered.",
)


@dataclass
class Situation:
    """What was measured of the healthy state, in seconds."""

    changes: list[float] = field(default_factory=list)
    between_reconciliations: list[float] = field(default_factory=list)


class Trouble:
    """What befalls calls that are about a state whose name begins with `failing-`."""

    def __init__(self) -> None:
        self.kind = "none"

    async def layer(self, request: Request, forward: Handler) -> Response:
        if self.kind == "none":
            return await forward(request)
        body = request.body
        if not isinstance(body, bytes):
            body = b"".join([chunk async for chunk in body])
        request = replace(request, body=body)
        if b"failing-" not in body and "failing-" not in request.url:
            return await forward(request)
        if self.kind == "silence":
            await asyncio.sleep(HANG_SECONDS)
            raise HungUpError
        body = json.dumps({"__type": "InternalFailure", "message": "The request processing has failed."}).encode()
        return Response(status=500, headers=CIMultiDict({"Content-Type": "application/x-amz-json-1.1"}), body=body)


def run(*, say: Say, states: int) -> Report:
    """Takes about ten minutes. Raises SandboxError, OperatorError or NotMeasuredError."""
    trouble = Trouble()
    layer: Layer = trouble.layer
    with rig.opened(say=say, layers=[layer]) as bench:
        failing = [f"failing-{number}" for number in range(1, states)]
        for name in (HEALTHY, *failing):
            bench.create_holdings(name)
        found = {}
        with bench.operator(resync_seconds=RESYNC_SECONDS):
            bench.ready([HEALTHY, *failing], since=bench.apply([HEALTHY, *failing]))
            say(f"{states} healthy states")
            found["all healthy"] = _measured(bench)
            for kind, what in (("errors", "answered with errors"), ("silence", "never answered")):
                say(f"{states - 1} of {states} {what}")
                trouble.kind = kind
                _wait_failed(bench, names={f"{bench.namespace}/{name}" for name in failing})
                found[what] = _measured(bench)
            trouble.kind = "none"
    return report(found, states=states)


def _wait_failed(bench: Rig, *, names: set[str]) -> None:
    """Until each has had a reconciliation in the trouble, so that the operator knows that it fails."""
    since = time.time()
    bench.reconciliations(
        lambda found: names <= {one.tenant for one in found if one.ended > since + HANG_SECONDS / 2},
        what="a failed reconciliation of each", within_seconds=_SETTLE_SECONDS,
    )  # fmt: skip


def _measured(bench: Rig) -> Situation:
    found = Situation()
    for number in range(CHANGES):
        began = time.monotonic()
        bench.patch(HEALTHY, {"spec": {"logs": {"retentionDays": (365, 400)[number % 2]}}})
        found.changes.append(bench.ready([HEALTHY], since=began)[HEALTHY] - began)
    healthy_key = f"{bench.namespace}/{HEALTHY}"
    since = time.time()

    def ends(reconciliations: Sequence[rig.Reconciliation]) -> list[float]:
        return [one.ended for one in reconciliations if one.tenant == healthy_key and one.ended > since]

    # The first belongs to the change, or to the look that follows it.
    seconds = RECONCILIATIONS * RESYNC_SECONDS * 3
    reconciliations = bench.reconciliations(
        lambda reconciliations: len(ends(reconciliations)) > RECONCILIATIONS + 1,
        what=f"{RECONCILIATIONS} reconciliations of {healthy_key}",
        within_seconds=seconds,
    )
    found.between_reconciliations = [later - earlier for earlier, later in pairwise(ends(reconciliations)[1:])]
    return found


def report(found: dict[str, Situation], *, states: int) -> Report:
    """Pure."""
    healthy = found["all healthy"]
    rows, figures = [], {}
    for what, situation in found.items():
        rows.append(spread_row(f"{what}: a change → Ready", spread(situation.changes), unit="s"))
        rows.append(spread_row(f"{what}: between two reconciles", spread(situation.between_reconciliations), unit="s"))
        name = what.replace(" ", "_")
        figures[name] = {
            "change_s": median(situation.changes),
            "change_to_all_healthy": median(situation.changes) / median(healthy.changes),
            "between_passes_s": median(situation.between_reconciliations),
            "between_passes_longest_s": max(situation.between_reconciliations),
            "between_passes_to_all_healthy": median(situation.between_reconciliations)
            / median(healthy.between_reconciliations),
        }
    return Report(
        tables=[
            Table(
                title=f"One healthy state among {states}; the others are",
                header=("WHAT", "MIN", "MEDIAN", "MAX", "N", "UNIT"), rows=rows,
            )
        ],
        notes=list(_NOTES),
        figures={"states": states, "resync_s": RESYNC_SECONDS, **figures},
    )  # fmt: skip
