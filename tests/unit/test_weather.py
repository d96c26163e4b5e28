"""The weather's model, and its two ways in: in memory, before a small backend of the test's own."""

from __future__ import annotations

import base64
import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from sandbox.operations import Operation
from sandbox.weather import FORECASTS, Forecast, Weather, under_boto3
from sandbox.weather.calls import WeatherCall
from sandbox.weather.in_process import _Raw
from sandbox.weather.model import LOST, Decision, RecordingError
from testing.zips import zipped

STREAM = "arn:aws:dynamodb:us-east-1:1:table/t/stream/2026-11-23T00:00:00.000"
FUNCTION = "arn:aws:lambda:us-east-1:1:function:f"
ROLE = "arn:aws:iam::1:role/humangov/r"
STRICT = Forecast(name="strict", strict=True)


def packed() -> str:
    return base64.b64encode(zipped("index.py", "def handler(*_): ...")).decode()


def call(operation: str, target: str = "t", *, account: str = "1", **parameters: Any) -> WeatherCall:
    service, name = operation.split(":")
    return WeatherCall(operation=Operation(service, name), target=target, account=account, parameters=parameters)


def weather(forecast: Forecast, *, seed: int = 7, lines: list[str] | None = None) -> Weather:
    return Weather(forecast=forecast, seed=seed, note=None if lines is None else lines.append)


def made(under: Weather, what: WeatherCall, answer: object = None, *, at: float) -> dict[str, Any]:
    """The call passes and AWS answers `answer`; what the client gets."""
    decision = under.decide(what, at=at)
    assert decision.takes_place, decision
    _, body = under.answered(what, decision, status=200, body=json.dumps(answer or {}).encode(), at=at)
    return dict(json.loads(body))


def refused(under: Weather, what: WeatherCall, *, at: float) -> tuple[int, str, str]:
    decision = under.decide(what, at=at)
    assert decision.refusal is not None, decision
    return decision.refusal.status, decision.refusal.code, decision.refusal.text


def does(decision: Decision) -> tuple[object, ...]:
    return decision.does, decision.kind, decision.delay_ms, decision.refusal, dict(decision.shown)


MIXED = [
    call(operation, target)
    for operation in ("lambda:GetFunction", "dynamodb:UpdateTable", "iam:DeleteRole", "s3:ListObjectsV2")
    for target in ("california", "florida", "staging")
] * 40


def test_weather_of_a_seed_does_not_depend_on_the_order_of_calls() -> None:
    def lived(order: list[WeatherCall], seed: int) -> dict[tuple[str, str], list[tuple[object, ...]]]:
        under, found = weather(FORECASTS["stormy"], seed=seed), dict[tuple[str, str], list[tuple[object, ...]]]()
        for one in order:
            found.setdefault((str(one.operation), one.target), []).append(does(under.decide(one, at=0.0)))
        return found

    assert lived(MIXED, 7) == lived(sorted(MIXED, key=str), 7)
    assert lived(MIXED, 7) != lived(MIXED, 8)


def test_weather_recording_is_replayed_under_another_clock_and_order() -> None:
    lines: list[str] = []
    first = weather(FORECASTS["stormy"], lines=lines)
    lived = [(str(one), does(first.decide(one, at=0.0))) for one in MIXED]
    again = Weather.replay(lines)
    met = [(str(one), does(again.decide(one, at=1e6))) for one in sorted(MIXED, key=str)]
    assert met == sorted(lived, key=lambda one: one[0])
    assert again.seed == 7
    assert again.beyond == 0
    again.decide(call("lambda:GetFunction", "texas"), at=0.0)
    assert again.beyond == 1, "a call that was not recorded is told"


