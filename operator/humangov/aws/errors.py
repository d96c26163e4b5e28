"""The meaning of AWS errors: one table, and one exception that carries the meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    TokenRetrievalError,
)

from humangov.cleanup.error_codes import THROTTLED


class Meaning(Enum):
    """What to do about an error."""

    RETRY_SOON = "retry soon"  # AWS is busy, or the resource is not ready yet
    RETRY_SLOWLY = "retry slowly"  # unknown: shown, and retried at long intervals
    NOT_FOUND = "not found"  # an explicit "it does not exist"
    EXISTS = "exists"  # it was created before, perhaps by us
    ALREADY = "already"  # what was asked for is already so
    CONFLICT = "conflict"  # has dependents that must be deleted first
    TERMINAL = "terminal"  # permissions, quotas, refused values
    INCOMPLETE = "incomplete"  # no error of AWS: its answer lacks what it always shows


@dataclass(frozen=True)
class _Rule:
    code: str  # a regular expression for the whole code
    text: str  # a regular expression to be found in the message
    meaning: Meaning
    remedy: str = ""  # of a terminal error: what to do about it


_GRANT = "Grant it to the operator's role (the complete policy is in deploy/iam)"
_TRUST = (
    "Both must allow it: the policy of the operator's role (deploy/iam), and the trust policy of the role in "
    "spec.account.roleARN, with spec.account.externalID if that trust policy requires an external ID"
)
_DENIED = (
    "A policy denies it explicitly (organization policy, permissions boundary, resource policy or session policy). "
    "Add an exception there; a grant to the operator's role is not enough"
)
_IN_USE = "Remove what still depends on it, such as an attached policy"
_QUOTA = "Request a higher quota from AWS, or delete resources that are no longer used"
_RENEW = "Renew the operator's credentials: they have expired, and they are not renewed automatically"
_CREDENTIALS = "Check the operator's credentials (the secret, or the service account's role)"
_KEY = "Check the KMS key: it may be disabled, or its key policy may deny the call"
SPEC_REMEDY = _SPEC = "Fix the value in the spec that AWS names"
_PROTECTED = (
    "Disable its deletion protection (aws logs put-log-group-deletion-protection), or keep the log group: set "
    "spec.logs.onDelete: Retain"
)
_BOUNDARY = "Create the policy that --permissions-boundary names, or name another policy"

_DENIAL = "AccessDenied|Unauthorized|NotAuthorized|Forbidden|403"  # how such a code begins
_NAMED_PERMISSION = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z]+)")

# First match wins. Texts are AWS's own: the botocore models, the service guides, and the retry tables of Terraform's
# AWS provider, ACK and Crossplane.
_RULES = (
    # before the codes that mean busy or a refused value:
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/protecting-log-groups-from-deletion.html
    _Rule("ValidationException|OperationAborted.*|Invalid.*", r"[Dd]eletion protection", Meaning.TERMINAL, _PROTECTED),
    # stream
    _Rule("ValidationException|ResourceInUseException", r"[Tt]able already has an enabled stream", Meaning.ALREADY),
    _Rule("ValidationException", r"[Tt]able has no stream to disable", Meaning.ALREADY),
    # role not known to Lambda yet; error_findings.py limits the time by the role's age
    _Rule("InvalidParameterValueException", r"role defined for the function cannot be assumed", Meaning.RETRY_SOON),
    _Rule("InvalidParameterValueException", r"execution role does not have permissions", Meaning.RETRY_SOON),
    _Rule("InvalidParameterValueException", r"KMS key is invalid for CreateGrant", Meaning.RETRY_SOON),
    _Rule("InvalidParameterValueException", r"throttled by EC2", Meaning.RETRY_SOON),
    _Rule("InvalidParameterValueException", r"[Pp]lease ensure the role can perform", Meaning.RETRY_SOON),
    _Rule("InvalidParameterValueException", r"[Cc]annot access stream|Stream not found", Meaning.RETRY_SOON),
    # exists
    _Rule("ResourceConflictException", r"already exist", Meaning.EXISTS),
    _Rule("EntityAlreadyExists(Exception)?|ResourceAlreadyExistsException", r"", Meaning.EXISTS),
    # busy
    _Rule("ResourceConflictException", r"", Meaning.RETRY_SOON),  # an update is in progress, state Pending
    _Rule("ResourceInUseException|OperationAbortedException|TableInUseException", r"", Meaning.RETRY_SOON),
    _Rule("EntityTemporarilyUnmodifiable|ConcurrentModification(Exception)?", r"", Meaning.RETRY_SOON),
    _Rule("LimitExceededException", r"simultaneous|[Ss]ubscriber limit|control plane|[Rr]ate", Meaning.RETRY_SOON),
    _Rule("CodeStorageExceededException|LimitExceeded(Exception)?", r"", Meaning.TERMINAL, _QUOTA),
    _Rule("DeleteConflict(Exception)?", r"", Meaning.CONFLICT, _IN_USE),
    # not found: of a role's permissions boundary, the policy and not the role
    _Rule("NoSuchEntity(Exception)?", r"Scope ARN", Meaning.TERMINAL, _BOUNDARY),
    _Rule(
        "NoSuchEntity(Exception)?|ResourceNotFoundException|TableNotFoundException|NoSuchBucket", r"", Meaning.NOT_FOUND
    ),
    _Rule("ReplicationConfigurationNotFoundError|NoSuchLifecycleConfiguration", r"", Meaning.NOT_FOUND),
    _Rule("ProvisionedConcurrencyConfigNotFoundException", r"", Meaning.NOT_FOUND),
    # throttled or unavailable
    _Rule(THROTTLED, r"", Meaning.RETRY_SOON),
    _Rule("InternalError|InternalFailure|InternalServer.*|5\\d\\d", r"", Meaning.RETRY_SOON),
    _Rule("Service(Unavailable|Failure)?(Exception)?", r"", Meaning.RETRY_SOON),
    _Rule("RequestTimeout.*|RequestTimeTooSkewed", r"", Meaning.RETRY_SOON),
    # permissions: an explicit deny overrides every allow
    _Rule("AccessDenied", r"perform: sts:AssumeRole on", Meaning.TERMINAL, _TRUST),
    _Rule("AccessDenied.*|Unauthorized.*|NotAuthorized", r"explicit deny", Meaning.TERMINAL, _DENIED),
    _Rule("AccessDenied.*|Unauthorized.*|NotAuthorized|403|Forbidden", r"", Meaning.TERMINAL, _GRANT),
    _Rule("AllAccessDisabled", r"", Meaning.TERMINAL, "Ask AWS Support why the access of the account was disabled"),
    # credentials
    _Rule("ExpiredToken.*|RequestExpired", r"", Meaning.TERMINAL, _RENEW),
    _Rule("InvalidClientTokenId|UnrecognizedClient.*|InvalidAccessKeyId", r"", Meaning.TERMINAL, _CREDENTIALS),
    _Rule("MissingAuthenticationToken.*|IncompleteSignature", r"", Meaning.TERMINAL, _CREDENTIALS),
    _Rule("SignatureDoesNotMatch|InvalidSignatureException", r"", Meaning.TERMINAL, f"{_CREDENTIALS}, and the clock"),
    _Rule("OptInRequired", r"", Meaning.TERMINAL, "Enable the region for the account, or name another spec.region"),
    # refused values, most likely in the spec
    _Rule("InvalidRuntimeException", r"", Meaning.TERMINAL, "Choose another spec.function.runtime"),
    _Rule("KMS.*Exception", r"", Meaning.TERMINAL, _KEY),
    _Rule("ServiceQuotaExceeded.*|PolicyLengthExceeded.*", r"", Meaning.TERMINAL, _QUOTA),
    _Rule("ValidationException|ValidationError|InvalidParameter.*|InvalidInput", r"", Meaning.TERMINAL, _SPEC),
    _Rule("MalformedPolicyDocument.*|RequestTooLarge.*", r"", Meaning.TERMINAL, _SPEC),
)

_MISCONFIGURED = (
    NoCredentialsError,
    PartialCredentialsError,
    NoRegionError,
    TokenRetrievalError,
)

# Request ids differ from call to call; a message that holds one would make every reconciliation a status write.
_VARYING = re.compile(
    r"\s*\((?:Service|Status Code|Request ID)[^)]*\)|,?\s*(?:[Rr]equest ?[Ii][Dd]|Extended Request ID)[:=]\s*[\w/+=-]+"
    r"| at 0x[0-9a-f]+"  # an object's address, in what the SDK says of connections
)


class AwsError(Exception):
    """A call that failed.

    `action` is the IAM name of what was called (`lambda:CreateFunction`), `target` the name of the resource,
    `code` and `text` are those of AWS (or of the SDK), without what varies between two equal failures; `remedy` is what
    to do, empty where nothing is to be done.
    """

    def __init__(self, *, action: str, target: str, code: str, text: str, meaning: Meaning, remedy: str = "") -> None:
        super().__init__(f"{action} on {target}: {code}: {text}")
        self.action, self.target, self.code, self.text, self.meaning = action, target, code, text, meaning
        self.remedy = remedy

    @property
    def not_found(self) -> bool:
        return self.meaning is Meaning.NOT_FOUND

    @property
    def throttled(self) -> bool:
        return is_throttling(self.code)

    @property
    def ripens(self) -> bool:
        """Lambda does not know a role, or what it may do, yet: asked again every half second, and no failure."""
        return self.meaning is Meaning.RETRY_SOON and self.code == "InvalidParameterValueException"

    @property
    def denied(self) -> bool:
        """A permission is missing, or a policy denies the call."""
        return re.match(_DENIAL, self.code) is not None

    @property
    def not_served(self) -> bool:
        """The endpoint does not know the call: it stands in for AWS, and has nothing of that kind.

        AWS answers every call with a code of its own; these are of web servers and of services without the call.
        """
        return self.code in ("404", "405", "501", "NotImplemented", "UnknownOperationException")

    @property
    def missing_permission(self) -> str:
        """The denied action: AWS may deny CreateFunction because iam:PassRole is missing."""
        named = _NAMED_PERMISSION.search(self.text)
        return named[1] if named else self.action


def is_throttling(code: str) -> bool:
    """Whether AWS's error code means that it was called too often."""
    return re.fullmatch(THROTTLED, code) is not None


