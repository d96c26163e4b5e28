"""The API server ill, restarted, or no longer taking the operator's token: the operator outlives it.

On a control plane of this module's own, for others' tests need theirs, the emulated AWS and the operator as a process.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping

import pytest

import sandbox as sandboxes
from sandbox import cluster as parts
from sandbox import local_operator
from sandbox.handle import Sandbox
from sandbox.local_operator import LocalOperator
from sandbox.paths import REPOSITORY, ROOT_VARIABLE, Layout
from sandbox.serviceaccount import kubeconfig_for
from sandbox.state import load
from testing.live.account import Account
from testing.live.cluster import Cluster
from testing.live.states import States, is_ready
from testing.live.waiting import wait_for
from tests.conftest import Print

NAMESPACE = "humangov"


@pytest.fixture(scope="module")
def own(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Mapping[str, str]]]:
    """A control plane without an AWS of its own."""
    if sandbox.kubernetes != "sandbox":
        pytest.skip("a user's own cluster is not to be stopped")
    folder = tmp_path_factory.mktemp("control-plane")
    kept = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "AWS_ENDPOINT_URL")}
    environ = {**kept, ROOT_VARIABLE: str(folder)}
    running = sandboxes.up(aws=False, environ=environ)
    try:
        local_operator.install(running, namespace=NAMESPACE)
        yield running, environ
    finally:
        sandboxes.down(environ=environ)


@pytest.fixture
def states(own: tuple[Sandbox, Mapping[str, str]]) -> States:
    return States(Cluster.of(own[0]), NAMESPACE)


def start(
    states: States, sandbox: Sandbox, account: Account, factory: pytest.TempPathFactory, *flags: str
) -> LocalOperator:
    names = ("AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ACCOUNT_ID_ENDPOINT_MODE", "AWS_EC2_METADATA_DISABLED")
    shared = sandbox.environment()
    return local_operator.start(
        states.cluster.sandbox, namespace=NAMESPACE, folder=factory.mktemp("operator"), arguments=flags,
        environment={**{name: shared[name] for name in names}, **account.environment},
    )  # fmt: skip


def api_server(environ: Mapping[str, str]) -> int:
    return load(Layout.of(environ).state).parts[parts.API_SERVER].process.pid


def test_operator_survives_an_api_server_that_hangs_dies_and_returns(
    own: tuple[Sandbox, Mapping[str, str]], states: States, sandbox: Sandbox, account: Account,
    tmp_path_factory: pytest.TempPathFactory, measured: Print,
) -> None:  # fmt: skip
    account.make("california", "florida", "nevada")
    with start(states, sandbox, account, tmp_path_factory, "--resync", "1", "--all-namespaces") as running:
        states.apply(states.manifest("california", **account.spec("california")))
        states.wait_ready("california")
        # It hangs while the operator reconciles again every second; what the operator then wants of it comes later.
        pid = api_server(own[1])
        os.kill(pid, signal.SIGSTOP)
        group = "/aws/lambda/humangov-california-delete-file"
        account.client("logs").put_retention_policy(logGroupName=group, retentionInDays=1)
        try:
            wait_for(
                lambda: [one["retentionInDays"] for one in account.log_groups()] == [400],
                what="drift is repaired although the API server hangs",
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        states.apply(states.manifest("florida", **account.spec("florida")))
        states.wait_ready("florida")
        # It dies, and another one takes its place on the same port.
        os.kill(pid, signal.SIGKILL)
        log = running.log.read_text
        seen = len(log())
        wait_for(lambda: "ClientConnector" in log()[seen:] or "Connect" in log()[seen:], what="the loss is noticed")
        sandboxes.up(aws=False, environ=own[1])
        back = time.monotonic()
        fresh = States(Cluster.of(own[0]), NAMESPACE)
        fresh.apply(fresh.manifest("nevada", **account.spec("nevada")))
        fresh.wait_ready("nevada", seconds=40)
        measured(f"API server back after its death → a new state Ready: {time.monotonic() - back:.1f} s")
        fresh.delete("california", "florida", "nevada")
        fresh.wait_none(seconds=40)
        assert running.process.poll() is None
        assert running.stop() == 0
    assert account.leaked() == {}


def test_operator_with_a_revoked_token_continues_with_the_next(
    own: tuple[Sandbox, Mapping[str, str]], states: States, sandbox: Sandbox, account: Account,
    tmp_path_factory: pytest.TempPathFactory, measured: Print,
) -> None:  # fmt: skip
    """A mounted token is replaced in its file; here the old one dies first, with its service account."""
    account.make("california")
    with start(states, sandbox, account, tmp_path_factory) as running:
        states.apply(states.manifest("california", **account.spec("california")))
        states.wait_ready("california")
        states.cluster.output("delete", "serviceaccount", local_operator.SERVICE_ACCOUNT, "-n", NAMESPACE)
        states.cluster.output("create", "serviceaccount", local_operator.SERVICE_ACCOUNT, "-n", NAMESPACE)
        wait_for(
            lambda: states.cluster.kubectl("get", "hgs", kubeconfig=running.kubeconfig).returncode != 0,
            what="the old token is refused", seconds=30,
        )  # fmt: skip
        states.respec("california", trigger={"batchSize": 5})
        replaced = time.monotonic()
        kubeconfig_for(
            own[0], namespace=NAMESPACE, service_account=local_operator.SERVICE_ACCOUNT, path=running.kubeconfig
        )
        wait_for(lambda: is_ready(states.get("california")), what="the change is worked on", seconds=60)
        measured(f"token replaced → the operator works again: {time.monotonic() - replaced:.1f} s")
        assert running.process.poll() is None
        states.delete("california")
        states.wait_deleted("california")


def test_removed_definition_deletes_its_states_and_its_return_is_detected(
    own: tuple[Sandbox, Mapping[str, str]], states: States, sandbox: Sandbox, account: Account,
    tmp_path_factory: pytest.TempPathFactory, measured: Print,
) -> None:  # fmt: skip
    account.make("california")
    definition = str(REPOSITORY / "crds" / "humangovstates.yaml")
    with start(states, sandbox, account, tmp_path_factory) as running:
        states.apply(states.manifest("california", **account.spec("california")))
        states.wait_ready("california")
        # Kubernetes deletes the states first, and waits for the operator's finalizer.
        states.cluster.output("delete", "-f", definition, "--timeout=60s")
        assert account.leaked() == {}
        wait_for(
            lambda: "The CustomResourceDefinition does not exist" in running.log.read_text(), what="its absence is told"
        )
        states.cluster.output("apply", "--server-side", "-f", definition)
        local_operator.wait_established(own[0])
        back = time.monotonic()
        states.apply(states.manifest("california", **account.spec("california")))
        states.wait_ready("california", seconds=40)
        measured(f"definition back → a new state Ready: {time.monotonic() - back:.1f} s")
        assert running.process.poll() is None
        states.delete("california")
        states.wait_deleted("california")
        assert running.stop() == 0
