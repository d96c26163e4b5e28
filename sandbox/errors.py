"""What can go wrong, as sentences for a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class SandboxError(Exception):
    """Something that cannot be done. Its text says what, why and what to do; it is shown as it is."""


class PartStoppedError(SandboxError):
    """A part of the sandbox ended, or never answered, while it was being started.

    `log` is the end of its log, for those who decide by it (an address that was taken in the meantime).
    """

    def __init__(self, *, part: str, what: str, log_file: Path, log: Sequence[str]) -> None:
        self.part = part
        self.log = tuple(log)
        super().__init__(f"{part} {what}. {quoted_log(log_file, log)}")


def quoted_log(log_file: Path, lines: Sequence[str]) -> str:
    """The end of a log as it is shown to a person."""
    if not lines:
        return f"Its log {log_file} is empty."
    return "\n".join([f"The end of its log, {log_file}:", *(f"  | {line}" for line in lines)])
