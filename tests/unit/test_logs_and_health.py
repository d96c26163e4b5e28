"""The operator's own log, and what its probes answer. Runs on nothing but a socket of its own."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys

import aiohttp
import pytest
from humangov import logs
from humangov.aws.actions import ACTIONS
from humangov.aws.change import Change
from humangov.aws.clients import Called, Clients
from humangov.aws.errors import AwsError
from humangov.manager import health
from humangov.manager.health import judge
from humangov.manager.metrics import Metrics
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families


def record(message: str, *arguments: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("humangov.x", level, "f.py", 1, message, arguments, None)
    made.__dict__.update(extra)
    return made


def test_json_log_line_has_only_the_fields_that_are_set() -> None:
    line = json.loads(
        logs.JsonFormatter().format(
            record("iam:CreateRole %s", "r", tenant="humangov/california", action="iam:CreateRole", resource="r",
                   duration_ms=1.5, error=None, changed=False, password="hunter2")
        )
    )  # fmt: skip
    assert set(line) == {"time", "level", "logger", "message", "tenant", "action", "resource", "duration_ms", "changed"}
    assert line["message"] == "iam:CreateRole r"
    assert line["level"] == "info"
    assert line["time"].endswith("+00:00")


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()])
def test_log_line_includes_the_exception(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("oops")
    except ValueError:
        one = record("failed", level=logging.ERROR)
        one.exc_info = sys.exc_info()
    assert "ValueError: oops" in formatter.format(one)


def test_json_log_line_is_a_single_line() -> None:
    text = logs.JsonFormatter().format(record("a\nb é %s", {"x"}))
    assert "\n" not in text
    assert json.loads(text)["message"].startswith("a\nb é")


def test_text_log_line_names_tenant_and_duration() -> None:
    text = logs.TextFormatter().format(record("done", tenant="humangov/california", duration_ms=3.0))
    assert "humangov/california" in text
    assert "(3.0 ms)" in text


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_log_level_applies_to_the_operator_and_libraries_log_warnings(
    log_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, own = logging.getLogger(), logging.getLogger("humangov")
    before = (list(root.handlers), root.level, own.level)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    try:
        logs.configure(log_format=log_format, level="info")
        logging.getLogger("humangov.x").info("seen")
        logging.getLogger("humangov.x").debug("unseen")
        logging.getLogger("botocore.auth").info("unseen")
        logging.getLogger("botocore.auth").warning("warned")
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        own.setLevel(before[2])
    assert "seen" in stream.getvalue()
    assert "unseen" not in stream.getvalue()
    assert "warned" in stream.getvalue()


def test_log_of_an_aws_call_holds_no_parameter(caplog: pytest.LogCaptureFixture) -> None:
    class Session:
        def get_credentials(self) -> str:
            return "some"

        def client(self, *_: object, **__: object) -> object:
            return self

        def create_role(self, **_: object) -> dict[str, object]:
            return {"Role": {"Secret": "hunter2"}}

    called: list[Called] = []
    clients = Clients(region="us-east-1", session=Session(), called=called.append)
    with caplog.at_level(logging.DEBUG, logger="humangov"):
        clients.call("iam:CreateRole", target="r", AssumeRolePolicyDocument="hunter2")
    [one] = caplog.records
    assert "hunter2" not in logs.JsonFormatter().format(one)
    assert (one.__dict__["action"], one.__dict__["resource"]) == ("iam:CreateRole", "r")
    assert [(one.service, one.operation, one.code) for one in called] == [("iam", "CreateRole", None)]


def test_repr_of_a_change_holds_no_parameter() -> None:
    change = Change(resource="r", action="a", target="t", summary="s", parameters={"Environment": "hunter2"})
    assert "hunter2" not in repr(change)


def test_no_operator_action_reads_or_deletes_records_or_files() -> None:
    assert not [action for action in ACTIONS if "Object" in action or "Item" in action or "Scan" in action]
    assert {action for action, method in ACTIONS.items() if action.startswith("s3:") and method.writes} == set()
    assert "dynamodb:DeleteTable" not in ACTIONS
    for action, method in ACTIONS.items():
        assert method.writes == (not action.split(":")[1].startswith(("Get", "List", "Describe"))), action


def test_unknown_region_is_reported_by_name() -> None:
    class Session:
        def client(self, *_: object, **__: object) -> object:
            return self

        def get_caller_identity(self) -> dict[str, str]:
            return {"Account": "1"}

        def get_credentials(self) -> str:
            return "some"

        def get_partition_for_region(self, region: str) -> str:
            from botocore.exceptions import UnknownRegionError

            raise UnknownRegionError(region_name=region, error_msg="?")

    with pytest.raises(AwsError, match="does not know region mars-1"):
        Clients(region="mars-1", session=Session()).identity(cluster="c")


@pytest.mark.parametrize(
    ("run", "wait", "died", "problem"),
    [
        (0, 0, False, None),
        (300, 300, False, None),
        (301, 0, False, "a reconciliation has been running for 301 s"),
        (0, 301, False, "HumanGovStates are due, but no reconciliation has ended for 301 s"),
        (0, 0, True, "a worker of the work queue has ended"),
    ],
)
@pytest.mark.parametrize("ready", [True, False])
def test_liveness_fails_when_the_work_queue_stands_still(
    run: float, wait: float, died: bool, problem: str | None, ready: bool
) -> None:
    health = judge(longest_run_seconds=run, standstill_seconds=wait, ready=ready, died=died)
    assert (health.problem, health.ready) == (problem, ready)


def test_probes_answer_200_or_503_with_a_reason(unused_port: int) -> None:
    async def story() -> list[tuple[int, str]]:
        healths = [health.Health(ready=False, problem=None), health.Health(ready=True, problem="stuck")]
        answers = []
        runner = await health.serve(lambda: healths[0], Metrics(version="1"), host="127.0.0.1", port=unused_port)
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                for path in ("healthz", "readyz"):
                    async with session.get(f"http://127.0.0.1:{unused_port}/{path}") as answer:
                        answers.append((answer.status, await answer.text()))
                healths.reverse()
        await runner.cleanup()
        return answers

    assert asyncio.run(story()) == [(200, "ok\n"), (503, "not watching yet\n"), (503, "stuck\n"), (200, "ok\n")]


def test_metrics_are_served_while_probes_fail(unused_port: int) -> None:
    async def story() -> tuple[int, str, str]:
        stuck = health.Health(ready=False, problem="stuck")
        runner = await health.serve(lambda: stuck, Metrics(version="1"), host="127.0.0.1", port=unused_port)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{unused_port}/metrics") as answer,
        ):
            found = (answer.status, answer.headers["Content-Type"], await answer.text())
        await runner.cleanup()
        return found

    status, kind, text = asyncio.run(story())
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert "humangov_leader 0.0\n" in text


OF_PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (OF_PROMETHEUS, "application/openmetrics-text"),
        ("application/openmetrics-text", "application/openmetrics-text"),
        ("text/plain", "text/plain"),
        ("*/*", "text/plain"),
    ],
)  # fmt: skip
def test_metrics_are_in_the_format_that_is_asked_for_and_its_own_parser_reads_them(
    unused_port: int, accept: str, kind: str
) -> None:
    metrics = Metrics(version="1")
    metrics.called(Called(service="iam", operation="GetRole", seconds=1, code="Throttling", throttled=True))
    metrics.became_ready(1)

    async def story() -> tuple[str, str]:
        well = health.Health(ready=True, problem=None)
        runner = await health.serve(lambda: well, metrics, host="127.0.0.1", port=unused_port)
        async with (
            aiohttp.ClientSession(headers={"Accept": accept}) as session,
            session.get(f"http://127.0.0.1:{unused_port}/metrics") as answer,
        ):
            found = answer.headers["Content-Type"], await answer.text()
        await runner.cleanup()
        return found

    answered, text = asyncio.run(story())
    assert answered.partition(";")[0] == kind
    parse = openmetrics.text_string_to_metric_families if "openmetrics" in kind else text_string_to_metric_families
    samples = {sample.name for family in parse(text) for sample in family.samples}
    assert {"humangov_leader", "humangov_aws_calls_total", "humangov_ready_duration_seconds_bucket"} <= samples
    assert [name for name in samples if name.endswith("_created")] == []


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
