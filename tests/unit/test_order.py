"""The order of the tests: none is lost, and no worker has all that wait."""

from __future__ import annotations

from sandbox.paths import REPOSITORY
from testing.order import LONGEST, WAIT, spread

TESTS = [
    f"{folder}/test_{file}.py::test_{number}"
    for folder in ("tests/aws", "tests/cluster", "tests/deploy", "tests/e2e", "tests/unit")
    for file in "abcdefgh"
    for number in range(5)
]


def test_every_test_has_one_place_in_the_order() -> None:
    for workers in range(1, 9):
        for tests in (TESTS, TESTS[:3], TESTS[:41], []):
            assert sorted(spread(tests, workers=workers)) == list(range(len(tests)))


def test_each_worker_has_a_share_of_the_waiting_tests_and_every_other_begins_with_them() -> None:
    order = [TESTS[place] for place in spread(TESTS, workers=4)]
    shares = [order[first : first + len(TESTS) // 4] for first in range(0, len(TESTS), len(TESTS) // 4)]
    assert [sum(test.startswith(WAIT) for test in share) for share in shares] == [20, 20, 20, 20]
    assert [share[0].startswith(WAIT) for share in shares] == [True, False, True, False]
    assert all(share[-1].startswith(("tests/unit", "tests/deploy")) for share in shares)


def test_tests_of_one_file_stay_together_unless_each_stands_alone() -> None:
    order = [TESTS[place].partition("::")[0] for place in spread(TESTS, workers=3)]
    for file in set(order):
        if not file.startswith("tests/e2e") and not file.startswith(("tests/unit", "tests/deploy")):
            first = order.index(file)
            assert order[first : first + 5] == [file] * 5


def test_the_longest_files_exist() -> None:
    assert [file for file in LONGEST if not (REPOSITORY / file).exists()] == []
