"""The operator as its users run it: the chart, installed by helm, from the image that the Dockerfile makes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from sandbox import emulator, helm
from sandbox.handle import Sandbox
from sandbox.paths import REPOSITORY

CHART = REPOSITORY / "deploy" / "helm" / "humangov-operator"
NAME = "humangov-operator"
# As the webhook of EKS mounts it: https://docs.aws.amazon.com/eks/latest/userguide/pod-configuration.html
_TOKEN_FOLDER = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
_AUDIENCE = "sts.amazonaws.com"
_HELM_SECONDS = 120


class HelmError(Exception):
    """helm said no; the message is what it said."""


@dataclass(frozen=True)
class Release:
    """One release of the chart in one namespace."""

    sandbox: Sandbox
    namespace: str
    values: Mapping[str, Any]
    name: str = NAME
    say: Callable[[str], None] = field(default=lambda _: None)

    def install(self, *arguments: str, chart: Path = CHART) -> str:
        """`helm upgrade --install`, until the Deployment is available; what helm printed. Raises HelmError."""
        return self.helm(*self.install_command(chart=chart), *arguments, stdin=yaml.safe_dump(dict(self.values)))

    def install_command(self, *, chart: Path = CHART) -> list[str]:
        """Without the values, which come through standard input."""
        return [
            "upgrade", "--install", self.name, str(chart), "--namespace", self.namespace, "--values", "-",
            "--wait", f"--timeout={_HELM_SECONDS}s",
        ]  # fmt: skip

    def uninstall(self, *arguments: str) -> str:
        """Raises HelmError; also when the chart itself refuses."""
        return self.helm(
            "uninstall", self.name, "--namespace", self.namespace, "--wait", f"--timeout={_HELM_SECONDS}s", *arguments
        )

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        """Both of what it prints. Raises HelmError."""
        done = helm.run(*arguments, say=self.say, environ=self.sandbox.environment(), stdin=stdin)
        if done.returncode != 0:
            raise HelmError(f"helm {arguments[0]}: {(done.stdout + done.stderr).strip()}")
        return done.stdout + done.stderr

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """As the cluster's administrator, in the release's namespace. Raises CalledProcessError."""
        command = [str(self.sandbox.kubectl), "--namespace", self.namespace, *arguments]
        done = subprocess.run(
            command, env=self.sandbox.environment(), input=stdin, capture_output=True, text=True, check=False
        )
        if check and done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    def pods(self) -> list[dict[str, Any]]:
        """The operator's pods; not those of the chart's hooks."""
        selector = f"app.kubernetes.io/name=humangov-operator,app.kubernetes.io/instance={self.name}"
        return list(json.loads(self.kubectl("get", "pods", "-l", selector, "-o", "json"))["items"])

    def logs(self, *arguments: str) -> str:
        return self.kubectl("logs", f"deployment/{self.name}", *arguments)


def values_on_node(sandbox: Sandbox, *, image: str, account: str, probe_port: int) -> dict[str, Any]:
    """Values for the sandbox's node: its one network is the host's, its AWS the emulated one on loopback.

    Credentials come as on EKS with IRSA: a projected token of the service account, changed into those of a role in
    `account`. What EKS's webhook would add to the pod is spelled out here.
    """
    repository, _, tag = image.rpartition(":")
    server = urlsplit(_server(sandbox))
    environment = {
        # There is no kube-proxy: the service's address leads nowhere.
        "KUBERNETES_SERVICE_HOST": server.hostname,
        "KUBERNETES_SERVICE_PORT": str(server.port),
        "AWS_ENDPOINT_URL": sandbox.aws_endpoint_url,
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ROLE_ARN": role_arn(account),
        "AWS_WEB_IDENTITY_TOKEN_FILE": f"{_TOKEN_FOLDER}/token",
    }
    token = {"serviceAccountToken": {"audience": _AUDIENCE, "expirationSeconds": 86400, "path": "token"}}
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "hostNetwork": True,
        # The node's kubelet does not account for disks, so it offers none.
        "sweep": {"resources": {"requests": {"ephemeral-storage": None}}},
        "reports": {"resources": {"requests": {"ephemeral-storage": None}}},
        "region": emulator.REGION,
        "probes": {"port": probe_port},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": role_arn(account)}},
        "extraEnv": [{"name": name, "value": value} for name, value in environment.items()],
        "extraVolumes": [{"name": "aws-iam-token", "projected": {"sources": [token]}}],
        "extraVolumeMounts": [{"name": "aws-iam-token", "mountPath": _TOKEN_FOLDER, "readOnly": True}],
    }


def values_elsewhere(
    *, image: str, aws_endpoint_url: str | None = None, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """Values for a cluster of the user's, laid over by the file that HUMANGOV_VALUES names."""
    repository, _, tag = image.rpartition(":")
    own = Path(environ["HUMANGOV_VALUES"]) if environ.get("HUMANGOV_VALUES") else None
    extra = (yaml.safe_load(own.read_text()) or {}) if own else {}
    endpoint = {"extraEnv": [{"name": "AWS_ENDPOINT_URL", "value": aws_endpoint_url}]} if aws_endpoint_url else {}
    return {"image": {"repository": repository, "tag": tag}, **endpoint, **extra}


def role_arn(account: str) -> str:
    """The operator's own role, as deploy/iam names it."""
    return f"arn:aws:iam::{account}:role/{NAME}"


def _server(sandbox: Sandbox) -> str:
    if sandbox.kubeconfig is None:
        raise ValueError("the sandbox has no cluster")
    [cluster] = yaml.safe_load(sandbox.kubeconfig.read_text())["clusters"]
    return str(cluster["cluster"]["server"])