def test_weather_recording_holds_clock_dependent_answers() -> None:
    lines: list[str] = []
    young = Forecast(name="breezy", role_seconds=10, strict=True)
    under = weather(young, lines=lines)
    made(under, call("iam:CreateRole", "r"), at=0.0)
    create = call("lambda:CreateFunction", "f", Role=ROLE, Code={"ZipFile": packed()})
    _, code, _ = refused(under, create, at=1.0)
    again = Weather.replay(lines)
    made(again, call("iam:CreateRole", "r"), at=0.0)
    assert refused(again, create, at=1e6)[1] == code


@pytest.mark.parametrize("lines", [[], ["no JSON"], ['{"seed": 1}'], ['{"forecast": "calm", "seed": 1}', "{}"]])
def test_invalid_weather_recording_is_refused(lines: list[str]) -> None:
    with pytest.raises(RecordingError, match="no recording"):
        Weather.replay(lines)


def test_unknown_forecast_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no forecast 'hail'; there are calm, breezy, stormy\.$"):
        Weather.named("hail", seed=1)


def test_calm_forecast_changes_nothing() -> None:
    under = weather(FORECASTS["calm"])
    decisions = [under.decide(one, at=0.0) for one in MIXED]
    assert [does(one) for one in decisions] == [("passes", "", 0, None, {})] * len(MIXED)
    assert under.counts == Counter(passed=len(MIXED))


def test_stormy_forecast_has_every_fault_and_counts_each() -> None:
    under = weather(FORECASTS["stormy"])
    for number in range(3000):
        under.decide(call("dynamodb:UpdateTable", f"t{number}"), at=0.0)
        under.decide(call("iam:DeleteRole", f"r{number}"), at=0.0)
    assert set(under.counts) == {
        "passed", "throttled", "failed", "denied", "reset", "hangs", "lost",
        "ResourceInUseException", "LimitExceededException", "DeleteConflict",
    }  # fmt: skip
    assert under.counts["passed"] > 4000


@pytest.mark.parametrize("seed", range(20))
def test_weather_hits_no_call_more_than_twice_in_a_row(seed: int) -> None:
    worst = Forecast(name="worst", throttled=0.3, failed=0.3, denied=0.2, lost=0.2)
    under = weather(worst, seed=seed)
    hit = [under.decide(call("dynamodb:UpdateTable"), at=0.0).does != "passes" for _ in range(60)]
    assert max(len(list(group)) for was, group in itertools.groupby(hit) if was) <= 2
    assert any(hit)


def test_weather_loses_only_responses_of_writes() -> None:
    under = weather(Forecast(name="lossy", lost=1.0))
    assert under.decide(call("dynamodb:DescribeTable"), at=0.0).does == "passes"
    assert under.decide(call("dynamodb:UpdateTable"), at=0.0).does in LOST


def test_weather_refuses_a_function_with_a_young_role_like_lambda() -> None:
    under = weather(Forecast(name="young", role_seconds=10, strict=True))
    create = call("lambda:CreateFunction", "f", Role=ROLE, Code={"ZipFile": packed()})
    made(under, call("iam:CreateRole", "r"), at=100.0)
    text = "The role defined for the function cannot be assumed by Lambda."
    assert refused(under, create, at=104.9) == (400, "InvalidParameterValueException", text)
    made(under, create, {"Role": ROLE}, at=110.1)


def test_steady_weather_takes_the_longest_time_of_everything() -> None:
    under = weather(Forecast(name="steady", delay_ms=35, role_seconds=10, strict=True, steady=True))
    create = call("lambda:CreateFunction", "f", Role=ROLE, Code={"ZipFile": packed()})
    made(under, call("iam:CreateRole", "r"), at=100.0)
    refused(under, create, at=109.99)
    made(under, create, {"Role": ROLE}, at=110.0)
    assert {under.decide(one, at=0.0).delay_ms for one in MIXED} == {35}


