"""The erasure: one DeleteObjects for up to 1,000 files or versions, and S3's response for each of them.

Only this module deletes. `erase` is for a bucket that seems to keep no versions; `erase_versions` erases exactly the
versions that were seen. If the bucket does keep versions, S3 answers `erase` with a delete marker. The marker is
removed again and reported to the caller, who then uses `erase_versions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any, NamedTuple

from .calls import Calls, error_text
from .outcomes import ERASED, RETAINED_MFA, STILL_THERE, FileOutcome, FileResult, failed
from .versions import NULL, Versions, hold, list_versions

KEYS_PER_CALL = 1000
"""https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"""

CHECKS_AT_ONCE = 16

_NOT_FOR_XML = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]|^\s|\s\Z")
"""XML forbids these or may change them; one such key would fail the call for the other 999."""

_DENIED = "AccessDenied"
_MFA = "mfa authentication"
"""S3's error is AccessDenied with "Mfa Authentication must be used for this request".
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMFADelete.html
"""
_NO_PERMISSION = "is not authorized to perform"
"""IAM's text: it is no lock, so there is nothing to check."""


REPLACED = "NullVersionReplaced"
"""A delete marker with the version ID null took the place of the null version, whose data is deleted."""


class Target(NamedTuple):
    """One entry of a DeleteObjects; version_id None: the key itself."""

    key: str
    version_id: str | None = None


class Answer(NamedTuple):
    """S3's answer for one target. error: a code or empty; marker: version ID of the marker that S3 wrote or removed."""

    error: str = ""
    text: str = ""
    marker: str | None = None


class Erased(NamedTuple):
    """results: of each settled key. hidden: the other keys, which remain because this bucket keeps versions.

    hidden maps each of these keys to the reason why S3's new delete marker remains: AWS's code, REPLACED if it
    replaced the key's null version, or empty if it was removed.
    """

    results: dict[str, FileResult]
    hidden: dict[str, str]


def erase(calls: Calls, *, bucket: str, keys: Sequence[str]) -> Erased:
    """Erases the keys themselves, in a bucket that seems to keep no versions.

    S3 gives the same answer for a file that it deleted and for a missing one: `erased` means that this key has no
    object now, not that this call removed it.
    """
    answers = _delete(calls, bucket=bucket, targets=[Target(key) for key in dict.fromkeys(keys)])
    results = {
        target.key: FileResult(failed(answer.error) if answer.error else ERASED)
        for target, answer in answers.items()
        if answer.error or answer.marker is None
    }
    markers = {target.key: answer.marker for target, answer in answers.items() if target.key not in results}
    return Erased(results, undo_markers(calls, bucket=bucket, markers=markers))


def undo_markers(calls: Calls, *, bucket: str, markers: Mapping[str, str | None]) -> dict[str, str]:
    """Removes the delete markers that S3 has just written: they could hide an object that was written meanwhile.

    markers: key → version ID. Returns for each key why its marker remains, as in Erased: the null marker has replaced
    the object, and can't be undone.
    """
    new = [Target(key, marker) for key, marker in markers.items() if marker and marker != NULL]
    undone = {target.key: answer.error for target, answer in _delete(calls, bucket=bucket, targets=new).items()}
    replaced = {key: REPLACED for key, marker in markers.items() if marker == NULL}
    return dict.fromkeys(markers, "") | replaced | undone


def erase_versions(calls: Calls, *, bucket: str, seen: Mapping[str, Versions]) -> dict[str, FileResult]:
    """Erases exactly these versions of each key; returns the key's outcome.

    The oldest first. Delete markers come last, and only if every version was erased: after an interruption or an
    error, no hidden version becomes visible. Afterwards S3 is asked once more what it holds under the key.
    """
    data, markers = _targets(seen, is_marker=False), _targets(seen, is_marker=True)
    answers = _delete(calls, bucket=bucket, targets=data)
    refused = {target.key for target, answer in answers.items() if answer.error}
    answers |= _delete(calls, bucket=bucket, targets=[one for one in markers if one.key not in refused])

    of_key: dict[str, list[tuple[Target, Answer]]] = {key: [] for key in seen}
    for target, answer in answers.items():
        of_key[target.key].append((target, answer))
    with ThreadPoolExecutor(CHECKS_AT_ONCE) as pool:
        results = pool.map(lambda key: _result(calls, bucket=bucket, seen=seen[key], answers=of_key[key]), of_key)
        return dict(zip(of_key, results, strict=True))


def weight(key: str, *, versions: int) -> int:
    """How many of the entries of one DeleteObjects it counts as, by the time that it takes; a call of its own, 100."""
    return versions * (100 if _NOT_FOR_XML.search(key) else 1)


def _targets(seen: Mapping[str, Versions], *, is_marker: bool) -> list[Target]:
    return [
        Target(key, one.version_id)
        for key, versions in seen.items()
        for one in sorted(versions, key=lambda version: version.modified)
        if one.is_marker is is_marker
    ]


