"""Fixtures for tests on real parts: one sandbox for all workers, a namespace and an AWS account for each test.

Nothing is started for tests that ask for none of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib.util
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

import sandbox as sandboxes
from sandbox import local_operator
from sandbox.handle import Sandbox
from sandbox.local_operator import LocalOperator
from sandbox.paths import REPOSITORY, Layout
from sandbox.recorder import Recorder
from sandbox.state import load
from testing import cpu_seconds
from testing.live import aws_evidence, forked, kube_evidence
from testing.live.account import Account
from testing.live.audit_log import Audit
from testing.live.cluster import Cluster
from testing.live.fork_server import share_models
from testing.live.states import States
from testing.order import spread

MEASURED, CPU = "measured", "cpu"
COMPILED_WITHIN_SECONDS = 60.0
# kubectl and helm live a tenth of a second and look for garbage all the while: a seventh of it with Go's own 100.
GO_GARBAGE_PERCENT = "400"
LAST_LINES = 40
Print = Callable[[str], None]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Once a run, in the process that starts the others; a run of tests/after is about the run before it."""
    config = session.config
    if not hasattr(config, "workerinput") and not all("after" in Path(path).parts for path in config.args):
        kube_evidence.bookmark(Layout.of())
        aws_evidence.forget()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cpu", type=int, metavar="N", default=None,
        help="tell the processor seconds of each file and of the N dearest tests; with -n 1 also the sandbox's",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    share_models()
    os.environ.setdefault("GOGC", GO_GARBAGE_PERCENT)
    if config.getoption("cpu") is not None:
        config.pluginmanager.register(_CpuSeconds(config), "cpu-seconds")


def _own_cpu() -> float:
    return cpu_seconds.own(load(Layout.of().state))


