"""Two and three operators of one installation: one works, the others stand by, whatever happens to the one.

On the real API server, whose audit log tells the replicas apart by their tokens, the emulated AWS behind a recorder for
each, and the operators as processes of one machine. It can't show a network that is cut:
tests/unit/test_leader_election.py does.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from humangov.manager.leader_election import DURATION_SECONDS, LEASE_NAME, RETRY_PERIOD_SECONDS

from sandbox import local_operator, ports
from sandbox.handle import Sandbox
from sandbox.local_operator import LocalOperator
from sandbox.proxy import Handler, Layer, Request, Response
from sandbox.recorder import Recorder
from testing.live.account import Account
from testing.live.audit_log import Audit
from testing.live.aws_faults import AtWrite
from testing.live.states import States
from testing.live.waiting import wait_for
from tests.conftest import Print, bugs_logged

TEN = [f"state-{number}" for number in range(10)]
WORKS, STANDS_BY = b"watching humangovstates", b"waiting for the lease"
LOOK_SECONDS = 1.2 * RETRY_PERIOD_SECONDS  # between two looks of one that stands by


@dataclass(frozen=True)
class Replica:
    running: LocalOperator
    recorder: Recorder
    token: str
    """As the audit log names it."""

    def log(self) -> str:
        return self.running.log.read_text()

    def takes_over(self, *, since: float, within_seconds: float) -> float:
        """How many seconds after `since` it was at work."""
        left = max(0.1, since + within_seconds - time.monotonic())
        wait_for(lambda: WORKS in self.running.log.read_bytes(), what="it takes over", seconds=left, seen=self.log)
        return time.monotonic() - since


class StartReplica(Protocol):
    """Start one more. `layers` come between it and AWS."""

    def __call__(self, *flags: str, until: bytes = STANDS_BY, layers: tuple[Layer, ...] = ()) -> Replica: ...


@pytest.fixture
def replica(sandbox: Sandbox, namespace: str, account: Account, tmp_path: Path) -> Iterator[StartReplica]:
    started: list[LocalOperator] = []
    with ExitStack() as stack:

        def start(*flags: str, until: bytes = STANDS_BY, layers: tuple[Layer, ...] = ()) -> Replica:
            recorder = stack.enter_context(Recorder(account.endpoint_url, layers=layers))
            running = local_operator.start(
                sandbox, namespace=namespace, folder=tmp_path / f"replica-{len(started)}", until=until,
                arguments=["--leader-elect", *flags],
                environment={**account.environment, "AWS_ENDPOINT_URL": recorder.url},
            )  # fmt: skip
            started.append(running)
            token = running.kubeconfig.with_name(f"{running.kubeconfig.name}.token").read_text()
            claims = token.split(".")[1]
            decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
            return Replica(running, recorder, f"JTI={decoded['jti']}")

        yield start
        for running in started:
            running.kill()
    for running in started:
        assert bugs_logged(running) == []


def asked_by(audit: Audit, one: Replica, *, since: int = 0) -> list[str]:
    """What it asked of the API server: `update leases`."""
    return [f"{entry['verb']} {what(entry)}" for entry in entries(audit, since) if token_of(entry) == one.token]


def entries(audit: Audit, since: int) -> list[Mapping[str, Any]]:
    """Watches are among them, when they begin and when they end."""
    with audit.path.open("rb") as log:
        log.seek(since)
        return [json.loads(line) for line in log.read().splitlines() if audit.user.encode() in line]


def token_of(entry: Mapping[str, Any]) -> str:
    return str(entry["user"]["extra"]["authentication.kubernetes.io/credential-id"][0])


def what(entry: Mapping[str, Any]) -> str:
    about = entry["objectRef"]
    return "/".join(filter(None, (about["resource"], about.get("subresource"))))


WORKERS = 10  # as `humangov run` has them


def writers(audit: Audit) -> list[str]:
    """Who wrote to HumanGovStates and events, write by write."""
    return [
        token_of(entry) for entry in entries(audit, 0)
        if entry["verb"] in ("create", "update", "patch", "delete") and what(entry) != "leases"
    ]  # fmt: skip


def turns_of_writing(audit: Audit) -> list[str]:
    """Whose turn it was to write, one after the other."""
    return [token for token, _ in itertools.groupby(writers(audit))]


def one_mapping_each(account: Account) -> bool:
    counted = Counter(mapping["FunctionArn"].rpartition(":")[2] for mapping in account.mappings())
    return counted == {f"humangov-{name}-delete-file": 1 for name in TEN}


def answer(port: int, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        return response.status, response.read().decode().strip()


def test_stopped_leader_hands_over_at_once_during_work(
    replica: StartReplica, states: States, account: Account, audit: Audit, measured: Print
) -> None:
    account.make(*TEN)
    at_write = AtWrite()
    leader = replica(until=WORKS, layers=(at_write,))
    port = ports.choose(("probes",))["probes"]
    follower = replica("--probe-address", f"127.0.0.1:{port}")
    assert answer(port, "/readyz") == (200, "standby")
    assert answer(port, "/healthz") == (200, "ok")
    assert "humangov_leader 0.0" in answer(port, "/metrics")[1].splitlines()
    at_write.arm(number=20, after=True, act=partial(leader.running.process.send_signal, signal.SIGTERM))
    states.apply(*(states.manifest(name, **account.spec(name)) for name in TEN))
    assert at_write.acted.wait(90)
    reported = time.monotonic()
    assert set(asked_by(audit, follower)) == {"get leases", "get namespaces"}, "and it watches nothing"
    assert follower.recorder.calls == [], "nor does it ask AWS"
    assert leader.running.process.wait(20) == 0
    follower.takes_over(since=time.monotonic(), within_seconds=LOOK_SECONDS + 2)
    measured(f"leader stopped with reconciliations in progress → another works: {time.monotonic() - reported:.1f} s")
    states.wait_all_ready(len(TEN), seconds=40)
    assert answer(port, "/readyz") == (200, "ok")
    assert "humangov_leader 1.0" in answer(port, "/metrics")[1].splitlines()
    assert one_mapping_each(account)
    assert turns_of_writing(audit) == [leader.token, follower.token]


def test_killed_leader_is_succeeded_by_one_of_two_standbys_during_work(
    replica: StartReplica, states: States, account: Account, audit: Audit, measured: Print
) -> None:
    account.make(*TEN)
    at_write = AtWrite()
    leader = replica(until=WORKS, layers=(at_write,))
    followers = [replica(), replica()]
    at_write.arm(number=20, after=True, act=leader.running.process.kill)
    states.apply(*(states.manifest(name, **account.spec(name)) for name in TEN))
    assert at_write.acted.wait(90)
    killed = time.monotonic()
    assert leader.running.process.wait(10) == -signal.SIGKILL
    longest = DURATION_SECONDS + LOOK_SECONDS + 2
    wait_for(
        lambda: any(WORKS in one.running.log.read_bytes() for one in followers),
        what="one takes over", seconds=longest, seen=lambda: [one.log() for one in followers],
    )  # fmt: skip
    measured(f"leader killed → another works: {time.monotonic() - killed:.1f} s")
    states.wait_all_ready(len(TEN), seconds=40)
    assert one_mapping_each(account)
    [second] = [one for one in followers if WORKS in one.running.log.read_bytes()]
    [third] = [one for one in followers if one is not second]
    assert turns_of_writing(audit) == [leader.token, second.token]
    holder = states.cluster.output(
        "get", "lease", LEASE_NAME, "-n", states.namespace, "-o", "jsonpath={.spec.holderIdentity}"
    )  # fmt: skip
    wait_for(lambda: f"held by {holder}" in third.log(), what="the third waits for the second", seen=third.log)
    assert third.recorder.calls == []
    states.delete(*TEN)
    states.wait_none(seconds=60)
    assert account.leaked() == {}


class AfterCreateFunction:
    """Acts when AWS has made a function, and before who asked for it hears of it."""

    def __init__(self) -> None:
        self.act: Callable[[], None] = lambda: None
        self.acted = threading.Event()

    async def __call__(self, request: Request, forward: Handler) -> Response:
        response = await forward(request)
        if str(request.operation) == "lambda:CreateFunction":
            self.act()
            self.acted.set()
        return response


def test_leader_suspended_past_its_lease_ends_without_a_write(
    replica: StartReplica, states: States, account: Account, audit: Audit
) -> None:
    """It sleeps where a reconciliation waits for AWS, with the trigger still to be made."""
    account.make("california")
    made = AfterCreateFunction()
    leader = replica(until=WORKS, layers=(made,))
    follower = replica()
    made.act = partial(leader.running.process.send_signal, signal.SIGSTOP)
    states.apply(states.manifest("california", **account.spec("california")))
    assert made.acted.wait(90)
    follower.takes_over(since=time.monotonic(), within_seconds=DURATION_SECONDS + LOOK_SECONDS + 2)
    states.wait_ready("california")
    picture, position = account.picture(), audit.position()
    leader.recorder.clear()
    leader.running.process.send_signal(signal.SIGCONT)
    assert leader.running.process.wait(10) == 1
    assert [call for call in leader.recorder.calls if call.writes] == []
    assert [
        one for one in asked_by(audit, leader, since=position) if not one.startswith(("get", "list", "watch"))
    ] == []
    assert account.picture() == picture
    assert re.search("lease .*(suspended|taken by).*the process ends", leader.log())
    assert turns_of_writing(audit) == [leader.token, follower.token]


def test_aws_write_sent_after_the_lease_expired_does_no_harm(
    replica: StartReplica, states: States, account: Account, audit: Audit
) -> None:
    """AWS knows no lease: what was about to be sent when the process was suspended is sent when it wakes."""
    account.make(*TEN)
    at_write = AtWrite()
    leader = replica(until=WORKS, layers=(at_write,))
    follower = replica()
    at_write.arm(number=20, after=True, act=partial(leader.running.process.send_signal, signal.SIGSTOP))
    states.apply(*(states.manifest(name, **account.spec(name)) for name in TEN))
    assert at_write.acted.wait(90)
    follower.takes_over(since=time.monotonic(), within_seconds=DURATION_SECONDS + LOOK_SECONDS + 2)
    states.wait_all_ready(len(TEN), seconds=40)
    leader.running.process.send_signal(signal.SIGCONT)
    assert leader.running.process.wait(10) == 1
    for name in TEN:
        states.reconcile(name, "look")
    states.wait_all_ready(len(TEN), seconds=40)
    assert one_mapping_each(account)
    # Kubernetes knows no lease either: one write a worker may have passed the fence when the process was suspended.
    wrote = writers(audit)
    assert set(wrote) == {leader.token, follower.token}
    assert wrote[wrote.index(follower.token) :].count(leader.token) <= WORKERS
    assert wrote[-1] == follower.token
    states.delete(*TEN)
    states.wait_none(seconds=60)
    assert account.leaked() == {}


def test_leader_whose_lease_was_taken_ends_at_once_and_the_standby_waits(replica: StartReplica, states: States) -> None:
    leader = replica(until=WORKS)
    states.cluster.output(
        "patch",
        "lease",
        LEASE_NAME,
        "-n",
        states.namespace,
        "--type=merge",
        "-p",
        '{"spec":{"holderIdentity":"somebody"}}',
    )
    taken = time.monotonic()
    assert leader.running.process.wait(10) == 1
    assert time.monotonic() - taken < LOOK_SECONDS + 2
    assert f"the lease {LEASE_NAME} was taken by somebody; the process ends" in leader.log().splitlines()[-1]
    follower = replica()
    assert "held by somebody" in follower.log()
    took = follower.takes_over(since=time.monotonic(), within_seconds=DURATION_SECONDS + 2)
    assert took > DURATION_SECONDS - LOOK_SECONDS, "somebody might still be at work"
    assert follower.running.stop() == 0