def test_weather_refuses_a_mapping_before_the_role_policy_propagates() -> None:
    under = weather(Forecast(name="young", role_seconds=10, strict=True))
    made(under, call("lambda:GetFunction", "f"), {"Configuration": {"Role": ROLE}}, at=0.0)
    made(under, call("iam:PutRolePolicy", "r"), at=100.0)
    create = call("lambda:CreateEventSourceMapping", "f", FunctionName="f", EventSourceArn=STREAM)
    status, code, text = refused(under, create, at=101.0)
    assert (status, code) == (400, "InvalidParameterValueException")
    assert "Please ensure the role can perform the GetRecords, GetShardIterator, DescribeStream, and" in text
    made(under, create, {"UUID": "u", "FunctionArn": FUNCTION, "EventSourceArn": STREAM}, at=111.0)


def test_weather_function_goes_through_its_states_and_refuses_updates_meanwhile() -> None:
    under = weather(Forecast(name="slow", pending_seconds=10, updating_seconds=10, strict=True))
    active = {"FunctionName": "f", "State": "Active", "LastUpdateStatus": "Successful", "Role": ROLE}
    create = call("lambda:CreateFunction", "f", Role=ROLE, Code={"ZipFile": packed()})
    assert made(under, create, active, at=0.0)["State"] == "Pending"
    look, update = call("lambda:GetFunction", "f"), call("lambda:UpdateFunctionConfiguration", "f", Timeout=3)
    pending = made(under, look, {"Configuration": active}, at=4.9)["Configuration"]
    assert (pending["State"], pending["StateReasonCode"]) == ("Pending", "Creating")
    status, code, text = refused(under, update, at=4.9)
    assert (status, code) == (409, "ResourceConflictException")
    assert "state: Pending" in text
    assert made(under, look, {"Configuration": active}, at=10.1)["Configuration"] == active
    assert made(under, update, active, at=20.0)["LastUpdateStatus"] == "InProgress"
    assert (
        made(under, call("lambda:GetFunctionConfiguration", "f"), active, at=21.0)["LastUpdateStatus"] == "InProgress"
    )
    status, code, text = refused(under, call("lambda:UpdateFunctionCode", "f", ZipFile=packed()), at=21.0)
    assert (status, code) == (409, "ResourceConflictException")
    assert text == "The operation cannot be performed at this time. An update is in progress for resource: f"
    made(under, call("lambda:DeleteFunction", "f"), at=21.0)
    assert made(under, call("lambda:GetFunctionConfiguration", "f"), active, at=30.1) == active


def test_weather_mapping_goes_through_its_states_and_is_listed_while_deleting() -> None:
    slow = Forecast(
        name="slow", mapping_creating_seconds=10, mapping_updating_seconds=10, mapping_deleting_seconds=10, strict=True
    )
    under = weather(slow)
    enabled = {"UUID": "u", "FunctionArn": FUNCTION, "EventSourceArn": STREAM, "State": "Enabled"}
    create = call("lambda:CreateEventSourceMapping", "f", FunctionName="f", EventSourceArn=STREAM)
    update = call("lambda:UpdateEventSourceMapping", "u", Enabled=False)
    delete = call("lambda:DeleteEventSourceMapping", "u")
    get = call("lambda:GetEventSourceMapping", "u")
    listing = call("lambda:ListEventSourceMappings", "f", FunctionName="f")

    def listed(*there: dict[str, Any], at: float) -> list[str]:
        found = made(under, listing, {"EventSourceMappings": list(there)}, at=at)
        return [one["State"] for one in found["EventSourceMappings"]]

    assert made(under, create, enabled, at=0.0)["State"] == "Creating"
    assert listed(enabled, at=4.0) == ["Creating"]
    in_use = "the event source mapping because it is in use."
    assert refused(under, update, at=4.0) == (400, "ResourceInUseException", f"Cannot update {in_use}")
    assert refused(under, delete, at=4.0) == (400, "ResourceInUseException", f"Cannot delete {in_use}")
    assert listed(enabled, at=10.1) == ["Enabled"]
    status, code, text = refused(under, create, at=11.0)
    assert (status, code) == (409, "ResourceConflictException")
    assert text == (
        f'The event source arn (" {STREAM} ") and function (" {FUNCTION} ") provided mapping already exists. '
        "Please update or delete the existing mapping with UUID u"
    )
    disabled = {**enabled, "State": "Disabled"}
    assert made(under, update, disabled, at=20.0)["State"] == "Disabling"
    assert made(under, get, disabled, at=24.0)["State"] == "Disabling"
    assert made(under, get, disabled, at=30.1) == disabled
    assert made(under, delete, disabled, at=40.0)["State"] == "Deleting"
    assert listed(at=44.0) == ["Deleting"]
    decision = under.decide(get, at=44.0)
    status, body = under.answered(get, decision, status=404, body=b"{}", at=44.0)
    assert (status, json.loads(body)["State"]) == (200, "Deleting")
    assert refused(under, delete, at=44.0)[1] == "ResourceInUseException"
    assert listed(at=50.1) == []
    made(under, create, {**enabled, "UUID": "v"}, at=51.0)


