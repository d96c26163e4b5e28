"""Which file a record names: the one parser, of function, sweep, redrive and final stream read. Pure.

A record names a file by its key, by an `s3://` URI, or by an `https://` URL of the bucket. There are two readings, and
`keys_to_keep` contains whatever `keys_to_erase` does:

    keys_to_erase   strict: a text is one key exactly, or `Unresolved` with the reason
    keys_to_keep    generous: every key that the record might mean

An image is a record in DynamoDB JSON: {"id": {"S": "7"}, "pdf": {"S": "cv.pdf"}}.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from unicodedata import normalize
from urllib.parse import unquote_to_bytes

from .s3_urls import SCHEME, Unresolved, is_host, key_of_uri, key_of_url

Image = Mapping[str, Any]

MAXIMUM_KEY_BYTES = 1024
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

FAILURES_PREFIX = "aws/lambda/"
"""Where Lambda writes failed invocations: <mapping's UUID>/<shard>/YYYY/MM/DD/<time>-<random>.
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

RESERVED_PREFIXES = (".humangov/", FAILURES_PREFIX)
"""Prefixes of the operator and of Lambda: never a record's file, whatever a record names."""

_BLANKS = " \t\r\n"
_PLAIN = re.compile(r"[^\s/%+:\[{\"\x80-\U0010ffff](?:[^%+:\x80-\U0010ffff]*[^\s%+:\x80-\U0010ffff])?").fullmatch
"""A text that decodes to itself, in every way in which one can be decoded."""

_HAS_DOTS = re.compile(r"(?:^|/)\.{1,2}(?:/|$)").search
_BETWEEN_QUOTES = re.compile(r'(?:[^"\\]|\\.)+', re.DOTALL).findall  # takes each character once
_JSON_IN_JSON = 2


class Location(NamedTuple):
    """Where a tenant's files are. key_prefix: of every key; may be empty. region: the bucket's, for its partition."""

    bucket: str
    key_prefix: str
    region: str


class FileKeys(NamedTuple):
    """What an image names, strictly.

    keys         without repeats, in order; `spellings` are the texts that named them, one each
    problems     why an attribute has no text that could name a file; contains no value
    unresolved   why a text names no file of this bucket for certain; contains no value
    """

    keys: tuple[str, ...]
    spellings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unresolved: tuple[str, ...] = ()


def keys_to_erase(image: Image, *, attributes: Iterable[str], location: Location) -> FileKeys:
    """The keys that `attributes` name for certain. Strict: it decides what may be erased.

    An attribute is S, SS or L of S.
    """
    keys: dict[str, str] = {}
    problems: list[str] = []
    unresolved: list[str] = []
    for attribute in attributes:
        if attribute not in image:
            problems.append(f"attribute {attribute} is missing")
            continue
        texts, wrong = _strict(image[attribute])
        problems.extend(f"attribute {attribute} {reason}" for reason in wrong)
        for text in texts:
            key = resolve(text, location=location)
            if isinstance(key, Unresolved):
                unresolved.append(f"attribute {attribute} {key.reason}")
            else:
                keys.setdefault(key, text)
    return FileKeys(tuple(keys), tuple(keys.values()), tuple(problems), tuple(unresolved))


def keys_to_keep(image: Image, *, attributes: Iterable[str], location: Location) -> set[str]:
    """Every key that anything in `attributes` might mean. Generous: it decides what is kept."""
    keys: set[str] = set()
    prefix = location.key_prefix
    for name in attributes:
        value = image.get(name)
        text = value.get("S") if type(value) is dict and len(value) == 1 else None
        # Nearly always it means one key, and a sweep reads millions.
        if (
            type(text) is str
            and _PLAIN(text)
            and ("/" not in text or not _begins_with_bucket(text.partition("/")[0], location))
            and "/." not in text
            and text[0] != "."  # it may be a path with dots
        ):
            keys.add(prefix + text)
            if prefix and text != prefix and text.startswith(prefix):
                keys.add(text)
        else:
            for one in _texts(value):
                keys |= _meanings(one, location)
                for inner in _within(one):
                    keys |= _meanings(inner, location)
    return keys


def resolve(text: str, *, location: Location) -> str | Unresolved:
    """The one object key that the text names, which is not empty.

    A bare name is relative to the key prefix, byte for byte. A URI or URL has the whole key.
    """
    scheme = SCHEME.match(text)
    if scheme is None:
        if is_host(text.lstrip("/").partition("/")[0]):
            return Unresolved("may be a URL without https://")
        return _possible(location.key_prefix + text)
    match scheme[1].lower():
        case "s3":
            key = key_of_uri(text[scheme.end() :], bucket=location.bucket)
        case "https" | "http":
            key = key_of_url(text[scheme.end() :], bucket=location.bucket, region=location.region)
        case "arn":
            return Unresolved("is an ARN")
        case _ if scheme[2]:
            return Unresolved("is neither a key nor a URL of S3")
        case _:  # a colon is an ordinary character of a key
            return _possible(location.key_prefix + text)
    if isinstance(key, Unresolved):
        return key
    if not key.startswith(location.key_prefix) or len(key) == len(location.key_prefix):
        return Unresolved("names a key outside the key prefix")
    return _possible(key)


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


