"""Fixtures of whole reconciliations: the sandbox's MiniStack, and an account of its own for each test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import humangov
import pytest
from botocore.client import BaseClient
from humangov.bundle import Bundle, bundle

from sandbox import emulator
from testing.reconciler.sdk import Sdk
from testing.reconciler.world import World


@pytest.fixture(scope="session")
def sdk() -> Sdk:
    return Sdk()


@pytest.fixture(scope="session")
def code() -> Bundle:
    return bundle()


@pytest.fixture
def worlds(sdk: Sdk, code: Bundle, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """New worlds, one after the other: what was made last is the one in which the SDK's clients are."""
    monkeypatch.setenv("AWS_ACCOUNT_ID_ENDPOINT_MODE", "disabled")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return lambda **settings: World(sdk=sdk, account=emulator.new_account(), bundle=code, **settings)


PACKAGE = str(Path(humangov.__file__).parent)
BETWEEN = ("botocore", "boto3", "s3transfer", "concurrent", "testing")


@pytest.fixture(autouse=True)
def _every_call_of_s3_says_whose_the_bucket_must_be(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever makes a bucket of a name that was deleted gets nothing, and nothing of it is believed.

    Of the program's calls: what a test itself does to a bucket says nothing of it.
    """
    call, lacking = BaseClient._make_api_call, list[str]()

    def asked(self: Any, operation: str, parameters: Any) -> Any:
        shape = self.meta.service_model.operation_model(operation).input_shape
        takes = shape is not None and "ExpectedBucketOwner" in shape.members
        if takes and "ExpectedBucketOwner" not in parameters and (place := _of_the_program()):
            lacking.append(f"{operation} of {place}")
        return call(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", asked)
    yield
    assert lacking == []


def _of_the_program() -> str | None:
    """Where the program makes the call; None if a test makes it."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not any(f"/{one}/" in file for one in BETWEEN):
            return f"{file.removeprefix(PACKAGE)}:{frame.f_lineno}" if file.startswith(PACKAGE) else None
        frame = frame.f_back
    return None


@pytest.fixture
def world(worlds: Callable[[], World]) -> Iterator[World]:
    """Every fault that a test sets has to be met: one that no call meets would make a test that cannot fail."""
    made = worlds()
    yield made
    assert made.faults_never_met() == []
