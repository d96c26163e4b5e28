"""The budget around the SDK's clients: every request waits its turn, throttled answers slow it down, stops overtake."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.session import get_session
from humangov.aws.actions import ACTIONS
from humangov.aws.budget import Budget, Waited, at_priority
from humangov.aws.clients import Called, Clients
from humangov.aws.errors import AwsError
from humangov.aws.limits import IAM_READS, LAMBDA, Limit, are_kept_at, every, limit_of
from humangov.aws.token_bucket import MOST, Priority
from humangov.manager.metrics import Metrics
from humangov.manager.priorities import priority_of, where_of
from humangov.manager.reconciliations import Running
from prometheus_client.exposition import generate_latest

from sandbox.paths import REPOSITORY
from testing.documents import table

HERE = "1/us-east-1"
SLOW = Limit(name="slow", per_second=10, source="")
OTHER, ELSEWHERE = Limit(name="other", per_second=20, source=""), "222222222222/us-east-1"
PATIENCE_SECONDS = 30.0


class Raw:
    """As much of urllib3's answer as botocore reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> list[bytes]:
        return [self._body]


def clients(answers: list[tuple[int, bytes]], budget: Budget, **more: Any) -> Clients:
    """Whose requests get these answers, one after the other, and never leave the process."""
    session = boto3.Session(aws_access_key_id="1", aws_secret_access_key="1", region_name="us-east-1")

    def answer(request: Any, **_: Any) -> AWSResponse:
        status, body = answers.pop(0)
        return AWSResponse(request.url, status, {"x-amzn-errortype": "TooManyRequestsException"}, Raw(body))

    session.events.register("before-send", answer)
    return Clients(region="us-east-1", session=session, budget=budget, **more)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_every_request_waits_for_the_budget_and_every_throttled_answer_slows_it_also_in_the_sdks_retries() -> None:
    waited: list[Waited] = []
    budget = Budget(waited=waited.append)
    called: list[Called] = []
    under = clients([(429, b"{}"), (200, b'{"AccountLimit": {}}')], budget, called=called.append)
    with at_priority(Priority.EDIT):
        under.call("lambda:GetFunction", target="f", FunctionName="f")
    assert [(one.limit, one.priority) for one in waited] == [("lambda-GetFunction", Priority.EDIT)] * 2
    assert budget.use().rates["lambda-GetFunction"] < 100 * MOST, "the first was throttled"
    assert not called[0].throttled, "the caller never hears of it"


def test_throttled_write_is_counted_once_and_does_not_wait_without_a_budget() -> None:
    budget = Budget()
    under = clients([(429, b"{}")], budget)
    with pytest.raises(AwsError) as caught:
        under.call("lambda:DeleteFunction", target="f", FunctionName="f")
    assert caught.value.throttled
    assert budget.use().rates["lambda"] == pytest.approx(LAMBDA.per_second * MOST / 2, rel=0.1)
    none = Budget(share=0)
    clients([(200, b"{}")], none).call("lambda:GetFunction", target="f", FunctionName="f")
    assert none.use().rates == {}


def test_without_published_limits_no_call_waits_before_the_first_throttled_one() -> None:
    waited: list[Waited] = []
    later = [0.0]
    budget = Budget(published=False, waited=waited.append, clock=lambda: time.monotonic() + later[0])
    begun = time.monotonic()
    for _ in range(100):  # at 9 a second
        budget.wait(SLOW, where=HERE)
    assert (time.monotonic() - begun < 1.0, len(waited), budget.use().rates) == (True, 100, {})
    budget.throttled(SLOW, where=HERE)
    assert budget.use().rates == {"slow": pytest.approx(SLOW.per_second * MOST)}, "its height may be AWS's all the same"
    for limit, where in ((SLOW, HERE), (OTHER, ELSEWHERE), (LAMBDA, HERE)):
        budget.throttled(limit, where=where)
    assert budget.use().rates == {one.name: pytest.approx(one.per_second * MOST) for one in (SLOW, OTHER, LAMBDA)}, (
        "those of the same burst were on their way"
    )
    begun = time.monotonic()
    budget.wait(SLOW, where=HERE)
    assert time.monotonic() - begun > 0.05, "from now on calls wait"
    for _ in range(10):
        budget.wait(OTHER, where=ELSEWHERE)
    assert time.monotonic() - begun > 0.3, "for the other limits too: whoever keeps one keeps all"
    later[0] = 2.0
    budget.throttled(SLOW, where=HERE)
    assert budget.use().rates["slow"] == pytest.approx(SLOW.per_second * MOST / 2, rel=0.1), "then as of AWS"


