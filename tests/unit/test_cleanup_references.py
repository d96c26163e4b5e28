"""Which file a record names: what is erased is certain, what is kept is whatever it may mean."""

from __future__ import annotations

import base64
import json
from typing import Any
from unicodedata import normalize
from urllib.parse import quote

import pytest
from humangov.cleanup.references import (
    Location,
    impossible,
    is_reserved,
    keys_to_erase,
    keys_to_keep,
    resolve,
)
from humangov.cleanup.s3_urls import Unresolved, partition_of
from hypothesis import assume, given
from hypothesis import strategies as st

MISSING = "attribute pdf is missing"
EMPTY = "attribute pdf is empty"
WRONG = "attribute pdf is not S, SS or L of S"
ODD = "attribute pdf contains a value that is not a string"

PLACE = Location("files", "", "us-east-1")
BELOW = PLACE._replace(key_prefix="ca/")


def kept(value: Any, location: Location = PLACE) -> set[str]:
    return keys_to_keep({"pdf": value}, attributes=["pdf"], location=location)


@pytest.mark.parametrize(
    ("image", "names", "problems"),
    [
        ({"pdf": {"S": "a"}}, ("a",), ()),
        ({"pdf": {"SS": ["a", "b"]}}, ("a", "b"), ()),
        ({"pdf": {"L": [{"S": "a"}, {"S": "b"}, {"S": "a"}]}}, ("a", "b"), ()),
        ({}, (), (MISSING,)),
        ({"pdf": {"S": ""}}, (), (EMPTY,)),
        ({"pdf": {"L": []}}, (), (EMPTY,)),
        ({"pdf": {"L": [{"S": "a"}, {"S": ""}]}}, ("a",), (EMPTY,)),
        ({"pdf": {"L": [{"S": "a"}, {"N": "1"}]}}, ("a",), (ODD,)),
        ({"pdf": {"L": ["a"]}}, (), (ODD,)),
        ({"pdf": {"N": "1"}}, (), (WRONG,)),
        ({"pdf": {"NULL": True}}, (), (WRONG,)),
        ({"pdf": {"B": "YQ=="}}, (), (WRONG,)),
        ({"pdf": {"M": {"S": {"S": "a"}}}}, (), (WRONG,)),
        ({"pdf": "a"}, (), (WRONG,)),
        ({"pdf": None}, (), (WRONG,)),
        ({"pdf": {"S": None}}, (), (WRONG,)),
    ],
)
def test_file_names_to_erase_are_read_strictly(
    image: dict[str, Any], names: tuple[str, ...], problems: tuple[str, ...]
) -> None:
    found = keys_to_erase(image, attributes=["pdf"], location=PLACE)

    assert (found.keys, found.spellings, found.problems, found.unresolved) == (names, names, problems, ())


def test_names_of_other_buckets_are_unresolved_beside_the_others_and_never_quoted() -> None:
    value = {"SS": ["a", "s3://other/secret", "https://files.s3.amazonaws.com/b", "ftp://files/secret"]}

    found = keys_to_erase({"pdf": value}, attributes=["pdf"], location=PLACE)

    assert found.keys == ("a", "b")
    assert found.spellings == ("a", "https://files.s3.amazonaws.com/b")
    assert found.unresolved == (
        "attribute pdf names another bucket",
        "attribute pdf is neither a key nor a URL of S3",
    )


@pytest.mark.parametrize(
    "value",
    [
        {"S": "a"},
        {"SS": ["b", "a"]},
        {"L": [{"N": "1"}, {"S": "a"}]},
        {"M": {"file": {"L": [{"S": "a"}]}}},
        {"M": {"a": {"M": {"pages": {"N": "3"}}}}},
        {"L": [{"M": {"M": {"M": {"a": {"NULL": True}}}}}]},
        {"SS": {"a"}},
        {"B": "YQ=="},
        {"B": b"a"},
        {"BS": ["Yg==", "YQ=="]},
        {"BS": [b"b", b"a"]},
        {"L": [{"B": b"a"}]},
        "a",
        ["a"],
    ],
)
def test_file_names_to_keep_are_read_generously(value: Any) -> None:
    assert "a" in kept(value)


