"""The tenant's bucket: observed, never changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from humangov.api.conditions import Finding
from humangov.api.names import Names
from humangov.aws import other_copies
from humangov.aws.clients import Clients
from humangov.aws.errors import incomplete
from humangov.aws.other_copies import OtherCopies

NOT_FOUND = "BucketNotFound"


@dataclass(frozen=True, kw_only=True)
class Observed:
    region: str
    versioning: str | None  # Enabled, Suspended, or None: never versioned
    copies: OtherCopies | None = None  # None: not read


def observe(clients: Clients, names: Names, *, copies: bool) -> Observed | None:
    """Where the bucket is, and whether it keeps versions; None if it does not exist. Raises AwsError.

    copies: also what else may hold copies of its files.
    """
    name = names.tenant.bucket.name
    # With the expected account: someone else may have re-created a deleted bucket.
    bucket: dict[str, Any] = {"Bucket": name, "ExpectedBucketOwner": names.identity.account_id}
    location = clients.find("s3:GetBucketLocation", target=name, **bucket)
    versioning = clients.find("s3:GetBucketVersioning", target=name, **bucket) if location is not None else None
    if location is None or versioning is None:
        return None
    if "LocationConstraint" not in location:  # us-east-1's is shown as none
        raise incomplete(action="s3:GetBucketLocation", target=name, field="LocationConstraint")
    return Observed(
        region=_region(location["LocationConstraint"]), versioning=versioning.get("Status"),
        copies=other_copies.observe(clients, names) if copies else None,
    )  # fmt: skip


def with_known(found: Observed, known: Observed) -> Observed:
    """known: as an earlier read has shown it."""
    if found.copies is None or known.copies is None:
        return replace(found, copies=found.copies or known.copies)
    return replace(found, copies=other_copies.with_known(found.copies, known.copies))


def finding(observed: Observed | None, names: Names) -> Finding:
    """Condition BucketReady."""
    name = names.tenant.bucket.name
    if observed is None:
        return Finding.waiting(NOT_FOUND, f"bucket {name} does not exist in account {names.identity.account_id}")
    if observed.region != names.identity.region:
        return Finding.action_required(
            "RegionMismatch",
            f"bucket {name} is in {observed.region}, but the table is in {names.identity.region}. Both must be in "
            "spec.region, which is immutable: delete the HumanGovState and apply a correct one",
        )
    reason, text = "Available", f"bucket {name} exists"
    if observed.versioning is not None:
        reason = "Versioned"
        text = (
            f"bucket {name} keeps versions ({observed.versioning}): the function erases all versions of a deleted "
            "record's file, except those that Object Lock retains"
        )
    copies = other_copies.sentences(observed.copies) if observed.copies is not None else []
    return Finding.in_sync(reason, "; ".join([text, *copies]))


def _region(location: str | None) -> str:
    """S3's two historic spellings; https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html."""
    return {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}.get(location) or str(location)
