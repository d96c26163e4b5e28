"""Being a service account: the operator runs under its own, never as admin."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from sandbox import api_server
from sandbox.errors import SandboxError
from sandbox.handle import Sandbox


def kubeconfig_for(
    sandbox: Sandbox,
    *,
    namespace: str,
    service_account: str,
    path: Path,
    expiration_seconds: int = 24 * 3600,
    server: str | None = None,
) -> Path:
    """Write a kubeconfig that acts as this service account, in its namespace, and return its path.

    `server`: where it finds the API server, if not where everybody does: the address of a proxy.
    The token (TokenRequest, at least 600 s) is in a file beside it, `<path>.token`; call again to renew it.
    Raises SandboxError if there is no such account or no cluster.
    """
    if api_server.is_own(sandbox):
        admin = api_server.minified(sandbox)
        token = api_server.create_token(
            sandbox, namespace=namespace, service_account=service_account, expiration_seconds=expiration_seconds
        )
    else:
        admin = json.loads(_admin(sandbox, ["config", "view", "--minify", "--flatten", "--raw", "-o", "json"]))
        arguments = ["create", "token", service_account, f"--namespace={namespace}"]
        token = _admin(sandbox, [*arguments, f"--duration={expiration_seconds}s"])
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    token_file = path.with_name(f"{path.name}.token")
    _write_private(token_file, token.strip())
    name = f"{namespace}/{service_account}"
    if server is not None:
        admin["clusters"][0]["cluster"] = {"server": server}
    content = render(admin, user=name, namespace=namespace, token_file=token_file)
    _write_private(path, yaml.safe_dump(content, sort_keys=False))
    return path


def render(admin: dict[str, Any], *, user: str, namespace: str, token_file: Path) -> dict[str, Any]:
    """The cluster of an admin's minified kubeconfig, with another user."""
    cluster = admin["clusters"][0]
    context = {"cluster": cluster["name"], "user": user, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": user, "user": {"tokenFile": str(token_file)}}],
        "contexts": [{"name": user, "context": context}],
        "current-context": user,
    }


def _admin(sandbox: Sandbox, arguments: list[str]) -> str:
    if sandbox.kubectl is None:
        raise SandboxError("This sandbox was started without Kubernetes: there are no service accounts.")
    done = subprocess.run(
        [str(sandbox.kubectl), *arguments],
        env=sandbox.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SandboxError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _write_private(path: Path, content: str) -> None:
    """In one step, so that a reader never sees half of it."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    new.replace(path)
