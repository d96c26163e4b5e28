"""Where keys lie between each other, as numbers: only where a range is cut depends on it. Pure.

A number's digits are a key's letters; at each place, the letters that keys have there, and all others of their kind.
"""

from __future__ import annotations

import bisect
import itertools
import math
import string
from collections.abc import Sequence

HIGHEST = "\U0010ffff"
_PLACES, _BITS = 24, 48  # so many letters, and so much of them, are one number
_DIGITS = frozenset(string.digits)
_ALPHABETS = (
    (frozenset(string.ascii_lowercase), frozenset("abcdef")),
    (frozenset(string.ascii_uppercase), frozenset("ABCDEF")),
)

Letters = Sequence[Sequence[str]]
"""Of each place, sorted."""


def cuts(after: str, limit: str, *, parts: int, like: Sequence[str]) -> list[str]:
    """Keys that divide what lies between two into about equal parts, in order; fewer where there is no such key.

    like: keys of about there.
    """
    common, letters = _common(after, limit, like)
    low, high = (_fraction(key[len(common) :], letters) for key in (after, limit))
    several = (common + _text(low + (high - low) * part / parts, letters) for part in range(1, parts))
    return [key for key, _ in itertools.groupby(several) if after < key < limit]


def pages_left(first: str, after: str, limit: str, *, like: Sequence[str]) -> float:
    """How many pages lie between `after` and `limit` if keys are everywhere as dense as from `first` to `after`."""
    common, letters = _common(first, limit, like)
    low, here, high = (_fraction(key[len(common) :], letters) for key in (first, after, limit))
    return (high - here) / (here - low) if here > low else math.inf


def _common(after: str, limit: str, like: Sequence[str]) -> tuple[str, Letters]:
    """What both begin with, and what letters are likely to follow."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(after, limit, strict=False))
    common = "".join(letter for letter, _ in pairs)
    begin, end = len(common), len(common) + _PLACES
    rests = [key[begin:end] for key in (after, *like) if key.startswith(common)]
    columns = [set(column) - {""} for column in itertools.zip_longest(*rests, fillvalue="")]
    if columns:
        columns[0] |= set(limit[begin : begin + 1]) - {HIGHEST}
    return common, _letters(columns)


def _letters(columns: Sequence[set[str]]) -> Letters:
    hexadecimal = [
        six for alphabet, six in _ALPHABETS
        if any(column & _DIGITS and column & alphabet and column & alphabet <= six for column in columns)
    ]  # fmt: skip
    digits = _DIGITS.union(*hexadecimal)
    several, product = list[Sequence[str]](), 1
    for column in columns:
        of_kind = set(column)
        if column & _DIGITS:
            of_kind |= digits
        for alphabet, six in _ALPHABETS:
            if column & alphabet:
                of_kind |= six if six in hexadecimal and column & alphabet <= six else alphabet
        product *= len(of_kind)
        if product >= 2**_BITS:
            break
        several.append(sorted(of_kind))
    return several


def _fraction(text: str, letters: Letters) -> float:
    value, weight = 0.0, 1.0
    for letter, of_place in zip(text, letters, strict=False):
        weight /= len(of_place)
        rank = bisect.bisect_left(of_place, letter)
        value += rank * weight
        if of_place[rank : rank + 1] != [letter]:
            break
    return value


def _text(fraction: float, letters: Letters) -> str:
    found = []
    for of_place in letters:
        fraction *= len(of_place)
        digit = min(int(fraction), len(of_place) - 1)
        fraction -= digit
        found.append(of_place[digit])
    return "".join(found)
