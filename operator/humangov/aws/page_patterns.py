"""The form in which AWS writes a page of a listing, as one pattern. Pure.

A page in exactly this form is XML that means what is taken out of it: it is ASCII, and has no escape but the quotes of
an ETag, no comment, no CDATA section, no document type, and each entry lies directly under the root. Any other page is
None here, for a reader who knows all of XML.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

_TEXT = r"[^<>&\x00-\x1f\x7f]"


def _element(name: str, text: str = f"{_TEXT}*") -> str:
    return f"<{name}>{text}</{name}>"


_FIELDS = {
    "Key": _element("Key", f"({_TEXT}+)"),
    "VersionId": _element("VersionId", f"({_TEXT}+)"),
    "IsLatest": _element("IsLatest", "(true|false)"),
    "LastModified": _element("LastModified", r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z)"),
    "ETag": _element("ETag", "&quot;([0-9A-Za-z-]+)&quot;")
    + f"(?:{_element('ChecksumAlgorithm')})*(?:{_element('ChecksumType')})?",
    "Size": _element("Size", r"(\d{1,19})"),
}
_OWNER = f"(?:<Owner>(?:{_element('ID')})?(?:{_element('DisplayName')})?</Owner>)?"
_AFTER = f"{_OWNER}(?:{_element('StorageClass')})?{_OWNER}"
_SIBLINGS = rf"(?:<(?P<%s>[A-Za-z]+)>{_TEXT}*</(?P=%s)>|<[A-Za-z]+/>)*"
_HEAD = re.compile(
    r'(?:<\?xml version="1\.0" encoding="UTF-8"\?>\n?)?<(?P<root>[A-Za-z]+)(?: xmlns="[\w:/.-]*")?>'
    + _SIBLINGS % ("sibling", "sibling")
)
_TAIL = re.compile(_SIBLINGS % ("sibling", "sibling") + r"</(?P<root>[A-Za-z]+)>\n?")


class Fields(NamedTuple):
    """Of one kind of entries. element: in XML. names: the fields of each, in AWS's order."""

    element: str
    names: tuple[str, ...]


class TakenApart(NamedTuple):
    """rest: the page without its entries. columns: of each kind, in order: the texts of each field; () if it has none.

    An ETag is without its quotes.
    """

    rest: bytes
    columns: Sequence[Sequence[tuple[str, ...]]]


def take_apart(page: bytes, kinds: tuple[Fields, ...]) -> TakenApart | None:
    """None: the page is not exactly in AWS's form, or has no entry."""
    text = page.decode("ascii") if page.isascii() else ""
    head = _HEAD.match(text)
    if head is None:
        return None
    begin = head.end()
    end = max(text.rfind(last) + len(last) for last in (f"</{kind.element}>" for kind in kinds))
    tail = _TAIL.fullmatch(text, end)
    if end <= begin or tail is None or tail["root"] != head["root"]:
        return None
    pattern, places = _entry(kinds)
    found = pattern.findall(text, begin, end)
    wholes, *columns = zip(*found, strict=True) if found else ((),)
    if sum(map(len, wholes)) != end - begin:  # something is between two of them
        return None
    if len(kinds) > 1:  # a text is never empty: an empty one is of an entry of another kind
        of_kinds = [list(zip(*[one[place] for one in found if one[place.start]], strict=True)) for place in places]
    else:
        of_kinds = [columns]
    return TakenApart((text[:begin] + text[end:]).encode(), of_kinds)


@cache
def _entry(kinds: tuple[Fields, ...]) -> tuple[re.Pattern[str], Sequence[slice]]:
    """The pattern of an entry of any of these kinds, as its first group, and which other groups are each kind's."""
    forms = (_element(kind.element, "".join(_FIELDS[name] for name in kind.names) + _AFTER) for kind in kinds)
    ends = list(itertools.accumulate((len(kind.names) for kind in kinds), initial=1))
    return re.compile(f"({'|'.join(forms)})"), [slice(*both) for both in itertools.pairwise(ends)]
