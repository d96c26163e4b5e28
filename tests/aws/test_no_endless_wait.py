"""No waiting without an end: every state and every error of AWS ends in Ready, in Stalled, or in a wait with a limit.

The walk takes the states from botocore's models of the calls in use, and one that no model has; and all error codes
from there, from AWS's pages of common errors, and from S3's. Time is the world's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from humangov.api.conditions import Finding, compose, differs, find_condition
from humangov.aws.actions import ACTIONS
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import translated
from humangov.manager.workqueue import SLOWLY_SECONDS
from humangov.reconcile import overdue

from testing.reconciler import drifts
from testing.reconciler.line import Fault, on
from testing.reconciler.sdk import error
from testing.reconciler.world import World
from testing.samples import NOW

HOUR = 3600.0
NEXT_YEAR = "SomethingThatAwsAddsNextYear"


def live(world: World, key: str, seconds: float) -> int:
    """Reconciliations as the queue makes them for so long; how many."""
    spent, failures, number = 0.0, 0, 0
    while spent < seconds:
        outcome = world.reconcile_once(key)
        number += 1
        if outcome.forget:
            break
        failures = failures + 1 if outcome.failed else 0
        first, longest = (0.5, 30.0) if outcome.soon else SLOWLY_SECONDS
        step = 600.0
        if outcome.failed:
            backoff = min(longest, first * 2 ** min(failures - 1, 20))
            step = min(outcome.requeue_after_seconds or backoff, backoff)
        elif outcome.requeue_after_seconds is not None:
            step = outcome.requeue_after_seconds
        step = max(step, seconds / 12)  # a test has no time for each of them
        spent += step
        world.clock.forward(step)
    return number


def is_stalled(world: World, key: str) -> bool:
    return bool(world.condition(key, "Stalled")["status"] == "True" and world.ready(key).startswith("False"))


@pytest.mark.parametrize("failure", ["CodeVerificationFailedException", "InvalidCodeSignatureException", NEXT_YEAR])
def test_unknown_error_that_comes_back_unchanged_is_stalled_after_15_minutes(world: World, failure: str) -> None:
    """The account enforces code signing: the foreign code stays in place."""
    key = world.provisioned()
    drifts.awslambda(world).update_function_code(FunctionName=drifts.NAME, ZipFile=drifts.OTHER_CODE)
    world.line.faults.append(
        Fault(on("lambda:UpdateFunctionCode"), error=error(failure, "Lambda cannot deploy the function."))
    )
    live(world, key, 10 * 60)
    assert world.ready(key).startswith("Unknown")
    live(world, key, 11 * 60)
    assert is_stalled(world, key)
    assert failure in world.ready(key)
    assert "This has lasted since" in world.ready(key)
    before = len(world.line.calls)
    live(world, key, 3 * HOUR)
    assert len(world.line.calls) - before < 40 * 20, "ever more seldom: every five minutes in the end"
    assert [event.kind for event in world.kube.events] == ["Warning", "Warning"], "not Ready any more; Stalled"
    world.line.faults.clear()
    world.reconcile_once(key)
    assert world.settle(key) is not None
    assert world.ready(key).startswith("True")
    assert "waitingSince" not in world.status(key)


def test_long_wait_survives_a_restart_and_starts_over_with_another_spec(world: World) -> None:
    key = world.provisioned()
    states(world, "lambda:GetFunction", NEXT_YEAR)
    live(world, key, 10 * 60)
    since = world.status(key)["waitingSince"]
    world.restart_operator()
    states(world, "lambda:GetFunction", NEXT_YEAR)
    world.reconcile_once(key)
    assert world.status(key)["waitingSince"] == since
    world.kube.edit(key, lambda resource: resource["spec"].update(tags={"a": "b"}))
    world.reconcile_once(key)
    assert world.status(key)["waitingSince"] > since


def states(world: World, action: str, state: str) -> None:
    """AWS shows this state from now on."""

    def shown(answer: Any) -> Any:
        match action:
            case "lambda:GetFunction":
                answer["Configuration"] |= {"State": state, "StateReason": "because", "LastUpdateStatus": "Successful"}
            case "lambda:GetFunction LastUpdateStatus":
                answer["Configuration"] |= {"State": "Active", "LastUpdateStatus": state}
            case "lambda:ListEventSourceMappings":
                for mapping in answer["EventSourceMappings"]:
                    mapping["State"] = state
            case "dynamodb:DescribeTable":
                answer["Table"]["TableStatus"] = state
            case "dynamodb:DescribeStream":
                answer["StreamDescription"]["StreamStatus"] = state
        return answer

    world.line.faults = [Fault(on(action.partition(" ")[0]), alter=shown)]


def enum(service: str, shape: str) -> list[str]:
    model = botocore.session.get_session().get_service_model(service)
    return list(model.shape_for(shape).enum)


WALK = [
    *(("lambda:GetFunction", state) for state in (*enum("lambda", "State"), NEXT_YEAR)),
    *(("lambda:GetFunction LastUpdateStatus", state) for state in (*enum("lambda", "LastUpdateStatus"), NEXT_YEAR)),
    # Lambda's page names these; the model has no enum:
    # https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
    *(
        ("lambda:ListEventSourceMappings", state)
        for state in ("Creating", "Enabling", "Enabled", "Disabling", "Disabled", "Updating", "Deleting", NEXT_YEAR)
    ),
    *(("dynamodb:DescribeTable", state) for state in (*enum("dynamodb", "TableStatus"), NEXT_YEAR)),
    *(("dynamodb:DescribeStream", state) for state in (*enum("dynamodbstreams", "StreamStatus"), NEXT_YEAR)),
]


@pytest.mark.parametrize(("action", "state"), WALK)
def test_every_state_ends_in_ready_or_stalled(world: World, action: str, state: str) -> None:
    key = world.provisioned()
    states(world, action, state)
    # What an update of the mapping answers is as it is; only what is listed is stuck.
    live(world, key, 30 * HOUR if state == "CREATING" and action == "dynamodb:DescribeTable" else 2 * HOUR)
    assert world.ready(key).startswith("True") or is_stalled(world, key), world.ready(key)
    last = len(world.line.calls)
    live(world, key, HOUR)
    assert len(world.line.calls) - last < 25 * 20, "it is looked at seldom"


INDEX = {"IndexName": "by-file", "KeySchema": [{"AttributeName": "pdf", "KeyType": "HASH"}]}


def with_index(answer: Any, **fields: Any) -> None:
    answer["Table"]["GlobalSecondaryIndexes"] = [{**INDEX, **fields}]
    answer["Table"]["AttributeDefinitions"].append({"AttributeName": "pdf", "AttributeType": "S"})


# What a state of theirs changes is what is told, or what the function may use: nothing waits for it.
BESIDE: Mapping[str, tuple[str, list[str], Callable[[Any, str], Any]]] = {
    "an index": (
        "dynamodb:DescribeTable", enum("dynamodb", "IndexStatus"),
        lambda answer, state: with_index(answer, IndexStatus=state),
    ),
    "the table's encryption": (
        "dynamodb:DescribeTable", enum("dynamodb", "SSEStatus"),
        lambda answer, state: answer["Table"].update(
            SSEDescription={"Status": state, "SSEType": "KMS", "InaccessibleEncryptionDateTime": NOW}
        ),
    ),
    "a replica of the table": (
        "dynamodb:DescribeTable", enum("dynamodb", "ReplicaStatus"),
        lambda answer, state: answer["Table"].update(Replicas=[{"RegionName": "eu-west-1", "ReplicaStatus": state}]),
    ),
    "the log group's class": (
        "logs:DescribeLogGroups", enum("logs", "LogGroupClass"),
        lambda answer, state: [group.update(logGroupClass=state) for group in answer["logGroups"]],
    ),
    "the log group's data protection": (
        "logs:DescribeLogGroups", enum("logs", "DataProtectionStatus"),
        lambda answer, state: [group.update(dataProtectionStatus=state) for group in answer["logGroups"]],
    ),
    "the bucket's versioning": (
        "s3:GetBucketVersioning", enum("s3", "BucketVersioningStatus"),
        lambda answer, state: answer.update(Status=state),
    ),
    "the bucket's region": (
        "s3:GetBucketLocation", ["EU", *enum("s3", "BucketLocationConstraint")[-3:]],
        lambda answer, state: answer.update(LocationConstraint=state),
    ),
    "the role's boundary": (
        "iam:GetRole", enum("iam", "PermissionsBoundaryAttachmentType"),
        lambda answer, state: answer["Role"]["PermissionsBoundary"].update(PermissionsBoundaryType=state),
    ),
}  # fmt: skip


def read_deeply(world: World, key: str, asked: str) -> None:
    world.kube.edit(key, lambda one: one["metadata"].update(annotations={"humangov.io/reconcile": asked}))


def ends(world: World, key: str) -> bool:
    """Whether it is Ready, or Stalled and read seldom: after deep reconciliations now, and minutes later."""
    for number, minutes in enumerate((0, 16, 31)):
        world.clock.forward(minutes * 60.0)
        read_deeply(world, key, f"{world.clock.now()} {number}")
        outcome = world.reconcile_once(key)
        if outcome.requeue_after_seconds is not None and outcome.requeue_after_seconds < 10:
            world.clock.forward(outcome.requeue_after_seconds)
            outcome = world.reconcile_once(key)
        if world.ready(key).startswith("True") and not outcome.failed:
            return True
    return is_stalled(world, key) and not outcome.soon


@pytest.mark.parametrize("what", BESIDE)
def test_every_state_of_neighbouring_resources_ends_in_ready_or_stalled(world: World, what: str) -> None:
    key = world.provisioned()
    action, found, change = BESIDE[what]

    def altered(answer: Any, state: str) -> Any:
        change(answer, state)
        return answer

    for state in (*found, NEXT_YEAR):
        world.line.faults = [Fault(on(action), alter=partial(altered, state=state))]
        assert ends(world, key), (state, world.ready(key))


@pytest.mark.parametrize("failure", ["ResourceNotFoundException", NEXT_YEAR])
def test_every_read_that_fails_for_ever_ends_in_ready_or_stalled(world: World, failure: str) -> None:
    """Of what is told beside, such as other copies, a failed read is no failure of the tenant."""
    key = world.provisioned()
    assert ends(world, key)
    reads = {one for one in world.line.reads() if ACTIONS[one].service != "sts"}
    assert {"iam:GetRole", "logs:DescribeLogGroups", "s3:GetBucketVersioning", "dynamodb:DescribeStream"} <= reads
    for action in sorted(reads):
        world.line.faults = [Fault(on(action), error=error(failure, "AWS's text"))]
        assert ends(world, key), (action, world.ready(key))
        world.line.faults = []
        assert ends(world, key)
        assert world.ready(key).startswith("True"), action


@pytest.mark.parametrize("action", ["lambda:ListEventSourceMappings", "dynamodb:DescribeTable"])
def test_deletion_that_never_ends_is_stalled_with_what_it_waits_for(world: World, action: str) -> None:
    key = world.provisioned()
    if action == "dynamodb:DescribeTable":
        world.line.faults = [Fault(on("dynamodb:UpdateTable"), error=error(NEXT_YEAR, "not now"))]
    else:
        states(world, action, "Deleting")
    world.delete(key)
    live(world, key, 2 * HOUR)
    assert key in world.kube.objects
    assert is_stalled(world, key), world.ready(key)


def codes() -> Iterator[str]:
    """Of the models of the calls in use, of S3, and those that AWS names for all services.

    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and each service's page "Common Errors".
    """
    session = botocore.session.get_session()
    for action in ACTIONS.values():
        model = session.get_service_model(action.service)
        for shape in model.operation_model(_operation(model, action.name)).error_shapes:
            yield str(shape.metadata.get("error", {}).get("code") or shape.name)
    yield from _COMMON.split()
    yield from _OF_S3.split()


def _operation(model: Any, method: str) -> str:
    return next(str(name) for name in model.operation_names if botocore.xform_name(name) == method)


_COMMON = """
    AccessDenied AccessDeniedException ExpiredToken ExpiredTokenException IncompleteSignature InternalFailure
    InternalServerError InvalidAction InvalidClientTokenId InvalidParameterCombination InvalidParameterValue
    InvalidQueryParameter MalformedHttpRequestException MalformedQueryString MissingAction
    MissingAuthenticationToken MissingParameter NotAuthorized OptInRequired RequestAbortedException
    RequestEntityTooLargeException RequestExpired RequestTimeoutException ServiceUnavailable Throttling
    ThrottlingException UnknownOperationException UnrecognizedClientException ValidationError ValidationException
