"""`humangov verify`: whether receipts are as they were stored, by their checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from humangov.proof.verification import Verification, verify

_SHOWN_STREAMS = 20


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(TenantOptions, BucketOptions):
    """Whose receipts, by which checkpoints, signed by whom, and the form of the output."""

    public_keys: tuple[Path, ...]
    signed_since: str | None
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
@options.output_or_json()
def command(**given: Any) -> None:
    """Verify that no receipt was altered, inserted or removed.

    It compares every line of the log group with the checkpoints in the bucket, and only reads. A receipt is two
    lines. It is proven if it was stored before the time of the last checkpoint, which this command prints; `humangov
    report` lists when each was stored. Later lines are only counted: they are chained, but nothing would show that
    the last of them were removed. To look up a single record, use `humangov receipts` or `humangov report`.

    TENANT is NAME or NAMESPACE/NAME.

    Exit code 0: every line is as it was stored, or has expired. 2: some are not. 1: an error.
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
        read = ChainCheck(chain.covered)
        for event in receipts.every_line(readers.logs, group=group, until=now) if known.exists is not False else ():
            read.take(event)
    except SDK_ERRORS as error:
        role = f" (in account {names.identity.account_id}, read by role {arguments.account_role})" if session else ""
        raise click.ClickException(
            f"log group {group}{role}, bucket {opened.bucket.name}: {without_names(error)}"
        ) from error
    read.finish()
    retention = known.retention_days if known.exists else chain.retention_days
    found = verify(read, chain, retention_days=retention, now_ms=receipts.milliseconds(now))
    signed = "" if check is None else f", each signed by {', '.join(path.name for path in arguments.public_keys)}"
    terminal.show_result(
        _as_json(found),
        _lines(found, group=group, signed="" if found.findings else signed),
        form=options.form_of(form=arguments.form, as_json=arguments.as_json),
    )
    sys.exit(2 if found.findings else 0)


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


def _lines(found: Verification, *, group: str, signed: str) -> Iterator[str]:
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


def _as_json(found: Verification) -> dict[str, Any]:
    return {
        "findings": [one._asdict() for one in found.findings],
        "verified": found.verified,
        "expired": found.expired,
        "later": found.later,
        "checkpoints": found.checkpoints,
        "until": _until(found),
    }