def _possible(key: str) -> str | Unresolved:
    reason = impossible(key)
    return Unresolved(reason) if reason else key


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


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value: strings, the names of a map's entries, binary values as UTF-8."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes | bytearray):
        yield from _decoded(bytes(value))
    elif isinstance(value, Mapping):
        for kind, inner in value.items():
            if kind == "M" and isinstance(inner, Mapping):
                yield from (name for name in inner if isinstance(name, str))
            elif kind in ("B", "BS"):
                yield from _binary(inner)
            yield from _texts(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _texts(inner)


def _within(text: str, *, times: int = _JSON_IN_JSON) -> Iterator[str]:
    """Every string and every key of a text that is JSON, and of those in turn: JSON is at times encoded again."""
    if text.lstrip(_BLANKS)[:1] not in ("[", "{", '"'):
        return
    for one in _strings(text):
        yield one
        if times > 1:
            yield from _within(one, times=times - 1)


def _strings(text: str) -> list[str]:
    found: list[str] = []
    try:  # of a key that comes twice, a mapping would keep one value
        left = [json.loads(text, object_pairs_hook=list)]
    except (ValueError, RecursionError):  # what stands between any two quotes may still be a name
        left = [_unquoted(one) for one in _BETWEEN_QUOTES(text)]
    while left:  # a text may be nested deeper than calls can be
        value = left.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list | tuple):
            left += value
    return found


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def _binary(value: Any) -> Iterator[str]:
    """An event has binary values in base64; boto3 has bytes, which `_texts` decodes."""
    for one in [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else ():
        if isinstance(one, str):
            try:
                yield from _decoded(base64.b64decode(one, validate=True))
            except ValueError:
                continue


def _decoded(data: bytes) -> Iterator[str]:
    try:
        yield data.decode()
    except UnicodeDecodeError:
        yield data.decode("latin-1")


def _begins_with_bucket(first: str, location: Location) -> bool:
    """Whether this first part of a path may be the bucket, or the host of a URL without `https://`."""
    return first == location.bucket or is_host(first)


def _meanings(text: str, location: Location) -> set[str]:
    """Every key that a text might mean; none for an empty one."""
    forms = {text, text.strip(_BLANKS)}
    forms |= {path for form in forms for path in _paths(form, location)}
    for _ in range(2):  # an encoded name is at times encoded again
        forms |= {decoded for form in forms for decoded in _unescaped(form)}
    if dotted := [form for form in forms if _HAS_DOTS(form)]:
        forms |= {_resolved(form) for form in dotted}
        wholes = [_resolved(location.key_prefix + form) for form in dotted]
        forms |= {rest for whole in wholes for rest in _below(location.key_prefix, whole)}
    forms |= {form[1:] for form in forms if form.startswith("/")} | {form.lstrip("/") for form in forms}
    forms |= {rest for form in forms for rest in _below(location.key_prefix, form)}
    forms |= {normalize(kind, form) for form in forms if not form.isascii() for kind in ("NFC", "NFD")}
    return {location.key_prefix + form for form in forms if form}


def _paths(text: str, location: Location) -> Iterator[str]:
    """What follows the host of a URL, or the bucket: with and without what may be a query or a fragment."""
    scheme = SCHEME.match(text)
    rest = text[scheme.end() :] if scheme else text.lstrip("/")
    first, _, path = rest.partition("/")
    if not (scheme or _begins_with_bucket(first, location)):
        return
    for whole in (path, path.partition("/")[2]):  # the first part of a path may be the bucket
        yield from (whole, whole.partition("?")[0], whole.partition("#")[0], re.split("[?#]", whole, maxsplit=1)[0])


def _resolved(path: str) -> str:
    """Without `.` and `..`, as browsers and programs read a path.

    https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _unescaped(text: str) -> Iterator[str]:
    blank = text.replace("+", " ")
    yield blank
    if "%" in text:
        for one in (text, blank):
            # A half of a surrogate pair is in no key.
            yield from _decoded(unquote_to_bytes(one.encode(errors="replace")))


def _below(key_prefix: str, text: str) -> Iterator[str]:
    """The rest of a text that is a whole key, without the prefix."""
    if not key_prefix:
        return
    if text.startswith(key_prefix):
        yield text[len(key_prefix) :]
    if not (key_prefix.isascii() or text.isascii()):
        prefix, whole = normalize("NFC", key_prefix), normalize("NFC", text)
        if whole.startswith(prefix):
            yield whole[len(prefix) :]
