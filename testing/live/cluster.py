"""The API server as its administrator sees it: kubectl, and the client for what kubectl is too slow for."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client, config

from sandbox.handle import Sandbox


@dataclass(frozen=True)
class Cluster:
    """The API server as its administrator."""

    sandbox: Sandbox
    api: Any
    """kubernetes.client.CustomObjectsApi"""

    @classmethod
    def of(cls, sandbox: Sandbox) -> Cluster:
        untyped: Any = config
        loaded = untyped.new_client_from_config(str(sandbox.kubeconfig))
        return cls(sandbox=sandbox, api=client.CustomObjectsApi(loaded))

    @property
    def user(self) -> str:
        """The administrator's username, as the API server has it."""
        reviews: Any = client.AuthenticationV1Api(self.api.api_client)
        review = reviews.create_self_subject_review({})
        return str(review.status.user_info.username)

    def kubectl(
        self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """kubectl's answer, whatever it is; with `kubeconfig`, as whom it names."""
        environment = self.sandbox.environment()
        if kubeconfig is not None:
            environment["KUBECONFIG"] = str(kubeconfig)
        return subprocess.run(
            [str(self.sandbox.kubectl), *arguments],
            env=environment, input=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def output(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl's output; fails if it fails."""
        done = self.kubectl(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def fresh_namespace(self, prefix: str) -> Iterator[str]:
        """A namespace's name, beginning so. In the end its removal is asked for, not waited for."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.output("create", "namespace", name)
        try:
            yield name
        finally:
            self.output("delete", "namespace", name, "--wait=false")
