"""Stored files: the bucket's keys that may be orphans by name and age."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from itertools import islice

from humangov.api.names import Names
from humangov.aws.data_plane import AwsClients
from humangov.cleanup.references import reserved_prefixes
from humangov.reading.progress import Steps
from humangov.sweep import bucket_claim
from humangov.sweep.listing import Stored, list_bucket
from humangov.sweep.scratch_db import Scratch

_SHOWN_CLAIMS = 3


@dataclass(frozen=True, kw_only=True)
class StoredFiles:
    """listed: keys that match spec.sweep.include; too_young: of those.

    other_claims: keys of other tenants' claims under this key prefix, a few of them if there are many.
    """

    listed: int
    too_young: int
    other_claims: Sequence[str]


def included(names: Names) -> Callable[[str], bool]:
    """Whether spec.sweep.include matches a key."""
    options, length = names.tenant.sweep, len(names.tenant.bucket.key_prefix)
    pattern = re.compile("|".join(translate(one) for one in options.include))
    return lambda key: pattern.match(key, length) is not None


def list_stored(
    clients: AwsClients, names: Names, scratch: Scratch, *, began: float, versioned: bool, steps: Steps
) -> StoredFiles:
    """Lists the bucket and stores possible orphans in `scratch`, and the keys of all other files.

    began: S3's time before the listing, in seconds since the epoch. Raises as `list_bucket` and the SDK do.
    """
    bucket, options = names.tenant.bucket, names.tenant.sweep
    oldest_young = began - options.minimum_age_seconds
    is_included = included(names)
    reserved = reserved_prefixes(bucket.key_prefix)
    listed = too_young = 0
    possible_claims: list[str] = []

    def sink(page: Sequence[Stored]) -> None:
        nonlocal listed, too_young
        old, others = [], []
        for one in page:
            key = one.key
            if key.startswith(reserved):
                continue
            if bucket_claim.may_be_claim(key):
                possible_claims.append(key)
                others.append(key)
            elif not is_included(key):
                others.append(key)
            else:
                listed += 1
                if one.modified > oldest_young:
                    too_young += 1
                    others.append(key)
                else:
                    old.append(one)
        scratch.store(old)
        scratch.store_other(others)

    steps.begin("listing")
    list_bucket(
        clients.patient_s3, bucket=bucket.name, owner=names.identity.account_id, prefix=bucket.key_prefix,
        versioned=versioned, sink=sink, steps=steps,
    )  # fmt: skip
    claims = bucket_claim.others_among(clients.patient_s3, names, possible_claims)
    other_claims = [one.key for one in islice(claims, _SHOWN_CLAIMS)]
    return StoredFiles(listed=listed, too_young=too_young, other_claims=other_claims)
