"""A sighting counts until the second sweep of the schedule that can confirm it, and no longer."""

from __future__ import annotations

from typing import Any

import pytest

from testing import samples
from testing.sweep.tenant_data import DAY, HOUR
from testing.sweep.world import SweepWorld


def staffed(**sweep: Any) -> SweepWorld:
    """Ten employees with a file each, and one orphan."""
    world = SweepWorld(
        names=samples.names(bucket={"name": "files", "keyPrefix": ""}, sweep={"mode": "Delete", **sweep})
    )
    for number in range(10):
        world.upload(f"{number}.pdf", age=3 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload("orphan.pdf", age=3 * DAY)
    return world


@pytest.mark.parametrize(
    ("sweep", "days"),
    [
        ({"schedule": "0 3 1 * *"}, [31]),
        ({"schedule": "0 3 1 1,7 *"}, [184]),
        ({"schedule": "0 3 1 1 *"}, [366]),
        ({"schedule": "0 3 * * SUN", "confirmAfter": "13d"}, [7, 7]),
        ({"schedule": "0 3 */12 * *", "confirmAfter": "13d"}, [12, 12]),
    ],
    ids=str,
)
def test_sweeps_on_a_rare_schedule_erase_what_two_of_them_found(sweep: dict[str, str], days: list[int]) -> None:
    world = staffed(**sweep)
    world.sweep()
    for number in days:
        # Somewhat late, as after one that has waited for its turn.
        done = world.sweep(after=number * DAY + HOUR / len(days))
    assert (done.confirmed, done.erased.count("erased")) == (1, 1), done.erased
    assert done.left == 0


def test_sighting_of_a_daily_sweep_counts_for_fourteen_days() -> None:
    for days, confirmed in ((13.9, 1), (14.1, 0)):
        world = staffed()
        world.sweep()
        assert world.sweep(after=days * DAY).confirmed == confirmed
