"""The log group of the receipts, made again where it went with the HumanGovState (spec.logs.onDelete: Delete).

Without a receipt nothing is erased, so a redrive after the deletion needs it. It is made as the operator makes it: with
the declared retention, key and tags, so that a HumanGovState of this name, applied again, owns it.
"""

from __future__ import annotations

from datetime import datetime

from humangov.api.names import Names
from humangov.aws import log_group
from humangov.aws.change import Context
from humangov.aws.clients import Clients
from humangov.aws.ownership import is_owned


def ensure(clients: Clients, names: Names, *, now: datetime) -> bool:
    """Whether the log group had to be created. One without the ownership tag is used as it is. Raises AwsError."""
    observed = log_group.observe(clients, names, deep=True)
    if observed is not None and (not is_owned(observed.tags, names) or observed.retention_days is not None):
        return False
    context = Context(names=names, default_tags={}, permissions_boundary_arn=None, now=now)
    desired = log_group.desired(names, context)
    created = observed is None
    for change in log_group.plan(observed, desired):  # or what a killed run left undone
        observed = log_group.apply(clients, change, observed, desired)
    return created