"""
_OF_S3 = """
    AllAccessDisabled AuthorizationHeaderMalformed BucketRegionError InternalError InvalidAccessKeyId
    InvalidBucketName InvalidBucketState InvalidRequest InvalidToken MethodNotAllowed NoSuchBucket
    NoSuchBucketPolicy NoSuchLifecycleConfiguration NotImplemented OperationAborted PermanentRedirect
    PreconditionFailed Redirect RequestTimeTooSkewed RequestTimeout ReplicationConfigurationNotFoundError
    SignatureDoesNotMatch SlowDown TemporaryRedirect TokenRefreshRequired 301 307 400 403 404 500 503 Unknown
"""


@pytest.mark.parametrize("failure", sorted({*codes(), NEXT_YEAR}))
def test_every_error_code_is_stalled_in_the_end_with_a_sentence(failure: str) -> None:
    """If it comes back for ever. What it means for a single call (absence, exists) is decided by the call itself."""
    raised = ClientError({"Error": {"Code": failure, "Message": "AWS's text"}}, "Operation")
    found = finding_of_error(translated(raised, action="lambda:GetFunction", target="x"), now=NOW, role_created=NOW)
    at, status = NOW, dict[str, Any]()
    for _ in range(20):
        wait = overdue.judged(found, status, generation=1, now=at)
        status = compose(
            status, generation=1, ready=wait.ready, findings={}, now=at, fields={overdue.STATUS_FIELD: wait.status}
        )
        at += timedelta(minutes=1)
    stalled = find_condition(status, "Stalled")
    assert stalled is not None
    assert stalled["status"] == "True"
    assert failure in stalled["message"] or "role" in stalled["message"]
    assert not wait.ready.soon


def test_wait_is_another_when_what_is_waited_for_changes() -> None:
    first, second = Finding.waiting("Pending", "a"), Finding.waiting("Pending", "b")
    began = overdue.judged(first, {}, generation=1, now=NOW)
    status = compose({}, generation=1, ready=began.ready, findings={}, now=NOW, fields={"waitingSince": began.status})
    later = NOW + timedelta(minutes=16)
    assert overdue.judged(first, status, generation=1, now=later).ready.stalled
    assert not overdue.judged(second, status, generation=1, now=later).ready.stalled
    assert not overdue.judged(first, status, generation=2, now=later).ready.stalled


@pytest.mark.parametrize("length", [10, 3_000, 3_700, 3_999, 4_000, 4_001, 9_000])
def test_wait_with_a_long_message_is_stalled_once_and_written_no_more(length: int) -> None:
    found, status, written = Finding.waiting("Updating", "x" * length), dict[str, Any](), []
    for minute in range(40):
        now = NOW + timedelta(minutes=minute)
        wait = overdue.judged(found, status, generation=1, now=now)
        after = compose(
            status, generation=1, ready=wait.ready, findings={}, now=now, fields={overdue.STATUS_FIELD: wait.status}
        )
        written += [minute] if differs(status, after) else []
        status = after
    assert written == [0, 15]
    assert "This has lasted since" in str(find_condition(status, "Ready"))


def test_stopped_tenant_whose_function_never_settles_is_read_at_growing_intervals(world: World) -> None:
    key = world.provisioned()
    world.kube.edit(key, lambda one: one["metadata"].update(annotations={"humangov.io/stop": "a drill"}))
    world.settle(key)
    states(world, "lambda:GetFunction LastUpdateStatus", "InProgress")
    world.reconcile_once(key)
    world.clock.forward(16 * 60)
    outcome = world.reconcile_once(key)
    assert outcome.requeue_after_seconds is None
    assert world.ready(key).startswith("False Stopped")
