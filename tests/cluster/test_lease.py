"""The election at the real API server: optimistic concurrency, MicroTime, and the operator's own permissions."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from humangov.kube.client import KubeError
from humangov.kube.leases import Leases
from humangov.manager.leader_election import (
    DURATION_SECONDS,
    LEASE_NAME,
    REQUEST_SECONDS,
    RETRY_PERIOD_SECONDS,
    Election,
)

from sandbox.local_operator import SERVICE_ACCOUNT
from sandbox.serviceaccount import kubeconfig_for
from testing.live.cluster import Cluster
from testing.live.waiting import wait_for

Lease = dict[str, Any]


@pytest.fixture(autouse=True)
def _as_the_operator(cluster: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kubeconfig_for(
        cluster.sandbox, namespace=namespace, service_account=SERVICE_ACCOUNT, path=tmp_path / "kubeconfig"
    )
    monkeypatch.setenv("KUBECONFIG", str(path))


def run_story(story: Callable[[Leases], Awaitable[None]]) -> None:
    async def run() -> None:
        leases = Leases()
        try:
            await story(leases)
        finally:
            await leases.close()

    asyncio.run(run())


def candidate(leases: Leases, namespace: str, identity: str) -> Election:
    return Election(leases=leases, namespace=namespace, identity=identity, rng=random.Random(1))  # noqa: S311 - jitter


def stored(cluster: Cluster, namespace: str) -> Lease:
    return dict(json.loads(cluster.output("get", "lease", LEASE_NAME, "-n", namespace, "-o", "json")))


async def until(condition: Callable[[], bool], *, what: str) -> None:
    """`wait_for`, while the event loop goes on."""
    await asyncio.to_thread(wait_for, condition, what=what, seconds=10)


def test_lease_is_acquired_released_and_acquired_by_another_on_a_real_api_server(
    cluster: Cluster, namespace: str
) -> None:
    async def story(leases: Leases) -> None:
        stop = asyncio.Event()
        first, second = candidate(leases, namespace, "first"), candidate(leases, namespace, "second")
        assert await first.acquire(stop=stop)
        made = stored(cluster, namespace)["spec"]
        assert (made["holderIdentity"], made["leaseDurationSeconds"], made["leaseTransitions"]) == ("first", 15, 0)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", made["renewTime"])
        keeping, waiting = asyncio.create_task(first.keep()), asyncio.create_task(second.acquire(stop=stop))
        await until(lambda: stored(cluster, namespace)["spec"]["renewTime"] > made["renewTime"], what="it is renewed")
        await until(lambda: second.standby, what="the second stands by")
        assert not waiting.done()
        keeping.cancel()
        await asyncio.wait({keeping})
        await first.release()
        given = time.monotonic()
        assert await waiting
        assert time.monotonic() - given < 1.2 * RETRY_PERIOD_SECONDS + 0.5
        taken = stored(cluster, namespace)["spec"]
        assert (taken["holderIdentity"], taken["leaseTransitions"]) == ("second", 1)
        assert second.holds()
        assert not first.holds()

    run_story(story)


def test_changed_lease_is_not_overwritten(namespace: str) -> None:
    async def story(leases: Leases) -> None:
        new = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE_NAME, "namespace": namespace},
            "spec": {"holderIdentity": "a"},
        }
        read = {"namespace": namespace, "name": LEASE_NAME}
        assert await leases.read_lease(**read, timeout_seconds=REQUEST_SECONDS) is None
        made = await leases.write_lease(new, timeout_seconds=REQUEST_SECONDS)
        with pytest.raises(KubeError) as error:
            await leases.write_lease(new, timeout_seconds=REQUEST_SECONDS)
        assert error.value.status == 409, "it is there already"
        await leases.write_lease({**made, "spec": {"holderIdentity": "b"}}, timeout_seconds=REQUEST_SECONDS)
        with pytest.raises(KubeError) as error:
            await leases.write_lease({**made, "spec": {"holderIdentity": "c"}}, timeout_seconds=REQUEST_SECONDS)
        assert error.value.status == 409, "it was read before the last write"
        found = await leases.read_lease(**read, timeout_seconds=REQUEST_SECONDS)
        assert found is not None
        assert found["spec"]["holderIdentity"] == "b"

    run_story(story)


def test_annotated_or_deleted_lease_stays_with_its_holder(cluster: Cluster, namespace: str) -> None:
    async def story(leases: Leases) -> None:
        holder = candidate(leases, namespace, "holder")
        assert await holder.acquire(stop=asyncio.Event())
        keeping = asyncio.create_task(holder.keep())
        cluster.output("annotate", "lease", LEASE_NAME, "-n", namespace, "note=kept")
        before = stored(cluster, namespace)
        await until(
            lambda: stored(cluster, namespace)["spec"]["renewTime"] > before["spec"]["renewTime"], what="it is renewed"
        )
        assert stored(cluster, namespace)["metadata"]["annotations"] == {"note": "kept"}
        cluster.output("delete", "lease", LEASE_NAME, "-n", namespace)
        await until(
            lambda: cluster.kubectl("get", "lease", LEASE_NAME, "-n", namespace).returncode == 0,
            what="it is made again",
        )
        assert stored(cluster, namespace)["spec"]["holderIdentity"] == "holder"
        assert not keeping.done()
        keeping.cancel()

    run_story(story)


def test_lease_request_times_out_on_a_silent_api_server(namespace: str, tmp_path: Path) -> None:
    async def story(leases: Leases) -> None:
        began = time.monotonic()
        with pytest.raises(KubeError) as error:
            await leases.read_lease(namespace=namespace, name=LEASE_NAME, timeout_seconds=0.5)
        assert error.value.status is None
        assert 0.4 < time.monotonic() - began < DURATION_SECONDS / 5

    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        path = tmp_path / "kubeconfig"
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        path.write_text(re.sub(r"https://127\.0\.0\.1:\d+", address, path.read_text()))
        run_story(story)
