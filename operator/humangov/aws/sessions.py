"""Credentials for AWS: the process's own, or those of a tenant's role, renewed before they expire."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, Protocol

import boto3
import botocore.session
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import NoCredentialsError

from humangov.api.spec import Tenant
from humangov.aws.clients import Clients

_SESSION_NAME_LIMIT = 64  # https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html


class RoleOfManifestError(Exception):
    """A manifest names a role, and nobody has said that it may be assumed. The text says what to do."""


def require_consent(role_arn: str | None, *, field: str, given: bool) -> None:
    """Whoever wrote a manifest chooses the role that its reader's credentials assume, perhaps in an account of theirs.

    field: of the spec. given: the reader has asked for it (--assume-role). Raises RoleOfManifestError.
    """
    if role_arn is not None and not given:
        raise RoleOfManifestError(
            f"the manifest names role {role_arn} ({field}), which this command assumes only with --assume-role. Add "
            "it if you trust the manifest"
        )


def session_for(*, role_arn: str | None, external_id: str | None, session_name: str, region: str) -> boto3.Session:
    """The caller's own credentials, or those of a role that they may assume; the role is assumed at the first call."""
    if role_arn is None:
        return boto3.Session()
    own = botocore.session.get_session()
    more = {"ExternalId": external_id} if external_id else {}

    def assume_role() -> Any:
        source = own.get_credentials()
        if source is None:
            raise NoCredentialsError
        return AssumeRoleCredentialFetcher(
            client_creator=partial(own.create_client, region_name=region),
            source_credentials=source,
            role_arn=role_arn,
            extra_args={"RoleSessionName": session_name[:_SESSION_NAME_LIMIT], **more},
        ).fetch_credentials()

    assumed = botocore.session.Session()
    # The SDK's models are read once, whatever the number of sessions: a tenant's clients then take 4 MiB and not 28.
    assumed.register_component("data_loader", _LOADER)
    assumed._credentials = DeferredRefreshableCredentials(  # the SDK's only door for credentials that renew themselves
        refresh_using=assume_role, method="assume-role"
    )
    return boto3.Session(botocore_session=assumed, region_name=region)


_LOADER = botocore.session.get_session().get_component("data_loader")  # files only; knows no credentials


REGIONS_AT_ONCE, ROLES_AT_ONCE = 12, 24
"""Of a region up to 19 MiB, of a tenant's role 4 MiB: whoever may edit HumanGovStates can name many of both."""


class _AssumedRole(NamedTuple):
    region: str
    role_arn: str
    external_id: str | None


class _Make(Protocol):
    def __call__(
        self, *, region: str, session: boto3.Session | None = None, role_arn: str | None = None
    ) -> Clients: ...


class Directory:
    """Each tenant's way to AWS: one a region for all that name no role, one of its own for each that does.

    So a session that one tenant's role and external ID have opened is never another's, not even where both name the
    same role. Those that were used last are kept, and others made again when they are needed. Belongs to one thread.
    """

    def __init__(self, make: _Make, *, known: Callable[[], Iterable[str]] = tuple) -> None:
        """`known`: the keys of the tenants that there still are."""
        self._make, self._known = make, known
        # In the order of their last use.
        self._of_region: dict[str, Clients] = {}
        self._of_tenant: dict[str, tuple[_AssumedRole, Clients]] = {}

    def of_region(self, region: str) -> Clients:
        """Under the operator's own credentials."""
        clients = self._of_region.pop(region, None) or self._make(region=region)
        self._of_region[region] = clients
        _drop_oldest(self._of_region, beyond=REGIONS_AT_ONCE)
        return clients

    def of_tenant(self, tenant: Tenant) -> Clients:
        role_arn = tenant.account.role_arn
        if role_arn is None:
            return self.of_region(tenant.region)
        wanted = _AssumedRole(tenant.region, role_arn, tenant.account.external_id)
        role, clients = self._of_tenant.pop(tenant.key, (None, None))
        if clients is None or role != wanted:
            session = session_for(
                role_arn=role_arn, external_id=wanted.external_id, region=tenant.region,
                session_name=f"humangov-{tenant.namespace}-{tenant.name}",
            )  # fmt: skip
            clients = self._make(region=tenant.region, session=session, role_arn=role_arn)
            there = set(self._known())
            self._of_tenant = {key: known for key, known in self._of_tenant.items() if key in there}
        self._of_tenant[tenant.key] = (wanted, clients)
        _drop_oldest(self._of_tenant, beyond=ROLES_AT_ONCE)
        return clients


def _drop_oldest(several: dict[str, Any], *, beyond: int) -> None:
    """Who still uses one of them keeps it for as long."""
    while len(several) > beyond:
        del several[next(iter(several))]
