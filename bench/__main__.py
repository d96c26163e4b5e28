"""`python -m bench NAME`: a table for people, then one JSON object for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench import (
    bulk,
    calls,
    cleanup,
    cost,
    critical,
    event_loop,
    events,
    failing,
    latency,
    matrix,
    moto,
    report,
    scale,
    scale_apply,
    scale_crash,
    scale_pictures,
    second_s3,
    soak,
    storm,
    sweep,
    sweep_ranges,
    world,
)
from bench.measure import Report, table_lines
from bench.rig import NotMeasuredError
from sandbox.errors import SandboxError
from sandbox.local_operator import OperatorError
from sandbox.weather import FORECASTS
from testing.world.history import STEPS
from testing.world.setting import DELETE_SHARE

_CONTEXT = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110}


def say(line: str) -> None:
    """Progress; on standard error, so that standard output is the result alone."""
    click.echo(f"bench: {line}", err=True)


@click.group(context_settings=_CONTEXT)
def main() -> None:
    """Measure on the sandbox, which is started if it is not up. The last line printed is one JSON object."""


def _json_only(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--json-only", is_flag=True, help="Print only the JSON object.")(command)


@main.command("calls", context_settings=_CONTEXT)
@click.option("--repeats", type=click.IntRange(min=1), default=5, help="Tenants measured one by one.")
@click.option("--states", type=click.IntRange(min=2, max=500), default=50, help="Tenants applied at once.")
@_json_only
def calls_command(*, repeats: int, states: int, json_only: bool) -> None:
    """AWS calls, Kubernetes writes, seconds: apply, settled reconciliation, delete, erasure; one tenant, then 50."""
    _print(lambda: calls.run(say=say, repeats=repeats, states=states), json_only=json_only)


@main.command("bulk", context_settings=_CONTEXT)
@click.option("--states", type=click.IntRange(min=1), multiple=True, default=bulk.STATES, help="Settled tenants.")
@click.option("--hourly-up-to", type=int, default=bulk.HOURLY_UP_TO, help="Tenants; with more, some is read seldom.")
@_json_only
def bulk_command(*, states: tuple[int, ...], hourly_up_to: int, json_only: bool) -> None:
    """An hour of settled tenants, singly and in bulk: AWS calls by their limit, and processor time. In memory."""
    _print(lambda: bulk.run(say=say, states=states, hourly_up_to=hourly_up_to), json_only=json_only)


@main.command("critical", context_settings=_CONTEXT)
@click.option("--repeats", type=click.IntRange(min=1), default=1, help="Tenants of each time that a role may need.")
@click.option("--states", type=click.IntRange(min=0, max=500), default=50, help="Tenants at once; 0: one by one only.")
@click.option("--run-option", "arguments", multiple=True, help="One more argument of `humangov run`. Repeatable.")
@_json_only
def critical_command(*, repeats: int, states: int, arguments: tuple[str, ...], json_only: bool) -> None:
    """Apply to Ready and delete to gone where AWS lets roles, functions and mappings ripen: by AWS's own time."""
    _print(lambda: critical.run(say=say, repeats=repeats, states=states, arguments=arguments), json_only=json_only)


@main.command("moto", context_settings=_CONTEXT)
@click.option("--repeats", type=click.IntRange(min=1), default=10, help="Tenants measured one by one.")
@click.option("--states", type=click.IntRange(min=2, max=500), default=50, help="Tenants applied at once.")
@_json_only
def moto_command(*, repeats: int, states: int, json_only: bool) -> None:
    """Apply to Ready and delete to deleted on moto, where AWS itself takes no time."""
    _print(lambda: moto.run(say=say, repeats=repeats, states=states), json_only=json_only)


@main.command("events", context_settings=_CONTEXT)
@click.option("--events", "number", type=click.IntRange(min=1), default=events.EVENTS, help="Stream events.")
@click.option("--faults", type=click.FloatRange(0, 1), default=events.FAULTS, help="Share of calls and keys that fail.")
@click.option("--seed", type=int, default=1, help="Seed of the events.")
@_json_only
def events_command(*, number: int, faults: float, seed: int, json_only: bool) -> None:
    """A poison record's shard, and 100,000 stream events with faults: behind Lambda's event source, in memory."""
    _print(lambda: events.run(say=say, events=number, faults=faults, seed=seed), json_only=json_only)


