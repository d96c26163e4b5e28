"""`make cluster`: the story, told from pods. Runs on a whole cluster with a node, and the emulated AWS (MiniStack)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from sandbox.handle import Sandbox
from sandbox.paths import REPOSITORY

OPERATOR = "system:serviceaccount:humangov:humangov-operator"


@pytest.mark.usefixtures("new_api_server")
def test_demo_observes_every_step_with_the_operator_in_a_pod(
    node: Sandbox, image: str, environ: Mapping[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.demo", "--pods"],
        cwd=REPOSITORY, env=dict(environ), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 18 steps were observed." in done.stdout
    assert image in done.stdout
    assert node.audit_log is not None
    entries = [json.loads(line) for line in node.audit_log.read_text().splitlines()]
    assert [entry for entry in entries if entry["user"].get("username") == OPERATOR]
    assert refused_while_granted(entries) == [], "the chart grants too little"


def refused_while_granted(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """The operator's refused requests, but for those of an ending pod after helm has removed its permissions."""
    refused, granted = [], False
    for entry in entries:
        about = entry.get("objectRef") or {}
        if about.get("resource") == "roles" and about.get("namespace") == "humangov":
            granted = entry["verb"] in ("create", "patch", "update") or (granted and entry["verb"] == "get")
        elif granted and entry["user"].get("username") == OPERATOR and entry["responseStatus"]["code"] == 403:
            refused.append(entry["requestURI"])
    return refused