def test_weather_refuses_to_enable_an_enabled_stream_or_disable_a_disabled_one() -> None:
    under = weather(STRICT)
    describe, update = call("dynamodb:DescribeTable"), "dynamodb:UpdateTable"
    made(under, describe, {"Table": {"StreamSpecification": {"StreamEnabled": True}}}, at=0.0)
    on = call(update, StreamSpecification={"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"})
    off = call(update, StreamSpecification={"StreamEnabled": False})
    text = "Table already has an enabled stream: TableName: t"
    assert refused(under, on, at=0.0) == (400, "ValidationException", text)
    made(under, off, {"TableDescription": {}}, at=0.0)
    assert refused(under, off, at=0.0)[2] == "Table has no stream to disable: TableName: t"
    made(under, on, {"TableDescription": {"StreamSpecification": {"StreamEnabled": True}}}, at=0.0)


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (call("logs:PutRetentionPolicy", retentionInDays=15), "InvalidParameterException"),
        (
            call("lambda:CreateFunction", Code={"ZipFile": base64.b64encode(b"no zip").decode()}),
            "InvalidParameterValue",
        ),
        (call("lambda:UpdateFunctionCode", ZipFile="not even base64"), "InvalidParameterValueException"),
        (call("s3:DeleteObjects", objects=1001), "MalformedXML"),
    ],
)
def test_weather_always_refuses_invalid_requests(what: WeatherCall, code: str) -> None:
    under = weather(FORECASTS["stormy"])
    assert all(refused(under, what, at=0.0)[1].startswith(code) for _ in range(5))
    assert weather(FORECASTS["calm"]).decide(what, at=0.0).does == "passes"


def test_weather_accepts_valid_requests() -> None:
    under = weather(STRICT)
    for what in (
        call("logs:PutRetentionPolicy", retentionInDays=400),
        call("lambda:UpdateFunctionCode", ZipFile=packed()),
        call("s3:DeleteObjects", objects=1000),
    ):
        made(under, what, at=0.0)


def test_weather_keeps_accounts_apart() -> None:
    under = weather(STRICT)
    made(under, call("dynamodb:DescribeTable"), {"Table": {"StreamSpecification": {"StreamEnabled": True}}}, at=0.0)
    on = {"StreamSpecification": {"StreamEnabled": True}}
    made(
        under,
        call("dynamodb:UpdateTable", account="2", StreamSpecification={"StreamEnabled": True}),
        {"TableDescription": on},
        at=0.0,
    )


Backend = Callable[[Any], AWSResponse]


