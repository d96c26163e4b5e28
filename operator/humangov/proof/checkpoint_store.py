"""Checkpoints in a bucket: read as a chain, and the next one written.

IAM actions s3:ListBucket and s3:GetObject on the bucket, and those of report_bucket; logs:FilterLogEvents on the log
group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from humangov.cleanup.calls import error_code
from humangov.proof import checkpoint, receipts, report_bucket
from humangov.proof.chain_check import ChainCheck
from humangov.proof.checkpoint import (
    EMPTY_CHAIN,
    READ_BEFORE,
    Chain,
    Checkpoint,
    CheckpointError,
    extended,
    folder,
    key_of,
    why_not_following,
)
from humangov.proof.report_bucket import ReportBucket
from humangov.proof.signature import Check
from humangov.proof.surroundings import LogGroup

_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")


class OvertakenError(Exception):
    """Another run has stored a checkpoint since the chain was read. The text is a sentence for people."""

    def __init__(self) -> None:
        super().__init__("another run has stored one meanwhile: nothing to do, the next one follows that")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tenant's checkpoints are. tenant: the value of its ownership tag."""

    bucket: ReportBucket
    tenant: str


def read(s3: Any, place: Place, *, check: Check | None = None, signed_since_ms: int = 0) -> Chain:
    """In the order of their times. Raises what the SDK raises; what is no checkpoint is a problem of the chain.

    check: of signatures. A checkpoint that covers times from signed_since_ms on needs one that holds.
    """
    chain = EMPTY_CHAIN
    where = folder(place.bucket.prefix, place.tenant)
    objects = _objects(s3, place)
    for name in sorted(objects):
        key = f"{where}{name}"
        content = s3.get_object(Key=key, **place.bucket.call)["Body"].read()
        try:
            one = checkpoint.parse(content)
            if one.tenant != place.tenant or key != key_of(place.bucket.prefix, place.tenant, until_ms=one.until_ms):
                raise CheckpointError("it belongs to another tenant, or has another name")
        except CheckpointError as error:
            chain = replace(chain, problems=(*chain.problems, f"checkpoint {name} can't be read: {error}"))
        else:
            chain = extended(chain, one, content=content, place=name)
            problem = check(content) if check is not None and one.until_ms >= signed_since_ms else None
            if problem is not None:
                chain = replace(chain, problems=(*chain.problems, f"checkpoint {name}: {problem}"))
    return replace(chain, objects=objects)


def store(
    s3: Any, place: Place, one: Checkpoint, *, after: Chain, sign: Callable[[bytes], bytes], now: datetime
) -> str:  # fmt: skip
    """Never over another, and not beside one: two that follow the same one would break the chain for good.

    after: the chain that it follows, as `read` returned it. sign: adds a signature, if any. Returns its key. Raises
    OvertakenError, and what the SDK and `sign` raise.
    """
    key = key_of(place.bucket.prefix, place.tenant, until_ms=one.until_ms)
    content = sign(checkpoint.spell(one))  # first, for it takes a call: as little time as can be is left for others
    if not _objects(s3, place) <= after.objects:
        raise OvertakenError
    try:
        report_bucket.put(s3, place.bucket, key, content, content_type="application/json", now=now)
    except ClientError as error:
        if error_code(error) in _TAKEN:
            raise OvertakenError from error
        raise
    return key


def _objects(s3: Any, place: Place) -> frozenset[str]:
    """The names of all that is among the tenant's checkpoints."""
    where = folder(place.bucket.prefix, place.tenant)
    pages = s3.get_paginator("list_objects_v2").paginate(Prefix=where, **place.bucket.call)
    return frozenset(one["Key"].removeprefix(where) for page in pages for one in page.get("Contents") or ())


def following(
    logs: Any, chain: Chain, group: LogGroup, *, tenant: str, minimum_age: timedelta, now: datetime
) -> Checkpoint | None:  # fmt: skip
    """The checkpoint that follows the chain; None if it is too early for one. Raises what the SDK raises.

    minimum_age: of the lines that it covers.
    """
    until = (now - minimum_age).replace(microsecond=0)
    until_ms = receipts.milliseconds(until)
    if until_ms <= chain.until_ms:
        return None
    check = ChainCheck(chain.covered)
    if chain.number:
        since = datetime.fromtimestamp(chain.until_ms / 1000, UTC) - READ_BEFORE
        lines = receipts.read(
            logs, group=group.name, since=since, until=until, pattern=receipts.CHAINED_PATTERN
        )  # fmt: skip
    else:
        lines = receipts.every_line(logs, group=group.name, until=until)
    for event in lines:
        check.take(event)
    check.finish()
    for stream in [one for one in check.ends if why_not_following(check, chain, one)]:
        check.replace(
            _whole(lambda name: receipts.every_line(logs, group=group.name, until=until, stream=name), stream, chain)
        )
    return checkpoint.of_lines(
        check, chain, tenant=tenant, log_group=group.name, region=group.region, until_ms=until_ms,
        retention_days=group.retention_days, minimum_age=minimum_age // timedelta(minutes=1),
    )  # fmt: skip


def _whole(read_stream: Callable[[str], Any], stream: str, chain: Chain) -> ChainCheck:
    """A stream of which some lines are dated earlier than what was read."""
    check = ChainCheck(chain.covered)
    for event in read_stream(stream):
        check.take(event)
    check.finish()
    return check
