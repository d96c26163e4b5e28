"""Failed invocations, which Lambda stores in the failures bucket: counted here, never read.

`humangov redrive` handles them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from humangov.api.conditions import Finding
from humangov.api.names import Names
from humangov.aws.clients import Clients
from humangov.aws.error_findings import finding_of_error
from humangov.aws.errors import AwsError, Meaning
from humangov.cleanup.references import FAILURES_PREFIX

NOT_FOUND = "FailuresBucketNotFound"
_PAGE = 1000  # beyond this, the exact number does not matter


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Failed invocations by the UUID of their mapping. `more`: there are more than one page lists.

    written: when each was written, by the UUID of its mapping
    """

    by_mapping: Mapping[str, int]
    more: bool
    written: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)

    @property
    def number(self) -> int:
        return sum(self.by_mapping.values())


def observe(clients: Clients, names: Names) -> Observed | None:
    """How many failed invocations are in the failures bucket; None if the bucket does not exist.

    Raises AwsError.
    """
    bucket = names.tenant.failures.bucket
    answer = clients.find(
        "s3:ListBucket", target=bucket,
        Bucket=bucket, Prefix=FAILURES_PREFIX, MaxKeys=_PAGE, ExpectedBucketOwner=names.identity.account_id,
    )  # fmt: skip
    if answer is None:
        return None
    written: dict[str, tuple[datetime, ...]] = {}
    for one in answer.get("Contents") or ():
        uuid = str(one["Key"]).removeprefix(FAILURES_PREFIX).split("/")[0]
        written[uuid] = (*written.get(uuid, ()), one["LastModified"])
    return Observed(
        by_mapping=Counter({uuid: len(times) for uuid, times in written.items()}),
        more=bool(answer.get("IsTruncated")),
        written=written,
    )


def finding(observed: Observed | None, names: Names, *, mappings: Collection[str]) -> Finding:
    """Condition FailuresHandled. mappings: UUIDs of the tenant's mappings, present and former."""
    tenant = names.tenant
    bucket = tenant.failures.bucket
    if observed is None:
        return Finding.warning(
            NOT_FOUND,
            f"bucket {bucket} does not exist: failed invocations would be lost. Create it, or name another bucket in "
            "spec.failures.bucket",
        )
    if not observed.number:
        return Finding.in_sync("NoFailedInvocations", f"there are no failed invocations in bucket {bucket}")
    others = sum(number for uuid, number in observed.by_mapping.items() if uuid not in mappings)
    number = f"{observed.number:,}{' or more' if observed.more else ''}"
    whose = f", {others:,} of them from mappings that are not known as this tenant's" if others else ""
    return Finding.warning(
        "RedriveNeeded",
        f"{number} failed invocation{'s' * (number != '1')} under {FAILURES_PREFIX} in bucket {bucket}{whose}: files "
        f"of deleted records may still exist. The function's log {tenant.log_group_name} says why. Fix the cause, then "
        f"run: humangov redrive --namespace {tenant.namespace} {tenant.name}",
    )


def left_behind(observed: Observed | None, names: Names) -> str | None:
    """What a deletion leaves of the tenant's own mappings, and how to redrive it; None: nothing."""
    tenant = names.tenant
    counted = observed.by_mapping if observed is not None else {}
    own = {uuid: number for uuid, number in counted.items() if uuid in tenant.mappings}
    is_part = observed is not None and observed.more  # whoever shares the bucket can fill the first page
    if not own and not (is_part and tenant.mappings):
        return None
    which = " ".join(f"--mapping {uuid}" for uuid in sorted(tenant.mappings if is_part else own))
    more = " or more" if is_part else ""
    return (
        f"{sum(own.values()):,}{more} failed invocations are left under {FAILURES_PREFIX} in bucket "
        f"{tenant.failures.bucket}: files of deleted records may still exist. Keep the manifest and run: humangov "
        f"redrive --filename MANIFEST --cluster-name {names.identity.cluster} {which}"
    )


def held(observed: Observed | None, names: Names, *, mappings: Collection[str], since: datetime) -> Finding | None:
    """Condition FailuresHandled under a legal hold; None where there is nothing to say of it.

    since: when the hold was put on the function: what its mappings wrote since then is held, and has not failed.
    """
    if observed is None or not observed.number:
        return None
    held = sum(time >= since for uuid, times in observed.written.items() if uuid in mappings for time in times)
    older, bucket = observed.number - held, names.tenant.failures.bucket
    more = " or more" if observed.more else ""
    records = f"{held:,}{more} invocation record{'s' * (held != 1)} under {FAILURES_PREFIX} in bucket {bucket}"
    kept = f"{records} keep what the function would have erased under the legal hold; they are redriven when it ends"
    if not older:
        return Finding.in_sync("Held", kept)
    return Finding.warning(
        "RedriveNeeded",
        f"{older:,}{more} failed invocations under {FAILURES_PREFIX} in bucket {bucket} are older than the legal hold, "
        f"or from mappings that do not belong to this function: nothing is redriven until the hold ends. {kept}",
    )


def unknown(error: AwsError) -> Finding | None:
    """The finding of a count that failed; None for a transient error."""
    if error.meaning is not Meaning.TERMINAL:
        return None
    return replace(finding_of_error(error), status="Unknown", stalled=False, failed=False)