@pytest.mark.parametrize("value", [{"S": ""}, {"SS": [""]}, {"S": " "}, {"NULL": True}, {"B": ""}, {"S": "///"}])
@pytest.mark.parametrize("location", [PLACE, BELOW])
def test_an_empty_name_means_no_file_not_even_that_of_the_key_prefix(value: Any, location: Location) -> None:
    assert not kept(value, location) & {"", "ca/"}


def test_only_file_attributes_name_files() -> None:
    image = {"pdf": {"S": "a"}, "name": {"S": "b"}}

    assert keys_to_erase(image, attributes=["pdf", "scan"], location=PLACE).keys == ("a",)
    assert keys_to_keep(image, attributes=["pdf", "scan"], location=PLACE) == {"a"}


HOSTS = [
    ("us-east-1", "s3.amazonaws.com"),
    ("us-east-1", "s3.us-east-1.amazonaws.com"),
    ("us-east-1", "s3-us-west-2.amazonaws.com"),
    ("us-east-1", "s3.dualstack.us-east-1.amazonaws.com"),
    ("us-east-1", "s3-fips.us-east-1.amazonaws.com"),
    ("us-east-1", "s3-fips.dualstack.us-east-1.amazonaws.com"),
    ("us-east-1", "s3-accelerate.amazonaws.com"),
    ("us-east-1", "s3-accelerate.dualstack.amazonaws.com"),
    ("us-east-1", "s3-external-1.amazonaws.com"),
    ("ap-southeast-2", "s3.ap-southeast-2.amazonaws.com"),
    ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
    ("us-gov-west-1", "s3-fips-us-gov-west-1.amazonaws.com"),
    ("us-gov-east-1", "s3-fips.dualstack.us-gov-east-1.amazonaws.com"),
    ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
    ("cn-north-1", "s3.dualstack.cn-northwest-1.amazonaws.com.cn"),
    ("eusc-de-east-1", "s3.eusc-de-east-1.amazonaws.eu"),
    ("us-iso-east-1", "s3.us-iso-east-1.c2s.ic.gov"),
    ("us-isob-east-1", "s3.us-isob-east-1.sc2s.sgov.gov"),
    ("eu-isoe-west-1", "s3.eu-isoe-west-1.cloud.adc-e.uk"),
    ("us-isof-south-1", "s3.us-isof-south-1.csp.hci.ic.gov"),
]


@pytest.mark.parametrize(("region", "host"), HOSTS)
@pytest.mark.parametrize("bucket", ["files", "files.of.california", "s3"])
@pytest.mark.parametrize("form", ["https://{bucket}.{host}/{key}", "https://{host}/{bucket}/{key}"])
def test_a_url_of_the_bucket_names_its_key(region: str, host: str, bucket: str, form: str) -> None:
    url = form.format(bucket=bucket, host=host, key="a%20b/%C3%A9%2B.pdf")

    assert resolve(url, location=Location(bucket, "", region)) == "a b/é+.pdf"


SIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=ab&x-id=GetObject"
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a.pdf", "a.pdf"),
        ("/a.pdf", "/a.pdf"),
        ("a%20b+c.pdf", "a%20b+c.pdf"),
        (" a.pdf ", " a.pdf "),
        ("cv: 7.pdf", "cv: 7.pdf"),
        ("c:a/b.pdf", "c:a/b.pdf"),
        ("files/a.pdf", "files/a.pdf"),
        ("my.s3/a.pdf", "my.s3/a.pdf"),
        ("s3://files/a.pdf", "a.pdf"),
        ("S3://files//a b+é.pdf", "/a b+é.pdf"),
        ("HTTPS://FILES.S3.AMAZONAWS.COM/A.pdf", "A.pdf"),
        ("http://files.s3.amazonaws.com/a.pdf", "a.pdf"),
        ("https://files.s3.amazonaws.com:443/a.pdf", "a.pdf"),
        ("https://files.s3.amazonaws.com//a.pdf", "/a.pdf"),
        ("https://files.s3.amazonaws.com/é.pdf", "é.pdf"),
        ("https://s3.amazonaws.com/files/files/a.pdf", "files/a.pdf"),
        (f"https://files.s3.us-east-1.amazonaws.com/a.pdf?{SIGNED}", "a.pdf"),
        ("https://files.s3.amazonaws.com/a.pdf?AWSAccessKeyId=A&Signature=b&Expires=1", "a.pdf"),
        ("https://files.s3.amazonaws.com/a.pdf?response-content-type=application%2Fpdf", "a.pdf"),
        ("https://files.s3.amazonaws.com/a.pdf?", "a.pdf"),
        ("https://files.s3.amazonaws.com/why%3F%23.pdf", "why?#.pdf"),
    ],
)
def test_a_name_a_uri_and_a_url_name_one_key(text: str, key: str) -> None:
    assert resolve(text, location=PLACE) == key


