"""What AWS refuses calls with, in its own words: what is transient, and what is not."""

from __future__ import annotations

import base64
import binascii
import io
import zipfile

from sandbox.weather.answers import Refusal
from sandbox.weather.calls import WeatherCall

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
DELETE_OBJECTS_KEYS = 1000
_UPDATING = Refusal(
    status=409,
    code="ResourceConflictException",
    text="The operation cannot be performed at this time. An update is in progress for resource: {target}",
)
_TABLE_IN_USE = Refusal(
    status=400,
    code="ResourceInUseException",
    text="Attempt to change a resource which is still in use: Table is being updated: {target}",
)
_TABLE_LIMIT = Refusal(
    status=400,
    code="LimitExceededException",
    text="Subscriber limit exceeded: Only 500 tables can be created, updated, or deleted simultaneously",
)
_LOGS_ABORTED = Refusal(
    status=400,
    code="OperationAbortedException",
    text="A conflicting operation is currently in progress against this resource. Please try again.",
)
_HAS_POLICIES = Refusal(status=409, code="DeleteConflict", text="Cannot delete entity, must delete policies first.")


def in_use(verb: str) -> Refusal:
    """Of an event source mapping that changes its state."""
    return Refusal(
        status=400,
        code="ResourceInUseException",
        text=f"Cannot {verb} the event source mapping because it is in use.",
    )


# What an operation's own documentation says that it may be refused with for a while; `{target}` is what was asked for.
BUSY: dict[str, tuple[Refusal, ...]] = {
    "dynamodb:UpdateTable": (_TABLE_IN_USE, _TABLE_LIMIT),
    "dynamodb:TagResource": (_TABLE_IN_USE,),
    "dynamodb:UntagResource": (_TABLE_IN_USE,),
    "iam:DeleteRole": (_HAS_POLICIES,),
    "lambda:UpdateFunctionCode": (_UPDATING,),
    "lambda:UpdateFunctionConfiguration": (_UPDATING,),
    "lambda:PutFunctionConcurrency": (_UPDATING,),
    "lambda:UpdateEventSourceMapping": (in_use("update"),),
    "lambda:DeleteEventSourceMapping": (in_use("delete"),),
    "logs:CreateLogGroup": (_LOGS_ABORTED,),
    "logs:PutRetentionPolicy": (_LOGS_ABORTED,),
    "logs:DeleteLogGroup": (_LOGS_ABORTED,),
}
_SLOW_DOWN = "Please reduce your request rate."
_THROTTLED = {
    "lambda": Refusal(status=429, code="TooManyRequestsException", text="Rate exceeded"),
    "s3": Refusal(status=503, code="SlowDown", text=_SLOW_DOWN),
    "iam": Refusal(status=400, code="Throttling", text="Rate exceeded"),
    "sts": Refusal(status=400, code="Throttling", text="Rate exceeded"),
}
_THROTTLED_ELSEWHERE = Refusal(status=400, code="ThrottlingException", text="Rate exceeded")
_FAILED = {
    "dynamodb": Refusal(status=500, code="InternalServerError", text="Internal server error"),
    "lambda": Refusal(
        status=500, code="ServiceException", text="The AWS Lambda service encountered an internal error."
    ),
    "s3": Refusal(status=500, code="InternalError", text="We encountered an internal error. Please try again."),
}
_FAILED_ELSEWHERE = Refusal(
    status=500, code="InternalFailure", text="The request processing has failed because of an unknown error."
)
# Where the permission to do something has another name than what is done.
_ACTIONS = {
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "lambda:Invoke": "lambda:InvokeFunction",
}


def throttled(call: WeatherCall) -> Refusal:
    return _THROTTLED.get(call.operation.service, _THROTTLED_ELSEWHERE)


def failed(call: WeatherCall) -> Refusal:
    return _FAILED.get(call.operation.service, _FAILED_ELSEWHERE)


def denied(call: WeatherCall) -> Refusal:
    """With the action that was missing, as IAM names it."""
    service = call.operation.service.replace("dynamodbstreams", "dynamodb")
    action = f"{service}:{call.operation.name}"
    action = _ACTIONS.get(action, action)
    short = service in ("iam", "sts", "s3")
    return Refusal(
        status=400 if service in ("dynamodb", "logs") else 403,
        code="AccessDenied" if short else "AccessDeniedException",
        text=(
            f"User: arn:aws:sts::{call.account or '123456789012'}:assumed-role/caller/weather is not authorized to "
            f"perform: {action} on resource: {call.target or '*'} because no identity-based policy allows the {action} "
            "action"
        ),
    )


def busy(call: WeatherCall) -> list[Refusal]:
    """What the operation may be refused with for a while; none where AWS names nothing."""
    return [
        Refusal(status=one.status, code=one.code, text=one.text.format(target=call.target))
        for one in BUSY.get(str(call.operation), ())
    ]


def never(call: WeatherCall) -> Refusal | None:
    """What AWS refuses whenever it is asked, whatever it holds; the emulator lets most of it through."""
    match str(call.operation):
        case "logs:PutRetentionPolicy":
            days = call.parameters.get("retentionInDays")
            if days not in RETENTION_DAYS:
                known = ", ".join(str(one) for one in RETENTION_DAYS)
                return Refusal(
                    status=400,
                    code="InvalidParameterException",
                    text=(
                        f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy "
                        f"constraint: Member must satisfy enum value set: [{known}]"
                    ),
                )
        case "lambda:CreateFunction":
            return _no_zip((call.parameters.get("Code") or {}).get("ZipFile"))
        case "lambda:UpdateFunctionCode":
            return _no_zip(call.parameters.get("ZipFile"))
        case "s3:DeleteObjects" if call.parameters["objects"] > DELETE_OBJECTS_KEYS:
            return Refusal(
                status=400,
                code="MalformedXML",
                text="The XML you provided was not well-formed or did not validate against our published schema",
            )
    return None


def _no_zip(encoded: str | None) -> Refusal | None:
    if encoded is None:  # the code lies in S3, or is an image
        return None
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if zipfile.is_zipfile(io.BytesIO(content)):
        return None
    return Refusal(
        status=400,
        code="InvalidParameterValueException",
        text="Could not unzip uploaded file. Please check your file, then try to upload again.",
    )
