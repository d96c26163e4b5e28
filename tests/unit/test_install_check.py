"""`humangov install-check`: what each part's answer means, and when it ends. Runs on nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from humangov.api.times import micro_time
from humangov.cli import install_check
from humangov.cli.install_check import Check, leader, line, until_all_work
from humangov.cli.main import main
from humangov.kube.client import KubeError
from humangov.kube.kube import Kube
from humangov.kube.leases import Leases

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
BROKEN = Check(part="leader", problem="nobody leads.")
WORKS = Check(part="leader", found="pod-1")


def lease(*, holder: str | None = "pod-1", seconds_ago: float = 3) -> dict[str, Any]:
    renewed = micro_time(datetime.fromtimestamp(NOW.timestamp() - seconds_ago, tz=UTC))
    return {"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}}


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (lease(), None),
        (lease(seconds_ago=-20), None),  # its clock is ahead of ours
        (lease(seconds_ago=44), None),  # or behind
        (lease(seconds_ago=46), "pod-1 has not renewed the Lease humangov/x for 46 s"),
        (lease(holder=""), "no operator holds the Lease humangov/x"),
        (None, "no operator holds the Lease humangov/x"),
    ],
)
def test_leader_is_who_holds_the_lease_and_has_renewed_it_lately(found: Any, problem: str | None) -> None:
    check = leader(found, now=NOW, where="humangov/x")
    assert (check.problem or "").startswith(problem or "")
    assert bool(check.problem) is bool(problem)
    assert line(check).startswith("✗ leader: " if problem else "✓ leader: pod-1")


def test_install_check_waits_until_all_works(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    looks = iter([[BROKEN], [BROKEN], [WORKS]])
    assert until_all_work(lambda: next(looks), seconds=60) == [WORKS]
    assert len(slept) == 2


def test_install_check_that_does_not_wait_looks_once() -> None:
    looks = iter([[BROKEN]])
    assert until_all_work(lambda: next(looks), seconds=0) == [BROKEN]


def run(monkeypatch: pytest.MonkeyPatch, listed: list[Any] | KubeError, template: Any) -> Any:
    async def list_resources(_: Kube, namespaces: Sequence[str]) -> list[Any]:
        assert namespaces == ("east", "west")
        if isinstance(listed, KubeError):
            raise listed
        return listed

    async def read_lease(_: Leases, **asked: Any) -> Any:
        assert (asked["namespace"], asked["name"]) == ("operators", "humangov-operator")
        return lease() | {"spec": {**lease()["spec"], "renewTime": micro_time(datetime.now(UTC))}}

    async def get_object(_: Kube, plural: str, namespace: str, name: str) -> Any:
        assert (plural, namespace, name) == ("cronjobs", "operators", "template")
        return template

    async def list_cron_jobs(*_: Any) -> list[Any]:
        return []

    monkeypatch.setattr(Leases, "read_lease", read_lease)
    for one in (list_resources, get_object, list_cron_jobs):
        monkeypatch.setattr(Kube, one.__name__, one)
    monkeypatch.setattr(install_check, "in_aws", lambda region: Check(part="AWS", found=f"account 1, region {region}"))
    environment = {
        "HUMANGOV_NAMESPACE": "east west", "HUMANGOV_OPERATOR_NAMESPACE": "operators", "AWS_REGION": "us-east-1",
        "HUMANGOV_SWEEP_TEMPLATE": "template",
    }  # fmt: skip
    return CliRunner().invoke(main, ["install-check", "--wait", "0"], env=environment)


def test_install_check_of_an_installation_that_works_shows_each_part_and_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = run(monkeypatch, [{}, {}], {"metadata": {"name": "template"}})
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "✓ HumanGovStates: 2 humangovstates in east, west",
        "✓ leader: pod-1",
        "✓ sweeps: their template is CronJob operators/template",
        "✓ AWS: account 1, region us-east-1",
    ]


def test_install_check_without_definition_and_template_names_both_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = KubeError("listing humangovstates in east", status=404, reason="not found")
    result = run(monkeypatch, missing, None)
    assert result.exit_code == 1
    states, leads, sweeps, aws = result.output.splitlines()
    assert states.startswith("✗ HumanGovStates: ")
    assert states.endswith("Install the definition: value crds.install.")
    assert sweeps.startswith("✗ sweeps: ")
    assert "the CronJob that --sweep-template names does not exist" in sweeps
    assert leads.startswith("✓")
    assert aws.startswith("✓")
