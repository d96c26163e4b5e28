"""What Lambda returns of the cleanup function, in the shape in which it is compared.

https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from humangov.aws.function_undeclared import Undeclared

_CONFIGURATION_FIELDS = (
    "Runtime", "Handler", "Role", "MemorySize", "Timeout", "Environment", "LoggingConfig", "Layers", "Description",
)  # fmt: skip
# Lambda shows these of every function: an answer without one does not tell it. It leaves out what a function does not
# have (layers, a VPC, a KMS key): there an absent key is an answer.
_ALWAYS_SHOWN = ("State", "LastUpdateStatus", "PackageType", "Architectures", "Role", "MemorySize", "Timeout")
_SHOWN_OF_ZIPS = ("CodeSha256", "Runtime", "Handler")
# What the cleanup function does not use, as UpdateFunctionConfiguration takes it away.
NOT_USED: Mapping[str, Any] = {
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
    "DeadLetterConfig": {"TargetArn": ""},
    "KMSKeyArn": "",
    "FileSystemConfigs": [],
    "TracingConfig": {"Mode": "PassThrough"},
    "EphemeralStorage": {"Size": 512},
    "SnapStart": {"ApplyOn": "None"},
}


_SETTLED = ("Active", "Inactive", "Failed")  # a state that Lambda adds to these may be anything


@dataclass(frozen=True, kw_only=True)
class UnreadEnvironment:
    """Why Lambda did not return the environment variables. key_arn: of the KMS key that encrypts them, if known."""

    key_arn: str
    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What Lambda returns for the function. `tags` is None where Lambda could not return them."""

    state: str  # Pending, Active, Inactive, Failed
    state_reason: str
    update_status: str  # Successful, InProgress, Failed
    update_reason: str
    code_sha256: str
    architecture: str
    configuration: Mapping[str, Any]  # what is declared and NOT_USED, in the shape of UpdateFunctionConfiguration
    reserved_concurrency: int | None
    tags: Mapping[str, str] | None
    package_type: str = "Zip"  # or Image
    unread_environment: UnreadEnvironment | None = None
    undeclared: Undeclared | None = None  # None where it was not read
    unread: tuple[str, ...] = ()  # fields that Lambda always shows, and this answer does not

    def knows(self, field: str) -> bool:
        """Whether the field can differ from what is declared: what Lambda did not show is unknown, and no drift."""
        # Whoever set a key may have set variables too: both stay while the variables can't be read.
        hidden = field in ("Environment", "KMSKeyArn") and self.unread_environment is not None
        return field not in self.unread and not hidden

    @property
    def busy(self) -> bool:
        """Lambda refuses changes now."""
        return self.state not in _SETTLED or self.update_status not in ("Successful", "Failed")


def read(
    configuration: Mapping[str, Any], *, reserved_concurrency: int | None, tags: Mapping[str, str] | None
) -> Observed:
    """Lambda's FunctionConfiguration, as GetFunction and the writes answer with it."""
    logging_config = configuration.get("LoggingConfig") or {}
    comparable = {field: configuration.get(field) for field in _CONFIGURATION_FIELDS}
    comparable["Environment"] = _environment(configuration.get("Environment") or {})
    comparable["Layers"] = [layer.get("Arn") for layer in configuration.get("Layers") or ()]
    # Where it says nothing, Lambda writes text to the log group of the function's name.
    comparable["LoggingConfig"] = {
        "LogFormat": logging_config.get("LogFormat") or "Text",
        "LogGroup": logging_config.get("LogGroup") or f"/aws/lambda/{configuration.get('FunctionName')}",
    }
    comparable |= {field: _unused(configuration.get(field), nothing) for field, nothing in NOT_USED.items()}
    return Observed(
        state=configuration.get("State") or "",
        state_reason=configuration.get("StateReason") or "no reason given",
        update_status=configuration.get("LastUpdateStatus") or "",
        update_reason=configuration.get("LastUpdateStatusReason") or "no reason given",
        code_sha256=configuration.get("CodeSha256") or "",
        architecture=(configuration.get("Architectures") or ["x86_64"])[0],
        configuration=comparable,
        reserved_concurrency=reserved_concurrency,
        tags=tags,
        package_type=configuration.get("PackageType") or "Zip",
        unread_environment=_unread_environment(configuration),
        unread=_unread(configuration),
    )


def readable(drift: Mapping[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """Names as in the manifest; of an environment only the names of the differing variables, never values."""
    words = {"MemorySize": "memoryMiB", "Timeout": "timeoutSeconds", "Runtime": "runtime"}
    readable = {}
    for field, (old, new) in drift.items():
        if field == "Environment":
            before, after = ((side or {}).get("Variables") or {} for side in (old, new))
            changed = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
            readable["environment"] = (f"variables {', '.join(changed)}", "as declared")
        else:
            readable[words.get(field, field)] = (old, new)
    return readable


def _unread(configuration: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a function that Lambda is still creating it says nothing of the last update."""
    shown = (*_ALWAYS_SHOWN, *(_SHOWN_OF_ZIPS if configuration.get("PackageType") != "Image" else ()))
    passing = ("LastUpdateStatus",) if configuration.get("State") == "Pending" else ()
    return tuple(field for field in shown if not configuration.get(field) and field not in passing)


def _unused(value: Any, nothing: Any) -> Any:
    """The value of a NOT_USED field, of which only what `nothing` names is compared."""
    if isinstance(nothing, Mapping):
        return {key: (value or {}).get(key) or default for key, default in nothing.items()}
    return value or nothing


def _environment(environment: Mapping[str, Any]) -> dict[str, Any] | None:
    """None if Lambda could not decrypt the variables: they are unknown, not absent.

    https://docs.aws.amazon.com/lambda/latest/api/API_EnvironmentResponse.html
    """
    return None if environment.get("Error") else {"Variables": dict(environment.get("Variables") or {})}


def _unread_environment(configuration: Mapping[str, Any]) -> UnreadEnvironment | None:
    error = (configuration.get("Environment") or {}).get("Error")
    if not error:
        return None
    return UnreadEnvironment(
        key_arn=configuration.get("KMSKeyArn") or "", code=error.get("ErrorCode") or "", text=error.get("Message") or ""
    )


def set_up_failed(name: str, reason: str) -> str:
    return (
        f"Lambda could not set up function {name}: {reason.rstrip('.')}. Correct what Lambda names. If that does not "
        f"help, delete the function (aws lambda delete-function --function-name {name}): the operator re-creates it"
    )
