"""Listing and erasing versions, in a bucket as S3 describes it: enabled, suspended, locked.

The bucket answers at once and always with the truth; S3 in a real process: tests/lambda/test_versions.py.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/DeletingObjectsfromVersioningSuspendedBuckets.html
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from humangov.cleanup.batch import run
from humangov.cleanup.calls import Calls, Line
from humangov.cleanup.environment import FunctionSettings
from humangov.cleanup.erase import erase_versions
from humangov.cleanup.outcomes import FileResult, failed
from humangov.cleanup.receipt_lines import parse, spell
from humangov.cleanup.versions import ListingError, Version, hold, list_versions, version_pages
from hypothesis import given
from hypothesis import strategies as st

from testing.lambda_runtime.stream_events import batch, employee, failures, remove

SETTINGS = FunctionSettings(tenant="t", table="california", bucket="b", account_id="123456789012")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Bucket:
    """S3 with versions: key → versions, the newest first. table: live records by ID."""

    status: str = "Enabled"
    page: int = 1000
    keys: dict[str, list[Version]] = field(default_factory=dict)
    held: dict[tuple[str, str], datetime | str] = field(default_factory=dict)
    table: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    deletions: list[list[tuple[str, str | None]]] = field(default_factory=list)
    listings: int = 0
    log: list[Line] = field(default_factory=list)
    before_delete: Callable[[], None] = lambda: None
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def put(self, key: str, *, age_seconds: float = 3600, is_marker: bool = False) -> str:
        name = f"v{next(self._numbers)}" if self.status == "Enabled" else "null"
        left = [one for one in self.keys.get(key, []) if one.version_id != name]
        self.keys[key] = [Version(name, NOW - timedelta(seconds=age_seconds), is_marker), *left]
        return name

    def list_object_versions(self, **request: Any) -> Mapping[str, Any]:
        self.listings += 1
        every = [
            (key, one)
            for key in sorted(self.keys, key=str.encode)
            if key.startswith(request["Prefix"])
            for one in self.keys[key]
        ]
        names = [(key, one.version_id) for key, one in every]
        after = (request.get("KeyMarker"), request.get("VersionIdMarker"))
        past = [place for place, (key, _) in enumerate(every) if key.encode() > request.get("KeyMarker", "").encode()]
        start = names.index(after) + 1 if after in names else next(iter(past), len(every))
        shown = every[start : start + min(self.page, request["MaxKeys"])]
        answer: dict[str, Any] = {"IsTruncated": start + len(shown) < len(every)}
        if answer["IsTruncated"]:
            answer |= {"NextKeyMarker": shown[-1][0], "NextVersionIdMarker": shown[-1][1].version_id}
        for name, is_marker in (("Versions", False), ("DeleteMarkers", True)):
            answer[name] = [
                {"Key": key, "VersionId": one.version_id, "LastModified": one.modified}
                for key, one in shown
                if one.is_marker is is_marker
            ]
        return answer

    def delete_objects(self, **request: Any) -> Mapping[str, Any]:
        self.before_delete()
        objects = request["Delete"]["Objects"]
        assert len(objects) <= 1000
        self.deletions.append([(one["Key"], one.get("VersionId")) for one in objects])
        answer: dict[str, list[Any]] = {"Deleted": [], "Errors": []}
        for one in objects:
            key, version = one["Key"], one.get("VersionId")
            if version is None:
                marker = self.put(key, age_seconds=-60, is_marker=True)
                answer["Deleted"].append({"Key": key, "DeleteMarker": True, "DeleteMarkerVersionId": marker})
            elif (key, version) in self.held:
                answer["Errors"].append({**one, "Code": "AccessDenied", "Message": "Access Denied"})
            else:
                self.keys[key] = [kept for kept in self.keys.get(key, []) if kept.version_id != version]
                answer["Deleted"].append(one)
        return answer

    def delete_object(self, **request: Any) -> Mapping[str, Any]:
        version = {"VersionId": request["VersionId"]} if "VersionId" in request else {}
        answer = self.delete_objects(Delete={"Objects": [{"Key": request["Key"], **version}]})
        (deleted,) = answer["Deleted"]
        return {"DeleteMarker": "DeleteMarker" in deleted, "VersionId": deleted.get("DeleteMarkerVersionId")}

    def get_object_retention(self, **request: Any) -> Mapping[str, Any]:
        until = self.held.get((request["Key"], request["VersionId"]))
        if not isinstance(until, datetime):
            raise ClientError({"Error": {"Code": "NoSuchObjectLockConfiguration"}}, "GetObjectRetention")
        return {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": until}}

    def get_object_legal_hold(self, **request: Any) -> Mapping[str, Any]:
        status = self.held.get((request["Key"], request["VersionId"]))
        if not isinstance(status, str):
            raise ClientError({"Error": {"Code": "NoSuchObjectLockConfiguration"}}, "GetObjectLegalHold")
        return {"LegalHold": {"Status": status}}

    def batch_get_item(self, **request: Any) -> Mapping[str, Any]:
        asked = [one["id"]["S"] for one in request["RequestItems"]["california"]["Keys"]]
        return {"Responses": {"california": [self.table[one] for one in asked if one in self.table]}}

    def query(self, **request: Any) -> Mapping[str, Any]:
        raise AssertionError("the table has no index")

    def calls(self, *, known: bool = False) -> Calls:
        return Calls(
            dynamodb=self,
            s3=self,
            bucket_owner="123456789012",
            out_of_time=lambda: False,
            pause=lambda _: None,
            now=NOW.timestamp,
            write=self.log.extend,
            store=self.log.extend,
            keeps_versions=lambda: known,
        )

    def left(self, key: str) -> list[str]:
        return [one.version_id for one in self.keys.get(key, [])]

    def erase(self, *keys: str) -> dict[str, FileResult]:
        seen = {key: list_versions(self.calls(), bucket="b", key=key) for key in keys}
        return erase_versions(self.calls(), bucket="b", seen=seen)

    def remove(self, *keys: str, known: bool) -> Any:
        records = [remove(employee(key, key)) for key in keys]
        for record in records:
            record["dynamodb"]["ApproximateCreationDateTime"] = NOW.timestamp() - 60
        return run(batch(*records), settings=SETTINGS, calls=self.calls(known=known)).answer

    @property
    def outcomes(self) -> dict[str, str]:
        return {str(line["key"]): str(line["outcome"]) for line in self.log if line.get("receipt") == "outcome"}


def result(text: str, versions: int, *, left: int) -> FileResult:
    outcome = parse(text)
    assert outcome is not None
    assert spell(outcome) == text
    return FileResult(outcome, versions, left)


@given(
    st.dictionaries(st.sampled_from(["a", "a.", "a.pdf", "a.pdf.bak", "a.pdf0"]), st.integers(1, 25)),
    st.integers(1, 12),
)
def test_version_listing_returns_exactly_the_versions_of_the_key_across_pages(keys: dict[str, int], page: int) -> None:
    bucket = Bucket(page=page)
    for key, number in keys.items():
        for one in range(number):
            bucket.put(key, is_marker=one % 3 == 2)

    found = list_versions(bucket.calls(), bucket="b", key="a.pdf")

    assert {one.version_id for one in found} == set(bucket.left("a.pdf"))
    assert len(found) == keys.get("a.pdf", 0)


def test_truncated_version_listing_without_next_marker_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket()
    monkeypatch.setattr(bucket, "list_object_versions", lambda **_: {"IsTruncated": True})

    with pytest.raises(ListingError, match="NextKeyMarker is missing"):
        list_versions(bucket.calls(), bucket="b", key="a")


def test_version_listing_with_an_unchanged_marker_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket()
    monkeypatch.setattr(bucket, "list_object_versions", lambda **_: {"IsTruncated": True, "NextKeyMarker": "a"})

    with pytest.raises(ListingError, match="NextKeyMarker is unchanged"):
        list_versions(bucket.calls(), bucket="b", key="a")


def _of_a_gateway(names: list[tuple[str, str]], *, size: int) -> Callable[..., Mapping[str, Any]]:
    """ListObjectVersions of a gateway that starts at a key marker, not after it, and loses its place in folders where
    a version marker is given: it passes over the next two keys."""

    def list_page(**request: Any) -> Mapping[str, Any]:
        marker, version = request.get("KeyMarker", ""), request.get("VersionIdMarker")
        left = [one for one in names if one[0] >= marker]
        if version:
            left = [one for one in left if one == (marker, version)] + [one for one in left if one[0] > marker][2:]
        page = left[:size]
        versions = [{"Key": key, "VersionId": name, "LastModified": NOW, "Size": 1} for key, name in page]
        more = {"NextKeyMarker": page[-1][0], "NextVersionIdMarker": page[-1][1]} if len(left) > size else {}
        return {"Versions": versions, "IsTruncated": bool(more), **more}

    return list_page


@pytest.mark.parametrize("size", range(7, 13))
def test_version_listing_is_whole_and_repeats_nothing_where_a_store_loses_its_place_after_a_version_marker(
    size: int,
) -> None:
    names = [(f"{number:02}.pdf", f"v{one}") for number in range(30) for one in range(1 + number % 3)]
    pages = version_pages(_of_a_gateway(names, size=size), {"Bucket": "b", "Prefix": ""})
    assert [(one.key, one.version.version_id) for page, _ in pages for one in page] == names


def test_version_listing_that_repeats_a_page_is_an_error() -> None:
    names = [("a.pdf", "v1"), ("a.pdf", "v2"), ("b.pdf", "v1"), ("c.pdf", "v1")]
    with pytest.raises(ListingError, match=r"nothing new|unchanged"):
        list(version_pages(_of_a_gateway(names, size=3), {"Bucket": "b", "Prefix": ""}))


def test_versions_of_many_keys_are_erased_1000_a_call() -> None:
    bucket = Bucket()
    keys = [f"{one:03}" for one in range(300)]
    for key in keys * 5:
        bucket.put(key)

    outcomes = bucket.erase(*keys)

    assert outcomes == dict.fromkeys(keys, result("erased", 5, left=0))
    assert [len(one) for one in bucket.deletions] == [1000, 500]


def test_version_written_since_the_listing_stays_and_the_result_counts_it_as_left() -> None:
    bucket = Bucket()
    bucket.put("a", age_seconds=30)
    bucket.before_delete = lambda: bucket.keys["a"] and bucket.put("a", age_seconds=0)  # type: ignore[assignment]

    assert bucket.erase("a") == {"a": result("erased", 1, left=1)}


def test_a_version_that_appears_later_and_is_older_than_what_was_erased_is_a_failure() -> None:
    """A multipart upload that began before and ended after the listing: S3 dates it by its start."""
    bucket = Bucket()
    bucket.put("a", age_seconds=30)
    bucket.before_delete = lambda: bucket.put("a", age_seconds=60)  # type: ignore[assignment]

    assert bucket.erase("a") == {"a": result("failed: StillThere", 1, left=1)}


def test_if_s3_does_not_say_what_is_left_the_result_is_a_failure() -> None:
    bucket = Bucket()
    bucket.put("a")
    seen = list_versions(bucket.calls(), bucket="b", key="a")

    def denied(**_: Any) -> Mapping[str, Any]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListObjectVersions")

    bucket.list_object_versions = denied  # type: ignore[method-assign]

    assert erase_versions(bucket.calls(), bucket="b", seen={"a": seen}) == {"a": FileResult(failed("AccessDenied"), 1)}


def test_oldest_version_is_erased_first_and_delete_markers_last() -> None:
    """Cut off anywhere, the erasure unveils no older version."""
    bucket = Bucket()
    bucket.put("a", age_seconds=30)
    bucket.put("a", age_seconds=20)
    bucket.put("a", age_seconds=10, is_marker=True)

    bucket.erase("a")

    assert bucket.deletions == [[("a", "v1"), ("a", "v2")], [("a", "v3")]]


UNTIL = datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("locks", "outcome"),
    [
        pytest.param([UNTIL], result("retained until 2027-01-01T00:00:00.000Z", 1, left=1), id="a date"),
        pytest.param(
            [UNTIL, UNTIL + timedelta(days=1)],
            result("retained until 2027-01-02T00:00:00.000Z", 0, left=2),
            id="the later",
        ),
        pytest.param(["ON"], result("retained: legal hold", 1, left=1), id="a hold"),
        pytest.param([UNTIL, "ON"], result("retained: legal hold", 0, left=2), id="a hold outlasts a date"),
        pytest.param([NOW], result("failed: AccessDenied", 1, left=1), id="a date that is over"),
        pytest.param(["OFF"], result("failed: AccessDenied", 1, left=1), id="no lock: a permission is missing"),
        pytest.param([UNTIL, "OFF"], result("failed: AccessDenied", 0, left=2), id="what a retry may cure decides"),
    ],
)
def test_retained_version_is_reported_with_its_reason(locks: list[datetime | str], outcome: FileResult) -> None:
    bucket = Bucket()
    names = [bucket.put("a"), bucket.put("a")]
    bucket.held = {("a", name): lock for name, lock in zip(names, locks, strict=False)}

    assert bucket.erase("a") == {"a": outcome}


def test_delete_marker_stays_on_a_retained_version() -> None:
    bucket = Bucket()
    name = bucket.put("a")
    bucket.put("a", is_marker=True)
    bucket.held = {("a", name): UNTIL}

    bucket.erase("a")

    assert bucket.left("a") == ["v2", "v1"]


def test_unreadable_object_lock_is_a_failure() -> None:
    bucket = Bucket()

    def denied(**_: Any) -> Mapping[str, Any]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObjectRetention")

    bucket.get_object_retention = denied  # type: ignore[method-assign]

    assert hold(bucket.calls(), bucket="b", key="a", version_id="1") == parse("failed: AccessDenied")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_no_version_of_an_erased_file_remains_whatever_the_versioning_status(status: str, known: bool) -> None:
    bucket = Bucket()
    for key in ("a", "a", "a.bak", "b", "b\x07"):
        bucket.put(key)
    bucket.status = status
    bucket.put("a")

    assert bucket.remove("a", "b", "b\x07", known=known) == failures()

    assert {key for key in bucket.keys if bucket.left(key)} == {"a.bak"}
    assert bucket.outcomes == dict.fromkeys(["a", "b", "b\x07"], "erased")


def test_file_written_during_erasure_is_not_hidden_by_a_delete_marker() -> None:
    """Between the live read and the erasure: a marker goes on the new file. Without taking it away, it stays hidden."""
    bucket = Bucket()
    bucket.put("a")

    def write_again() -> None:
        bucket.before_delete = lambda: None
        bucket.put("a", age_seconds=0)
        bucket.table["a"] = employee("a", "a")

    bucket.before_delete = write_again

    assert bucket.remove("a", known=False) == failures()

    assert bucket.outcomes == {"a": "kept: newer"}
    assert [one.is_marker for one in bucket.keys["a"]] == [False, False]


def test_file_whose_null_version_a_marker_replaced_is_not_reported_as_kept() -> None:
    """Versioning is suspended, which could not be read. The record is written again while S3 replaces the data."""
    bucket = Bucket()
    bucket.put("a")
    bucket.status = "Suspended"
    bucket.put("a")

    def write_again() -> None:
        bucket.before_delete = lambda: None
        bucket.table["a"] = employee("a", "a")

    bucket.before_delete = write_again

    assert bucket.remove("a", known=False) != failures()

    assert bucket.outcomes == {"a": "failed: NullVersionReplaced"}


def test_file_that_a_null_marker_replaced_is_erased_even_if_another_invocation_removed_the_marker() -> None:
    bucket = Bucket()
    bucket.status = "Suspended"
    bucket.put("a")
    listed = bucket.list_object_versions

    def removed(**asked: Any) -> Any:
        bucket.keys.pop("a", None)
        return listed(**asked)

    bucket.list_object_versions = removed  # type: ignore[method-assign]

    assert bucket.remove("a", known=False) == failures()

    assert bucket.outcomes == {"a": "erased"}


def test_version_written_after_the_listing_is_never_erased() -> None:
    bucket = Bucket()
    bucket.put("a")

    def write_again() -> None:
        bucket.before_delete = lambda: None
        bucket.put("a", age_seconds=0)

    bucket.before_delete = write_again

    bucket.remove("a", known=True)

    assert bucket.deletions == [[("a", "v1")]]
    assert bucket.left("a") == ["v2"]