def incomplete(*, action: str, target: str, field: str) -> AwsError:
    """An answer that lacks a field which AWS always shows."""
    return AwsError(
        action=action, target=target, code="IncompleteAnswer", text=f"the answer lacks {field}",
        meaning=Meaning.INCOMPLETE,
    )  # fmt: skip


def next_page(page: Mapping[str, Any], token: str, *, action: str, target: str, seen: set[str]) -> str | None:
    """Where a listing goes on, and None at its end. seen: the tokens so far. Raises AwsError.

    A token that comes again would never end the listing, or show one page twice and another never; a part (IAM says so)
    without a token is not the whole.
    """
    following = page.get(token)
    if following:
        if following in seen:
            raise incomplete(action=action, target=target, field="a next page")
        seen.add(following)
        return str(following)
    if page.get("IsTruncated"):
        raise incomplete(action=action, target=target, field=token)
    return None


def translated(error: ClientError | BotoCoreError, *, action: str, target: str) -> AwsError:
    """The AwsError that a botocore exception stands for."""
    code, text, meaning, remedy = _of_aws(error) if isinstance(error, ClientError) else _of_sdk(error)
    text = " ".join(_VARYING.sub("", text).split())
    return AwsError(action=action, target=target, code=code, text=text, meaning=meaning, remedy=remedy)


def _of_aws(error: ClientError) -> tuple[str, str, Meaning, str]:
    """Code, text, meaning and remedy of an AWS error; errors that the table does not list are retried slowly."""
    answer = error.response.get("Error", {})
    code, text = str(answer.get("Code", "Unknown")), str(answer.get("Message", "")) or "AWS gave no reason"
    for rule in _RULES:
        if re.fullmatch(rule.code, code) and re.search(rule.text, text):
            return code, text, rule.meaning, rule.remedy
    unavailable = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
    return code, text, Meaning.RETRY_SOON if unavailable else Meaning.RETRY_SLOWLY, ""


def _of_sdk(error: BotoCoreError) -> tuple[str, str, Meaning, str]:
    """The same for an error of the SDK itself: it is misconfigured, or could not reach AWS."""
    code, text = type(error).__name__, str(error)
    if isinstance(error, ParamValidationError):
        return code, text, Meaning.TERMINAL, _SPEC
    if isinstance(error, _MISCONFIGURED):
        return code, text, Meaning.TERMINAL, _CREDENTIALS
    return code, text, Meaning.RETRY_SOON, ""  # a time-out, a reset, a name that did not resolve
