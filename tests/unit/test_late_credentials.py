"""Credentials that come later than the process does, as from an agent of a new node. On the SDK alone."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from botocore.exceptions import CredentialRetrievalError
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError


class Session:
    """The SDK's session: it has credentials, none yet, or fails to fetch them."""

    def __init__(self) -> None:
        self.credentials: Any = None
        self.made = 0

    def get_credentials(self) -> Any:
        if isinstance(self.credentials, Exception):
            raise self.credentials
        return self.credentials

    def get_partition_for_region(self, _: str) -> str:
        return "aws"

    def client(self, *_: object, **__: object) -> object:
        self.made += 1
        return self

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "111111111111"}


@pytest.mark.parametrize(
    "credentials", [None, CredentialRetrievalError(provider="container-role", error_msg="refused")]
)
def test_operator_starts_without_credentials_and_works_once_there_are_some(
    credentials: Any, caplog: pytest.LogCaptureFixture
) -> None:
    session: Any = Session()
    session.credentials = credentials
    clients = Clients(region="us-east-1", session=session)
    with caplog.at_level(logging.WARNING, logger="humangov"):
        clients.warm()
    assert [message.startswith("no AWS client can be created yet: ") for message in caplog.messages] == [True]
    with pytest.raises(AwsError, match="sts:GetCallerIdentity"):
        clients.identity(cluster="c")
    assert session.made == 0, "a client would keep that there were none"

    session.credentials = "some"
    assert clients.identity(cluster="c").account_id == "111111111111"