@main.command("cleanup", context_settings=_CONTEXT)
@click.option("--repeats", type=click.IntRange(min=1), default=5, help="Batches of 1,000 removals, of each function.")
@_json_only
def cleanup_command(*, repeats: int, json_only: bool) -> None:
    """1,000 removals in a batch, beside the walkthrough's function: calls, seconds, memory, size, cold start."""
    _print(lambda: cleanup.run(say=say, repeats=repeats), json_only=json_only)


@main.command("latency", context_settings=_CONTEXT)
@_json_only
def latency_command(*, json_only: bool) -> None:
    """From a removal to the erasure, batches of 1 and of 1,000, each call of AWS 35 ms: the 99th percentile."""
    _print(lambda: latency.run(say=say), json_only=json_only)


@main.command("sweep", context_settings=_CONTEXT)
@click.option("--size", "sizes", type=click.IntRange(min=1000), multiple=True, default=sweep.SIZES, help="Files.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, help="Runs of each up to 100,000; one above.")
@click.option("--bare-up-to", type=int, default=sweep.BARE_UP_TO, help="Files up to which the SDK is measured too.")
@click.option("--sets-up-to", type=int, default=sweep.BARE_UP_TO, help="Files up to which the usual script is, too.")
@click.option("--versioned", type=int, default=sweep.VERSIONED, help="Files of a bucket that keeps versions; 0: none.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the growth here, an SVG.")
@click.option(
    "--earlier", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Output of a run: drawn too."
)
@_json_only
def sweep_command(*, json_only: bool, **options: Any) -> None:
    """A sweep beside the bare listing and scan, and beside the usual script: seconds, peak memory, requests."""
    _print(lambda: sweep.run(say=say, **options), json_only=json_only)


@main.command("sweep-ranges", context_settings=_CONTEXT)
@click.option("--files", type=click.IntRange(min=1000), default=sweep_ranges.FILES, help="Files and records.")
@click.option("--ms", "milliseconds", type=int, multiple=True, default=sweep_ranges.MILLISECONDS, help="Of a page.")
@_json_only
def sweep_ranges_command(*, files: int, milliseconds: tuple[int, ...], json_only: bool) -> None:
    """Ranges of keys and segments of the table at once, beside one by one, while each page takes its time."""
    _print(lambda: sweep_ranges.run(say=say, files=files, milliseconds=milliseconds), json_only=json_only)


@main.command("second-s3", context_settings=_CONTEXT)
@click.option("--files", type=click.IntRange(min=100), default=second_s3.FILES, help="Files in each bucket.")
@_json_only
def second_s3_command(*, files: int, json_only: bool) -> None:
    """A plain and a versioned bucket of another S3, swept twice in mode Delete: what went, and what has receipts."""
    _print(lambda: second_s3.run(say=say, files=files), json_only=json_only)


@main.command("cost", context_settings=_CONTEXT)
@click.option("--files", type=click.IntRange(min=0), default=100_000, help="Files in the bucket.")
@click.option("--records", type=click.IntRange(min=0), default=100_000, help="Records in the table.")
@click.option("--deletions", type=click.IntRange(min=0), default=500, help="Deleted records a day.")
@click.option("--price", "prices", multiple=True, metavar="NAME=USD", help="Your own price. Repeatable.")
@_json_only
def cost_command(*, files: int, records: int, deletions: int, prices: tuple[str, ...], json_only: bool) -> None:
    """What one tenant costs a month in AWS, by list prices. It starts no sandbox."""
    tenant = cost.Tenant(files=files, records=records, deletions=deletions)
    try:
        chosen = cost.prices_with(prices)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _print(lambda: cost.run(tenant, chosen), json_only=json_only)


@main.command("report", context_settings=_CONTEXT)
@click.option("--receipts", type=click.IntRange(min=1), default=report.RECEIPTS, help="Receipts of the month.")
@_json_only
def report_command(*, receipts: int, json_only: bool) -> None:
    """A report of a million receipts, beside a CloudWatch Logs that answers at its quota."""
    _print(lambda: report.run(say=say, receipts=receipts), json_only=json_only)


def _matrix(command: Callable[..., None]) -> Callable[..., None]:
    flows = click.option(
        "--flow", "flows", multiple=True, help="Only flows whose name starts with this, such as create or drift."
    )
    jobs = click.option("--jobs", type=click.IntRange(min=1, max=16), default=2, help="Processes at once.")
    return flows(jobs(_json_only(command)))


@main.command("crash-matrix", context_settings=_CONTEXT)
@_matrix
def crash_matrix_command(*, flows: tuple[str, ...], jobs: int, json_only: bool) -> None:
    """Create, update, each drift, delete, retain, adopt: the operator dies before and after every single call."""
    _print(lambda: matrix.run(say=say, faults=False, flows=flows, jobs=jobs), json_only=json_only)


@main.command("fault-matrix", context_settings=_CONTEXT)
@_matrix
def fault_matrix_command(*, flows: tuple[str, ...], jobs: int, json_only: bool) -> None:
    """The same flows: every single call fails in every possible way, and the operator continues."""
    _print(lambda: matrix.run(say=say, faults=True, flows=flows, jobs=jobs), json_only=json_only)


@main.command("storm", context_settings=_CONTEXT)
@click.option("--states", type=click.IntRange(min=1, max=500), default=50, help="Tenants applied at once.")
@click.option("--seed", type=int, default=storm.SEED, help="Seed of the weather.")
@click.option("--forecast", type=click.Choice(sorted(FORECASTS)), default="stormy", help="See sandbox/weather.")
@click.option("--record", type=click.Path(dir_okay=False), help="Write what happens to each AWS call here.")
@_json_only
def storm_command(*, states: int, seed: int, forecast: str, record: str | None, json_only: bool) -> None:
    """Fifty states through stormy AWS: all Ready, all deleted, nothing leaked; faults by kind."""
    path = Path(record) if record else None
    _print(lambda: storm.run(say=say, states=states, seed=seed, forecast=forecast, record=path), json_only=json_only)


@main.command("soak", context_settings=_CONTEXT)
@click.option("--states", type=click.IntRange(min=1, max=500), default=soak.STATES, help="Tenants.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="How long, instead of --minutes.")
@click.option("--minutes", type=click.FloatRange(min=2), default=soak.MINUTES, help="How long the states are at work.")
@click.option("--life-minutes", type=click.FloatRange(min=2), default=soak.LIFE_MINUTES, help="How long one leads.")
@click.option("--seed", type=int, default=soak.SEED, help="Seed of the weather.")
@click.option("--forecast", type=click.Choice(sorted(FORECASTS)), default="breezy", help="See sandbox/weather.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw memory here, an SVG.")
@_json_only
def soak_command(*, hours: float | None, minutes: float, json_only: bool, **options: Any) -> None:
    """Fifty states at work for an hour: memory, threads and files flat, nothing lost, nothing left."""
    lasts = minutes if hours is None else 60 * hours
    _print(lambda: soak.run(say=say, minutes=lasts, **options), json_only=json_only)


@main.command("event-loop", context_settings=_CONTEXT)
@click.option("--threads", type=click.IntRange(min=1), default=10, help="Threads that compute.")
@click.option("--times", type=click.IntRange(min=1), default=100, help="Wake-ups measured with each interval.")
@_json_only
def event_loop_command(*, threads: int, times: int, json_only: bool) -> None:
    """Delay of the event loop, which renews the lease, beside busy threads. It starts no sandbox."""
    _print(lambda: event_loop.run(say=say, threads=threads, times=times), json_only=json_only)


@main.command("failing", context_settings=_CONTEXT)
@click.option("--states", type=click.IntRange(min=2, max=500), default=50, help="The healthy one included.")
@_json_only
def failing_command(*, states: int, json_only: bool) -> None:
    """One healthy tenant beside 49 that fail, or whose calls AWS never answers: are its reconciliations delayed?"""
    _print(lambda: failing.run(say=say, states=states), json_only=json_only)


@main.command("world", context_settings=_CONTEXT)
@click.option(
    "--histories", type=click.IntRange(min=1), default=world.HISTORIES, help="Histories, each of its own seed."
)
@click.option("--steps", type=click.IntRange(min=1), default=STEPS, help="Steps of each, before its quiet nights.")
@click.option("--seed", type=int, default=1, help="Seed of the first history; the others follow.")
@click.option("--jobs", type=click.IntRange(min=1, max=64), default=os.cpu_count() or 2, help="Processes at once.")
@click.option(
    "--delete", type=click.FloatRange(0, 1), default=DELETE_SHARE, help="Share of histories whose sweeps erase."
)
@_json_only
def world_command(*, histories: int, steps: int, seed: int, jobs: int, delete: float, json_only: bool) -> None:
    """Function, redrive, sweep and final read in one adversarial world: files lost, orphans, false receipts."""
    _print(
        lambda: world.run(say=say, histories=histories, steps=steps, seed=seed, jobs=jobs, delete=delete),
        json_only=json_only,
    )


@main.command("scale", context_settings=_CONTEXT)
@click.option("--size", "sizes", type=click.IntRange(min=10), multiple=True, default=scale.SIZES, help="Tenants.")
@click.option("--resync", "resync_seconds", type=click.FloatRange(min=10), default=600.0, help="The operator's.")
@_json_only
def scale_command(*, sizes: tuple[int, ...], resync_seconds: float, json_only: bool) -> None:
    """Restart, edits and new tenants meanwhile, rest, of so many tenants, on a fake AWS that keeps AWS's limits."""
    _print(lambda: scale.run(say=say, sizes=sizes, resync_seconds=resync_seconds), json_only=json_only)


@main.command("scale-apply", context_settings=_CONTEXT)
@click.option("--tenants", type=click.IntRange(min=10), default=scale_apply.TENANTS, help="Applied at once.")
@_json_only
def scale_apply_command(*, tenants: int, json_only: bool) -> None:
    """Many tenants applied at once, on an AWS without limits: seconds, and the operator's processor time."""
    _print(lambda: scale_apply.run(say=say, tenants=tenants), json_only=json_only)


@main.command("scale-crash", context_settings=_CONTEXT)
@click.option("--tenants", type=click.IntRange(min=100), default=scale_crash.TENANTS, help="That are settled first.")
@_json_only
def scale_crash_command(*, tenants: int, json_only: bool) -> None:
    """Many tenants, changes at once, a leader that is killed and one that is stopped: what is lost, or there twice."""
    _print(lambda: scale_crash.run(say=say, tenants=tenants), json_only=json_only)


@main.command("scale-pictures", context_settings=_CONTEXT)
@click.argument("outputs", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=Path("docs/images"), help="Where.")
@_json_only
def scale_pictures_command(*, outputs: tuple[Path, ...], folder: Path, json_only: bool) -> None:
    """Draws what runs of the scale bench printed, from files with their output."""
    _print(lambda: scale_pictures.run(outputs, folder), json_only=json_only)


def _print(measure: Callable[[], Report], *, json_only: bool) -> None:
    try:
        report = measure()
    except (SandboxError, OperatorError, NotMeasuredError) as error:
        say(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        say("interrupted; everything that it created was removed")
        sys.exit(130)
    if not json_only:
        for table in report.tables:
            click.echo("\n".join([table.title, *table_lines(table.header, table.rows), ""]))
        for note in report.notes:
            click.echo(f"- {note}")
        click.echo("")
    click.echo(json.dumps(_rounded(report.figures)))


def _rounded(value: Any) -> Any:
    """Four significant digits are more than any of this is worth."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return value


if __name__ == "__main__":
    main()
