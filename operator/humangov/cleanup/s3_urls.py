"""The key that an `s3://` URI or a URL of S3 names, if it names one for certain. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
https://docs.aws.amazon.com/general/latest/gr/s3.html
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")

_ENDPOINT = re.compile(
    r"s3(?:-accelerate|-external-1|-fips)?(?:\.dualstack)?(?:[.-](?P<region>(?:[a-z]{2}|eusc)(?:-[a-z]+)+-\d+))?\."
    r"(?P<suffix>amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk"
    r"|csp\.hci\.ic\.gov)"
)
_HOST = re.compile(rf"(?:.+\.)?{_ENDPOINT.pattern}(?::\d+)?")
_SUFFIXES = {
    "cn": "amazonaws.com.cn",
    "eusc": "amazonaws.eu",
    "us-iso": "c2s.ic.gov",
    "us-isob": "sc2s.sgov.gov",
    "eu-isoe": "cloud.adc-e.uk",
    "us-isof": "csp.hci.ic.gov",
}
"""A partition, by the first part of its regions → its domain. All other regions: amazonaws.com."""

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")
_PRESIGNED = re.compile(r"x-amz-.+|x-id|awsaccesskeyid|signature|expires|response-.+", re.IGNORECASE)
"""Parameters that do not change which file a URL names.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""


class Unresolved(NamedTuple):
    """A text that names no file of this bucket for certain. reason: a predicate, without the text."""

    reason: str


def key_of_uri(rest: str, *, bucket: str) -> str | Unresolved:
    """rest: without `s3://`. A key stands in it as it is; what may be an escape or a query is no certain key."""
    named, _, key = rest.partition("/")
    if named != bucket:
        return Unresolved("names another bucket")
    if not key:
        return Unresolved("names no key")
    if _ESCAPE.search(key) or "?" in key or "#" in key:
        return Unresolved("has an escape, a query or a fragment, which may be a part of the key")
    return key


def key_of_url(rest: str, *, bucket: str, region: str) -> str | Unresolved:
    """rest: without `https://`. region: the bucket's; in another partition the same name is another bucket's."""
    authority, _, tail = rest.partition("/")
    if _NOT_IN_A_URL.search(rest) or "#" in rest or "?" in authority:
        return Unresolved("is no URL of one key")
    path, has_query, query = tail.partition("?")
    encoded = _in_bucket(authority.lower().removesuffix(":443"), path, bucket=bucket, region=region)
    if encoded is None:
        return Unresolved("is no URL of this bucket")
    if has_query and (reason := _doubtful_query(query)):
        return Unresolved(reason)
    return _unescaped(encoded)


def is_host(text: str) -> bool:
    """Whether it is the host of S3's URLs, of whatever bucket."""
    return "s3" in text.lower() and _HOST.fullmatch(text.lower()) is not None


def partition_of(region: str) -> str:
    """The first part of the names of its partition's regions; all but AWS's own have one."""
    one = re.match(r"cn(?=-)|eusc(?=-)|us-gov(?=-)|(?:us|eu)-iso[a-z]?(?=-)", region)
    return one[0] if one else ""


def _in_bucket(host: str, path: str, *, bucket: str, region: str) -> str | None:
    """The key, still encoded, of a virtual-hosted or path-style URL; None if it is of something else."""
    endpoint = _ENDPOINT.fullmatch(host)
    if endpoint:
        named, _, path = path.partition("/")
    else:
        named, endpoint = bucket, _ENDPOINT.fullmatch(host.removeprefix(f"{bucket}."))
    if not endpoint or named != bucket:
        return None
    partition = partition_of(region)
    suffix = _SUFFIXES.get(partition, "amazonaws.com")
    # A URL without a region is of AWS's own partition, or of the only one that has its domain.
    named_region = endpoint["region"]
    same = partition_of(named_region) == partition if named_region else partition != "us-gov"
    return path if same and endpoint["suffix"] == suffix else None


def _doubtful_query(query: str) -> str | None:
    names = [unquote(one.partition("=")[0]) for one in query.split("&") if one]
    if any(name.lower() == "versionid" for name in names):
        return "names one version, not the file"
    if not all(map(_PRESIGNED.fullmatch, names)):
        return "has a query that is not S3's, which may be a part of the key"
    return None


def _unescaped(path: str) -> str | Unresolved:
    if "+" in path:  # S3 reads it as a blank, most programs mean a plus
        return Unresolved("has a plus sign, which may be a blank")
    if _BROKEN_ESCAPE.search(path):
        return Unresolved("has an incomplete escape")
    try:
        key = unquote_to_bytes(path).decode()
    except UnicodeError:
        return Unresolved("is not valid Unicode")
    if not key:
        return Unresolved("names no key")
    if {".", ".."} & set(key.split("/")):  # browsers resolve these, S3 does not
        return Unresolved("has a relative path")
    return key
