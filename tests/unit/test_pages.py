"""A listing that comes in pages ends, and is whole, or is an error. On answers in AWS's form alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError, Meaning


class Iam:
    """The SDK's session and its client: page after page, and the last one for ever."""

    def __init__(self, *pages: Mapping[str, Any]) -> None:
        self.left = list(pages)

    def get_credentials(self) -> str:
        return "some"

    def client(self, *_: object, **__: object) -> object:
        return self

    def list_attached_role_policies(self, **_: object) -> Mapping[str, Any]:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def listed(*pages: Mapping[str, Any]) -> list[Any]:
    session: Any = Iam(*pages)
    return Clients(region="us-east-1", session=session).pages(
        "iam:ListAttachedRolePolicies", "AttachedPolicies", token=("Marker", "Marker"), target="role r", RoleName="r"
    )


def test_pages_are_joined_until_the_last() -> None:
    first = {"AttachedPolicies": ["a"], "IsTruncated": True, "Marker": "1"}
    assert listed(first, {"AttachedPolicies": ["b"], "IsTruncated": False}) == ["a", "b"]


@pytest.mark.parametrize(
    "page",
    [{"AttachedPolicies": [], "Marker": "1"}, {"AttachedPolicies": [], "IsTruncated": True}, {"Marker": "1"}],
    ids=["the same page again", "a part without its continuation", "without its items"],
)
def test_listing_without_an_end_is_an_error(page: Mapping[str, Any]) -> None:
    with pytest.raises(AwsError) as error:
        listed(page)
    assert error.value.meaning is Meaning.INCOMPLETE
