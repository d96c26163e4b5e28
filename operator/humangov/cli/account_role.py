"""Log groups and orphan lists in another AWS account, for reports: which role reads them there.

The administrator names the role, and the operator has written the account into the status. A HumanGovState contributes
its external ID alone, so that whoever writes one can't choose whom reports work as.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import boto3
import click

from humangov.api.spec import parse
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.identity import UnknownTenantError
from humangov.aws.sessions import session_for
from humangov.cli import lookup
from humangov.cli.lookup import Found
from humangov.cli.options import Option, TenantOptions, sdk_region


def option() -> Option[Any]:
    return click.option(
        "--account-role", metavar="NAME", envvar="HUMANGOV_REPORTS_ACCOUNT_ROLE", show_default="your credentials",
        help="For a HumanGovState whose AWS resources are in another account: name of the role there that is assumed "
        "to read them.",
    )  # fmt: skip


def session(resource: Mapping[str, Any], *, name: str | None, default_region: str | None) -> boto3.Session | None:
    """Of the role `name` (with its path) in the account that the status names; None: the caller's own credentials.

    IAM action sts:AssumeRole. The role is assumed at the first call. Raises UnknownTenantError, InvalidSpecError.
    """
    recorded = (resource.get("status") or {}).get("aws") or {}
    account, region = recorded.get("accountID"), recorded.get("region") or default_region
    if not name or not account or not region:
        return None
    tenant = parse(resource, default_region=region)
    if tenant.account.role_arn is None:
        return None
    own = Clients(region=region)
    try:
        if own.identity(cluster="").account_id == account:
            return None
        role = f"arn:{own.partition()}:iam::{account}:role/{name}"
    except AwsError as error:
        raise UnknownTenantError(str(error)) from error
    found = session_for(
        role_arn=role, external_id=tenant.account.external_id, session_name=f"humangov-report-{tenant.name}",
        region=region,
    )  # fmt: skip
    logging.getLogger("botocore.credentials").setLevel(logging.ERROR)  # it warns of what the error says
    try:
        Clients(region=region, session=found).identity(cluster="")
    except AwsError as error:
        raise UnknownTenantError(f"role {role} (--account-role) can't be used: {error}") from error
    return found


def found(given: TenantOptions, *, name: str | None) -> Found:
    """The HumanGovState that the command line names, read as the role. Raises ClickException, with a remedy."""
    if name and given.filename is not None:
        raise click.UsageError(
            "--account-role contradicts --filename: the account is in the HumanGovState's status, which a manifest "
            "does not have. Name the HumanGovState of the cluster"
        )
    resources: list[Mapping[str, Any]] = []

    def session_of(resource: Mapping[str, Any]) -> boto3.Session | None:
        resources.append(resource)
        return session(resource, name=name, default_region=sdk_region(given.region))

    try:
        return lookup.found(given, session_of=session_of)
    except click.ClickException as error:
        if not resources:
            raise
        raise click.ClickException(with_remedy(error.message, resources[0], name=name)) from error


def with_remedy(problem: str, resource: Mapping[str, Any], *, name: str | None) -> str:
    """Where the HumanGovState names a role, and this command none, the way out is added."""
    if name or not ((resource.get("spec") or {}).get("account") or {}).get("roleARN"):
        return problem
    return f"{problem}, or name the role that reads there with --account-role (the chart's reports.accountRole)"