OTHER_URL, OTHER = "is no URL of this bucket", "names another bucket"
QUERY = "has a query that is not S3's, which may be a part of the key"
PERHAPS = "has an escape, a query or a fragment, which may be a part of the key"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s3://other/a.pdf", OTHER),
        ("s3://FILES/a.pdf", OTHER),
        ("s3://a.pdf", OTHER),
        ("s3://files", "names no key"),
        ("s3://files/", "names no key"),
        ("s3://files/a%20b.pdf", PERHAPS),
        ("s3://files/a.pdf?versionId=1", PERHAPS),
        ("s3://files/a#b.pdf", PERHAPS),
        ("https://other.s3.amazonaws.com/a.pdf", OTHER_URL),
        ("https://my.files.s3.amazonaws.com/a.pdf", OTHER_URL),
        ("https://s3.amazonaws.com/other/a.pdf", OTHER_URL),
        ("https://s3.amazonaws.com/a.pdf", OTHER_URL),
        ("https://files.example.gov/a.pdf", OTHER_URL),
        ("https://files.s3.amazonaws.com.evil.example/a.pdf", OTHER_URL),
        ("https://files.s3.evil.example/a.pdf", OTHER_URL),
        ("https://files.s3.us-gov-west-1.amazonaws.com/a.pdf", OTHER_URL),
        ("https://files.s3.cn-north-1.amazonaws.com.cn/a.pdf", OTHER_URL),
        ("https://files.s3.cn-north-1.amazonaws.com/a.pdf", OTHER_URL),
        ("https://files.s3.us-east-1.amazonaws.com.cn/a.pdf", OTHER_URL),
        ("https://files.s3-website-us-east-1.amazonaws.com/a.pdf", OTHER_URL),
        ("https://files-123456789012.s3-accesspoint.us-east-1.amazonaws.com/a.pdf", OTHER_URL),
        ("https://user@files.s3.amazonaws.com/a.pdf", OTHER_URL),
        ("https://files.s3.amazonaws.com:8080/a.pdf", OTHER_URL),
        ("https:a.pdf", OTHER_URL),
        ("https://files.s3.amazonaws.com", "names no key"),
        ("https://files.s3.amazonaws.com/", "names no key"),
        ("https://files.s3.amazonaws.com?a.pdf", "is no URL of one key"),
        ("https://files.s3.amazonaws.com/C#-cv.pdf", "is no URL of one key"),
        ("https://files.s3.amazonaws.com/a b.pdf", "is no URL of one key"),
        ("https://files.s3.amazonaws.com/a\\b.pdf", "is no URL of one key"),
        ("https://files.s3.amazonaws.com/a.pdf?versionId=1", "names one version, not the file"),
        ("https://files.s3.amazonaws.com/why?.pdf", QUERY),
        ("https://files.s3.amazonaws.com/a.pdf?v=1", QUERY),
        ("https://files.s3.amazonaws.com/a+b.pdf", "has a plus sign, which may be a blank"),
        ("https://files.s3.amazonaws.com/100%.pdf", "has an incomplete escape"),
        ("https://files.s3.amazonaws.com/a%2.pdf", "has an incomplete escape"),
        ("https://files.s3.amazonaws.com/%E9.pdf", "is not valid Unicode"),
        ("https://files.s3.amazonaws.com/a/../b.pdf", "has a relative path"),
        ("https://files.s3.amazonaws.com/a/%2e%2e/b.pdf", "has a relative path"),
        ("arn:aws:s3:::files/a.pdf", "is an ARN"),
        ("files.s3.amazonaws.com/a.pdf", "may be a URL without https://"),
        ("//FILES.S3.us-east-1.amazonaws.com/a.pdf", "may be a URL without https://"),
        ("s3.amazonaws.com/files/a.pdf", "may be a URL without https://"),
        ("s3a://files/a.pdf", "is neither a key nor a URL of S3"),
        ("file:///a.pdf", "is neither a key nor a URL of S3"),
        ("x" * 1025, "makes a key of 1025 bytes, over 1024"),
        ("s3://files/" + "x" * 1025, "makes a key of 1025 bytes, over 1024"),
        ("\ud800", "is not valid Unicode"),
        ("https://files.s3.amazonaws.com/\ud800", "is not valid Unicode"),
    ],
)
def test_reference_that_names_no_key_of_this_bucket_for_certain_is_unresolved(text: str, reason: str) -> None:
    assert resolve(text, location=PLACE) == Unresolved(reason)


