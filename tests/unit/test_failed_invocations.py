"""Failed invocations, counted: what one page of a shared bucket tells, and what it doesn't. Runs on nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from humangov.aws.failed_invocations import Observed, left_behind

from testing import samples

UUIDS = ("91eaeb7e-c976-4939-86c8-b8e4f4a5e3d0", "a1eaeb7e-c976-4939-86c8-b8e4f4a5e3d0")
PLANTED = Counter({"00000000-0000-4000-8000-000000000000": 1000})


def said(observed: Observed | None, *, mappings: tuple[str, ...] = UUIDS) -> str | None:
    names = samples.names()
    return left_behind(observed, replace(names, tenant=replace(names.tenant, mappings=mappings)))


def test_deletion_reports_own_failed_invocations_behind_a_first_page_of_others() -> None:
    text = said(Observed(by_mapping=PLANTED, more=True))
    assert text is not None
    assert "0 or more failed invocations are left" in text
    assert all(f"--mapping {uuid}" in text for uuid in UUIDS)


@pytest.mark.parametrize(
    ("observed", "mappings"),
    [
        (None, UUIDS),
        (Observed(by_mapping=Counter(), more=False), UUIDS),
        (Observed(by_mapping=PLANTED, more=False), UUIDS),
        (Observed(by_mapping=PLANTED, more=True), ()),
    ],
)
def test_deletion_reports_no_failed_invocations_if_none_can_be_the_tenants(
    observed: Observed | None, mappings: tuple[str, ...]
) -> None:
    assert said(observed, mappings=mappings) is None


def test_deletion_names_only_the_mappings_with_failed_invocations_where_it_has_seen_all() -> None:
    text = said(Observed(by_mapping=Counter({UUIDS[1]: 3}), more=False))
    assert text is not None
    assert "3 failed invocations are left" in text
    assert text.endswith(f"--mapping {UUIDS[1]}")
