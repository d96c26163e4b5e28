"""Patterns of spec.sweep.include that a tenant may write: matching a name takes time in proportion, never for ever."""

from __future__ import annotations

import time

import pytest
from humangov.sweep import candidates

from testing import samples

KEY = "a" * 1024
SECONDS = 5.0  # of processor time; a pattern that backtracks takes longer than anyone waits


@pytest.mark.parametrize(
    "pattern", ["*a" * 127 + "b", "*[!b]" * 50 + "*b", "*" + "?" * 100 + "*a*b", "*a*" * 80 + "[!a]"]
)
def test_hostile_patterns_do_not_keep_a_sweep_busy(pattern: str) -> None:
    names = samples.names(sweep={"include": [f"{pattern[:250]}{number}" for number in range(20)]})
    began = time.process_time()
    assert candidates.included(names)(KEY) is False
    assert time.process_time() - began < SECONDS