@pytest.mark.parametrize("region", ["us-gov-west-1", "cn-north-1", "eusc-de-east-1", "us-iso-east-1"])
def test_a_url_without_a_region_is_of_the_partition_of_its_domain(region: str) -> None:
    location = PLACE._replace(region=region)

    assert resolve("https://files.s3.amazonaws.com/a.pdf", location=location) == Unresolved(OTHER_URL)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "mx-central-1", "il-central-1", "ap-southeast-5"])
def test_all_other_regions_are_of_one_partition(region: str) -> None:
    assert partition_of(region) == ""


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a.pdf", "ca/a.pdf"),
        ("ca/a.pdf", "ca/ca/a.pdf"),
        ("s3://files/ca/a.pdf", "ca/a.pdf"),
        ("https://files.s3.amazonaws.com/ca/a%20b.pdf", "ca/a b.pdf"),
        ("https://files.s3.amazonaws.com/ca%2Fa.pdf", "ca/a.pdf"),
        ("s3://files/nv/a.pdf", None),
        ("s3://files/ca", None),
        ("s3://files/ca/", None),
        ("https://files.s3.amazonaws.com/a.pdf", None),
    ],
)
def test_a_bare_name_is_below_the_key_prefix_and_a_url_has_the_whole_key(text: str, key: str | None) -> None:
    assert resolve(text, location=BELOW) == (key or Unresolved("names a key outside the key prefix"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("/ca/a.pdf", "ca/a.pdf"),
        ("ca/a.pdf", "ca/a.pdf"),
        ("https://cdn.example.gov/a.pdf", "ca/a.pdf"),
        ("https://cdn.example.gov/ca/a.pdf", "ca/a.pdf"),
        ("files/ca/a.pdf", "ca/a.pdf"),
        ("a.pdf", "ca/a.pdf"),
    ],
)
def test_a_name_that_may_be_the_whole_key_keeps_it(text: str, key: str) -> None:
    assert key in kept({"S": text}, BELOW)


def test_a_path_that_leads_out_of_the_key_prefix_and_back_keeps_its_file() -> None:
    location = PLACE._replace(key_prefix="a/b/")
    for text in ("../b/cv.pdf", "../../a/b/cv.pdf", "./cv.pdf", "x/../cv.pdf"):
        assert "a/b/cv.pdf" in kept({"S": text}, location), text