def under(forecast: Forecast, service: str, *, body: bytes = b"{}") -> tuple[Any, list[str], list[float]]:
    """A client under weather; the requests that came through to its AWS, and the seconds that were slept."""
    reached: list[str] = []
    slept: list[float] = []

    def send(request: Any) -> AWSResponse:
        reached.append(request.url)
        return AWSResponse(request.url, 200, {"Content-Type": "application/json"}, _Raw(body))

    session = boto3.Session(aws_access_key_id="123456789012", aws_secret_access_key="x", region_name="us-east-1")
    under_boto3(session.events, Weather(forecast=forecast, seed=1), send=send, sleep=slept.append)
    config = Config(retries={"mode": "standard", "total_max_attempts": 1}, s3={"addressing_style": "path"})
    return session.client(service, endpoint_url="http://127.0.0.1:9", config=config), reached, slept


@pytest.mark.parametrize(
    ("service", "method", "parameters", "throttled", "denied"),
    [
        ("dynamodb", "describe_table", {"TableName": "t"}, "ThrottlingException", "dynamodb:DescribeTable"),
        ("dynamodbstreams", "describe_stream", {"StreamArn": STREAM}, "ThrottlingException", "dynamodb:DescribeStream"),
        ("logs", "describe_log_groups", {}, "ThrottlingException", "logs:DescribeLogGroups"),
        ("lambda", "get_function", {"FunctionName": "f"}, "TooManyRequestsException", "lambda:GetFunction"),
        ("iam", "get_role", {"RoleName": "r"}, "Throttling", "iam:GetRole"),
        ("sts", "get_caller_identity", {}, "Throttling", "sts:GetCallerIdentity"),
        ("s3", "list_objects_v2", {"Bucket": "b"}, "SlowDown", "s3:ListBucket"),
    ],
)
def test_weather_refuses_each_service_in_its_own_protocol(
    service: str, method: str, parameters: dict[str, str], throttled: str, denied: str
) -> None:
    reported = []
    for kind in ("throttled", "failed", "denied"):
        client, reached, _ = under(Forecast(name=kind, **{kind: 1.0}), service)  # type: ignore[arg-type]
        with pytest.raises(ClientError) as raised:
            getattr(client, method)(**parameters)
        assert reached == []
        reported.append(raised.value.response)
    assert reported[0]["Error"]["Code"] == throttled
    assert reported[1]["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert reported[2]["Error"]["Code"].startswith("AccessDenied")
    assert f"is not authorized to perform: {denied} on resource" in reported[2]["Error"]["Message"]


def test_weather_resets_and_hangs_are_boto3_errors() -> None:
    client, reached, _ = under(Forecast(name="reset", reset=1.0), "lambda")
    with pytest.raises(ConnectionClosedError):
        client.get_function(FunctionName="f")
    client, reached, slept = under(Forecast(name="hangs", hangs=1.0, hang_seconds=4.0), "lambda")
    with pytest.raises(ReadTimeoutError):
        client.get_function(FunctionName="f")
    assert 4.0 in slept
    assert reached == []


def test_weather_write_with_a_lost_response_takes_effect() -> None:
    lost = Forecast(name="lost", lost=1.0)
    client, reached, _ = under(lost, "logs")
    seen = set()
    for number in range(12):
        with pytest.raises((ClientError, ConnectionClosedError)) as raised:
            client.create_log_group(logGroupName=f"g{number}")
        seen.add(raised.type)
    assert len(reached) == 12
    assert seen == {ClientError, ConnectionClosedError}, "by a 500, and by a reset"


def test_weather_altered_response_is_readable_by_boto3() -> None:
    active = json.dumps({"FunctionName": "f", "State": "Active", "Role": ROLE}).encode()
    client, _, slept = under(Forecast(name="slow", pending_seconds=60, delay_ms=100), "lambda", body=active)
    code = {"ZipFile": base64.b64decode(packed())}
    answer = client.create_function(FunctionName="f", Role=ROLE, Code=code, Runtime="python3.13", Handler="a.b")
    assert answer["State"] == "Pending"
    assert 0 < max(slept) <= 0.1
