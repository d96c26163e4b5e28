"""AWS weather before the emulated AWS: the same by both ways in, and an operator that lives through it.

On MiniStack, and for the operator on the real API server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from sandbox.emulator import REGION, SECRET
from sandbox.handle import Sandbox
from sandbox.proxy import Proxy
from sandbox.weather import Forecast, Weather, layer, under_boto3
from testing.live.account import Account
from testing.live.states import States
from tests.conftest import StartOperator

# Without what depends on the clock: then each call has the same weather, whenever it is made.
ROUGH = Forecast(
    name="rough", throttled=0.1, failed=0.1, denied=0.1, busy=0.2, reset=0.1, hangs=0.05, lost=0.1, hang_seconds=0.2,
    strict=True,
)  # fmt: skip
SEED = 11


def session(account: str) -> boto3.Session:
    return boto3.Session(aws_access_key_id=account, aws_secret_access_key=SECRET, region_name=REGION)


def story(client: Callable[[str], Any]) -> Iterator[str]:
    """What a client is told, call after call."""
    logs, iam, dynamodb = client("logs"), client("iam"), client("dynamodb")
    for number in range(12):
        name = f"group-{number}"
        yield reported(partial(logs.create_log_group, logGroupName=name))
        yield reported(partial(logs.put_retention_policy, logGroupName=name, retentionInDays=8))
        yield reported(partial(logs.put_retention_policy, logGroupName=name, retentionInDays=7))
        yield reported(partial(iam.get_role, RoleName=name))
        yield reported(partial(dynamodb.describe_table, TableName=name))
        yield reported(partial(logs.delete_log_group, logGroupName=name))


def reported(call: Callable[[], Any]) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    except HTTPClientError as error:  # no answer, or half of one
        return type(error).__name__
    return "done"


def test_weather_by_proxy_and_in_process_gives_the_same_answers(sandbox: Sandbox) -> None:
    if sandbox.aws != "emulator":
        pytest.skip("a user's own AWS has weather of its own")
    assert sandbox.aws_endpoint_url is not None
    accounts = [Account(endpoint_url=sandbox.aws_endpoint_url).id for _ in range(2)]
    config = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=5)
    through, inside = (Weather(forecast=ROUGH, seed=SEED) for _ in range(2))
    with Proxy(sandbox.aws_endpoint_url, layers=[layer(through)]) as proxy:
        clients = session(accounts[0])
        by_proxy = list(story(lambda name: clients.client(name, endpoint_url=proxy.url, config=config)))
    own = session(accounts[1])
    under_boto3(own.events, inside)
    in_process = list(story(lambda name: own.client(name, endpoint_url=sandbox.aws_endpoint_url, config=config)))
    alike = {"ConnectionClosedError": "no answer", "ReadTimeoutError": "no answer"}
    assert [alike.get(one, one) for one in by_proxy] == [alike.get(one, one) for one in in_process]
    assert through.counts == inside.counts
    assert len(through.counts) >= 7, through.counts
    assert by_proxy.count("done") > 5


def test_two_states_are_created_and_deleted_in_stormy_weather_and_leak_nothing(
    states: States, account: Account, operator: StartOperator, sandbox: Sandbox
) -> None:
    if sandbox.aws != "emulator":
        pytest.skip("a user's own AWS has weather of its own")
    assert sandbox.aws_endpoint_url is not None
    account.make("california", "florida")
    storm = Weather.named("stormy", seed=SEED)
    with Proxy(sandbox.aws_endpoint_url, layers=[layer(storm)]) as proxy:
        operator(environment={"AWS_ENDPOINT_URL": proxy.url})
        states.apply(*(states.manifest(state, **account.spec(state)) for state in ("california", "florida")))
        states.wait_ready("california", "florida", seconds=120)
        states.delete("california", "florida")
        states.wait_none(seconds=150)
    assert storm.counts.total() - storm.counts["passed"] >= 5, storm.counts
    assert account.leaked() == {}
