"""Fixtures of whole reconciliations: the sandbox's MiniStack, and an account of its own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from humangov.bundle import Bundle, bundle

from sandbox import emulator
from sandbox.handle import Sandbox
from testing.reconciler.sdk import Sdk
from testing.reconciler.world import World


@pytest.fixture(scope="session")
def sdk(sandbox: Sandbox) -> Iterator[Sdk]:
    if sandbox.aws != "emulator" or sandbox.aws_endpoint_url is None:
        pytest.skip("these tests make accounts of the emulated AWS")
    made = Sdk(sandbox.aws_endpoint_url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def code() -> Bundle:
    return bundle()


@pytest.fixture
def worlds(sdk: Sdk, code: Bundle, monkeypatch: pytest.MonkeyPatch) -> Callable[[], World]:
    """New worlds, one after the other: what was made last is the one in which the SDK's clients are."""
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return lambda: World(sdk=sdk, account=emulator.new_account(), bundle=code)


@pytest.fixture
def world(worlds: Callable[[], World]) -> Iterator[World]:
    """Every fault that a test sets has to be met: one that no call meets would make a test that cannot fail."""
    made = worlds()
    yield made
    assert made.faults_never_met() == []
