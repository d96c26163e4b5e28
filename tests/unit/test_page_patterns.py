"""Pages in AWS's form, taken apart by one pattern: they hold what lxml reads; the least other form is none."""

from __future__ import annotations

from typing import Any

import pytest
from humangov.aws import fast_pages
from humangov.aws.page_patterns import take_apart
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

KEY = "<Key>a%20b%C3%A9.pdf</Key>"
MODIFIED = "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
ETAG = "<ETag>&quot;9a0364b9e99bb480dd25e1f0284c8555-12&quot;</ETag>"
CHECKSUM = "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
OBJECT = f"{MODIFIED}{ETAG}{CHECKSUM}<Size>7</Size>"
OWNER, CLASS = "<Owner><ID>75aa</ID></Owner>", "<StorageClass>STANDARD</StorageClass>"
VERSION = "<VersionId>3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY</VersionId><IsLatest>true</IsLatest>"

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
OBJECTS = (
    f"{HEAD}<ListBucketResult{NAMESPACE}><Name>files</Name><Prefix/><KeyCount>2</KeyCount>"
    "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
    f"<Contents>{KEY}{OBJECT}{CLASS}</Contents><Contents><Key>b</Key>{OBJECT}</Contents><More>x</More>"
    "</ListBucketResult>"
)
VERSIONS = (
    f"{HEAD}<ListVersionsResult{NAMESPACE}><Name>files</Name><KeyMarker/><IsTruncated>true</IsTruncated>"
    f"<NextKeyMarker>b</NextKeyMarker><Version>{KEY}{VERSION}{OBJECT}{OWNER}{CLASS}</Version>"
    f"<DeleteMarker>{KEY}{VERSION}{MODIFIED}{OWNER}</DeleteMarker>"
    f"<Version>{KEY}{VERSION.replace('true', 'false')}{OBJECT}{CLASS}{OWNER}</Version></ListVersionsResult>"
)
PAGES = {"ListObjectsV2": OBJECTS, "ListObjectVersions": VERSIONS}
PIECES = (
    "", "<", ">", "&", "/", '"', "&quot;", "&amp;", "&#13;", "\r", "\n", " ", "é", "\x00", "<!-- -->", "<!--", "-->",
    "<![CDATA[", "]]>", "<?x?>", "<!DOCTYPE x>", "<Contents>", "</Contents>", "<Version>", "</Version>", KEY, ETAG,
    "<Key>c</Key>", "<Other><Contents>", "</Contents></Other>", CLASS, OWNER, "<Prefix>", "<Size>8</Size>", "٧", "T",
    "<x:Contents>", ' xmlns="other"', "true", "-", "Z",
)  # fmt: skip


def parts(operation: str, page: str) -> tuple[Any, Any] | None:
    """What the pattern takes out of a page, and the rest as XML; None: it leaves the page to others."""
    found = fast_pages._split_usual(page.encode(), fast_pages._KINDS[operation])
    return None if found is None else (found[1], etree.tostring(etree.fromstring(found[0]), method="c14n"))


def parts_by_lxml(operation: str, page: str) -> tuple[Any, Any]:
    rest, entries = fast_pages._split_xml(page.encode(), fast_pages._KINDS[operation])
    return entries, etree.tostring(etree.fromstring(rest), method="c14n")


@pytest.mark.parametrize("operation", PAGES)
def test_page_in_awss_form_is_taken_apart_by_the_pattern_as_by_lxml(operation: str) -> None:
    found = parts(operation, PAGES[operation])
    assert found is not None
    assert found[0] == parts_by_lxml(operation, PAGES[operation])[0]
    assert sum(map(len, found[0].values())) == (2 if operation == "ListObjectsV2" else 3)


@pytest.mark.parametrize("operation", PAGES)
@given(data=st.data())
@settings(deadline=None, max_examples=300)
def test_changed_page_is_left_to_others_or_means_the_same_to_lxml(operation: str, data: st.DataObject) -> None:
    page = PAGES[operation]
    for _ in range(data.draw(st.integers(1, 2))):
        edges = [place for place, letter in enumerate(page) if letter in "<>"]
        place = data.draw(st.sampled_from(edges) | st.integers(0, len(page)))
        length = data.draw(st.sampled_from((0, 0, 1, 2, 20)))
        page = page[:place] + data.draw(st.sampled_from(PIECES)) + page[place + length :]
    found = parts(operation, page)
    assert found is None or found[0] == parts_by_lxml(operation, page)[0]


@given(text=st.text(min_size=1, max_size=6))
@example(text="&amp;")
@example(text="&quot;")
@example(text="\r\n")
@example(text="]]>")
@settings(deadline=None, max_examples=200)
def test_key_that_the_pattern_takes_is_the_one_that_lxml_reads(text: str) -> None:
    page = OBJECTS.replace("<Key>b</Key>", f"<Key>{text}</Key>")
    found = parts("ListObjectsV2", page) if text.isprintable() or text.isascii() else None
    assert found is None or found[0] == parts_by_lxml("ListObjectsV2", page)[0]


@pytest.mark.parametrize(
    "page",
    [
        OBJECTS.replace("</Contents><Contents>", "</Contents> <Contents>"),
        OBJECTS.replace("</Contents><Contents>", "</Contents><!-- --><Contents>"),
        OBJECTS.replace("<Contents>", "<Group><Contents>").replace("</Contents>", "</Contents></Group>"),
        OBJECTS.replace("</ListBucketResult>", "</ListVersionsResult>"),
        OBJECTS.replace("</ListBucketResult>", ""),
        OBJECTS.replace("<Key>b</Key>", ""),
        OBJECTS.replace("<Key>b</Key>", "<Key>b</Key><Key>c</Key>"),
        OBJECTS.replace("UTF-8", "UTF-16"),
        HEAD + OBJECTS,
        f"{HEAD}<ListBucketResult{NAMESPACE}><IsTruncated>false</IsTruncated></ListBucketResult>",
        "",
    ],
)  # fmt: skip
def test_page_in_another_form_is_not_taken_apart(page: str) -> None:
    assert page not in PAGES.values()
    assert take_apart(page.encode(), fast_pages._fields(fast_pages._KINDS["ListObjectsV2"])) is None