@pytest.mark.parametrize(
    ("url", "kept"),
    [("", True), ("https://vpce-0a-1b.lambda.us-east-1.vpce.amazonaws.com", True), ("https://api.aws", True),
     ("https://dynamodb.cn-north-1.amazonaws.com.cn:443/", True), ("http://127.0.0.1:4566", False),
     ("http://amazonaws.com.example:4566", False), ("http://notamazonaws.com", False), ("http://[", False),
     ("localhost:4566", False)],
)  # fmt: skip
def test_limits_are_kept_at_endpoints_of_aws(url: str, kept: bool) -> None:
    assert are_kept_at(url) == kept


def test_limits_are_kept_in_every_partition_of_the_sdk() -> None:
    partitions = get_session().get_component("data_loader").load_data("partitions")["partitions"]
    suffixes = {one["outputs"][kind] for one in partitions for kind in ("dnsSuffix", "dualStackDnsSuffix")}
    assert len(suffixes) > 10
    for suffix in suffixes:
        assert are_kept_at(f"https://lambda.somewhere-1.{suffix}"), suffix
        assert are_kept_at(f"https://lambda.somewhere-1.{suffix}.:443"), suffix
        assert not are_kept_at(f"https://evil{suffix}"), suffix


def test_wait_for_the_budget_is_not_part_of_a_calls_duration() -> None:
    now = [0.0]

    class Slow(Budget):
        def wait(self, limit: Limit, *, where: str) -> None:
            now[0] += 60

    called: list[Called] = []
    under = clients([(200, b"{}")], Slow(), called=called.append, clock=lambda: now[0])
    under.call("lambda:GetFunction", target="f", FunctionName="f")
    assert [one.seconds for one in called] == [0.0]


def test_request_is_signed_after_it_has_waited_and_so_is_the_sdks_retry() -> None:
    """A signature lives for five minutes; a call may wait longer."""
    waited_until: list[datetime] = []
    signed_at: list[datetime] = []

    class Slow(Budget):
        def wait(self, limit: Limit, *, where: str) -> None:
            time.sleep(1.1)  # a signature's time is in seconds
            waited_until.append(datetime.now(UTC).replace(microsecond=0))

    def sent(request: Any, **_: Any) -> None:
        date = request.headers["X-Amz-Date"].decode()
        signed_at.append(datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))

    under = clients([(500, b"{}"), (200, b"{}")], Slow())
    under._client("lambda", writes=False).meta.events.register_first("before-send", sent)
    under.call("lambda:GetFunction", target="f", FunctionName="f")
    assert len(signed_at) == 2
    assert all(signed >= waited for signed, waited in zip(signed_at, waited_until, strict=True))


def test_account_is_asked_for_before_all_else_because_everybody_waits_for_it() -> None:
    priorities: list[Priority] = []
    budget = Budget(waited=lambda one: priorities.append(one.priority))
    answer = b"<R><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult></R>"
    with at_priority(Priority.RESYNC):
        assert clients([(200, answer)], budget).identity(cluster="c").account_id == "1"
    assert priorities == [Priority.STOP]


def test_stop_overtakes_waiting_calls_and_no_call_waits_forever() -> None:
    budget, order = Budget(share=0.5), list[Priority]()

    def ask(priority: Priority) -> None:
        with at_priority(priority):
            budget.wait(SLOW, where=HERE)
        order.append(priority)

    for _ in range(9):
        ask(Priority.STOP)  # what may be called at once is used up
    order.clear()
    threads = [threading.Thread(target=ask, args=(Priority.RESYNC,)) for _ in range(8)]
    for one in threads:
        one.start()
    until(lambda: budget.use().waiting[Priority.RESYNC] >= 6)
    stop = threading.Thread(target=ask, args=(Priority.STOP,))
    begun = time.monotonic()
    stop.start()
    stop.join(PATIENCE_SECONDS)
    overtaken = 8 - order.index(Priority.STOP)
    for one in threads:
        one.join(PATIENCE_SECONDS)
    assert overtaken >= 4, order
    assert time.monotonic() - begun < PATIENCE_SECONDS
    assert sum(budget.use().waiting.values()) == 0
    assert len(order) == 9


def test_resync_in_which_somebody_changes_something_stops_waiting_behind_others() -> None:
    """Its change is worked on when the resync has made its calls: these must not wait as nobody's."""
    budget, running, order = Budget(share=0.5), Running(), list[str]()
    inside = threading.Event()

    def ask(key: str) -> None:
        with running.at(key, Priority.RESYNC):
            inside.set()
            budget.wait(SLOW, where=HERE)
        order.append(key)

    for _ in range(9):  # what may be called at once is used up
        with at_priority(Priority.STOP):
            budget.wait(SLOW, where=HERE)
    threads = [threading.Thread(target=ask, args=(f"settled-{number}",)) for number in range(8)]
    for one in threads:
        one.start()
    until(lambda: budget.use().waiting[Priority.RESYNC] >= 6)
    inside.clear()
    edited = threading.Thread(target=ask, args=("edited",))
    edited.start()
    assert inside.wait(PATIENCE_SECONDS)
    running.hurry("edited")
    running.hurry("of which none runs")
    edited.join(PATIENCE_SECONDS)
    overtaken = 8 - order.index("edited")
    for one in threads:
        one.join(PATIENCE_SECONDS)
    assert overtaken >= 4, order
    assert sum(budget.use().waiting.values()) == 0


