"""How old a look at a file may be when S3 is told to erase it: every call takes time on one clock. Runs on nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from humangov.cleanup.batch import run
from humangov.cleanup.calls import RETRY_WITHIN_SECONDS, Calls, Line
from humangov.cleanup.environment import FunctionSettings
from humangov.cleanup.outcomes import BatchResult

from testing.lambda_runtime.stream_events import batch, employee, remove

CALL_SECONDS, DELETE_SECONDS, LISTINGS_AT_ONCE = 0.035, 0.3, 16
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class SlowAws:
    """A table without records, and files as old as can be. asking_seconds: what it takes to ask whether to stop."""

    versions: int = 1
    keeps_versions: bool = False
    file_names: str = "Unique"
    asking_seconds: float = 0.0
    storing_seconds: float = 0.05
    now: float = 1_800_000_000.0
    asked_at: float = 1_800_000_000.0
    read_at: dict[str, float] = field(default_factory=dict)
    listed_at: dict[str, float] = field(default_factory=dict)
    erased: dict[str, tuple[float, float]] = field(default_factory=dict)
    names_again: Mapping[str, float] = field(default_factory=dict)
    receipts: list[Line] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def batch_get_item(self, **request: Any) -> Any:
        ids = [one["id"]["S"] for one in request["RequestItems"]["california"]["Keys"]]
        self.calls["BatchGetItem"] += 1
        self.read_at |= dict.fromkeys(ids, self.now)
        live = [employee(one, f"{one}.pdf") for one in ids if self.names_again.get(one, self.now) < self.now]
        self.now += CALL_SECONDS
        return {"Responses": {"california": live}}

    def list_object_versions(self, **request: Any) -> Any:
        self.calls["ListObjectVersions"] += 1
        key = request["Prefix"]
        self.listed_at.setdefault(key, self.now)
        if not self.keeps_versions:
            self.listed_at[key] = self.now
        self.now += CALL_SECONDS / LISTINGS_AT_ONCE
        ids = [f"v{number}" if self.keeps_versions else "null" for number in range(self.versions)]
        found = [{"Key": key, "VersionId": one, "LastModified": LONG_AGO} for one in ids]
        return {"Versions": [] if key in self.erased else found}

    def delete_objects(self, **request: Any) -> Any:
        self.calls["DeleteObjects"] += 1
        for one in request["Delete"]["Objects"]:
            self._gone(one["Key"])
        self.now += DELETE_SECONDS
        return {"Deleted": request["Delete"]["Objects"]}

    def delete_object(self, **request: Any) -> Any:
        self._gone(request["Key"])
        self.now += CALL_SECONDS
        return {}

    def query(self, **_: Any) -> Any:
        raise AssertionError("no index, no lock")

    get_object_retention = get_object_legal_hold = query

    def store(self, lines: Any) -> None:
        self.receipts += lines
        self.now += self.storing_seconds

    def stops(self) -> bool:
        """As the switch of a redrive, which asks the API server at most every two seconds."""
        if self.asking_seconds and self.now - self.asked_at >= 2.0:
            self.now += self.asking_seconds
            self.asked_at = self.now
        return False

    def run(self, number: int, *, suffix: str = "") -> BatchResult:
        calls = Calls(
            dynamodb=self, s3=self, bucket_owner="123456789012", out_of_time=self.stops,
            pause=lambda _: None, now=lambda: self.now, write=lambda _: None, store=self.store,
            keeps_versions=lambda: self.keeps_versions,
        )  # fmt: skip
        settings = FunctionSettings(
            tenant="t", table="california", bucket="b", account_id="123456789012", file_names=self.file_names
        )
        records = [remove(employee(str(one), f"{one}.pdf{suffix}"), at=self.now) for one in range(number)]
        return run(batch(*records), settings=settings, calls=calls)

    @property
    def oldest_read(self) -> float:
        return max(read for read, _ in self.erased.values())

    @property
    def oldest_listing(self) -> float:
        return max(listing for _, listing in self.erased.values())

    def _gone(self, key: str) -> None:
        """The last of a file's versions is the one that people see."""
        read, listed = self.read_at[key.strip().removesuffix(".pdf")], self.listed_at.get(key, self.now)
        self.erased[key] = (self.now - read, self.now - listed)


@pytest.mark.parametrize(
    ("aws", "suffix"),
    [
        (SlowAws(), ""),
        (SlowAws(versions=20, keeps_versions=True), ""),
        (SlowAws(), " "),  # S3 takes such keys one by one
        (SlowAws(file_names="Reused"), ""),
        (SlowAws(storing_seconds=4.0), ""),
        (SlowAws(storing_seconds=4.0, file_names="Reused"), ""),
    ],
    ids=["plain", "many versions", "keys that need calls of their own", "listings", "slow receipts", "both"],
)
def test_reads_that_decide_an_erasure_are_at_most_a_second_old_when_s3_is_called(aws: SlowAws, suffix: str) -> None:
    result = aws.run(700, suffix=suffix)

    assert len(aws.erased) == 700
    assert result.hand_back == ()
    one_part = CALL_SECONDS * 10  # what begins within the second
    assert aws.oldest_read <= RETRY_WITHIN_SECONDS + one_part
    if not aws.keeps_versions:  # a version ID names that version whenever it was listed
        assert aws.oldest_listing <= RETRY_WITHIN_SECONDS + one_part


def test_check_for_a_stop_does_not_make_the_read_older() -> None:
    """A redrive asks the API server between its calls, and that may take long: at whichever call it does."""
    for thousandths in range(0, 200, 5):
        aws = SlowAws(keeps_versions=True, asking_seconds=20.0)
        aws.asked_at -= 2.0 - thousandths / 1000
        aws.run(1)
        assert aws.oldest_read <= RETRY_WITHIN_SECONDS, f"asked after {thousandths} ms"


def test_a_record_that_names_its_file_again_while_the_files_before_it_are_erased_keeps_it() -> None:
    aws = SlowAws(versions=20, keeps_versions=True, names_again={"499": 1_800_000_002.0})

    aws.run(500)

    assert "499.pdf" not in aws.erased
    [kept] = [one for one in aws.receipts if one["receipt"] == "outcome" and one["key"] == "499.pdf"]
    assert (kept["outcome"], kept["announced"]) == ("kept: live", True)


def test_batch_of_plain_files_is_checked_once_and_erased_in_one_call() -> None:
    aws = SlowAws()
    aws.run(1000)
    assert aws.calls == {"BatchGetItem": 10, "DeleteObjects": 1}
