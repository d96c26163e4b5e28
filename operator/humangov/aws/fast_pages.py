"""Pages of listings and scans without the SDK's parser, which takes most of a sweep's time.

The SDK signs, sends and retries the call, and reads status, headers, errors and markers of the response. Only the
entries of a page are taken out of its body before: by one pattern if the page is exactly in AWS's form, else by lxml;
those of a scan by json. A page that has anything that this reader does not expect is left to the SDK as it is, and so
is every error.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, NamedTuple

from humangov.aws.listed_objects import ListedObjects
from humangov.aws.page_patterns import Fields, take_apart

_OK = 200
_OBJECTS_ASIDE = "HumangovContents"
_utc = datetime.fromisoformat
_PLAIN = frozenset(("S", "N", "SS", "NS", "BOOL", "NULL"))
_INSTANTS = (len("2026-01-01T00:00:00Z"), len("2026-01-01T00:00:00.000Z"))


_Entries = dict[str, Sequence[Mapping[str, Any]]]
"""By member."""


class _Unexpected(Exception):  # noqa: N818 - no error: the SDK reads this page
    """The page has something that this reader leaves to the SDK."""


def _versions(*columns: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    return [
        {
            "Key": key, "VersionId": version, "IsLatest": latest == "true", "LastModified": _utc(modified),
            "ETag": f'"{etag}"', "Size": int(size),
        }
        for key, version, latest, modified, etag, size in zip(*columns, strict=True)
    ]  # fmt: skip


def _markers(*columns: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    return [
        {"Key": key, "VersionId": version, "IsLatest": latest == "true", "LastModified": _utc(modified)}
        for key, version, latest, modified in zip(*columns, strict=True)
    ]


class _Kind(NamedTuple):
    """Entries of one kind. element: in XML; member: in the SDK's response, with these fields of each.

    usual: makes them of the columns that `page_patterns` takes out, whose texts are of the right form.
    """

    element: str
    member: str
    fields: tuple[str, ...]
    usual: Callable[..., Sequence[Mapping[str, Any]]]


_KINDS: Mapping[str, tuple[_Kind, ...]] = {
    "ListObjectsV2": (_Kind("Contents", "Contents", ("Key", "LastModified", "ETag", "Size"), ListedObjects),),
    "ListObjectVersions": (
        _Kind(
            "Version", "Versions", ("Key", "VersionId", "IsLatest", "LastModified", "ETag", "Size"), _versions
        ),
        _Kind("DeleteMarker", "DeleteMarkers", ("Key", "VersionId", "IsLatest", "LastModified"), _markers),
    ),
}  # fmt: skip


def list_fast(s3: Any) -> Any:
    """The same client. Each entry of its listings has only the fields that are named here.

    A key may be encoded as a URL; the SDK decodes it, as it does in all listings.
    """
    for operation, kinds in _KINDS.items():
        # Handlers of any service (*) come before the SDK's own one of S3, which parses each page to see whether it is
        # an error with status 200. What is left of a page, it still sees.
        s3.meta.events.register(f"before-parse.*.{operation}", partial(_take_entries, kinds=kinds))
    s3.meta.events.register_last("after-call.s3.ListObjectsV2", _give_objects)
    return s3


def scan_fast(dynamodb: Any) -> Any:
    """The same client. Its scans answer what they did."""
    dynamodb.meta.events.register("before-parse.dynamodb.Scan", _take_items)
    return dynamodb


def _take_entries(
    *, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], kinds: tuple[_Kind, ...], **_: Any
) -> None:
    """A handler of the SDK's event: the body keeps all but the entries, and these are added to what is read of it."""
    if response_dict["status_code"] != _OK:
        return
    page = response_dict["body"]
    try:
        body, entries = _split_usual(page, kinds) or _split_xml(page, kinds)
    except (_Unexpected, ValueError):
        return
    response_dict["body"] = body
    for member, several in entries.items():
        aside = isinstance(several, ListedObjects)
        customized_response_dict[_OBJECTS_ASIDE if aside else member] = several


def _give_objects(*, parsed: dict[str, Any], context: Mapping[str, Any], **_: Any) -> None:
    """A handler of the SDK's event, after its own one that decodes keys: these are decoded all at once."""
    objects = parsed.pop(_OBJECTS_ASIDE, None)
    if objects is not None:
        if parsed.get("EncodingType") == "url" and context.get("encoding_type_auto_set"):
            objects.decode_keys()
        parsed["Contents"] = objects


def _split_usual(page: bytes, kinds: tuple[_Kind, ...]) -> tuple[bytes, _Entries] | None:
    """The same for a page in AWS's form; None for any other. Raises ValueError for a time that is none."""
    taken = take_apart(page, _fields(kinds))
    if taken is None:
        return None
    entries = {
        kind.member: kind.usual(*columns)
        for kind, columns in zip(kinds, taken.columns, strict=True) if columns
    }  # fmt: skip
    return taken.rest, entries


@cache
def _fields(kinds: tuple[_Kind, ...]) -> tuple[Fields, ...]:
    return tuple(Fields(kind.element, kind.fields) for kind in kinds)


