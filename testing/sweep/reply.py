"""What a service answers: a status, and the answer as the SDK's parser would have made it of the body."""

from __future__ import annotations

from typing import Any, NamedTuple


class Reply(NamedTuple):
    status: int
    answer: dict[str, Any]


def refusal(status: int, code: str) -> Reply:
    return Reply(status, {"Error": {"Code": code, "Message": f"{code}."}})
