"""What the scale bench makes of what it counted. Runs on nothing."""

from __future__ import annotations

from typing import Any

import pytest
from humangov.aws import limits

from bench import scale_crash
from bench.scale import unexplained_writes
from bench.scale_crash import Wanted
from bench.scale_rig import endpoints


def test_only_status_writes_that_no_edit_and_no_new_tenant_explains_are_counted() -> None:
    """A new tenant's were once estimated, one too few each: three looked like settled tenants'."""
    writes = {"tenant-00001": 1, "tenant-00002": 3, "tenant-00003": 1, "young-00000": 5, "young-00001": 7}
    assert unexplained_writes(writes, edited=["tenant-00001", "tenant-00002", "tenant-00004"]) == 2 + 1
    assert unexplained_writes({"tenant-00001": 1, "young-00000": 5}, edited=["tenant-00001"]) == 0


def test_the_scale_benchs_operator_keeps_awss_limits_from_its_first_call_on() -> None:
    """Once the sandbox's own variable told it otherwise: it learned each limit by a throttled call."""
    environment = endpoints("http://127.0.0.1:1")
    assert limits.are_kept_at(environment["AWS_ENDPOINT_URL"])
    assert environment["AWS_ENDPOINT_URL_LAMBDA"] == "http://127.0.0.1:1"


def inventory(*names: str, **changed: Any) -> dict[str, Any]:
    functions = [f"humangov-{name}-delete-file" for name in names]
    return {
        "functions": dict.fromkeys(functions, 512),
        "mappings": {one: ["Enabled"] for one in functions},
        "roles": [f"{one}-us-east-1" for one in functions],
        "groups": [f"/aws/lambda/{one}" for one in functions],
        "streams": [f"humangov-{name}-dynamodb" for name in names],
        **changed,
    }


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (inventory("utah"), (0, 0, 0)),
        (inventory("utah", functions={"humangov-utah-delete-file": 256}), (1, 0, 0)),
        (inventory("utah", roles=[]), (1, 0, 0)),
        (inventory("utah", streams=[]), (1, 0, 0)),
        (inventory("utah", mappings={}), (1, 0, 0)),
        (inventory("utah", mappings={"humangov-utah-delete-file": ["Creating"]}), (1, 0, 0)),
        (inventory("utah", mappings={"humangov-utah-delete-file": ["Enabled", "Enabled"]}), (0, 1, 0)),
        (inventory("utah", "texas"), (0, 0, 5)),
        (inventory(), (5, 0, 0)),
    ],
)
def test_report_of_leaders_that_ended_counts_what_is_lost_twice_and_left(
    found: dict[str, Any], told: tuple[int, int, int]
) -> None:
    wanted = Wanted(memory={"utah": 512}, deleted=["texas"])
    figures = scale_crash.report(wanted, found, seconds={"killed": 15.0}, throttled={"lambda:ListTags": 2}).figures
    assert (figures["lost"], figures["twice"], figures["left"]) == told
    assert (figures["throttled"], figures["next_leader_after_killed_s"]) == (2, 15.0)