def _result(
    calls: Calls, *, bucket: str, seen: Versions, answers: Sequence[tuple[Target, Answer]]
) -> FileResult:  # fmt: skip
    erased = sum(not answer.error for _, answer in answers)
    reasons = {_reason(calls, bucket=bucket, target=target, answer=one) for target, one in answers if one.error}
    if not reasons:
        return _after(calls, bucket=bucket, key=answers[0][0].key, seen=seen, erased=erased)
    # An error that a retry may fix comes first, then a retention without end, then the latest date.
    why = min(reasons, key=lambda one: (not one.is_failure, -(one.until or inf), one.detail))
    return FileResult(why, erased, left=len(seen) - erased)


def _after(calls: Calls, *, bucket: str, key: str, seen: Versions, erased: int) -> FileResult:
    """The result after S3 erased every version that was seen, by what it lists under the key now.

    What was written since stays, and is counted. A version that is older than one of those erased was not written
    since: S3 dates a multipart object by the start of its upload. Then the file is not erased, and a retry lists it.
    """
    try:
        left = list_versions(calls, bucket=bucket, key=key)
    except Exception as error:  # an older version may be left: the next delivery lists it
        return FileResult(failed(calls.failed("ListObjectVersions", error)), erased)
    youngest = max(one.modified for one in seen)
    seen_ids = {one.version_id for one in seen} - {NULL}
    older = any(one.version_id in seen_ids or (not one.is_marker and one.modified < youngest) for one in left)
    return FileResult(STILL_THERE if older else ERASED, erased, left=len(left))


def _reason(calls: Calls, *, bucket: str, target: Target, answer: Answer) -> FileOutcome:
    if answer.error != _DENIED or _NO_PERMISSION in answer.text or target.version_id is None:
        return failed(answer.error)
    if answer.text.lower().startswith(_MFA):
        return RETAINED_MFA
    held = hold(calls, bucket=bucket, key=target.key, version_id=target.version_id)
    return held or failed(_DENIED)


def _delete(calls: Calls, *, bucket: str, targets: Sequence[Target]) -> dict[Target, Answer]:
    answers: dict[Target, Answer] = {}
    together = [target for target in targets if not _NOT_FOR_XML.search(target.key)]
    for start in range(0, len(together), KEYS_PER_CALL):
        answers |= _delete_together(calls, bucket=bucket, targets=together[start : start + KEYS_PER_CALL])
    for target in targets:
        if target not in answers:
            answers[target] = _delete_alone(calls, bucket=bucket, target=target)
    return answers


def _delete_together(calls: Calls, *, bucket: str, targets: Sequence[Target]) -> dict[Target, Answer]:
    try:
        # A retry does not read the live table again. It starts within RETRY_WITHIN_SECONDS or never, which adds about a
        # second to the age of that read. After a slow failure, Lambda's retry reads the table again.
        answer = calls.on_bucket(
            calls.s3.delete_objects,
            bucket,
            Delete={"Objects": [_named(target) for target in targets], "Quiet": False},
        )
        # Errors of single keys are inside an HTTP 200; a key that is missing in the response has failed.
        deleted = {
            Target(one["Key"], one.get("VersionId")): Answer(marker=_marker(one)) for one in _of(answer, "Deleted")
        }
        refused = _refused(_of(answer, "Errors"), {target for target in targets if target not in deleted})
    except Exception as error:  # however the call fails, the result is unknown
        return dict.fromkeys(targets, Answer(calls.failed("DeleteObjects", error), error_text(error)))
    return {target: refused.get(target) or deleted.get(target) or Answer("NoAnswer") for target in targets}


def _delete_alone(calls: Calls, *, bucket: str, target: Target) -> Answer:
    try:
        answer = calls.on_bucket(calls.s3.delete_object, bucket, **_named(target))
    except Exception as error:
        return Answer(calls.failed("DeleteObject", error), error_text(error))
    return Answer(marker=str(answer.get("VersionId") or NULL) if answer.get("DeleteMarker") else None)


def _refused(errors: Sequence[Mapping[str, Any]], silent: Iterable[Target]) -> dict[Target, Answer]:
    refused = {
        Target(one["Key"], one.get("VersionId")): Answer(str(one.get("Code", "Unknown")), str(one.get("Message", "")))
        for one in errors
    }
    # An error without a version counts for each version of its key that the response does not mention.
    of_all = {target: refused[Target(target.key)] for target in silent if Target(target.key) in refused}
    return of_all | refused


def _named(target: Target) -> dict[str, str]:
    version = {} if target.version_id is None else {"VersionId": target.version_id}
    return {"Key": target.key, **version}


def _marker(deleted: Mapping[str, Any]) -> str | None:
    return str(deleted.get("DeleteMarkerVersionId") or NULL) if deleted.get("DeleteMarker") else None


def _of(answer: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    return answer.get(name) or ()
