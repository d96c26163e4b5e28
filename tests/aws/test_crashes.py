"""Lives of the operator that end again and again: one story, told to its end by many. Single ends: test_matrix.py."""

from __future__ import annotations

from testing.killed import Killed
from testing.reconciler.world import World


def test_repeated_kills_still_end_in_sync(world: World) -> None:
    world.make_table()
    world.make_bucket()
    key = world.apply()
    for story in ("create", "delete"):
        if story == "delete":
            world.delete(key)
        for life in range(40):
            world.restart_operator()
            # Not always after the first: the tag before a stream is enabled is written again in each process.
            world.line.kill_after_write = 1 + life % 3
            try:
                world.settle(key, reconciliations=30)
                break
            except Killed:
                continue
        else:
            raise AssertionError(f"{story} does not come to an end: {world.ready(key)}")
    assert world.remains() == []
