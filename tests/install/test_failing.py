"""What a cluster does to a pod: an upgrade under load, a kill, a drained node, too little memory, new credentials.

On a whole cluster with a node, and the emulated AWS (MiniStack) behind a recorder.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from multidict import CIMultiDict

from sandbox.node.kubelet import NODE
from sandbox.proxy import Handler, Request, Response
from sandbox.recorder import Recorder
from sandbox.release import HelmError, Release, role_arn
from testing.live.account import Account
from testing.live.audit_log import Audit
from testing.live.cluster import Cluster
from testing.live.states import States, condition
from testing.live.waiting import wait_for
from tests.conftest import Print
from tests.install.conftest import Install, wait_erased, with_environment, with_values

COUNT = 20
NAMES = [f"state-{number:02}" for number in range(COUNT)]


def settle(states: States, account: Account, *names: str) -> None:
    account.make(*names)
    states.kubectl_apply(*(states.manifest(name, **account.spec(name)) for name in names))
    states.wait_all_ready(len(names), seconds=90)


def reconciled_tenants(release: Release) -> set[str]:
    """Over which tenants the present pod has ended a reconciliation."""
    entries = [json.loads(line) for line in release.logs().splitlines()]
    return {entry["tenant"] for entry in entries if entry["message"] == "reconciliation ended"}


@contextmanager
def dismissing(account: Account, keys: dict[str, list[str]]) -> Iterator[None]:
    """Records are deleted all the while, state after state."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            for number in range(len(next(iter(keys.values())))):
                for name in keys:
                    if stop.is_set():
                        return
                    account.dismiss(name, f"employee-{number}")
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(timeout=120)
        stop.set()
        assert failed == []


def test_upgrade_under_load_loses_no_erasure_and_writes_nothing_to_in_sync_states(
    install: Install, states: States, account: Account, audit: Audit, measured: Print
) -> None:
    release = install(logLevel="debug")
    settle(states, account, *NAMES)
    keys = {name: [account.employ(name, f"employee-{number}") for number in range(10)] for name in NAMES}
    kept = {name: account.employ(name, "stays") for name in NAMES}
    position, before = (
        audit.position(),
        {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in states.all()},
    )
    with dismissing(account, keys):
        with_values(release, workers=5, podAnnotations={"upgraded": "yes"}).install()
    wait_for(
        lambda: all(account.files(name) == {kept[name]} for name in NAMES), seconds=60,
        what="the file of every deleted record is gone, and of no other",
        seen=lambda: {name: account.files(name) - {kept[name]} for name in NAMES},
    )  # fmt: skip
    pods = release.pods()
    assert [pod["metadata"]["annotations"]["upgraded"] for pod in pods] == ["yes"]
    every = {f"{states.namespace}/{name}" for name in NAMES}
    wait_for(lambda: reconciled_tenants(release) == every, what="the new pod has looked at all states", seconds=60)
    states.reconcile(NAMES[0], "look")
    assert audit.states_written_since(position) == [f"patch humangovstates/status {NAMES[0]}"]
    after = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in states.all()}
    assert {name for name in NAMES if after[name] != before[name]} == {NAMES[0]}
    assert len(account.mappings()) == COUNT
    measured(f"upgrade with {COUNT} states, {COUNT * 10} records deleted meanwhile: all files erased, no write")


def test_pod_killed_during_creation_restarts_and_ends_in_sync(
    install: Install, states: States, account: Account
) -> None:
    release = install()
    names = NAMES[:6]
    account.make(*names)
    states.kubectl_apply(*(states.manifest(name, **account.spec(name)) for name in names))
    wait_for(lambda: len(account.functions()) > 0, what="it is at work")
    release.kubectl("delete", "pods", "-l", f"app.kubernetes.io/instance={release.name}", "--grace-period=0", "--force")
    states.wait_all_ready(len(names), seconds=90)
    mappings = [mapping["FunctionArn"] for mapping in account.mappings()]
    assert len(mappings) == len(set(mappings)) == len(names)
    states.delete(*names)
    states.wait_none(seconds=60)
    assert account.leaked() == {}


