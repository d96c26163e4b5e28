"""`humangov check`: what table and bucket are like, before a manifest is applied."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

from humangov import logs
from humangov.aws.clients import Clients
from humangov.aws.data_plane import connect_to_read
from humangov.cli import lookup, options, terminal
from humangov.cli.options import TenantOptions
from humangov.proof.before_apply import observe
from humangov.proof.before_apply_verdicts import Verdict, verdicts

_SIGNS = {"good": "✓", "warning": "!", "bad": "✗"}
WARNINGS, BAD = 2, 3


@dataclass(frozen=True, kw_only=True)
class CheckOptions(TenantOptions):
    """Of which HumanGovState, and the form of the output."""

    form: str
    as_json: bool


@click.command("check", context_settings=options.CONTEXT)
@options.tenant_options
@options.output_or_json()
def command(**given: Any) -> None:
    """Check table and bucket before a manifest is applied.

    It only reads, with your credentials: a sample of records, a part of the files, and the settings of table and
    bucket. A manifest with --filename needs no --cluster-name here.

    TENANT is NAME or NAMESPACE/NAME.

    Exit code 0: all is well. 2: there are warnings (!). 3: something will not work (✗). 1: an error.
    """
    given["cluster_name"] = given["cluster_name"] or ("check" if given["filename"] else None)
    arguments = CheckOptions(**given)
    logs.configure(log_format="text", level="error")
    names = lookup.names(arguments)
    region = names.identity.region
    found = verdicts(
        observe(connect_to_read(region=region), Clients(region=region), names), names, now=datetime.now(UTC)
    )
    terminal.show_result(
        {"tenant": names.tenant.key, "checks": [one._asdict() for one in found]},
        _lines(found, tenant=names.tenant.key),
        form=options.form_of(form=arguments.form, as_json=arguments.as_json),
    )
    grades = {one.grade for one in found}
    sys.exit(BAD if "bad" in grades else WARNINGS if "warning" in grades else 0)


def _lines(found: Sequence[Verdict], *, tenant: str) -> Iterator[str]:
    yield tenant
    width = max(len(one.area) for one in found)
    for one in found:
        yield f"{_SIGNS[one.grade]} {one.area.ljust(width)}  {one.message}"
        if one.remedy and one.grade != "good":
            yield f"  {' ' * width}  → {one.remedy}"
    counted = [sum(one.grade == grade for one in found) for grade in _SIGNS]
    yield f"{counted[0]} good, {counted[1]} warnings, {counted[2]} that will not work"
