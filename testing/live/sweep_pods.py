"""Sweeps where there is no node: a pod that the controllers made runs as a process, with its own account's token."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from sandbox.paths import REPOSITORY
from sandbox.serviceaccount import kubeconfig_for
from testing.documents import load_all
from testing.live.cluster import Cluster
from testing.live.command import run_humangov
from testing.live.waiting import wait_for

ACCOUNT = "humangov-operator-sweep"


def template(cluster: Cluster, namespace: str) -> str:
    """Makes the CronJob of deploy/install.yaml from which the operator makes sweeps; its name."""
    documents = load_all((REPOSITORY / "deploy" / "install.yaml").read_text())
    [found] = [one for one in documents if one["kind"] == "CronJob"]
    found["metadata"]["namespace"] = namespace
    cluster.output("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(found))
    return str(found["metadata"]["name"])


class Pods:
    """The pods of sweeps in one operator's namespace."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self._api: Any = client.CoreV1Api(cluster.api.api_client)
        self._cluster, self._namespace, self._folder = cluster, namespace, folder
        self._run: set[str] = set()

    def waiting(self) -> list[Any]:
        """Those that no node has taken."""
        pods = self._api.list_namespaced_pod(self._namespace, label_selector="app.kubernetes.io/name=humangov-sweep")
        return [pod for pod in pods.items if pod.status.phase == "Pending" and pod.metadata.name not in self._run]

    def run(self, number: int, *, environment: Mapping[str, str]) -> list[subprocess.CompletedProcess[str]]:
        """What a kubelet would do with so many of them, all at once; in the order of the tenants' names."""
        wait_for(lambda: len(self.waiting()) >= number, what=f"{number} pods wait")
        pods = sorted(self.waiting(), key=lambda pod: str(pod.metadata.labels["humangov.io/name"]))
        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(lambda pod: self._start(pod, environment), pods))

    def _start(self, pod: Any, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        name, spec = pod.metadata.name, pod.spec
        self._run.add(name)
        kubeconfig = kubeconfig_for(
            self._cluster.sandbox, namespace=self._namespace, service_account=spec.service_account_name,
            path=self._folder / f"{name}.kubeconfig",
        )  # fmt: skip
        [container] = spec.containers
        own = {one.name: one.value or self._namespace for one in container.env}  # the one that has none: from the field
        own["TMPDIR"] = str(self._folder)
        here = self._cluster.sandbox.environment() | {"PATH": os.environ["PATH"]}
        done = run_humangov(
            *container.args, environment=here | own | dict(environment) | {"KUBECONFIG": str(kubeconfig)}
        )
        phase = "Succeeded" if done.returncode == 0 else "Failed"
        state = {"terminated": {"exitCode": done.returncode, "reason": "Completed"}}
        statuses = [
            {"name": container.name, "ready": False, "restartCount": 0, "image": container.image, "imageID": "",
             "state": state}
        ]  # fmt: skip
        self._api.patch_namespaced_pod_status(
            name, self._namespace, {"status": {"phase": phase, "containerStatuses": statuses}}
        )
        return done