def test_drained_node_runs_the_pod_again_once_uncordoned(
    cluster: Cluster, install: Install, states: States, account: Account
) -> None:
    release = install(podDisruptionBudget={"enabled": True, "maxUnavailable": 1})
    settle(states, account, "california")
    key = account.employ("california", "ada")
    try:
        cluster.output("drain", NODE, "--ignore-daemonsets", "--timeout=60s", "--pod-selector",
                     f"app.kubernetes.io/instance={release.name}")  # fmt: skip
        account.dismiss("california", "ada")
        wait_erased(account, "california", key)
        states.respec("california", function={"timeoutSeconds": 60})
        assert [pod["spec"].get("nodeName") for pod in release.pods()] == [None]
    finally:
        cluster.output("uncordon", NODE)
    states.wait_ready("california", seconds=60)
    assert account.client("lambda").get_function_configuration(FunctionName="humangov-california-delete-file")[
        "Timeout"
    ] == 60  # fmt: skip


def test_out_of_memory_pod_is_reported_and_files_are_still_erased(
    install: Install, states: States, account: Account, audit: Audit
) -> None:
    release = install()
    settle(states, account, "california")
    key = account.employ("california", "ada")
    position = audit.position()
    small = {"limits": {"memory": "40Mi"}, "requests": {"memory": "40Mi"}}
    with pytest.raises(HelmError):
        with_values(release, resources=small).install("--timeout=5s")

    def reasons() -> set[str]:
        return {
            status[state]["terminated"]["reason"]
            for pod in release.pods()
            for status in pod["status"].get("containerStatuses", ())
            for state in ("state", "lastState")
            if "terminated" in status[state]
        }

    wait_for(lambda: "OOMKilled" in reasons(), what="the kernel ends the container", seconds=60, seen=reasons)
    account.dismiss("california", "ada")
    wait_erased(account, "california", key)
    release.install()
    states.reconcile("california", "after", seconds=60)
    assert audit.states_written_since(position) == ["patch humangovstates/status california"]


class ShortSessions:
    """AWS gives sessions that are over in a minute: botocore renews them before every call."""

    async def __call__(self, request: Request, forward: Handler) -> Response:
        response = await forward(request)
        if request.operation.name != "AssumeRoleWithWebIdentity":
            return response
        body = response.body if isinstance(response.body, bytes) else b"".join([part async for part in response.body])
        end = f"{datetime.now(UTC) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}".encode()
        renewed = re.sub(rb"(?<=<Expiration>)[^<]*", end, body)
        headers = CIMultiDict(
            {name: value for name, value in response.headers.items() if name.lower() != "content-length"}
        )
        return Response(status=response.status, headers=headers, body=renewed)


def test_expired_credentials_are_renewed_with_the_service_account_token(
    install: Install, states: States, account: Account
) -> None:
    with Recorder(account.endpoint_url, layers=[ShortSessions()]) as recorder:
        release = install(environment={"AWS_ENDPOINT_URL": recorder.url})
        settle(states, account, "california")
        states.reconcile("california", "again")
        signed = [call for call in recorder.calls if call.name != "AssumeRoleWithWebIdentity"]
        sessions = {call.access_key for call in signed}
        assert len(sessions) > 10, "each call had a session of its own"
        assert [key for key in sessions if not key.startswith("ASIA")] == [], "the role's, and nobody else's"
        reported = [json.loads(line) for line in release.logs().splitlines()]
        about = f"{states.namespace}/california"
        assert [
            line for line in reported if line.get("tenant") == about and line["level"] in ("warning", "error")
        ] == []
        states.delete("california")
        states.wait_none(seconds=60)


def test_credentials_of_another_account_write_nothing_until_corrected(
    install: Install, states: States, account: Account
) -> None:
    release = install()
    settle(states, account, "california")
    picture = account.picture()
    other = f"{int(account.id) ^ 1:012}"
    with_environment(release, AWS_ROLE_ARN=role_arn(other)).install()
    said = states.wait_reason("california", "IdentityChanged")
    assert account.id in said["message"]
    states.respec("california", function={"timeoutSeconds": 60})
    wait_for(
        lambda: condition(states.get("california"), "Ready").get("observedGeneration") == 2, what="the change was seen"
    )
    assert account.picture() == picture
    release.install()
    states.wait_ready("california", seconds=60)
    configuration = account.client("lambda").get_function_configuration(FunctionName="humangov-california-delete-file")
    assert configuration["Timeout"] == 60