def test_a_key_prefix_keeps_whichever_unicode_form_a_url_has() -> None:
    location = PLACE._replace(key_prefix=normalize("NFC", "méxico/"))
    stored = location.key_prefix + normalize("NFD", "ñ.pdf")
    url = f"https://files.s3.amazonaws.com/{quote(normalize('NFD', 'méxico/ñ.pdf'))}"

    assert stored in kept({"S": url}, location)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("/a.pdf", "a.pdf"),
        ("//a.pdf", "/a.pdf"),
        ("///a.pdf", "a.pdf"),
        (" a.pdf\n", "a.pdf"),
        ("a%20b.pdf", "a b.pdf"),
        ("a%2520b.pdf", "a b.pdf"),
        ("a+b.pdf", "a b.pdf"),
        ("a+b%2Bc.pdf", "a b+c.pdf"),
        ("%2Fa.pdf", "a.pdf"),
        ("%E9.pdf", "é.pdf"),
        (normalize("NFC", "ñ.pdf"), normalize("NFD", "ñ.pdf")),
        (normalize("NFD", "ñ.pdf"), normalize("NFC", "ñ.pdf")),
        (quote(normalize("NFD", "ñ.pdf")), normalize("NFC", "ñ.pdf")),
        ("s3://files/a%20b.pdf", "a b.pdf"),
        ("s3://files/a.pdf?versionId=1", "a.pdf"),
        ("s3://files/why?.pdf", "why?.pdf"),
        ("s3a://files/a.pdf", "a.pdf"),
        ('["b.pdf", "a.pdf"]', "a.pdf"),
        (' {"file": {"key": "a.pdf"}}', "a.pdf"),
        ('"a.pdf"', "a.pdf"),
        ('{"a.pdf": {"size": 3}}', "a.pdf"),
        (json.dumps(json.dumps({"file": "a.pdf"})), "a.pdf"),
        (json.dumps({"files": json.dumps(["a.pdf"])}), "a.pdf"),
        ('{"file": "a.pdf",}', "a.pdf"),
        ('{"file": "a.pdf", "file": "b.pdf"}', "a.pdf"),
        ('[5" x, "a.pdf"]', "a.pdf"),
        ('["a.pdf', "a.pdf"),
        ('["' + '\\"' * 200_000, '"' * 200_000),
        ("[" * 5_000 + '"a.pdf"' + "]" * 5_000, "a.pdf"),
        ("https://files.s3.amazonaws.com/x/../a.pdf", "a.pdf"),
        ("https://files.s3.amazonaws.com/x/%2E%2E/a.pdf", "a.pdf"),
        ("s3://files/./a.pdf", "a.pdf"),
        ("ca/./a.pdf", "ca/a.pdf"),
        ("./a.pdf", "a.pdf"),
        ("x/y/../../a.pdf", "a.pdf"),
        ("[draft] a.pdf", "[draft] a.pdf"),
        ('["' * 100_000, '["' * 100_000),
        ("s3://renamed/a.pdf", "a.pdf"),
        ("arn:aws:s3:::files/a.pdf", "a.pdf"),
        ("files.s3.amazonaws.com/a.pdf", "a.pdf"),
        ("//files.s3.amazonaws.com/a.pdf", "a.pdf"),
        ("s3.us-east-1.amazonaws.com/files/a.pdf", "a.pdf"),
        ("files/a.pdf", "a.pdf"),
        ("https://files.example.gov/a.pdf?v=1", "a.pdf"),
        ("https://files.s3.amazonaws.com/C#-cv.pdf", "C#-cv.pdf"),
        ("https://files.s3.amazonaws.com/a.pdf#page=2", "a.pdf"),
        ("https://files.s3.amazonaws.com/a+b.pdf", "a b.pdf"),
        ("https://files.s3.amazonaws.com/a+b.pdf", "a+b.pdf"),
        ("https://files.s3.amazonaws.com/why?.pdf", "why?.pdf"),
        ("https://files.s3.amazonaws.com/a.pdf?versionId=1", "a.pdf"),
        ("https://files-1.s3-accesspoint.us-east-1.amazonaws.com/a.pdf", "a.pdf"),
    ],
)
def test_whatever_a_text_may_mean_is_kept(text: str, key: str) -> None:
    assert {text, key} <= kept({"S": text})


TEXTS = st.text(max_size=8) | st.text(st.sampled_from("ab/%+2F0?#: .é\u0301n\u0303~\\&="), max_size=8)
PREFIXES = st.sampled_from(["", "ca/", "a", "é/", "e\u0301/", "%41/"])
BUCKETS = st.sampled_from(["files", "files.ca", "s3"])
ENDPOINTS = st.sampled_from(HOSTS)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["S", "SS", "L", "M", "B"]), inner),
    max_leaves=6,
)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, Location]:
    """A text that may name a file, and where files are."""
    region, host = draw(ENDPOINTS)
    bucket, prefix, text = draw(BUCKETS), draw(PREFIXES), draw(TEXTS)
    path = draw(st.sampled_from([text, prefix + text, quote(prefix + text, errors="replace")]))
    query = draw(st.sampled_from(["", "?x-id=GetObject", "?versionId=1", "?a", "#a"]))
    form = draw(
        st.sampled_from(
            [
                "{path}", "s3://{bucket}/{path}{query}", "https://{bucket}.{host}/{path}{query}",
                "http://{host}/{bucket}/{path}{query}", "{host}/{bucket}/{path}", "x:{path}", "arn:aws:s3:::{path}",
            ]
        )
    )  # fmt: skip
    return form.format(path=path, bucket=bucket, host=host, query=query), Location(bucket, prefix, region)


