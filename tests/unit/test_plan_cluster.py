"""`humangov plan`: in whose name it looks at AWS, when nobody gives --cluster-name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from humangov.api.allowed_names import AllowedNames
from humangov.reconcile import plan
from humangov.reconcile.settings import Settings

from testing import samples


@pytest.mark.parametrize(
    ("given", "recorded", "moved_from", "expected"),
    [
        (None, "sandbox", (), "sandbox"),  # the operator runs with --cluster-name sandbox
        ("other", "sandbox", (), "other"),
        (None, None, (), "uid"),  # not applied yet
        (None, "old-uid", ("old-uid",), "uid"),  # moved here
    ],
)
def test_plan_takes_the_name_that_the_operator_recorded(
    given: str | None, recorded: str | None, moved_from: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status: Mapping[str, Any] = {"status": {"aws": {"cluster": recorded}}} if recorded else {}

    class Api:
        async def dry_run(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
            return {**manifest, **status}

        async def cluster_uid(self, *, needed: bool) -> str:
            return "uid"

        async def close(self) -> None: ...

    monkeypatch.setattr(plan, "Tenants", Api)
    settings = Settings(region="us-east-1", allowed=AllowedNames({}), moved_from=frozenset(moved_from))
    completed = plan._completed(
        samples.resource(), settings=settings, cluster_name=given, namespace="humangov", offline=False
    )
    assert asyncio.run(completed)[1:] == (expected, "uid")
