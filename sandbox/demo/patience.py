"""How people get along in bad weather: what AWS can't do now is asked for again, also where the SDK would give up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.config import Config

ATTEMPTS = 20
PAUSE_SECONDS = 0.5
# Besides all that has a status of 429, 500 and above, and connections that break.
PASSING = (
    "AccessDenied", "AccessDeniedException", "Throttling", "ThrottlingException", "ResourceInUseException",
    "ResourceConflictException", "LimitExceededException", "OperationAbortedException", "DeleteConflict",
)  # fmt: skip
# A second attempt finds what the first one did, whose answer was lost.
_EXISTS = ("ResourceInUseException", "BucketAlreadyOwnedByYou", "ResourceAlreadyExistsException")
_NOT_FOUND = ("ResourceNotFoundException", "NoSuchBucket", "NoSuchEntity")


CONFIG = Config(retries={"mode": "standard"}, connect_timeout=5, read_timeout=10)
"""The SDK's older way of retrying raises where it gives up, and nobody else is asked any more."""


def learn(clients: Mapping[str, Any]) -> None:
    """Have the calls of these clients tried again until the weather lets them through, or ATTEMPTS were made."""
    for client in clients.values():
        client.meta.events.register_first("needs-retry", pause_seconds)
        client.meta.events.register("after-call", accept_what_was_done)


def pause_seconds(*, response: tuple[Any, Any] | None, attempts: int, operation: Any, **_: Any) -> float | None:
    """How long to wait before the next attempt; None where there is to be none. An event of botocore, `needs-retry`."""
    if attempts >= ATTEMPTS:
        return None
    if response is None:  # the connection broke, or no answer came
        return PAUSE_SECONDS
    http, parsed = response
    if http.status_code < 400 or was_done(operation.name, parsed, attempts=attempts):
        return None
    passing = http.status_code in (403, 429) or http.status_code >= 500 or _code(parsed) in PASSING
    return PAUSE_SECONDS if passing else None


def accept_what_was_done(*, http_response: Any, parsed: dict[str, Any], model: Any, **_: Any) -> None:
    """Not a failure for who tried more than once. An event of botocore, `after-call`."""
    attempts = parsed.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
    if was_done(model.name, parsed, attempts=attempts):
        http_response.status_code = 200


def was_done(operation: str, parsed: Mapping[str, Any], *, attempts: int) -> bool:
    """Whether this error says that an earlier attempt had its effect."""
    if attempts < 2:
        return False
    code, text = _code(parsed), str(parsed.get("Error", {}).get("Message", ""))
    if operation.startswith("Create"):
        return code in _EXISTS and ("exist" in text.lower() or code != "ResourceInUseException")
    return operation.startswith("Delete") and code in _NOT_FOUND


def _code(parsed: Mapping[str, Any]) -> str:
    return str(parsed.get("Error", {}).get("Code", ""))
