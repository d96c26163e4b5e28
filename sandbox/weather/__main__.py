"""`python -m sandbox.weather`: a proxy before an AWS, for any client of any language."""

from __future__ import annotations

import contextlib
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from sandbox.proxy import Proxy
from sandbox.weather.forecasts import FORECASTS
from sandbox.weather.layer import layer
from sandbox.weather.model import RecordingError, Weather

USAGE = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--upstream", required=True, help="The URL of the AWS behind it.")
@click.option("--forecast", default="stormy", help=f"One of {', '.join(FORECASTS)}.")
@click.option("--seed", type=int, help="Another seed, other weather; by default a random one, which is printed.")
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False), help="Write what happens to each call here.")
@click.option("--replay", type=click.Path(path_type=Path, dir_okay=False), help="What a --record has written, again.")
def main(*, upstream: str, forecast: str, seed: int | None, record: Path | None, replay: Path | None) -> None:
    """AWS weather for any client: set AWS_ENDPOINT_URL to the URL that it prints. Ctrl+C ends it, and shows counts."""
    with contextlib.ExitStack() as stack:
        try:
            note = stack.enter_context(recording(record)) if record else None
            weather = chosen(forecast, seed=seed, note=note, replay=replay)
        except (OSError, ValueError) as error:
            click.echo(f"weather: {error}", err=True)
            sys.exit(USAGE)
        proxy = stack.enter_context(Proxy(upstream, layers=[layer(weather)]))
        click.echo(f"forecast: {weather.forecast.name}\nseed: {weather.seed}\nurl: {proxy.url}")
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        ended.wait()
    for line in summary_lines(weather):
        click.echo(line)


def chosen(
    forecast: str, *, seed: int | None, note: Callable[[str], None] | None = None, replay: Path | None = None
) -> Weather:
    """Raises ValueError or OSError, each with a sentence."""
    if replay is None:
        return Weather.named(forecast, seed=secrets.randbelow(10**6) if seed is None else seed, note=note)
    try:
        return Weather.replay(replay.read_text().splitlines(), note=note)
    except RecordingError as error:
        raise RecordingError(f"{replay}: {error}") from error


@contextlib.contextmanager
def recording(path: Path) -> Iterator[Callable[[str], None]]:
    """Writes lines to `path`, each of them at once."""
    with path.open("w", buffering=1) as file:
        yield lambda line: print(line, file=file)


def summary_lines(weather: Weather) -> list[str]:
    """What there was of each kind, the most frequent first."""
    counts = [f"{kind}: {number}" for kind, number in weather.counts.most_common()]
    return [*counts, *([f"beyond the recording: {weather.beyond}"] if weather.beyond else [])]


if __name__ == "__main__":
    main()
