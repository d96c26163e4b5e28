"""Log groups and orphan lists in another AWS account, for reports: which role reads them there.

The administrator names the role, and the operator has written the account into the status. A HumanGovState contributes
its external ID alone, so that whoever writes one can't choose whom reports work as.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
import click

from humangov.api.spec import parse
from humangov.aws.clients import Clients
from humangov.aws.errors import AwsError
from humangov.aws.identity import UnknownTenantError
from humangov.aws.sessions import session_for
from humangov.cli.options import Option


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
        partition = own.partition()
    except AwsError as error:
        raise UnknownTenantError(str(error)) from error
    return session_for(
        role_arn=f"arn:{partition}:iam::{account}:role/{name}", external_id=tenant.account.external_id,
        session_name=f"humangov-report-{tenant.name}", region=region,
    )  # fmt: skip


def with_remedy(problem: str, resource: Mapping[str, Any], *, name: str | None) -> str:
    """Where the HumanGovState names a role, and this command none, the way out is added."""
    if name or not ((resource.get("spec") or {}).get("account") or {}).get("roleARN"):
        return problem
    return f"{problem}, or name the role that reads there with --account-role (the chart's reports.accountRole)"
