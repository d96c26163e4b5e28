"""The exit code of `humangov report`: 0 written, 2 written with gaps, 1 where a state has no report at all."""

from __future__ import annotations

import pytest
from humangov.cli.report_outcome import ReportOutcome, exit_code
from humangov.proof.gaps import Gap

WHOLE = ReportOutcome(title="a", tenant="n/a")
WITH_GAP = ReportOutcome(title="b", tenant="n/b", gaps=(Gap("PeriodNotOver", "it is not over"),))
NO_REPORT = ReportOutcome(title="c", tenant="n/c", problem="another account", failed=True)
NOTHING_THERE = ReportOutcome(title="d", tenant="n/d", problem="nothing in AWS")


@pytest.mark.parametrize(
    ("every", "code", "accepting"),
    [
        ([WHOLE, NOTHING_THERE], 0, 0),
        ([WHOLE, WITH_GAP], 2, 0),
        ([WITH_GAP, NO_REPORT], 1, 1),
        ([NO_REPORT], 1, 1),
    ],
)
def test_a_state_without_a_report_is_an_error_and_a_gap_is_none(
    every: list[ReportOutcome], code: int, accepting: int
) -> None:
    assert exit_code(every, accept_gaps=False) == code
    assert exit_code(every, accept_gaps=True) == accepting
