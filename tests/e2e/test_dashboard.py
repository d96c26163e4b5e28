"""Every query of the dashboard answered with data by a real Prometheus that scrapes a running operator.

Prometheus is Debian's, the operator a process on the real API server, AWS emulated: the emulator's CloudWatch has only
what the test puts there, as Lambda and the function would. Grafana itself is not run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from multidict import CIMultiDict

from sandbox import local_operator, ports, prometheus
from sandbox.errors import SandboxError
from sandbox.paths import REPOSITORY
from sandbox.proxy import Handler, Request, Response
from sandbox.recorder import Recorder
from testing.live.account import Account
from testing.live.states import States
from testing.live.sweep_pods import Pods, template
from testing.live.waiting import wait_for
from tests.conftest import StartOperator
from tests.deploy.chart import of_kind, render

DASHBOARD = json.loads((REPOSITORY / "deploy/helm/humangov-operator/files/dashboard.json").read_text())
NAMES = {"release": "humangov-operator", "release_namespace": "humangov"}
STATE = "california"
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# The monitor reads CloudWatch every five minutes; here every second.
OFTEN = (
    "from humangov.manager import monitors; monitors.STREAM_LAG_SECONDS = 1.0; monitors.ERASURE_LIMIT_SECONDS = 1.0; "
    "from humangov.cli.main import main; main()"
)


class Throttling:
    """IAM refuses so many calls as too many."""

    calls = 0

    async def __call__(self, request: Request, forward: Handler) -> Response:
        if request.operation.name != "GetRole" or self.calls <= 0:
            return await forward(request)
        self.calls -= 1
        text = "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"
        return Response(status=400, headers=CIMultiDict({"Content-Type": "text/xml"}), body=text.encode())


class Prometheus:
    """One that scrapes every second, with the chart's rules."""

    def __init__(self, program: Path, folder: Path, *, target: str) -> None:
        rules = of_kind("PrometheusRule", render({"metrics": {"rules": {"enabled": True}}}))[0]["spec"]
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        scrape = {
            "job_name": "humangov", "honor_labels": True, "static_configs": [{"targets": [target], "labels": NAMES}],
        }  # fmt: skip
        document = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"], "scrape_configs": [scrape],
        }  # fmt: skip
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(document))
        self.address = f"127.0.0.1:{ports.choose(['prometheus'])['prometheus']}"
        self.log = folder / "prometheus.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address={self.address}"],
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def values(self, query: str) -> list[float]:
        """Of the query's series, without those that are no number."""
        found = [float(series["value"][1]) for series in self.ask("query", query=query)["result"]]
        return [value for value in found if value == value]

    def scrapes(self) -> bool:
        try:
            return self.values("up") == [1.0]
        except OSError:
            return False


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    def spawned(arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, output: int) -> Any:
        return subprocess.Popen(
            [sys.executable, "-c", OFTEN, *arguments], stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True, cwd=folder, env=dict(environment),
        )  # fmt: skip

    monkeypatch.setattr(local_operator, "spawned", spawned)
    monkeypatch.setattr(local_operator, "_WATCHING_WITHIN_SECONDS", 300.0)  # it loads the SDKs, and is not forked


@pytest.fixture
def probes() -> str:
    return f"127.0.0.1:{ports.choose(['probes'])['probes']}"


@pytest.fixture
def watching(tmp_path: Path, probes: str) -> Iterator[Prometheus]:
    try:
        program = prometheus.program("prometheus", say=lambda line: print(line, file=sys.stderr))
    except SandboxError as error:
        pytest.skip(str(error))
    running = Prometheus(program, tmp_path, target=probes)
    yield running
    running.process.terminate()
    running.process.wait(20)


def put_metrics(account: Account, *, tenant: str) -> None:
    """What Lambda and the function tell CloudWatch of themselves: a record was half an hour late, and two failed."""
    at = datetime.now(UTC) - timedelta(minutes=2)
    function = [{"Name": "FunctionName", "Value": f"humangov-{STATE}-delete-file"}]
    ours = [{"Name": "tenant", "Value": tenant}]
    cloudwatch = account.client("cloudwatch")
    for namespace, name, value, dimensions in (
        ("AWS/Lambda", "IteratorAge", 2_400_000, function), ("AWS/Lambda", "Invocations", 3, function),
        ("HumanGov", "failed", 2, ours), ("HumanGov", "LimitedRecords", 0, ours),
    ):  # fmt: skip
        datum = {"MetricName": name, "Dimensions": dimensions, "Value": value, "Timestamp": at}
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])


def test_every_panel_of_the_dashboard_is_answered_with_data(
    states: States, account: Account, operator: StartOperator, watching: Prometheus, probes: str, often: None,
    tmp_path: Path,
) -> None:  # fmt: skip
    account.make(STATE)
    account.employ(STATE, "CA-1")
    account.client("s3").put_object(Bucket=account.bucket_name(STATE), Key="orphan.pdf", Body=b"%PDF")
    throttling = Throttling()
    with Recorder(account.endpoint_url, layers=[throttling]) as recorder:
        environment = {"AWS_ENDPOINT_URL": recorder.url}
        name = template(states.cluster, states.namespace)
        operator("--resync", "3", "--probe-address", probes, "--sweep-template", name, environment=environment)
        wait_for(
            watching.scrapes, what="Prometheus scrapes the operator", seconds=60, seen=lambda: watching.ask("targets")
        )
        sweep = {"mode": "Detect", "schedule": "0 0 1 1 *"}
        states.apply(states.manifest(STATE, **account.spec(STATE, sweep=sweep)))
        states.wait_ready(STATE, seconds=180)
        throttling.calls = 10
        cluster = (states.get(STATE) or {})["status"]["aws"]["cluster"]
        put_metrics(account, tenant=f"{cluster}/{states.namespace}/{STATE}")
        states.annotate(STATE, sweep="1")
        [swept] = Pods(states.cluster, states.namespace, tmp_path).run(1, environment=account.environment)
        assert swept.returncode in (0, 1), swept.stderr

        def unanswered() -> list[str]:
            return [
                f"{panel['title']}: {query['expr']}"
                for panel in PANELS
                for query in panel["targets"]
                if not watching.values(filled(query["expr"]))
            ]

        wait_for(lambda: not unanswered(), what="each query has data", seconds=180, seen=unanswered)
        assert watching.values("max(humangov_iterator_age_seconds)") == [2400]
        [group] = watching.ask("rules")["groups"]
        assert [rule["name"] for rule in group["rules"] if rule["health"] != "ok"] == []
        for variable in DASHBOARD["templating"]["list"][1:]:
            assert watching.ask(f"label/{variable['name']}/values") == [NAMES[variable["name"]]]


def filled(expression: str) -> str:
    """As Grafana fills its variables in."""
    for name in ("release_namespace", "release"):
        expression = expression.replace(f'"${name}"', f'"{NAMES[name]}"')
    filled_in = expression.replace("$__rate_interval", "1m")
    assert "$" not in filled_in
    return filled_in
