"""Each sweep checks by itself what its namespace may name: a schedule outlives a permission that was withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from humangov.api.spec import parse
from humangov.cli import sweep as sweep_command
from humangov.cli.main import main
from humangov.sweep import cluster as sweep_cluster
from humangov.sweep import run

from testing import samples
from testing.sweep.tenant_data import DAY
from testing.sweep.world import SweepWorld, clients

FITTING = {"tables": ["humangov-california-*"], "buckets": ["humangov-california-*"]}
NOT_ALLOWED = {
    "table": {"humangov": {**FITTING, "tables": ["humangov-florida-*"]}},
    "bucket": {"humangov": {**FITTING, "buckets": ["humangov-florida-*"]}},
    "namespace": {"florida": FITTING},
}


class Cluster:
    """In place of TenantInCluster: california alone, not stopped."""

    def __init__(self, **_: Any) -> None:
        self.resource = samples.resource(sweep={"mode": "Delete"})
        self.reported: list[Any] = []

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def read(self) -> Any:
        return self.resource

    def stop_of_all(self) -> None:
        return None

    def others(self, _namespaces: Any) -> list[Any]:
        return [self.resource]

    def cluster_uid(self) -> str:
        return "cluster"

    def apply_status(self, _resource: Any, fields: Any, *, manager: str) -> None:
        self.reported.append(fields)


Sweep = Callable[..., Any]


@pytest.fixture
def world() -> SweepWorld:
    world = SweepWorld(names=samples.names(sweep={"mode": "Delete"}))
    world.upload("orphan.pdf", age=20 * DAY)
    return world


@pytest.fixture
def sweep(world: SweepWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sweep:
    """`humangov sweep` with these allowed names, or with none."""

    def swept(allowed: Any, *flags: str) -> Any:
        for name in ("HUMANGOV_ALLOWED_NAMES", "HUMANGOV_OPERATOR_NAMESPACE"):
            monkeypatch.delenv(name, raising=False)
        there = Cluster()
        monkeypatch.setattr(sweep_command, "TenantInCluster", lambda **_: there)
        names = replace(world.names, tenant=parse(there.resource, default_region="us-east-1"))
        monkeypatch.setattr(sweep_cluster, "names_as_swept", lambda *_, **__: names)
        path = tmp_path / "allowed.yaml"
        path.write_text(yaml.safe_dump(allowed))
        given = ["--allowed-names", str(path)] if allowed is not None else []
        with world.behind(clients()) as sdk:
            monkeypatch.setattr(run, "connect_as_sweep", lambda _names: sdk)
            done = CliRunner().invoke(main, ["sweep", "humangov/california", *given, *flags])
        return done, there

    return swept


@pytest.mark.parametrize(("flags", "exit_code"), [(["--report-status"], 0), ([], 1)], ids=["a Job", "a person"])
@pytest.mark.parametrize("what", NOT_ALLOWED)
def test_sweep_of_names_that_are_not_allowed_makes_no_call_and_says_why(
    world: SweepWorld, sweep: Sweep, what: str, flags: list[str], exit_code: int
) -> None:
    """That it is not allowed is in the condition Ready: the Job has not failed."""
    done, there = sweep(NOT_ALLOWED[what], *flags)

    assert done.exit_code == exit_code
    assert "humangov" in done.output
    assert "allowed" in done.output
    assert "Traceback" not in done.output
    assert not world.calls
    assert there.reported == []


def test_a_sweep_outside_the_operators_namespace_is_refused_where_no_allowed_names_are_given(
    world: SweepWorld, sweep: Sweep
) -> None:
    done, _ = sweep(None, "--operator-namespace", "operators")

    assert done.exit_code == 1
    assert not world.calls


def test_sweep_of_allowed_names_runs(world: SweepWorld, sweep: Sweep) -> None:
    done, there = sweep({"humangov": FITTING}, "--report-status")

    assert world.calls["Scan"], done.output
    assert there.reported
