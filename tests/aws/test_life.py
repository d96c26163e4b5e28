"""Lives of a tenant that Hypothesis draws; testing/reconciler/random_lives.py says of what, and what always holds.

With bulk reads and without. The same lives in each run; HUMANGOV_LIVES=500 draws so many others, and prints how to have
a failing one again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from testing.reconciler.random_lives import Life
from testing.reconciler.world import World

LIVES, STEPS = 12, 12
# A failing life is told as it was: to make it shorter takes minutes, and is asked for with HUMANGOV_LIVES.
PHASES = [Phase.generate]


@pytest.mark.parametrize("bulk_reads", [False, True], ids=["single", "bulk"])
def test_random_life_of_a_tenant_ends_in_sync_and_changes_no_foreign_resource(
    worlds: Callable[..., World], measured: Callable[[str], None], bulk_reads: bool
) -> None:
    asked, tally, undisturbed = os.environ.get("HUMANGOV_LIVES"), dict[str, int](), dict[str, str]()

    class OneLife(Life):
        def __init__(self) -> None:
            super().__init__(partial(worlds, bulk_reads=bulk_reads), tally, undisturbed)

    run_state_machine_as_test(
        OneLife,
        settings=settings(
            max_examples=int(asked or (LIVES // 2 if bulk_reads else LIVES)),
            stateful_step_count=STEPS, deadline=None, database=None, phases=PHASES,
            derandomize=asked is None, print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    measured(
        f"lives: {tally['sequences']} sequences tried, with {tally['reconciliations']} reconciliations among the steps"
    )