@given(spellings())
def test_whatever_a_spelling_may_erase_a_live_record_with_it_keeps(spelling: tuple[str, Location]) -> None:
    text, location = spelling
    key = resolve(text, location=location)
    assume(isinstance(key, str) and text)

    assert key in kept({"S": text}, location)
    assert str(key).startswith(location.key_prefix)


@given(spellings())
def test_the_quick_reading_of_a_plain_text_finds_what_the_thorough_one_does(spelling: tuple[str, Location]) -> None:
    text, location = spelling

    assert kept({"S": text}, location) == kept({"L": [{"S": text}]}, location)


@given(JSON, PREFIXES)
def test_any_erasable_file_name_is_kept_when_a_live_record_names_it(value: Any, prefix: str) -> None:
    location = PLACE._replace(key_prefix=prefix)
    found = keys_to_erase({"pdf": value}, attributes=["pdf"], location=location)

    assert set(found.keys) <= kept(value, location)


KEYS = TEXTS.filter(lambda text: text.strip(" \t\r\n/") and text.isprintable() and not impossible(text))


@given(key=KEYS, prefix=PREFIXES, endpoint=ENDPOINTS, bucket=BUCKETS)
def test_every_form_of_a_key_keeps_it(key: str, prefix: str, endpoint: tuple[str, str], bucket: str) -> None:
    region, host = endpoint
    location, whole = Location(bucket, prefix, region), prefix + key
    data = whole.encode()
    forms: list[Any] = [
        {"S": key}, {"S": whole}, {"S": quote(key)}, {"S": quote(whole)}, {"S": quote(key).replace("%20", "+")},
        {"S": quote(quote(key))}, {"S": f"/{key}"}, {"S": f"/{whole}"},
        {"S": f"s3://{bucket}/{whole}"}, {"S": f"s3://{bucket}/{quote(whole)}"},
        {"S": f"arn:aws:s3:::{bucket}/{whole}"},
        {"S": f"https://{bucket}.{host}/{quote(whole)}"}, {"S": f"https://{host}/{bucket}/{quote(whole)}?versionId=7"},
        {"S": f"https://{bucket}.{host}/{quote(whole)}?{SIGNED}"}, {"S": f"{bucket}.{host}/{quote(whole)}"},
        {"SS": ["x", whole]}, {"L": [{"M": {"x": {"L": [{"S": key}]}}}]}, {"M": {key: {"N": "1"}}},
        {"B": data}, {"B": base64.b64encode(data).decode()}, {"BS": [b"x", data]},
    ]  # fmt: skip
    if whole == whole.strip(" \t\r\n"):
        forms.append({"S": f" {whole}\n"})
    if key == normalize("NFC", key):
        forms.append({"S": normalize("NFD", key)})
    if key == normalize("NFD", key):
        forms.append({"S": normalize("NFC", key)})

    for form in forms:
        assert whole in kept(form, location), form


@given(st.text(), PREFIXES)
def test_a_bare_key_is_prefix_and_name_byte_for_byte(name: str, prefix: str) -> None:
    assume(":" not in name and not impossible(prefix + name))

    assert resolve(name, location=PLACE._replace(key_prefix=prefix)) == prefix + name


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("a", None),
        ("x" * 1024, None),
        ("é" * 512, None),
        ("x" * 1025, "makes a key of 1025 bytes, over 1024"),
        ("é" * 513, "makes a key of 1026 bytes, over 1024"),
        ("\ud800", "is not valid Unicode"),
    ],
)
def test_impossible_s3_key_is_reported_with_its_reason(key: str, reason: str | None) -> None:
    assert impossible(key) == reason


@pytest.mark.parametrize(
    ("key", "prefix", "reserved"),
    [
        (".humangov/owner.json", "", True),
        ("aws/lambda/x", "", True),
        ("aws/lambda/", "", True),
        ("aws/lambda", "", False),
        ("aws/lambda.pdf", "", False),
        ("/aws/lambda/x", "", False),
        (".humangov.pdf", "", False),
        ("ca/.humangov/owner.json", "ca/", True),
        ("ca/aws/lambda/x", "ca/", True),
        (".humangov/owner.json", "ca/", True),
        ("aws/lambda/x", "aws/", True),
        ("nv/.humangov/owner.json", "ca/", False),
    ],
)
def test_keys_of_the_operator_and_lambda_are_reserved(key: str, prefix: str, reserved: bool) -> None:
    assert is_reserved(key, key_prefix=prefix) is reserved
