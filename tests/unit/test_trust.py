"""Which certificate authorities are trusted: also those of EKS, whose form is too lax for Python 3.13. On nothing."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from humangov.kube.client import load_configuration
from humangov.manager import watch
from kubernetes.aio import client

from sandbox.pki import create_authority

STRICT = ssl.VERIFY_X509_STRICT


@pytest.fixture
def python_3_13(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster to be reached by KUBECONFIG, and the contexts that Python makes since 3.13, whichever this is."""
    authority = create_authority(tmp_path / "certs", common_name="eks").pair.certificate
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority": str(authority)}}
        ],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    create = ssl.create_default_context

    def strict(*arguments: object, **named: object) -> ssl.SSLContext:
        context = create(*arguments, **named)  # type: ignore[arg-type] # handed on as they are
        context.verify_flags |= STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)


@pytest.mark.usefixtures("python_3_13")
def test_watch_trusts_an_authority_without_key_identifier_and_still_verifies() -> None:
    context = asyncio.run(watch.connection()).as_ssl_context()
    assert not context.verify_flags & STRICT
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.usefixtures("python_3_13")
def test_kube_client_trusts_an_authority_without_key_identifier_and_still_verifies() -> None:
    async def context() -> ssl.SSLContext:
        api: Any = client.ApiClient(await load_configuration())
        try:
            found: ssl.SSLContext = api.rest_client.ssl_context
            return found
        finally:
            await api.close()

    found = asyncio.run(context())
    assert not found.verify_flags & STRICT
    assert found.check_hostname
    assert found.verify_mode == ssl.CERT_REQUIRED
