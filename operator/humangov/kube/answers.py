"""Answers of the API server that the client library hands on unread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kubernetes.aio.client.exceptions import ApiException


async def json_of(answer: Any) -> Mapping[str, Any]:
    """What it says. Raises ApiException."""
    await raise_for_status(answer)
    return dict(json.loads(await answer.text()))


async def raise_for_status(answer: Any) -> None:
    """An answer that the library hands on unread (`…_without_preload_content`) is refused as it refuses the others."""
    if not 200 <= answer.status <= 299:
        raise ApiException(status=answer.status, reason=answer.reason, body=await answer.text())
