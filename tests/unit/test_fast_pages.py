"""Pages that lxml and json read hold what the SDK's parser reads: any keys, escapes, times, types, errors."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from humangov.aws.fast_pages import list_fast, scan_fast
from hypothesis import example, given, settings
from hypothesis import strategies as st

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
FIELDS = {
    "Contents": ("Key", "LastModified", "ETag", "Size"),
    "Versions": ("Key", "VersionId", "IsLatest", "LastModified", "ETag", "Size"),
    "DeleteMarkers": ("Key", "VersionId", "IsLatest", "LastModified"),
}


class Raw(io.BytesIO):
    """A response's body as urllib3 has it."""

    def stream(self, **_: Any) -> Any:
        yield self.read()


class Answers:
    """A client whose calls get one response each from here, after it was signed and before it is sent.

    taken: which operations the fast reader has taken entries from.
    """

    def __init__(self, service: str, *, fast: bool) -> None:
        config = Config(retries={"mode": "standard", "total_max_attempts": 3})
        self.client = boto3.client(
            service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b", config=config
        )
        if fast:
            {"s3": list_fast, "dynamodb": scan_fast}[service](self.client)
        self.several: list[tuple[int, bytes]] = []
        self.asked = 0
        self.parsed: list[bytes] = []
        self.client.meta.events.register(f"before-send.{service}", self._answer)
        self.client.meta.events.register_last(f"before-parse.{service}", self._see)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        self.asked += 1
        status, body = self.several.pop(0) if len(self.several) > 1 else self.several[0]
        return AWSResponse(request.url, status, {"x-amz-request-id": "R", "Date": "now"}, Raw(body))

    def _see(self, response_dict: Mapping[str, Any], **_: Any) -> None:
        self.parsed.append(response_dict["body"])

    def ask(self, operation: str, *several: bytes | tuple[int, bytes], **request: Any) -> Any:
        self.several = [one if isinstance(one, tuple) else (200, one) for one in several]
        self.asked = 0
        self.parsed.clear()
        return getattr(self.client, operation)(**request)

    @property
    def left_to_the_sdk(self) -> bool:
        """Whether its parser got the body as it came."""
        return self.parsed[-1] == self.several[0][1]


@cache
def s3() -> Answers:
    return Answers("s3", fast=False)


@cache
def fast_s3() -> Answers:
    return Answers("s3", fast=True)


@cache
def dynamodb() -> Answers:
    return Answers("dynamodb", fast=False)


@cache
def fast_dynamodb() -> Answers:
    return Answers("dynamodb", fast=True)


def narrowed(answer: Any) -> Any:
    """Without the fields of entries that nobody here asks for."""
    return {
        name: [{field: one[field] for field in FIELDS[name] if field in one} for one in value]
        if name in FIELDS else value
        for name, value in answer.items()
    }  # fmt: skip


def listed(operation: str, body: bytes) -> tuple[Any, Any]:
    return narrowed(s3().ask(operation, body, Bucket="b")), fast_s3().ask(operation, body, Bucket="b")


