"""What a cloud would tell Kubernetes of the node: its address, and that it may be used."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.node.kubelet import NODE
from sandbox.ports import HOST

_UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"


def register(*, kubectl: Path, kubeconfig: Path, environment: Mapping[str, str]) -> bool:
    """Do what is left to do; whether the node is there, addressed and Ready."""
    node = _node(kubectl, kubeconfig, environment)
    if node is None:
        return False
    addresses = [
        {"type": "InternalIP", "address": HOST},
        {"type": "Hostname", "address": NODE},
    ]
    if node["status"].get("addresses") != addresses:
        patch = {"status": {"addresses": addresses}}
        _kubectl(
            kubectl, kubeconfig, environment,
            "patch", "node", NODE, "--subresource=status", "--type=merge", "-p", json.dumps(patch),
        )  # fmt: skip
    if any(taint["key"] == _UNINITIALIZED for taint in node["spec"].get("taints", ())):
        _kubectl(kubectl, kubeconfig, environment, "taint", "node", NODE, f"{_UNINITIALIZED}-")
    return usable(node)


def usable(node: Mapping[str, Any]) -> bool:
    """Ready, and no taint keeps pods away."""
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", ()))
    return ready and not node["spec"].get("taints")


def _node(kubectl: Path, kubeconfig: Path, environment: Mapping[str, str]) -> dict[str, Any] | None:
    printed = _kubectl(kubectl, kubeconfig, environment, "get", "node", NODE, "--ignore-not-found", "-o", "json")
    return dict(json.loads(printed)) if printed.strip() else None


def _kubectl(kubectl: Path, kubeconfig: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """Its standard output; nothing if it fails, for it is asked again."""
    done = subprocess.run(
        [str(kubectl), "--kubeconfig", str(kubeconfig), *arguments],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else ""