class _CpuSeconds:
    """Notes what each phase of a test cost with its report, and tells it at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._slowest: int = config.getoption("cpu")
        of_worker = getattr(config, "workerinput", {})
        self._alone = int(of_worker.get("workercount", config.getoption("numprocesses", 0) or 0)) <= 1
        self._own, self._sandbox = _own_cpu(), self._of_sandbox()
        self._at_first = self._sandbox

    def _of_sandbox(self) -> Mapping[str, float]:
        return cpu_seconds.of_sandbox(load(Layout.of().state))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        own, sandbox = _own_cpu(), self._of_sandbox() if self._alone else self._sandbox
        more = max(0.0, sum(sandbox.values()) - sum(self._sandbox.values()))  # less, if it was stopped meanwhile
        outcome: Any = yield
        outcome.get_result().user_properties.append((CPU, (own - self._own, more)))
        self._own, self._sandbox = own, sandbox

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        costs = [
            cpu_seconds.Cost(test=report.nodeid, own=own, sandbox=sandbox, wall=report.duration)
            for reports in terminalreporter.stats.values()
            for report in reports
            for name, (own, sandbox) in (pair for pair in getattr(report, "user_properties", ()) if pair[0] == CPU)
        ]
        terminalreporter.section("processor seconds")
        for line in cpu_seconds.table(costs, with_sandbox=self._alone, slowest=self._slowest):
            terminalreporter.write_line(line)
        parts = {part: seconds - self._at_first.get(part, 0.0) for part, seconds in self._of_sandbox().items()}
        told = [
            f"{part} {seconds:.1f}" for part, seconds in {"pytest, and what it started": _own_cpu(), **parts}.items()
        ]
        terminalreporter.write_line("; ".join(told))


@pytest.hookimpl(hookwrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """In a fresh checkout one worker compiles the tests, and the others take that: it saves each seven seconds."""
    worker: Mapping[str, str] = getattr(session.config, "workerinput", {})
    done = Layout.of().root.parent / "tests" / "compiled-by"
    if worker and worker["workerid"] != "gw0" and _nothing_is_compiled():
        deadline = time.monotonic() + COMPILED_WITHIN_SECONDS
        while not (done.exists() and done.read_text() == worker["testrunuid"]) and time.monotonic() < deadline:
            time.sleep(0.1)
    gc.disable()  # what is loaded stays
    yield
    gc.collect()
    gc.freeze()  # from here on garbage is not looked for among modules, tests and the SDK's models
    gc.enable()
    gc.set_threshold(50_000, 20, 100)
    if worker and worker["workerid"] == "gw0":
        done.parent.mkdir(parents=True, exist_ok=True)
        done.write_text(worker["testrunuid"])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """With a failure stands what the test's operators logged last: another machine's run leaves nothing else behind."""
    outcome: Any = yield
    report, folder = outcome.get_result(), getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and isinstance(folder, Path):
        for log in sorted(folder.rglob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            report.sections.append((str(log.relative_to(folder)), "\n".join(lines[-LAST_LINES:])))


def _nothing_is_compiled() -> bool:
    one = Path(importlib.util.cache_from_source(str(REPOSITORY / "tests" / "unit" / "test_shape.py")))
    return not sys.dont_write_bytecode and not list(one.parent.glob("test_shape.*-pytest-*.pyc"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several workers share the tests. Those of tests/install have an order of their own."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1 and not any(item.nodeid.startswith("tests/install/") for item in items):
        items[:] = [items[place] for place in spread([item.nodeid for item in items], workers=workers)]


@pytest.fixture(scope="session", autouse=True)
def _aws_evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In the end, what operators that ran as processes tell of their AWS calls."""
    yield
    aws_evidence.Evidence().note_logs(tmp_path_factory.getbasetemp().rglob("operator-*.log"))


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """A command that a test runs in its own process configures logging: the next test's is as before."""
    root, own = logging.getLogger(), logging.getLogger("humangov")
    handlers, levels = list(root.handlers), (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@pytest.fixture(scope="session", autouse=True)
def _forked_operators() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_operator, "spawned", forked.spawn_operator)
        yield
    forked.end_server()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The sandbox that is up; one that has to be started first is stopped when the last worker is done with it."""
    layout = Layout.of()
    locks = layout.root.parent / "tests"
    locks.mkdir(parents=True, exist_ok=True)
    name = layout.root.name
    started = locks / f"{name}.started"
    with (locks / f"{name}.users").open("w") as users, (locks / f"{name}.starting").open("w") as starting:
        # Every worker holds `users` as one of many; who can have it alone in the end is the last.
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(starting, fcntl.LOCK_EX)
        running = sandboxes.current()
        if running is None:
            started.touch()
            running = sandboxes.up()
        if running.kubeconfig is not None:
            local_operator.install_definition(running)
            local_operator.install_policies(running)
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield running
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if started.exists():
                started.unlink()
                sandboxes.down()


@pytest.fixture(scope="session")
def cluster(sandbox: Sandbox) -> Cluster:
    if sandbox.kubeconfig is None:
        pytest.skip("the sandbox was started without Kubernetes")
    return Cluster.of(sandbox)


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    """A fresh account of the emulated AWS."""
    return _account(sandbox)


def _account(sandbox: Sandbox) -> Account:
    if sandbox.aws != "emulator" or sandbox.aws_endpoint_url is None:
        pytest.skip("this test makes accounts of the emulated AWS")
    return Account(endpoint_url=sandbox.aws_endpoint_url)


@pytest.fixture
def example_names() -> Iterator[None]:
    """The names of deploy/examples for this test alone: buckets share one space of names, over all accounts."""
    folder = Layout.of().root.parent / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{Layout.of().root.name}.examples").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def recorder(account: Account) -> Iterator[Recorder]:
    """A proxy before the emulated AWS. Whoever gets its URL as AWS_ENDPOINT_URL has each call recorded."""
    with Recorder(account.endpoint_url) as recording:
        yield recording


@pytest.fixture
def namespace(sandbox: Sandbox, cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh namespace that holds an operator's service account with the permissions of deploy/install.yaml."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    with installed(cluster, prefix=words[:30].strip("-")) as name:
        yield name


@contextlib.contextmanager
def installed(cluster: Cluster, *, prefix: str) -> Iterator[str]:
    """A namespace of that prefix with an operator's service account and its permissions."""
    name = f"{prefix}-{secrets.token_hex(3)}"
    local_operator.install(cluster.sandbox, namespace=name, definition=False)
    try:
        yield name
    finally:
        States(cluster, name).abandon()
        local_operator.uninstall(cluster.sandbox, namespace=name, wait=False)


