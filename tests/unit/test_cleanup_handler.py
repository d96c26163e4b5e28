"""The cold start: settings and clients, and nothing that waits for ever."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest
from humangov.cleanup.batch import DEADLINE_MARGIN_MS

NAME = "humangov.cleanup.handler"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Lambda's, without an endpoint of one's own; the module is read again."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_REGION": "us-gov-west-1",
        "AWS_DEFAULT_REGION": "us-gov-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "HUMANGOV_TENANT": "uid/humangov/california",
        "HUMANGOV_TABLE": "california",
        "HUMANGOV_BUCKET": "files",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    return monkeypatch


def handler() -> ModuleType:
    module = importlib.import_module(NAME)
    del sys.modules[NAME]
    return module


def path_style(module: ModuleType) -> bool:
    return (module.S3.meta.config.s3 or {}).get("addressing_style") == "path"


def test_s3_client_uses_virtual_hosted_style_on_aws(environment: pytest.MonkeyPatch) -> None:
    assert not path_style(handler())


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_s3_client_uses_path_style_at_a_custom_endpoint(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv(name, "http://emulator:4566")

    module = handler()

    assert path_style(module)
    assert module.S3.meta.endpoint_url == "http://emulator:4566"


def test_sdk_timeouts_fit_into_the_deadline_margin(environment: pytest.MonkeyPatch) -> None:
    module = handler()

    for client in (module.DYNAMODB, module.S3, module.LOGS):
        config = client.meta.config
        attempts = config.retries["total_max_attempts"]
        assert attempts == 1
        assert (config.connect_timeout + config.read_timeout) * attempts * 1000 <= DEADLINE_MARGIN_MS
        assert config.max_pool_connections >= 16
