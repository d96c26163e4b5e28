"""Counted nouns in sentences for people."""

from __future__ import annotations


def counted(number: int, noun: str, *, plural: str = "") -> str:
    """`1 file`, `2,000 files`. plural: where it is not the noun with an s; also of a noun with its verb, `line is`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
