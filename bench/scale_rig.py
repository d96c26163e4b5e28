"""What the scale benches run on: a namespace of the sandbox, the fake AWS beside it, an operator on both, many tenants.

One tenant is applied and becomes Ready as any. Of what it then has in Kubernetes and in AWS copies are made under other
names, for ten thousand first applies would take hours under AWS's limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
from humangov.aws.actions import ACTIONS
from kubernetes.aio import client as untyped_client
from kubernetes.aio import config as untyped_config

from bench import rig
from bench.listening import listening
from bench.rig import NotMeasuredError, Say
from sandbox import emulator, local_operator, ports
from sandbox.handle import Sandbox

ANSWER_SECONDS = 0.035
PATTERN = "tenant-00000"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
_GROUP = ("humangov.io", "v1")
_RECONCILE = "humangov.io/reconcile"
_TICKS = os.sysconf("SC_CLK_TCK")
client: Any = untyped_client  # the library has no types there
config: Any = untyped_config


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Of a process: processor seconds so far, and memory in KiB."""

    cpu_seconds: float
    rss_kib: int
    peak_kib: int


class Kubernetes:
    """The API server as its administrator; what is made is made a few at once."""

    def __init__(self, sandbox: Sandbox, namespace: str) -> None:
        self.sandbox, self.namespace = sandbox, namespace

    async def __aenter__(self) -> Kubernetes:
        configuration = client.Configuration()
        await config.load_kube_config(config_file=str(self.sandbox.kubeconfig), client_configuration=configuration)
        self._client = client.ApiClient(configuration)
        self.api = client.CustomObjectsApi(self._client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def get(self, name: str) -> Any:
        return await self.api.get_namespaced_custom_object(*_GROUP, self.namespace, rig.RESOURCE, name)

    async def create(self, document: Mapping[str, Any]) -> Any:
        return await self.api.create_namespaced_custom_object(*_GROUP, self.namespace, rig.RESOURCE, document)

    async def patch(self, name: str, change: Mapping[str, Any]) -> Any:
        return await self.api.patch_namespaced_custom_object(
            *_GROUP, self.namespace, rig.RESOURCE, name, change, _content_type="application/merge-patch+json"
        )

    async def delete(self, name: str) -> None:
        await self.api.delete_namespaced_custom_object(*_GROUP, self.namespace, rig.RESOURCE, name)

    async def copy(self, pattern: Mapping[str, Any], name: str) -> None:
        """A tenant like it under another name, with its status."""
        old = str(pattern["metadata"]["name"])
        text = json.dumps(pattern)
        for mapping in (pattern.get("status") or {}).get("mappings") or ():
            text = text.replace(mapping, str(uuid.uuid5(uuid.NAMESPACE_URL, name)))
        copied = json.loads(text.replace(old, name))
        metadata = {key: copied["metadata"][key] for key in ("name", "namespace", "finalizers", "annotations")}
        found = await self.create({**copied, "metadata": metadata})
        await self.api.replace_namespaced_custom_object_status(
            *_GROUP, self.namespace, rig.RESOURCE, name, {**found, "status": copied["status"]}
        )

    async def ready(self, name: str, generation: int, *, since: float, within_seconds: float) -> float:
        """Seconds until it was seen Ready at this generation. Raises NotMeasuredError."""
        while time.monotonic() - since < within_seconds:
            status = (await self.get(name)).get("status") or {}
            for one in status.get("conditions") or ():
                if one["type"] == "Ready" and one["status"] == "True" and one["observedGeneration"] >= generation:
                    return time.monotonic() - since
            await asyncio.sleep(0.1)
        raise NotMeasuredError(f"{name} was not Ready within {within_seconds:.0f} s")


class FakeAws:
    """The process of bench/scale_aws.py, at this address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, document: Any = None) -> Any:
        data = json.dumps(document).encode()
        with urllib.request.urlopen(f"{self.url}/-/{path}", data=data, timeout=120) as answer:  # noqa: S310 - our own
            return json.loads(answer.read())


@dataclass
class Running:
    """An operator, and where its metrics are."""

    local: local_operator.LocalOperator
    metrics_url: str

    def usage(self) -> Usage:
        process = Path(f"/proc/{self.local.process.pid}")
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        memory = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+)", (process / "status").read_text()))
        seconds = (int(fields[11]) + int(fields[12])) / _TICKS
        return Usage(cpu_seconds=seconds, rss_kib=int(memory["VmRSS"]), peak_kib=int(memory["VmHWM"]))

    def counted(self, metric: str, **labels: str) -> int:
        """All samples of the metric that have these labels, together."""
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        lines = self._scrape().splitlines()
        found = [line for line in lines if line.startswith(f"{metric}{{") and all(one in line for one in wanted)]
        return int(sum(float(line.rpartition(" ")[2]) for line in found))

    def reconciles(self) -> int:
        return self.counted("humangov_reconcile_total")

    def scrape_seconds(self) -> float:
        """Of one scrape, as a client sees it. Meanwhile the operator's event loop does hardly anything else."""
        begun = time.monotonic()
        self._scrape()
        return time.monotonic() - begun

    def _scrape(self) -> str:
        with urllib.request.urlopen(self.metrics_url, timeout=30) as answer:  # noqa: S310 - our own
            text: str = answer.read().decode()
            return text


@contextlib.contextmanager
def operator(
    sandbox: Sandbox, namespace: str, folder: Path, url: str, *, resync_seconds: float, share: int = 50
) -> Iterator[Running]:  # fmt: skip
    [port] = ports.choose(["probe"]).values()
    with local_operator.start(
        sandbox, namespace=namespace, folder=folder,
        arguments=[
            "--region", emulator.REGION, "--resync", str(resync_seconds), "--probe-address", f"127.0.0.1:{port}",
            "--log-level", "info", "--aws-limits-share", str(share),
        ],
        environment={**CREDENTIALS, **endpoints(url)},
    ) as local:  # fmt: skip
        yield Running(local=local, metrics_url=f"http://127.0.0.1:{port}/metrics")


def endpoints(url: str) -> dict[str, str]:
    """A variable a service: AWS_ENDPOINT_URL would tell the operator that this is not AWS, and has no limits."""
    session = botocore.session.get_session()
    ids = [session.get_service_model(service).service_id for service in {one.service for one in ACTIONS.values()}]
    of_services = {f"AWS_ENDPOINT_URL_{one.replace(' ', '_').upper()}": url for one in [*ids, "STS"]}
    return {**of_services, "AWS_ENDPOINT_URL": ""}  # the sandbox's variable is not for this operator


@contextlib.contextmanager
def place(sandbox: Sandbox, *, aws: Sequence[str] = ("limits", "ripening")) -> Iterator[tuple[str, Path, FakeAws]]:
    namespace = f"bench-{uuid.uuid4().hex[:6]}"
    folder = sandbox.root / namespace
    folder.mkdir(parents=True)
    local_operator.install(sandbox, namespace=namespace)
    try:
        with listening("bench.scale_aws", ANSWER_SECONDS, *aws) as url:
            yield namespace, folder, FakeAws(url)
    finally:
        local_operator.kubectl(
            sandbox, "patch", rig.RESOURCE, "-n", namespace, "--type=merge", "-p", '{"metadata":{"finalizers":[]}}',
            PATTERN, check=False,
        )  # fmt: skip


def settled(
    sandbox: Sandbox, namespace: str, folder: Path, aws: FakeAws, tenants: int, *, resync_seconds: float, say: Say
) -> list[str]:
    """Makes so many tenants that are Ready, with nobody at work; their names."""
    say(f"{tenants} tenants: the first, as any")
    with operator(sandbox, namespace, folder, aws.url, resync_seconds=resync_seconds):
        asyncio.run(_first(sandbox, namespace))
    say(f"{tenants} tenants: copies")
    names = [f"tenant-{number:05}" for number in range(1, tenants)]
    asyncio.run(_copies(sandbox, namespace, names))
    aws.ask("clone", {"pattern": PATTERN, "names": names})
    aws.ask("clear")
    return [PATTERN, *names]


async def _first(sandbox: Sandbox, namespace: str) -> None:
    """Until it is Ready, and once more: what else may hold copies of its files is read of a tenant that is."""
    async with Kubernetes(sandbox, namespace) as kube:
        began = time.monotonic()
        await kube.create(rig.manifest(PATTERN, namespace=namespace))
        await kube.ready(PATTERN, 1, since=began, within_seconds=180)
        await kube.patch(PATTERN, {"metadata": {"annotations": {_RECONCILE: "again"}}})
        while (await kube.get(PATTERN))["status"].get("lastHandledReconcile") != "again":
            if time.monotonic() - began > 300:
                raise NotMeasuredError("the first tenant was not reconciled again")
            await asyncio.sleep(0.2)


async def _copies(sandbox: Sandbox, namespace: str, names: Sequence[str]) -> None:
    some_at_once = asyncio.Semaphore(8)

    async with Kubernetes(sandbox, namespace) as kube:
        pattern = await kube.get(PATTERN)

        async def copy(name: str) -> None:
            async with some_at_once:
                await kube.copy(pattern, name)

        await asyncio.gather(*(copy(name) for name in names))
