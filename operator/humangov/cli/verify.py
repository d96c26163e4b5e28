"""`humangov verify`: whether receipts, or those of one record, are as they were stored, by their checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from humangov import logs
from humangov.api.counts import counted
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.cli import account_role, options, report_bucket, terminal
from humangov.cli.options import TenantOptions
from humangov.cli.report_bucket import BucketOptions
from humangov.proof import receipts, signature
from humangov.proof.chain_check import ChainCheck
from humangov.proof.receipts import WhenError
from humangov.proof.signature import Check, SigningKeyError
from humangov.proof.standing import (
    DIFFERS,
    LATER,
    NO_RECEIPT,
    PROVEN,
    UNKNOWN,
    Judged,
    JudgedReceipt,
    OfRecord,
    Standings,
    counts_of,
    worst,
)
from humangov.proof.verification import Reading, Verification, judged_by, verify

_SHOWN_STREAMS = 20


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(TenantOptions, BucketOptions):
    """Whose receipts, by which checkpoints, signed by whom, and the form of the output."""

    public_keys: tuple[Path, ...]
    signed_since: str | None
    record: str | None
    account_role: str | None
    as_json: bool
    form: str


@click.command("verify", context_settings=options.CONTEXT)
@options.tenant_options
@report_bucket.reading_options(required=True, what="checkpoints")
@account_role.option()
@click.option(
    "--public-key", "public_keys", multiple=True, metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Every checkpoint must be signed by this key (PEM or DER). Needs no KMS. Repeatable, for former keys.",
)  # fmt: skip
@click.option(
    "--signed-since",
    metavar="TIME",
    show_default="the first checkpoint",
    help="With --public-key: checkpoints before this time need no signature, as 7d, 2026-01-31 or RFC 3339.",
)
@click.option(
    "--record", metavar="ID",
    help="Judge the receipts of this record alone: a value of its primary key, or the whole key in DynamoDB JSON.",
)  # fmt: skip
@options.output_or_json()
def command(**given: Any) -> None:
    """Verify that no receipt was altered, inserted or removed.

    It compares every line of the log group with the checkpoints in the bucket, and only reads. A receipt is two
    lines. It is proven if it was stored before the time of the last checkpoint, which this command prints; `humangov
    report` lists when each was stored. Later lines are only counted: they are chained, but nothing would show that
    the last of them were removed.

    With --record it says of one record whether its receipts are proven, and by which lines.

    TENANT is NAME or NAMESPACE/NAME.

    Exit code 0: every line is as it was stored, or has expired. 2: some are not. 1: an error. With --record, 0: its
    receipts are proven. 2: they are not, not yet, or there is none.
    """
    arguments = VerifyOptions(**given)
    logs.configure(log_format="text", level="error")
    now = datetime.now(UTC)
    check, since_ms = _signatures(arguments, now=now)
    _, names, session = account_role.found(arguments, name=arguments.account_role)
    group, opened = names.tenant.log_group_name, report_bucket.to_read(arguments, region=names.identity.region)
    try:
        _, chain, readers, known = report_bucket.chain_of(
            names, opened, session=session, check=check, signed_since_ms=since_ms
        )
        read = Reading(
            receipts.every_line(readers.logs, group=group, until=now) if known.exists is not False else (),
            chain=ChainCheck(chain.covered),
            record=OfRecord(arguments.record) if arguments.record is not None else None,
        )  # fmt: skip
        numbers = read.numbers()
    except SDK_ERRORS as error:
        role = f" (in account {names.identity.account_id}, read by role {arguments.account_role})" if session else ""
        raise click.ClickException(
            f"log group {group}{role}, bucket {opened.bucket.name}: {without_names(error)}"
        ) from error
    retention = known.retention_days if known.exists else chain.retention_days
    found = verify(read.chain, chain, retention_days=retention, now_ms=receipts.milliseconds(now))
    by = judged_by(found, read.chain, chain)
    one = _of_record(read.record, by, found)
    signed = "" if check is None else f", each signed by {', '.join(path.name for path in arguments.public_keys)}"
    terminal.show_result(
        _as_json(found, counts_of(numbers, by), one),
        [
            *(_record_lines(one, found, until=_until(found)) if one else ()),
            *_lines(found, counts_of(numbers, by), group=group, signed="" if found.findings else signed),
        ],
        form=options.form_of(form=arguments.form, as_json=arguments.as_json),
    )
    sys.exit(2 if (one.standing != PROVEN if one else found.findings) else 0)


class _Record(NamedTuple):
    """The record that is asked about. standing: of all its receipts, the worst."""

    name: str
    standing: str
    receipts: list[JudgedReceipt]


def _of_record(asked: OfRecord | None, by: Judged, found: Verification) -> _Record | None:
    if asked is None:
        return None
    its = asked.judge(by, until_ms=found.until_ms)
    return _Record(asked.record, worst({one.standing for one in its}), its)


_STANDING_TEXTS = {
    PROVEN: "proven by a checkpoint",
    DIFFERS: "not proven: a log stream of its receipts is not as a checkpoint states, or its chain is broken",
    LATER: "not yet covered by a checkpoint: stored after the last one",
    UNKNOWN: "not proven: it could not be compared, because the checkpoints do not hold",
    NO_RECEIPT: "no receipt names it",
}


def _record_lines(one: _Record, found: Verification, *, until: str) -> Iterator[str]:
    yield f"record {one.name}: {_STANDING_TEXTS[one.standing]}"
    for receipt in one.receipts:
        yield f"  {receipt.key}: {receipt.standing}"
        for line in receipt.lines:
            number = "" if line.number is None else f"line {line.number:,} of "
            at = datetime.fromtimestamp(line.at / 1000, UTC).isoformat(timespec="milliseconds")
            yield f"    {line.kind}: {number}log stream {line.stream}, stored {at.removesuffix('+00:00')}Z"
    streams = {line.stream for receipt in one.receipts for line in receipt.lines}
    for finding in found.findings:
        if finding.stream in streams:
            yield f"  {finding.kind}: log stream {finding.stream}: {finding.message}"
    removed = {one.stream for one in found.findings if one.kind in ("Removed", "RetentionLowered")}
    if one.standing == NO_RECEIPT and (removed or found.expired):
        yield f"  Lines that have expired, or were removed, may have named it ({until})"
    yield "All receipts of the log group:"


def _signatures(arguments: VerifyOptions, *, now: datetime) -> tuple[Check | None, int]:
    """How signatures are checked, and from when on. Raises UsageError."""
    if not arguments.public_keys:
        if arguments.signed_since:
            raise click.UsageError("--signed-since needs --public-key")
        return None, 0
    try:
        since = receipts.moment(arguments.signed_since, now=now) if arguments.signed_since else None
        check = signature.check_with([path.read_bytes() for path in arguments.public_keys])
    except WhenError as error:
        raise click.UsageError(str(error)) from error
    except (SigningKeyError, OSError) as error:
        raise click.UsageError(f"--public-key: {error}") from error
    return check, receipts.milliseconds(since) if since else 0


def _lines(found: Verification, numbers: Standings, *, group: str, signed: str) -> Iterator[str]:
    """signed: what is said of signatures."""
    until = _until(found)
    if found.findings:
        yield f"{group}: {counted(len(found.findings), 'finding')}. Receipts are not all as they were stored:"
        for one in found.findings:
            yield f"  {one.kind}: {f'log stream {one.stream}: ' if one.stream else ''}{one.message}"
        if all(one.stream for one in found.findings):
            yield f"Log streams that no finding names are as they were stored, up to {until}"
    else:
        yield f"{group}: nothing was altered, inserted or removed up to {until}. A receipt stored before then is proven"
    proven = counted(found.verified, "line is", plural="lines are")
    yield f"{proven} proven by {counted(found.checkpoints, 'checkpoint')}, the last up to {until}{signed}"
    number = sum(numbers)
    yield f"{counted(number, 'receipt')}{f': {numbers}' if number else ''}"
    yield f"{counted(found.expired, 'line of checkpoints has', plural='lines of checkpoints have')} expired"
    later, streams = sum(found.later.values()), counted(len(found.later), "log stream")
    yield (
        f"{counted(later, 'line')} in {streams} {'is' if later == 1 else 'are'} after the last checkpoint: the next "
        f"one will prove {'it' if later == 1 else 'them'}"
    )
    for stream, number in sorted(found.later.items())[:_SHOWN_STREAMS]:
        yield f"  {stream}: {number:,}"
    if len(found.later) > _SHOWN_STREAMS:
        yield f"  and {counted(len(found.later) - _SHOWN_STREAMS, 'more log stream')} (--json has all)"


def _until(found: Verification) -> str:
    if found.until_ms < 0:
        return "no time"
    return f"{datetime.fromtimestamp(found.until_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _as_json(found: Verification, numbers: Standings, one: _Record | None) -> dict[str, Any]:
    return {
        "findings": [one._asdict() for one in found.findings],
        "verified": found.verified,
        "expired": found.expired,
        "later": found.later,
        "checkpoints": found.checkpoints,
        "until": _until(found),
        "receipts": numbers._asdict(),
        "record": one and {
            "name": one.name,
            "standing": one.standing,
            "receipts": [
                {"key": of.key, "standing": of.standing, "lines": [line._asdict() for line in of.lines]}
                for of in one.receipts
            ],
        },
    }  # fmt: skip
