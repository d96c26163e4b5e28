"""The AWS names of one HumanGovState in the account of these credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import boto3

from humangov.api.names import Identity, Names
from humangov.api.spec import parse
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError


class UnknownTenantError(Exception):
    """The tenant or its account can't be determined; the text is a sentence for people."""


def names_of(
    resource: Mapping[str, Any], *, default_region: str | None, cluster: str, session: boto3.Session | None = None
) -> Names:
    """With the account of the session's credentials, else the caller's.

    Raises UnknownTenantError where the tenant's objects are elsewhere.
    """
    recorded = (resource.get("status") or {}).get("aws") or {}
    region = recorded.get("region") or default_region or (resource.get("spec") or {}).get("region")
    if not region:
        raise UnknownTenantError("no AWS region: give --region, or set HUMANGOV_REGION or AWS_REGION")
    tenant = parse(resource, default_region=region)
    try:
        identity = Clients(region=tenant.region, session=session).identity(cluster=cluster)
    except AwsError as error:
        raise UnknownTenantError(str(error)) from error
    differing = _differing(recorded, identity)
    identity = replace(identity, cluster_uid=recorded.get("clusterUID"))
    if differing:
        raise UnknownTenantError(
            f"the AWS resources of {tenant.key} are in another account, region or cluster: {differing}. Nothing was "
            "changed. Use the credentials of that account"
        )
    return Names(tenant=tenant, identity=identity)


def _differing(recorded: Mapping[str, Any], identity: Identity) -> str:
    return ", ".join(
        f"{name} was {recorded[name]} and is now {value}"
        for name, value in identity.recorded.items()
        if name in recorded and recorded[name] != value
    )