def _split_xml(body: bytes, kinds: tuple[_Kind, ...]) -> tuple[bytes, _Entries]:
    """The rest of the body, and its entries by member. Raises _Unexpected, and ValueError for a value that is none."""
    from lxml import etree  # only who lists pays for it

    # A parser belongs to one call: one that threads share makes them wait for each other.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError:
        raise _Unexpected from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise _Unexpected
    paths = _paths(kinds, etree.QName(root).namespace)
    entries = {kind.member: _entries(root, kind, of_kind) for kind, of_kind in zip(kinds, paths.of_kinds, strict=True)}
    rest = etree.Element(root.tag, nsmap=root.nsmap)
    rest.extend(paths.others(root))
    if not any(entries.values()) or paths.overlooked(rest):
        raise _Unexpected
    return etree.tostring(rest), {member: found for member, found in entries.items() if found}


class _KindPaths(NamedTuple):
    """Compiled. number: of the entries; whole: of those that have a text in each field; texts: of a field, in all."""

    number: Callable[[Any], float]
    whole: Callable[[Any], float]
    texts: Sequence[Callable[[Any], list[str]]]


class _Paths(NamedTuple):
    """Compiled. others: what is directly under the root and no entry; overlooked: entries, wherever they are."""

    of_kinds: Sequence[_KindPaths]
    others: Callable[[Any], list[Any]]
    overlooked: Callable[[Any], float]


@cache
def _paths(kinds: tuple[_Kind, ...], namespace: str | None) -> _Paths:
    from lxml import etree

    names, of = ({"n": namespace}, "n:") if namespace else (None, "")
    compiled = partial(etree.XPath, namespaces=names, smart_strings=False)
    of_kinds = []
    for kind in kinds:
        entry, each = f"/*/{of}{kind.element}", "".join(f"[{of}{field}/text()]" for field in kind.fields)
        texts = [compiled(f"{entry}/{of}{field}/text()") for field in kind.fields]
        of_kinds.append(
            _KindPaths(number=compiled(f"count({entry})"), whole=compiled(f"count({entry}{each})"), texts=texts)
        )
    is_entry = " or ".join(f"self::{of}{kind.element}" for kind in kinds)
    is_named_so = " or ".join(f"local-name() = '{kind.element}'" for kind in kinds)
    return _Paths(
        of_kinds=of_kinds, others=compiled(f"/*/*[not({is_entry})]"), overlooked=compiled(f"count(//*[{is_named_so}])")
    )


def _entries(root: Any, kind: _Kind, paths: _KindPaths) -> list[dict[str, Any]]:
    """Raises _Unexpected if an entry lacks a field, or has one twice: as many texts as entries are one in each."""
    number, columns = paths.number(root), [texts(root) for texts in paths.texts]
    if paths.whole(root) != number or any(len(column) != number for column in columns):
        raise _Unexpected
    values = (map(_READ.get(field, str), column) for field, column in zip(kind.fields, columns, strict=True))
    return [dict(zip(kind.fields, one, strict=True)) for one in zip(*values, strict=True)]


def _instant(text: str) -> datetime:
    """Raises _Unexpected for another form than S3's, and ValueError."""
    if len(text) not in _INSTANTS or text[-1] != "Z":
        raise _Unexpected
    found = datetime.fromisoformat(text)
    if found.tzinfo is not UTC:
        raise _Unexpected
    return found


_READ: Mapping[str, Callable[[str], Any]] = {
    "LastModified": _instant,
    "Size": int,
    "IsLatest": lambda text: text == "true",
}


def _take_items(*, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """A handler of the SDK's event: see `_take_entries`."""
    if response_dict["status_code"] != _OK:
        return
    try:
        answer = json.loads(response_dict["body"].decode())
        items = [dict(_attributes(item)) if _has_nested(item) else item for item in _list(answer.pop("Items"))]
    except (_Unexpected, ValueError, TypeError, AttributeError, KeyError):
        return
    response_dict["body"] = json.dumps(answer).encode()
    customized_response_dict["Items"] = items


def _list(value: Any) -> list[Any]:
    """Raises _Unexpected."""
    if not isinstance(value, list):
        raise _Unexpected
    return value


def _has_nested(item: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether any value is binary, or contains others. Raises ValueError for one that is not of one type."""
    for value in item.values():
        (kind,) = value
        if kind not in _PLAIN or value[kind] is None:
            return True
    return False


def _attributes(item: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Binary values decoded, as the SDK does. Raises _Unexpected and ValueError."""
    for name, value in item.items():
        yield name, _value(value)


def _value(value: Mapping[str, Any]) -> Mapping[str, Any]:
    ((kind, inner),) = value.items()
    match kind, inner:
        case "B", str():
            return {kind: base64.b64decode(inner)}
        case "BS", [*several]:
            return {kind: [base64.b64decode(one) for one in several]}
        case "L", [*several]:
            return {kind: [_value(one) for one in several]}
        case "M", {}:
            return {kind: dict(_attributes(inner))}
    if kind not in _PLAIN or inner is None:
        raise _Unexpected
    return value
