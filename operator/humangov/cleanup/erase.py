"""The erasure: one DeleteObjects for up to 1,000 keys, and what S3 answered for each of them.

This is the one place that deletes. It removes an object of an unversioned bucket; where versions are kept, S3
only hides the object behind a marker, and that is what is said then. Versions and retention belong here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .calls import Calls
from .receipts import ERASED, HIDDEN, failed

KEYS_PER_CALL = 1000
"""https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"""

_NOT_FOR_XML = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]|^\s|\s\Z")
"""XML refuses these or may change them on the way; one such key would fail the call for the other 999."""


def erase(calls: Calls, *, bucket: str, keys: Sequence[str]) -> dict[str, str]:
    """The outcome for each key: erased, hidden (a marker was added, versions remain) or failed.

    S3 answers alike for an object that it deleted and for one that was gone before: `erased` means that
    nothing is left under this key, not that this call removed it.
    """
    outcomes: dict[str, str] = {}
    together = [key for key in dict.fromkeys(keys) if not _NOT_FOR_XML.search(key)]
    for start in range(0, len(together), KEYS_PER_CALL):
        outcomes.update(_erase_together(calls, bucket=bucket, keys=together[start : start + KEYS_PER_CALL]))
    for key in dict.fromkeys(keys):
        if key not in outcomes:
            outcomes[key] = _erase_alone(calls, bucket=bucket, key=key)
    return outcomes


def _erase_together(calls: Calls, *, bucket: str, keys: Sequence[str]) -> dict[str, str]:
    try:
        # A further attempt does not read the live table again. It begins within RETRY_WITHIN_SECONDS or never, so
        # that it adds about a second to that read's age; a slow failure is left to the redelivery, which reads anew.
        answer = calls.attempt(
            calls.s3.delete_objects,
            Bucket=bucket,
            Delete={"Objects": [{"Key": key} for key in keys], "Quiet": False},
        )
        # Errors come for single keys inside an HTTP 200; a key of which the answer is silent has failed.
        deleted = {one["Key"]: _outcome(one) for one in answer.get("Deleted", ())}
        refused = {one["Key"]: failed(str(one.get("Code", "Unknown"))) for one in answer.get("Errors", ())}
    except Exception as error:  # whichever way the call fails, nothing is known
        return dict.fromkeys(keys, failed(calls.failed("DeleteObjects", error)))
    return {key: refused.get(key) or deleted.get(key) or failed("NoAnswer") for key in keys}


def _erase_alone(calls: Calls, *, bucket: str, key: str) -> str:
    try:
        return _outcome(calls.attempt(calls.s3.delete_object, Bucket=bucket, Key=key))
    except Exception as error:
        return failed(calls.failed("DeleteObject", error))


def _outcome(answer: Mapping[str, object]) -> str:
    return HIDDEN if answer.get("DeleteMarker") else ERASED
