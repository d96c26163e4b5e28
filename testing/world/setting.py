"""What one history is about, drawn from its seed: the declared tenant, AWS's sizes, and how bad the weather is."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, cast

from humangov.api.names import Names
from humangov.api.spec import InvalidSpecError
from humangov.sweep.result import DELETE, DETECT

from testing import samples
from testing.event_source.decisions import Reading

UNIQUE, REUSED, SHARED = "Unique", "Reused", "Shared"
BUCKET, TABLE = "humangov-california-s3", "humangov-california-dynamodb"
BOTH_IMAGES, OLD_IMAGE = "NEW_AND_OLD_IMAGES", "OLD_IMAGE"
MAPPINGS = tuple(f"11111111-2222-3333-4444-{number:012d}" for number in range(8))
"""UUIDs of the tenant's mappings, one after the other."""

DELETE_SHARE = 0.7
"""Share of histories whose sweeps run in mode Delete; `--delete` of the bench and of `python -m testing.world`.

0.7 shows every kind of fault often enough.
"""

HONOURED, IGNORED, REFUSED = "honoured", "ignored", "refused"
"""Conditions of a delete, and of a HEAD: as AWS does; not looked at; answered with NotImplemented, and HEAD's is not
looked at either. The last two are other S3 implementations."""

_SWEEP = {"minimumAge": "24h", "confirmAfter": "20h", "include": ["*.pdf"], "maximumOrphanPercent": 100}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """file_names, key_prefix: as declared. view: of the stream. honest_names: every record names its file by its key.

    faults: share of calls that fail. shards: of the stream at first. page: entries on one page of S3 and DynamoDB.
    trigger: what differs from the operator's mapping. between: share of calls in which something else happens.
    mode: of sweeps. conditions: of a delete, and of a HEAD; see HONOURED. slow_table: minutes a page. table_age: days
    since it was created. restless: records move to another id whenever a scan could miss them.
    """

    file_names: str
    key_prefix: str
    versioning: str | None
    view: str
    honest_names: bool
    faults: float
    between: float
    shards: int
    page: int
    reading: Reading
    timeout_seconds: float
    trigger: dict[str, Any]
    deleted_at_end: bool
    foreign_objects: bool
    mode: str
    conditions: str
    slow_table: bool
    table_age: int
    restless: bool

    @property
    def names(self) -> Names:
        return names_of(self.file_names, self.key_prefix, self.mode)


@cache
def names_of(file_names: str, key_prefix: str, mode: str = DETECT) -> Names:
    names = samples.names(
        table={"name": TABLE, "fileNames": file_names},
        bucket={"name": BUCKET, "keyPrefix": key_prefix},
        sweep={**_SWEEP, "mode": mode},
    )
    if "mappings" not in {one.name for one in fields(names.tenant)}:
        return names
    return replace(names, tenant=replace(names.tenant, **cast(Any, {"mappings": MAPPINGS})))


@cache
def kinds_of_file_names() -> tuple[str, ...]:
    """What the definition knows: what it does not, no tenant can declare."""
    known = []
    for one in (UNIQUE, REUSED, SHARED):
        try:
            names_of(one, "")
        except InvalidSpecError:
            continue
        known.append(one)
    return tuple(known)


def draw(chance: random.Random, *, delete_share: float | None = None) -> Setting:
    """delete_share: of settings whose sweeps run in mode Delete; None: DELETE_SHARE."""
    known, restless = kinds_of_file_names(), chance.random() < 0.15
    weights = {UNIQUE: 5, REUSED: 4, SHARED: 1}
    return Setting(
        file_names=chance.choices(known, [weights[one] for one in known])[0],
        key_prefix=chance.choice(("", "", "staff/")),
        versioning=chance.choice((None, None, "Enabled", "Suspended")),
        view=chance.choices((BOTH_IMAGES, OLD_IMAGE), (4, 1))[0],
        honest_names=chance.random() < 0.7,
        faults=chance.choice((0.0, 0.02, 0.06, 0.06, 0.15)),
        between=chance.choice((0.0, 0.1, 0.3)),
        shards=chance.choice((1, 1, 2, 3)),
        page=2 if restless else chance.choice((2, 5, 1000)),
        reading=chance.choice(tuple(Reading)),
        timeout_seconds=chance.choice((15.0, 60.0, 300.0)),
        trigger={
            "BatchSize": chance.choice((1, 3, 10, 1000)),
            "MaximumRetryAttempts": chance.choice((0, 1, 3, 10)),
            "MaximumRecordAgeInSeconds": chance.choice((60, 3600, 43_200)),
        },
        deleted_at_end=chance.random() < 0.3,
        foreign_objects=chance.random() < 0.1,
        mode=DELETE if chance.random() < (DELETE_SHARE if delete_share is None else delete_share) else DETECT,
        conditions=chance.choices((HONOURED, IGNORED, REFUSED), (6, 1, 1))[0],
        slow_table=chance.random() < 0.1,
        table_age=chance.choice((400, 400, 400, 3)),
        restless=restless,
    )
