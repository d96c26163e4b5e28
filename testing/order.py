"""The order in which workers take tests: at any time some that wait for a clock or another process run beside some that
compute, and what is left to be shared out at the end is short.

pytest-xdist gives each worker an equal share of the list (--dist worksteal); whoever has nothing left takes the second
half of the longest remaining share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# They start a control plane, or wait for leases, Helm or the operator's back-off. The longest first.
LONGEST = (
    "tests/cluster/test_sandbox_page.py",
    "tests/e2e/test_api_server.py",
    "tests/e2e/test_replicas.py",
    "tests/deploy/test_release.py",
    "tests/e2e/test_dashboard.py",
    "tests/e2e/test_demo.py",
    "tests/e2e/test_weather.py",
    "tests/e2e/test_watch.py",
    "tests/e2e/test_end.py",
    "tests/cluster/test_permissions.py",
    "tests/cluster/test_sandbox.py",
    "tests/e2e/test_sweep.py",
)
WAIT = ("tests/e2e/", "tests/cluster/")
COMPUTE = ("tests/aws/", "tests/world/", "tests/lambda/", "tests/sweep/")
# Their tests share what a module sets up. Elsewhere in tests/e2e each test stands alone.
TOGETHER = ("tests/e2e/test_api_server.py",)


def spread(tests: Sequence[str], *, workers: int) -> list[int]:
    """Places in `tests` (pytest's node ids), in the order in which they are to be run."""
    waiting, computing, short = dict[str, list[int]](), dict[str, list[int]](), list[int]()
    for place, test in enumerate(tests):
        file = test.partition("::")[0]
        if file.startswith(WAIT) or file in LONGEST:
            alone = file.startswith("tests/e2e/") and file not in TOGETHER
            waiting.setdefault(test if alone else file, []).append(place)
        elif file.startswith(COMPUTE):
            computing.setdefault(file, []).append(place)
        else:
            short.append(place)
    longest_first = sorted(waiting.items(), key=lambda item: _rank(item[0]))
    shares = zip(
        _dealt((places for _, places in longest_first), workers),
        _dealt(sorted(computing.values(), key=len, reverse=True), workers),
        strict=True,
    )
    order: list[int] = []
    for number, (waits, computes) in enumerate(shares):
        share = [*waits, *computes] if number % 2 == 0 else [*computes, *waits]
        room = (len(tests) - len(order)) // (workers - number) - len(share)
        order += share + short[: max(room, 0)]
        del short[: max(room, 0)]
    return order + short


def _rank(test: str) -> int:
    file = test.partition("::")[0]
    return LONGEST.index(file) if file in LONGEST else len(LONGEST)


def _dealt(groups: Iterable[Sequence[int]], workers: int) -> list[list[int]]:
    """There and back again, so that who had the longest of one round has the shortest of the next."""
    hands: list[list[int]] = [[] for _ in range(workers)]
    for number, group in enumerate(groups):
        turn, place = divmod(number, workers)
        hands[place if turn % 2 == 0 else workers - 1 - place] += group
    return hands