def test_accounts_and_regions_have_budgets_of_their_own_and_iam_one_for_all_regions() -> None:
    budget = Budget()
    for _ in range(20):
        budget.throttled(SLOW, where="1/us-east-1")
        budget.throttled(IAM_READS, where="1/us-east-1")
    with at_priority(Priority.STOP):
        for where in ("1/eu-west-1", "2/us-east-1"):
            begun = time.monotonic()
            for _ in range(5):
                budget.wait(SLOW, where=where)
            assert time.monotonic() - begun < 5
        budget.wait(IAM_READS, where="1/eu-west-1")
    assert budget.use().rates[IAM_READS.name] < IAM_READS.per_second * MOST
    assert budget.use().rates["slow"] == pytest.approx(SLOW.per_second * MOST / 2, rel=0.5)
    assert budget.backlog_seconds(where="2/us-east-1") == 0


def test_every_call_of_the_operator_counts_against_a_limit() -> None:
    limits = {action: limit_of(action, writes=method.writes) for action, method in ACTIONS.items()}
    assert limits["lambda:ListEventSourceMappings"] == limits["lambda:CreateFunction"] == LAMBDA
    assert limits["lambda:GetFunction"] != LAMBDA
    assert limits["iam:GetRole"] == IAM_READS
    assert limits["logs:PutRetentionPolicy"] != limits["logs:TagResource"], "CloudWatch Logs counts each by itself"
    assert all(limit.per_second > 0 for limit in limits.values())
    assert len({one.name for one in every()}) == len(every())


def test_the_documented_limits_are_those_of_the_code_with_their_sources() -> None:
    of: dict[Limit, set[str]] = {}
    for action, method in ACTIONS.items():
        of.setdefault(limit_of(action, writes=method.writes), set()).add(action)
    rows = table(REPOSITORY / "docs" / "aws-limits.md", "The limits")
    found = {row[0].strip("`"): row[1:] for row in rows}
    assert set(found) == {limit.name for limit in of}
    for limit, actions in of.items():
        per_second, scope, calls, source = found[limit.name]
        assert float(per_second) == limit.per_second
        assert scope == ("account" if limit.is_global else "account, region")
        assert set(re.findall(r"[a-z0-9]+:[A-Za-z]+", calls)) <= actions
        assert limit.source in source if limit.source else source == "not published"


def resource(**status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 2, "annotations": {}}, "status": status}


def ready(status: str, generation: int = 2) -> list[dict[str, Any]]:
    return [{"type": "Ready", "status": status, "observedGeneration": generation}]


AWS = {"accountID": "1", "region": "us-east-1", "cluster": "c"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (resource(), Priority.NEW),
        (resource(aws=AWS, conditions=ready("True")), Priority.RESYNC),
        (resource(aws=AWS, conditions=ready("True", generation=1)), Priority.EDIT),
        (resource(aws=AWS, conditions=ready("Unknown")), Priority.WAITING),
        (resource(aws=AWS, conditions=ready("True"), lastHandledReconcile="x"), Priority.EDIT),
        ({**resource(), "metadata": {"deletionTimestamp": "now"}}, Priority.DELETION),
    ],
)
def test_priority_is_why_a_tenant_is_reconciled(given: dict[str, Any], expected: Priority) -> None:
    assert priority_of(given) is expected
    assert where_of(given) == (HERE if "aws" in given["status"] else None)


def test_metrics_show_the_use_of_the_budget_and_the_waiting_by_priority() -> None:
    metrics = Metrics(version="1")
    budget = Budget(waited=metrics.waited)
    metrics.budget = budget.use
    with at_priority(Priority.DELETION):
        budget.wait(SLOW, where=HERE)
    text = generate_latest(metrics.registry).decode()
    assert 'humangov_aws_budget_calls_total{limit="slow",priority="deletion"} 1.0' in text
    assert 'humangov_aws_budget_rate{limit="slow"} 9.0' in text
    assert 'humangov_aws_budget_waiting{priority="deletion"} 0.0' in text
    assert 'humangov_aws_budget_wait_seconds_count{priority="deletion"} 1.0' in text
