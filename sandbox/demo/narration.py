"""What is printed, and how: plain text, with colour only where a terminal shows it (https://no-color.org)."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

INDENT = " " * 7
BOLD, DIM, GREEN, RED, CYAN = "1", "2", "32", "31", "36"


@dataclass(frozen=True)
class ObservedStep:
    """A completed step."""

    title: str
    seen: str
    seconds: float


@dataclass
class Narrator:
    """Prints the story and remembers how long each step took."""

    out: TextIO
    steps: int
    color: bool
    width: int
    clock: Callable[[], float] = time.monotonic
    observed: list[ObservedStep] = field(default_factory=list)
    current: str = ""

    @property
    def number(self) -> int:
        """The current step, or the last one; from 1."""
        return len(self.observed) + bool(self.current)

    def step(self, title: str, act: Callable[[], str]) -> None:
        """Narrate one step; `act` does it and returns what was seen, in a few words."""
        self.current = title
        begun = self.clock()
        self._line("")
        self._line(self._paint(f"{self.number:>2}/{self.steps}  {title}", BOLD))
        seen = act()
        step = ObservedStep(title=title, seen=seen, seconds=self.clock() - begun)
        self.current = ""
        self.observed.append(step)
        self._line(f"{INDENT}{self._paint('seen:', GREEN)} {seen} ({step.seconds:.1f} s)")

    def say(self, text: str) -> None:
        """Prose, folded to the terminal."""
        for paragraph in text.splitlines():
            for line in textwrap.wrap(paragraph, self.width - len(INDENT), break_on_hyphens=False) or [""]:
                self._line(INDENT + line)

    def command(self, text: str) -> None:
        """A command that is really run."""
        self._line(INDENT + self._paint(f"$ {text}", CYAN))

    def by_hand(self, service: str, method: str, parameters: Mapping[str, object]) -> None:
        """A call of AWS that is really made, as one would type it into Python."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        self._line(INDENT + self._paint(f"boto3> {service}.{method}({arguments})", CYAN))

    def output(self, text: str) -> None:
        """What a command printed, as it is: not folded, so that tables stay tables."""
        for line in text.rstrip("\n").splitlines():
            self._line(f"{INDENT}  {line}".rstrip())

    def progress(self, text: str) -> None:
        self._line(INDENT + self._paint(f"… {text}", DIM))

    def failed(self, *, expected: str, seen: str, logs: Sequence[str]) -> None:
        """Why the story ends here."""
        self._line("")
        self._line(self._paint(f"FAILED in step {self.number}/{self.steps}: {self.current}", RED))
        for name, text in (("expected", expected), ("seen", seen)):
            first, *rest = text.splitlines() or [""]
            self._line(f"{INDENT}{name + ':':<10} {first}")
            for line in rest:
                self._line(f"{INDENT}{'':<10} {line}")
        for log in logs:
            self._line(f"{INDENT}{'log:':<10} {log}")

    def summary(self, *, closing: Sequence[str]) -> None:
        """Every step with its time, and how to go on."""
        self._line("")
        self._line(self._paint(f"All {len(self.observed)} steps were observed.", BOLD))
        for line in summary_lines(self.observed):
            self._line(f"  {line}")
        self._line("")
        for line in closing:
            self._line(line)

    def line(self, text: str) -> None:
        """A line of its own, outside the steps."""
        self._line(text)

    def _line(self, text: str) -> None:
        print(text, file=self.out, flush=True)

    def _paint(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.color else text


def narrator(out: TextIO, *, steps: int, environ: Mapping[str, str] = os.environ) -> Narrator:
    columns = shutil.get_terminal_size((100, 24)).columns if out.isatty() else 100
    return Narrator(
        out=out, steps=steps, color=wants_color(environ, is_terminal=out.isatty()), width=max(60, min(columns, 110))
    )


def wants_color(environ: Mapping[str, str], *, is_terminal: bool) -> bool:
    return is_terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def summary_lines(steps: Sequence[ObservedStep]) -> list[str]:
    rows = [(f"{number:>2}", one.title, f"{one.seconds:.1f} s") for number, one in enumerate(steps, 1)]
    return table_lines(("STEP", "SEEN", "TIME"), [*rows, ("", "in all", f"{sum(one.seconds for one in steps):.1f} s")])


def table_lines(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table in kubectl's manner."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