# Whatever UTF-8 can hold: S3 keeps it, and names it as a URL because XML can't hold all of it.
any_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
keys = any_text | st.text("&<>\"'%+ ;#x/\t\n\r\x00\x01\x1f\x7f\u0085\u2028\ufffe\U0001f600é", min_size=1, max_size=20)
printable = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"))
tokens = printable.filter(lambda text: text.strip() != "")
times = st.integers(86_400_000, 32_000_000_000_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
etags = st.from_regex(r'\A"[0-9a-f]{32}(-[1-9][0-9]{0,3})?"\Z') | st.just('""')
sizes = st.integers(0, 5 * 2**40)
more = st.lists(
    st.sampled_from(
        (
            "<StorageClass>STANDARD</StorageClass>",
            "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>",
            "<ChecksumType>FULL_OBJECT</ChecksumType>",
            "<Owner><ID>7</ID><DisplayName>Key</DisplayName></Owner>",
            "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress></RestoreStatus>",
        )
    ),
    max_size=3,
    unique=True,
)


@st.composite
def written(draw: st.DrawFn, text: str) -> str:
    """The text in XML, each character as it is or as a reference to it."""
    named = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
    kinds = draw(st.lists(st.integers(0, 3), min_size=len(text), max_size=len(text)))
    out = ""
    for kind, letter in zip(kinds, text, strict=True):
        plain = escape(letter) if letter != "\r" else "&#13;"
        out += (plain, named.get(letter, plain), f"&#{ord(letter)};", f"&#x{ord(letter):x};")[kind]
    return out


@st.composite
def element(draw: st.DrawFn, name: str, text: str) -> str:
    return f"<{name}>{draw(written(text))}</{name}>"


@st.composite
def entry(draw: st.DrawFn, name: str, fields: tuple[str, ...], encode: Any) -> str:
    time = draw(times)
    shown = f"{time:%Y-%m-%dT%H:%M:%S}" + draw(st.sampled_from((f".{time.microsecond // 1000:03d}Z", "Z")))
    values = {
        "Key": encode(draw(keys)), "LastModified": shown, "ETag": draw(etags), "Size": str(draw(sizes)),
        "VersionId": draw(st.sampled_from(("null", "3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"))),
        "IsLatest": draw(st.sampled_from(("true", "false"))),
    }  # fmt: skip
    parts = [draw(element(field, values[field])) for field in draw(st.permutations(fields))]
    between = draw(st.sampled_from(("", "\n  ", "<!-- x -->")))
    return f"<{name}>{between.join([*parts, *draw(more)])}</{name}>"


@st.composite
def pages(draw: st.DrawFn, names: Mapping[str, str], root: str) -> bytes:
    """A page of S3's. names: of the entries' elements and of the members that they become."""
    encoded = draw(st.sampled_from((quote_plus, quote)))
    entries = [
        draw(entry(name, FIELDS[names[name]], encoded))
        for name in draw(st.lists(st.sampled_from(sorted(names)), max_size=6))
    ]
    top = [
        "<EncodingType>url</EncodingType>", "<IsTruncated>true</IsTruncated>", "<MaxKeys>1000</MaxKeys>",
        draw(element("NextContinuationToken" if root == "ListBucketResult" else "NextVersionIdMarker", draw(tokens))),
        draw(element("Prefix", encoded(draw(keys)))),
        f"<CommonPrefixes>{draw(element('Prefix', encoded(draw(keys))))}</CommonPrefixes>",
    ]  # fmt: skip
    parts = draw(st.permutations([*top, *entries])) if draw(st.booleans()) else [*top, *entries]
    namespace = draw(st.sampled_from(("", f' xmlns="{NAMESPACE}"')))
    head = draw(st.sampled_from(("", '<?xml version="1.0" encoding="UTF-8"?>\n')))
    return f"{head}<{root}{namespace}>{draw(st.sampled_from(('', chr(10)))).join(parts)}</{root}>".encode()


@given(body=pages({"Contents": "Contents"}, "ListBucketResult"))
@settings(deadline=None, max_examples=60)
def test_page_of_objects_is_what_the_sdk_reads(body: bytes) -> None:
    slow, fast = listed("list_objects_v2", body)
    assert fast == slow
    assert b"LastModified" not in fast_s3().parsed[-1]


@given(body=pages({"Version": "Versions", "DeleteMarker": "DeleteMarkers"}, "ListVersionsResult"))
@settings(deadline=None, max_examples=60)
def test_page_of_versions_is_what_the_sdk_reads(body: bytes) -> None:
    slow, fast = listed("list_object_versions", body)
    assert fast == slow
    assert b"LastModified" not in fast_s3().parsed[-1]


@given(code=st.integers(0, 0x10FFFF).filter(lambda code: not 0xD800 <= code <= 0xDFFF))
@example(code=0)
@example(code=0x25)
@example(code=0x2B)
@settings(deadline=None, max_examples=60)
def test_key_of_any_one_character_comes_as_it_is_stored(code: int) -> None:
    key = f"a{chr(code)}b"
    body = page_of(contents(Key=quote_plus(key)))
    slow, fast = listed("list_objects_v2", body)
    assert [one["Key"] for one in fast["Contents"]] == [key] == [one["Key"] for one in slow["Contents"]]


def contents(**values: str) -> str:
    shown = {"Key": "a.pdf", "LastModified": "2026-01-01T00:00:00.000Z", "ETag": "1", "Size": "7", **values}
    return f"<Contents>{''.join(f'<{name}>{value}</{name}>' for name, value in shown.items() if value)}</Contents>"


def page_of(*entries: str, before: str = "", name: str = "ListBucketResult") -> bytes:
    return (
        f'{before}<{name} xmlns="{NAMESPACE}"><EncodingType>url</EncodingType>{"".join(entries)}</{name}>'
    ).encode()  # fmt: skip


UNEXPECTED = {
    "a key twice": page_of(contents(), contents().replace("</Key>", "</Key><Key>b.pdf</Key>")),
    "a key in place of another": page_of(contents(Key=""), contents().replace("</Key>", "</Key><Key>b.pdf</Key>")),
    "an entry without ETag": page_of(contents(ETag=""), contents()),
    "an empty ETag": page_of(contents().replace("<ETag>1</ETag>", "<ETag/>")),
    "an entry without anything": page_of("<Contents/>", contents()),
    "another form of time": page_of(contents(LastModified="Thu, 01 Jan 2026 00:00:00 GMT")),
    "a time in seconds": page_of(contents(LastModified="1767225600")),
    "a time without a zone": page_of(contents(LastModified="2026-01-01T00:00:00")),
    "a time in another zone": page_of(contents(LastModified="2026-01-01T00:00:00+02:00")),
    "a time with nanoseconds": page_of(contents(LastModified="2026-01-01T00:00:00.123456789Z")),
    "entries of two namespaces": page_of(contents(), contents().replace("<Contents>", '<Contents xmlns="other">')),
    "an entry within another element": page_of(contents(), f"<CommonPrefixes>{contents()}</CommonPrefixes>"),
    "a document type": page_of(contents(), before='<!DOCTYPE x [<!ENTITY e "b.pdf">]>'),
}


def outcome(client: Answers, operation: str, body: bytes, **request: Any) -> Any:
    """What the call answers, or the type of its error and how often it was tried."""
    try:
        return narrowed(client.ask(operation, body, **request))
    except Exception as error:
        return type(error), client.asked


@pytest.mark.parametrize("body", UNEXPECTED.values(), ids=UNEXPECTED.keys())
def test_page_with_anything_unexpected_is_left_to_the_sdk(body: bytes) -> None:
    fast = outcome(fast_s3(), "list_objects_v2", body, Bucket="b")
    assert fast_s3().left_to_the_sdk
    assert fast == outcome(s3(), "list_objects_v2", body, Bucket="b")


@pytest.mark.parametrize("body", [b"<ListBucketResult><Contents><Key>a", b"no XML", page_of(contents(Key="a\x01b"))])
def test_body_that_is_no_xml_is_retried_and_ends_the_call_as_with_the_sdk(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    assert outcome(fast_s3(), "list_objects_v2", body, Bucket="b") == (ClientError, 3)
    assert outcome(s3(), "list_objects_v2", body, Bucket="b") == (ClientError, 3)


@pytest.mark.parametrize("body", [b"", b"<ListBucketResult><Prefix>\xff</Prefix></ListBucketResult>"])
def test_body_that_has_nothing_to_take_gives_what_the_sdk_makes_of_it(body: bytes) -> None:
    assert outcome(fast_s3(), "list_objects_v2", body, Bucket="b") == outcome(s3(), "list_objects_v2", body, Bucket="b")


ERROR = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@pytest.mark.parametrize("operation", ["list_objects_v2", "list_object_versions"])
def test_error_is_retried_and_raised_as_with_the_sdk(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    root = "ListBucketResult" if operation == "list_objects_v2" else "ListVersionsResult"
    for status, body in ((503, ERROR), (200, ERROR), (403, ERROR.replace(b"SlowDown", b"AccessDenied"))):
        raised = []
        for client in (s3(), fast_s3()):
            with pytest.raises(ClientError) as error:
                client.ask(operation, (status, body), Bucket="b", ExpectedBucketOwner="123456789012")
            raised.append((error.value.response["Error"], str(error.value), client.asked))
        assert raised[0] == raised[1]
        assert raised[0][2] == (1 if status == 403 else 3)
        if status != 403:
            found = fast_s3().ask(operation, (status, body), (200, page_of(contents(), name=root)), Bucket="b")
            assert fast_s3().asked == 2
            assert found["ResponseMetadata"]["RetryAttempts"] == 1


plain_values = (
    st.builds(lambda text: {"S": text}, any_text)
    | st.builds(lambda number: {"N": str(number)}, st.integers())
    | st.builds(lambda texts: {"SS": texts}, st.lists(any_text, min_size=1, max_size=3))
    | st.builds(lambda flag: {"BOOL": flag}, st.booleans())
    | st.just({"NULL": True})
    | st.builds(lambda data: {"B": base64.b64encode(data).decode()}, st.binary())
    | st.builds(lambda several: {"BS": [base64.b64encode(one).decode() for one in several]}, st.lists(st.binary()))
)
values: st.SearchStrategy[Any] = st.recursive(
    plain_values,
    lambda inner: (
        st.builds(lambda several: {"L": several}, st.lists(inner, max_size=3))
        | st.builds(lambda several: {"M": several}, st.dictionaries(any_text, inner, max_size=3))
    ),
    max_leaves=6,
)


def scanned(answer: Any, *, ascii_only: bool = True) -> tuple[Any, Any]:
    body = json.dumps(answer, ensure_ascii=ascii_only).encode()
    return dynamodb().ask("scan", body, TableName="t"), fast_dynamodb().ask("scan", body, TableName="t")


@given(
    items=st.lists(st.dictionaries(any_text, values, max_size=3), max_size=4),
    last=st.none() | values,
    flag=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_page_of_a_scan_is_what_the_sdk_reads(items: list[Any], last: Any, flag: bool) -> None:
    more = {"LastEvaluatedKey": {"id": last}} if last else {}
    capacity = {"TableName": "t", "CapacityUnits": 0.5}
    answer = {"Items": items, "Count": len(items), "ScannedCount": 9, "ConsumedCapacity": capacity, **more}
    slow, fast = scanned(answer, ascii_only=flag)
    assert fast == slow
    assert b"Items" not in fast_dynamodb().parsed[-1]


@pytest.mark.parametrize(
    "items",
    [
        None, {}, [None], [{"a": None}], [{"a": {}}], [{"a": {"S": None}}], [{"a": {"S": "x", "N": "1"}}],
        [{"a": {"NEW": "x"}}], [{"a": {"B": 7}}], [{"a": {"M": []}}], [{"a": {"L": [{"S": "x", "N": "1"}]}}], [7],
    ],
)  # fmt: skip
def test_page_of_a_scan_with_anything_unexpected_is_left_to_the_sdk(items: Any) -> None:
    body = json.dumps({"Items": items, "Count": 1}).encode()
    fast = outcome(fast_dynamodb(), "scan", body, TableName="t")
    assert fast_dynamodb().left_to_the_sdk
    assert fast == outcome(dynamodb(), "scan", body, TableName="t")


@pytest.mark.parametrize("operation", ["list_objects_v2", "list_object_versions"])
def test_handlers_of_the_sdk_get_a_page_without_its_entries(operation: str) -> None:
    own, sizes = Answers("s3", fast=True), list[int]()
    own.client.meta.events.register_first(
        "before-parse.s3.*", lambda response_dict, **_: sizes.append(len(response_dict["body"]))
    )
    entry = contents() if operation == "list_objects_v2" else contents(VersionId="null", IsLatest="true")
    body = page_of(entry.replace("Contents", "Contents" if operation == "list_objects_v2" else "Version") * 1000)
    answer = own.ask(operation, body, Bucket="b")
    assert len(answer["Contents" if operation == "list_objects_v2" else "Versions"]) == 1000
    assert sizes[0] < 1000 < len(body)


def test_clients_of_a_sweep_read_pages_fast() -> None:
    from humangov.aws.data_plane import connect

    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b")
    clients = connect(region="us-east-1", session=session)
    for client, event in (
        (clients.patient_s3, "before-parse.*.ListObjectsV2"),
        (clients.patient_s3, "before-parse.*.ListObjectVersions"),
        (clients.patient_dynamodb, "before-parse.dynamodb.Scan"),
    ):
        handlers = client.meta.events._emitter._handlers.prefix_search(event)
        assert any("fast_pages" in getattr(getattr(one, "func", one), "__module__", "") for one in handlers), event