@pytest.fixture
def states(cluster: Cluster, namespace: str) -> States:
    return States(cluster, namespace)


class StartOperator(Protocol):
    """Start `humangov run` for the test's namespace and account; more flags and variables may be given."""

    def __call__(
        self, *flags: str, environment: Mapping[str, str] | None = None, token_seconds: int = 6 * 3600
    ) -> LocalOperator: ...


@pytest.fixture
def operator(sandbox: Sandbox, namespace: str, account: Account, tmp_path: Path) -> Iterator[StartOperator]:
    """Starts operators; those that still run are killed at the end; none may have told of a bug."""
    started: list[LocalOperator] = []

    def start(
        *flags: str, environment: Mapping[str, str] | None = None, token_seconds: int = 6 * 3600
    ) -> LocalOperator:
        running = local_operator.start(
            sandbox,
            namespace=namespace,
            folder=tmp_path / f"operator-{len(started)}",
            arguments=flags,
            environment={**account.environment, **(environment or {})},
            token_seconds=token_seconds,
        )
        started.append(running)
        return running

    yield start
    for running in started:
        _end(running)
    for running in started:
        assert bugs_logged(running) == []


def _end(running: LocalOperator) -> None:
    """Killed, and not asked to stop: that it stops well is a test of its own, and costs a second each."""
    if running.process.poll() is None:
        running.kill()


def bugs_logged(running: LocalOperator) -> list[str]:
    """Lines of the operator's log that tell of a mistake in its code."""
    return [line for line in running.log.read_text().splitlines() if "Traceback" in line]


@pytest.fixture
def audit(sandbox: Sandbox, namespace: str) -> Audit:
    """What the operator of this test's namespace asks of the API server."""
    return _audit(sandbox, namespace)


def _audit(sandbox: Sandbox, namespace: str) -> Audit:
    if sandbox.audit_log is None:
        pytest.skip("only the sandbox's own API server keeps an audit log that can be read")
    return Audit(sandbox.audit_log, f"system:serviceaccount:{namespace}:{local_operator.SERVICE_ACCOUNT}")


@dataclass(frozen=True)
class World:
    """An operator with its namespace and its account. `state` names a tenant whose table and bucket are there."""

    states: States
    account: Account
    operator: LocalOperator
    audit: Audit
    state: str


@pytest.fixture(scope="session")
def _worlds(
    sandbox: Sandbox, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], World]]:
    account = _account(sandbox)
    with installed(cluster, prefix="world") as namespace:
        started: list[LocalOperator] = []

        def world() -> World:
            if not started or started[-1].process.poll() is not None:
                folder = tmp_path_factory.mktemp("world")
                started.append(
                    local_operator.start(sandbox, namespace=namespace, folder=folder, environment=account.environment)
                )
            state = f"state-{secrets.token_hex(3)}"
            account.make(state)
            return World(
                states=States(cluster, namespace), account=account, operator=started[-1],
                audit=_audit(sandbox, namespace), state=state,
            )  # fmt: skip

        yield world
        for running in started:
            _end(running)


@pytest.fixture
def world(_worlds: Callable[[], World]) -> Iterator[World]:
    """A running operator that tests of one worker share, and in it a tenant's table and bucket for this test alone."""
    shared = _worlds()
    yield shared
    assert shared.operator.process.poll() is None, shared.operator.log.read_text()[-3000:]
    assert bugs_logged(shared.operator) == []


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Print:
    """Note a figure; all are told at the end of the run."""
    return lambda line: record_property(MEASURED, line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    properties = [pair for report in reports for pair in getattr(report, "user_properties", ())]
    lines = dict.fromkeys(str(value) for name, value in properties if name == MEASURED)
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
