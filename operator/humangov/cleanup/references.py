"""The file that a record names, and its object key. Pure; all packages that read records use this module.

An image is a record in DynamoDB JSON: {"id": {"S": "7"}, "pdf": {"S": "cv.pdf"}}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Image = Mapping[str, Any]

MAXIMUM_KEY_BYTES = 1024
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

FAILURES_PREFIX = "aws/lambda/"
"""Where Lambda writes failed invocations: <mapping's UUID>/<shard>/YYYY/MM/DD/<time>-<random>.
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

RESERVED_PREFIXES = (".humangov/", FAILURES_PREFIX)
"""Prefixes of the operator and of Lambda: never a record's file, whatever a record names."""


class FileNames(NamedTuple):
    """names: without repeats, in order. problems: why an attribute names no file; never contains a value."""

    names: tuple[str, ...]
    problems: tuple[str, ...]


def file_names(image: Image, *, attributes: Iterable[str]) -> FileNames:
    """The names in `attributes`, each S, SS or L of S. Strict: used to decide what to erase."""
    names: dict[str, None] = {}
    problems: list[str] = []
    for attribute in attributes:
        if attribute not in image:
            problems.append(f"attribute {attribute} is missing")
            continue
        found, wrong = _strict(image[attribute])
        names.update(dict.fromkeys(found))
        problems.extend(f"attribute {attribute} {reason}" for reason in wrong)
    return FileNames(tuple(names), tuple(problems))


def mentioned(image: Image, *, attributes: Iterable[str]) -> frozenset[str]:
    """Every string anywhere in `attributes`. Generous: used to decide what to keep."""
    found: set[str] = set()
    for name in attributes:
        value = image.get(name)
        text = value.get("S") if type(value) is dict and len(value) == 1 else None
        if type(text) is str:  # nearly always, and a sweep reads millions
            found.add(text)
        else:
            found.update(_strings(value))
    return frozenset(found)


def object_key(name: str, *, key_prefix: str) -> str:
    """Byte for byte: slashes, spaces and case stay as they are."""
    return key_prefix + name


def impossible(key: str) -> str | None:
    """Why S3 cannot store this key, or None."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return f"makes a key of {size} bytes, over {MAXIMUM_KEY_BYTES}" if size > MAXIMUM_KEY_BYTES else None


def is_reserved(key: str, *, key_prefix: str) -> bool:
    """Whether the key belongs to the operator or Lambda, in the bucket or under the tenant's prefix."""
    return key.startswith(reserved_prefixes(key_prefix))


def reserved_prefixes(key_prefix: str) -> tuple[str, ...]:
    """The prefixes of reserved keys."""
    return (*RESERVED_PREFIXES, *(key_prefix + prefix for prefix in RESERVED_PREFIXES))


def _strict(value: Any) -> tuple[Sequence[str], Sequence[str]]:
    match value:
        case {"S": str() as one}:
            texts: list[Any] = [one]
        case {"SS": [*several]}:
            texts = several
        case {"L": [*several]}:
            texts = [one["S"] if isinstance(one, Mapping) and "S" in one else None for one in several]
        case _:
            return (), ("is not S, SS or L of S",)
    names = [text for text in texts if isinstance(text, str) and text]
    wrong = []
    if any(not isinstance(text, str) for text in texts):
        wrong.append("contains a value that is not a string")
    if not texts or any(text == "" for text in texts):
        wrong.append("is empty")
    return names, wrong


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _strings(inner)
