"""What AWS's errors mean here, text by text, and what people are told of them. Runs on nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from humangov.aws import errors
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError, Meaning
from humangov.aws.unknown import unless_denied

from testing.samples import NOW

MAPPING_EXISTS = (
    'The event source arn (" arn:x ") and function (" f ") provided mapping already exists. Please update or delete '
    "the existing mapping with UUID 1"
)
YOUNG_ROLE = [
    "The role defined for the function cannot be assumed by Lambda.",
    "The provided execution role does not have permissions to call X on Y",
    (
        "Lambda was unable to configure access to your environment variables because the KMS key is invalid for "
        "CreateGrant."
    ),
    "Your request has been throttled by EC2, please make sure you have enough API rate limit.",
    (
        "Cannot access stream arn:x. Please ensure the role can perform the GetRecords, GetShardIterator, "
        "DescribeStream, and ListStreams Actions on your stream in IAM."
    ),
]
TABLE = [
    ("ValidationException", "Table already has an enabled stream: TableName: X", Meaning.ALREADY),
    ("ResourceInUseException", "Table already has an enabled stream: TableName: X", Meaning.ALREADY),
    ("ValidationException", "Table has no stream to disable: TableName: X", Meaning.ALREADY),
    ("ResourceInUseException", "Attempt to change a resource which is still in use: Table is being updated: X",
     Meaning.RETRY_SOON),
    ("LimitExceededException", "Subscriber limit exceeded: There is a limit of 500 simultaneous table operations",
     Meaning.RETRY_SOON),
    *[("InvalidParameterValueException", text, Meaning.RETRY_SOON) for text in YOUNG_ROLE],
    ("InvalidParameterValueException", "Unzipped size must be smaller than 262144000 bytes", Meaning.TERMINAL),
    ("DeleteConflict", "Cannot delete entity, must detach all policies first.", Meaning.CONFLICT),
    ("DeleteConflictException", "Cannot delete entity, must delete policies first.", Meaning.CONFLICT),
    ("ResourceConflictException", ("The operation cannot be performed at this time. An update is in progress for "
     "resource: arn:x"), Meaning.RETRY_SOON),
    ("ResourceConflictException", ("The operation cannot be performed at this time. The function is currently in the "
     "following state: Pending"), Meaning.RETRY_SOON),
    ("ResourceConflictException", MAPPING_EXISTS, Meaning.EXISTS),
    ("ResourceConflictException", "Function already exist: f", Meaning.EXISTS),
    ("EntityAlreadyExists", "Role with name x already exists.", Meaning.EXISTS),
    ("ResourceAlreadyExistsException", "The specified log group already exists", Meaning.EXISTS),
    ("ResourceInUseException", "The event source mapping is in use", Meaning.RETRY_SOON),
    ("NoSuchEntity", "The role with name x cannot be found.", Meaning.NOT_FOUND),
    ("ResourceNotFoundException", "Function not found: arn:x", Meaning.NOT_FOUND),
    ("NoSuchBucket", "The specified bucket does not exist", Meaning.NOT_FOUND),
    ("ThrottlingException", "Rate exceeded", Meaning.RETRY_SOON),
    ("Throttling", "Rate exceeded", Meaning.RETRY_SOON),
    ("TooManyRequestsException", "Rate Exceeded.", Meaning.RETRY_SOON),
    ("SlowDown", "Please reduce your request rate.", Meaning.RETRY_SOON),
    ("ServiceUnavailable", "", Meaning.RETRY_SOON),
    ("ServiceException", "An error occurred and the request cannot be processed.", Meaning.RETRY_SOON),
    ("InternalFailure", "", Meaning.RETRY_SOON),
    ("InternalServerError", "", Meaning.RETRY_SOON),
    ("AccessDeniedException", "User: x is not authorized to perform: iam:PassRole on resource: y", Meaning.TERMINAL),
    ("AccessDenied", "Access Denied", Meaning.TERMINAL),
    ("ExpiredTokenException", "The security token included in the request is expired", Meaning.TERMINAL),
    ("ValidationException", "1 validation error detected", Meaning.TERMINAL),
    ("LimitExceeded", "Cannot exceed quota for RolesPerAccount: 1000", Meaning.TERMINAL),
    ("CodeStorageExceededException", "Code storage limit exceeded.", Meaning.TERMINAL),
    ("SomethingNew", "never seen", Meaning.RETRY_SLOWLY),
    ("", "", Meaning.RETRY_SLOWLY),
]  # fmt: skip


@pytest.mark.parametrize(("code", "text", "meaning"), TABLE)
def test_aws_error_texts_are_classified(code: str, text: str, meaning: Meaning) -> None:
    assert translated(client_error(code, text)).meaning is meaning


def translated(error: ClientError | BotoCoreError) -> AwsError:
    return errors.translated(error, action="iam:CreateRole", target="a-role")


def client_error(code: str, text: str, *, status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "CreateRole")


def test_only_an_explicit_not_found_error_counts_as_not_found() -> None:
    gone = {code for code, text, _ in TABLE if translated(client_error(code, text)).not_found}
    assert gone == {"NoSuchEntity", "ResourceNotFoundException", "NoSuchBucket"}
    for status in (403, 404, 500):
        assert not translated(client_error("Unknown", "", status=status)).not_found


@pytest.mark.parametrize("status", [500, 502, 503])
def test_unknown_5xx_error_is_retried_soon(status: int) -> None:
    assert translated(client_error("SomethingNew", "x", status=status)).meaning is Meaning.RETRY_SOON


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (ReadTimeoutError(endpoint_url="https://x"), Meaning.RETRY_SOON),
        (ConnectTimeoutError(endpoint_url="https://x"), Meaning.RETRY_SOON),
        (EndpointConnectionError(endpoint_url="https://x"), Meaning.RETRY_SOON),
        (NoCredentialsError(), Meaning.TERMINAL),
        (ParamValidationError(report="bad"), Meaning.TERMINAL),
    ],
)
def test_sdk_errors_are_classified_as_time_out_or_misconfiguration(error: Exception, meaning: Meaning) -> None:
    assert translated(error).meaning is meaning


@pytest.mark.parametrize(
    "text",
    [
        "Cannot do it (Service: AmazonDynamoDBv2; Status Code: 400; Error Code: X; Request ID: {}; Proxy: null)",
        "Cannot do it (Service: Lambda, Status Code: 403, Request ID: {})",
        "Cannot do it (Service: Lambda, Status Code: 403, Request ID: {}) (SDK Attempt Count: 1)",
        "Cannot do it, RequestId: {}",
        "Cannot do it Request ID: {}, Extended Request ID: {}+/=",
    ],
)
def test_error_messages_omit_request_ids(text: str) -> None:
    one, other = (
        str(translated(client_error("X", text.replace("{}", request))))
        for request in ("4b5b1b0a-1111-4c4c-9d9d-aaaaaaaaaaaa", "A9Z0QJ1V2C3D4E5F6G7H8I9J0KVV4KQNSO5AEMVJF66Q9ASUAAJG")
    )
    assert one == other
    assert "Cannot do it" in one


def test_error_messages_omit_object_addresses_of_the_sdk() -> None:
    messages = {
        str(translated(HTTPClientError(error=f"<botocore.awsrequest.AWSHTTPSConnection object at {at}>: no route")))
        for at in ("0x7f0011223344", "0x7fffffffffff")
    }
    assert len(messages) == 1


def failed(code: str, text: str) -> AwsError:
    return translated(client_error(code, text))


@pytest.mark.parametrize("text", YOUNG_ROLE)
def test_role_not_assumable_is_propagating_for_5_minutes_and_then_stalls(text: str) -> None:
    error = failed("InvalidParameterValueException", text)
    young = finding_of_error(error, role_created=NOW - timedelta(seconds=299), now=NOW)
    assert (young.reason, young.status, young.failed, young.soon) == ("RolePropagating", "Unknown", False, True)
    old = finding_of_error(error, role_created=NOW - timedelta(seconds=301), now=NOW)
    assert (old.reason, old.stalled) == ("RoleNotAssumable", True)
    assert text[:30] in old.message


def test_access_denied_names_action_resource_and_remedy() -> None:
    finding = finding_of_error(failed("AccessDenied", "User x is not authorized"))
    assert (finding.reason, finding.stalled, finding.soon) == ("AccessDenied", True, False)
    for part in ("iam:CreateRole", "a-role", "Grant it"):
        assert part in finding.message


@pytest.mark.parametrize(("code", "text", "meaning"), TABLE)
def test_every_error_but_a_young_role_is_a_failure_and_only_terminal_errors_stall(
    code: str, text: str, meaning: Meaning
) -> None:
    finding = finding_of_error(failed(code, text), role_created=NOW, now=NOW)
    assert finding.failed == (text not in YOUNG_ROLE)  # that ripens
    assert finding.stalled == (meaning in (Meaning.TERMINAL, Meaning.CONFLICT))
    assert (finding.status == "False") == finding.stalled
    assert finding.soon == (meaning not in (Meaning.TERMINAL, Meaning.CONFLICT, Meaning.RETRY_SLOWLY))


@pytest.mark.parametrize(("code", "text"), [row[:2] for row in TABLE if row[2] in (Meaning.TERMINAL, Meaning.CONFLICT)])
def test_terminal_error_names_action_resource_and_remedy(code: str, text: str) -> None:
    error = translated(client_error(code, text))
    finding = finding_of_error(error)
    assert finding.stalled
    assert finding.failed
    assert not finding.soon
    action = "iam:PassRole" if "PassRole" in text else "iam:CreateRole"
    assert action in finding.message
    assert "a-role" in finding.message
    assert error.remedy
    assert f"{error.remedy}; the tenant then recovers automatically" in finding.message


def test_missing_permission_is_named_although_another_action_was_called() -> None:
    text = "User: arn:x is not authorized to perform: iam:PassRole on resource: arn:y because no policy allows it"
    message = finding_of_error(translated(client_error("AccessDeniedException", text))).message
    assert message.startswith("AWS denies the operator iam:PassRole (needed for iam:CreateRole) on a-role")
    assert "Grant it to the operator's role" in message


def test_explicit_deny_does_not_suggest_a_grant() -> None:
    text = "User: x is not authorized to perform: iam:CreateRole with an explicit deny in a service control policy"
    message = finding_of_error(translated(client_error("AccessDenied", text))).message
    assert "denies it explicitly" in message
    assert "Grant it" not in message


@pytest.mark.parametrize(
    ("code", "found"),
    [("404", ("nothing", ())), ("UnknownOperationException", ("nothing", ())),
     ("AccessDeniedException", ("nothing", ("lambda:ListFunctionUrlConfigs",)))],
)  # fmt: skip
def test_call_that_the_endpoint_does_not_know_lists_nothing_and_a_denied_one_names_its_permission(
    code: str, found: tuple[str, tuple[str, ...]]
) -> None:
    """moto answers ListFunctionUrlConfigs with a web server's page, of which the SDK makes the code 404."""

    def read() -> str:
        error = ClientError({"Error": {"Code": code, "Message": "Not Found"}}, "ListFunctionUrlConfigs")
        raise errors.translated(error, action="lambda:ListFunctionUrlConfigs", target="california")

    assert unless_denied(read, nothing="nothing") == found


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "ServiceException", "ValidationException"])
def test_other_failures_of_a_read_are_no_absence(code: str) -> None:
    def read() -> str:
        error = ClientError({"Error": {"Code": code, "Message": "x"}}, "ListFunctionUrlConfigs")
        raise errors.translated(error, action="lambda:ListFunctionUrlConfigs", target="california")

    with pytest.raises(AwsError):
        unless_denied(read, nothing="nothing")
