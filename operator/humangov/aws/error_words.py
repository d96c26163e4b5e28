"""The SDK's errors in words that no file name reaches: for status, pod logs and whatever else leaves a job.

An error's own text may hold a key: in the URL that was asked (a listing goes on after a key), in the ARN of a denied
call, or in the body of a response that can't be parsed. So only what AWS and the SDK chose is told.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from humangov.cleanup.versions import ListingError

SDK_ERRORS = (ClientError, BotoCoreError, ResponseParserError, ListingError)
"""What a call of the SDK raises. A response that it can't parse, or go on from, is none of its own exceptions."""

# A path may hold whatever ends a word or a quote. So all up to the last quote of the text is left out where AWS quotes
# it, else all up to the text's end.
_PLACE = r"(arn:[\w-]*:s3[\w-]*:[\w-]*:\d*:[\w.-]+|https?://[^/?\s\"']+)"
_PATH = re.compile(rf"(?<=\"){_PLACE}[/?].*(?=\")|{_PLACE}[/?].*", re.DOTALL)
_LIMIT = 400


def without_names(error: Exception) -> str:
    """One sentence without a full stop: operation, code and AWS's text; or the SDK's error, and which host it asked.

    An error of ours is told as it is.
    """
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        text = without_paths(str(answer.get("Message") or ""))[:_LIMIT]
        return f"{error.operation_name}: {answer.get('Code', 'Unknown')}{f': {text}' if text else ''}"
    if isinstance(error, BotoCoreError):
        return _of_sdk(error)
    return type(error).__name__ if isinstance(error, ResponseParserError) else str(error)


def without_paths(text: str) -> str:
    """The text with buckets and hosts, and without what follows them."""
    return _PATH.sub(lambda found: f"{found[1] or found[2]}/…", text)


def _of_sdk(error: BotoCoreError) -> str:
    name = type(error).__name__
    if "{" not in error.fmt:  # the same text for every call
        return f"{name}: {error.fmt}"
    host = urlsplit(str(error.kwargs.get("endpoint_url") or "")).hostname
    return f"{name} ({host})" if host else name
