"""Each safety check and rule, in the case where it alone prevents the erasure of a live file.

Every case runs twice: as it is, and with that one rule taken out of the code. Only then a file is lost. No case exists
for two of them. A scan that is empty is also one by which nothing is named, and that check fails without it. And files
that two records name are safe from the sweep, which sees both: it is the function that sees one record alone, so the
operator turns the trigger off (tests/unit/test_sweep_job_manifests.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError
from humangov.api.names import Names
from humangov.cleanup.outcomes import ERASED, FileResult
from humangov.cleanup.versions import list_versions
from humangov.reading import followed_stream, named_files, snapshot, table_reading
from humangov.reading.progress import FailedError, StoppedError, s3_time
from humangov.sweep import bucket_claim, candidates, earlier_lists, engine, erasure, orphan_list, result
from humangov.sweep.listing import Stored, StoredVersion
from humangov.sweep.safety_checks import Facts, SafetyCheck, failed_checks
from humangov.sweep.scratch_db import Scratch

from testing import samples
from testing.sweep.dynamodb import place_of, scan
from testing.sweep.reply import Reply
from testing.sweep.tenant_data import DAY, HOUR, TenantData
from testing.sweep.world import SweepWorld, clients

FILES = 60


def staffed(*, sweep: dict[str, Any] | None = None, prefix: str = "", **more: Any) -> SweepWorld:
    """Sixty employees with a file each, three days old, and one orphan."""
    spec: dict[str, Any] = {"sweep": {"mode": "Delete", **(sweep or {})}}
    world = SweepWorld(names=samples.names(bucket={"name": "files", "keyPrefix": prefix}, **spec), **more)
    for number in range(FILES):
        world.upload(f"{number}.pdf", age=3 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload("orphan.pdf", age=3 * DAY)
    return world


def twice(world: SweepWorld, *, apart: float = DAY, mode: str | None = None, **more: Any) -> None:
    """Two sweeps. What stops one of them is what is tested."""
    for number in range(2):
        try:
            world.sweep(mode or world.names.tenant.sweep.mode, after=apart * number, **more)
        except (FailedError, StoppedError, bucket_claim.ClaimedError):
            continue


def half_invisible(world: SweepWorld, share: float) -> None:
    """An application that was changed: of the last records the file's name stands where the sweep does not look."""
    for number in range(round(FILES * (1 - share)), FILES):
        world.fire(str(number))
        world.needed.add(f"{number}.pdf")


def report_by_default() -> SweepWorld:
    world = staffed()
    world.names = samples.names(bucket={"name": "files"})
    half_invisible(world, 0.1)
    twice(world)
    return world


def include() -> SweepWorld:
    world = staffed()
    world.upload("form.docx", age=3 * DAY)
    world.needed.add("form.docx")
    twice(world)
    return world


def nothing_named() -> SweepWorld:
    world = staffed(sweep={"maximumOrphanPercent": 100})
    for number in range(FILES):  # the records hold what another program resolves
        world.needed.add(f"{number}.pdf")
        world.hire(str(number), f"https://go.example/q{number}")
    twice(world)
    world.records.clear()
    return world


def shrunken_scan() -> SweepWorld:
    world = staffed(sweep={"maximumOrphanPercent": 100})
    world.page = 5
    _cut(world)  # every scan ends after its first page, and does not say that there is more
    twice(world)
    return world


def uncounted_page() -> SweepWorld:
    world = staffed(sweep={"maximumOrphanPercent": 100})
    _cut(world, drop=5)  # every page lacks records that it counts
    twice(world)
    return world


def failed_page() -> SweepWorld:
    world = staffed(sweep={"maximumOrphanPercent": 100})
    world.page = FILES * 2 // 3
    seen = {"Scan": 0}

    def fault(operation: str) -> str | None:
        seen["Scan"] += operation == "Scan"
        return "InternalServerError" if operation == "Scan" and seen["Scan"] % 2 == 0 else None

    world.faults = fault
    for number in range(2):
        with suppress(ClientError):
            world.sweep("Delete", after=DAY * number)
    return world


def table_changed() -> SweepWorld:
    world = staffed()
    world.fire("7")
    world.sweep("Delete")
    world.table_id = "table-2"  # re-created, and filled from an export of last week: record 7 comes last
    world.sweep("Delete", after=DAY)
    world.hire("7", "7.pdf")
    return world


def restored() -> SweepWorld:
    """From a backup of last month."""
    world = staffed()
    world.created = world.now
    at = datetime.fromtimestamp(world.now - 20 * DAY, UTC)
    world.table = {"RestoreSummary": {"RestoreDateTime": at, "RestoreInProgress": False}}
    world.fire("7")
    twice(world)
    world.hire("7", "7.pdf")  # people write again what the backup did not have
    return world


def dangling_records() -> SweepWorld:
    """The application resolves a name that the sweep can't: in capitals."""
    world = staffed()
    world.needed.add("7.pdf")
    world.hire("7", "7.PDF")
    twice(world)
    world.records.clear()
    return world


def too_many_orphans() -> SweepWorld:
    world = staffed()
    half_invisible(world, 0.3)
    twice(world)
    return world


def overlap() -> SweepWorld:
    world = staffed()
    other = samples.names(of=samples.tenant("florida", bucket={"name": "files", "keyPrefix": "florida/"}))
    world.upload("florida/1.pdf", age=3 * DAY)
    world.needed.add("florida/1.pdf")
    own, world.names = world.names, other
    with world.behind(clients()) as sdk:
        bucket_claim.claim(sdk.patient_s3, other, write=True)
    world.names = own
    twice(world)
    return world


def owner_claim() -> SweepWorld:
    world = staffed(sweep={"maximumOrphanPercent": 100})
    other = samples.names(of=samples.tenant("florida", bucket={"name": "files"}))
    with world.behind(clients()) as sdk:
        bucket_claim.claim(sdk.patient_s3, other, write=True)
    world.upload("florida.pdf", age=3 * DAY)
    world.needed.add("florida.pdf")
    twice(world)
    return world


def two_sightings() -> SweepWorld:
    world = staffed()
    world.fire("7")
    world.sweep("Delete")  # the record is written two days after the file
    world.hire("7", "7.pdf")
    world.sweep("Delete", after=DAY)
    return world


def second_scan() -> SweepWorld:
    world = staffed()
    world.page = 10
    scans = {"number": 0}

    def move(operation: str) -> None:
        """A record's id changes during each sweep's first scan, from a place not yet read to one read already."""
        if operation == "ListObjectsV2" and "7" in world.records and scans["number"] < 2:
            scans["number"] += 1
            world.fire("7")
        elif operation == "PutObject" and "7" not in world.records and world.calls["Scan"]:
            world.hire("7", "7.pdf")

    world.meanwhile = move
    twice(world)
    return world


def written_again(**more: Any) -> SweepWorld:
    """After the second scan somebody writes a file under the orphan's name, and its record."""
    world = staffed(**more)

    def write(operation: str) -> None:
        if operation == "CreateLogStream":
            world.upload("orphan.pdf", body=b"another")
            world.hire("new", "orphan.pdf")

    world.meanwhile = write
    twice(world)
    return world


def cap() -> SweepWorld:
    world = staffed(sweep={"maximumErasures": 1})
    half_invisible(world, 0.1)
    world.needed -= {"54.pdf"}
    for name in ("orphan.pdf", "54.pdf"):
        world.objects.pop(name)
    world.upload("oldest.pdf", age=9 * DAY)
    twice(world)
    return world


def stop_switch() -> SweepWorld:
    world = staffed(sweep={"maximumOrphanPercent": 100})
    for number in range(2 * erasure.BATCH):
        world.upload(f"draft-{number:04}.pdf", age=4 * DAY - number)
        if number >= erasure.BATCH:
            world.needed.add(f"draft-{number:04}.pdf")
    twice(world, may_erase=lambda: "stopped" if world.calls["DeleteObject"] > erasure.BATCH else None)
    return world


def within_fifteen_minutes() -> SweepWorld:
    world = staffed(sweep={"maximumOrphanPercent": 100})
    for number in range(2 * erasure.BATCH):
        world.upload(f"draft-{number:04}.pdf", age=4 * DAY - number)

    def slow(operation: str) -> None:
        world.now += 10 * (operation == "DeleteObject")
        if world.calls["DeleteObject"] == erasure.BATCH:
            world.hire("late", "draft-0150.pdf")

    world.meanwhile = slow
    twice(world)
    return world


def slow_second_scan() -> SweepWorld:
    """A provisioned table: half an hour a page. A record comes at a place that the second scan has read."""
    world = staffed(sweep={"maximumOrphanPercent": 100}, page=20)
    world.table = {"ItemCount": 0}  # and no second thread
    record = min((f"late-{number}" for number in range(20_000)), key=place_of)

    def slow(data: TenantData, params: Mapping[str, Any]) -> Reply:
        reply = scan(data, params)
        if world.receipts() or len(world.orphan_lists()) == 2:
            world.now += HOUR / 2
            if "ExclusiveStartKey" in params and record not in world.records:
                world.hire(record, "orphan.pdf")
        return reply

    world.operations["Scan"] = slow
    twice(world)
    return world


def moves_in_each_scan(*, with_stream: bool = True) -> SweepWorld:
    """A record is where no scan sees it: it moves from the last place to the first, and before the next scan back."""
    world = SweepWorld(names=samples.names(sweep={"mode": "Delete", "maximumOrphanPercent": 100}), page=1)
    world.with_stream() if with_stream else None
    first, *_, last = sorted((f"{number}" for number in range(200)), key=place_of)
    for record, name in (("300", "300.pdf"), ("301", "301.pdf"), (last, "moved.pdf")):
        world.upload(name, age=3 * DAY)
        world.hire(record, name)
    pages = [0]

    def moving(data: TenantData, params: Mapping[str, Any]) -> Reply:
        pages[0] = pages[0] + 1 if "ExclusiveStartKey" in params else 1
        if pages[0] == 1 and first in world.records:
            world.move(first, last)
        if pages[0] == 2:
            world.move(last, first)
        return scan(data, params)

    world.operations["Scan"] = moving
    twice(world)
    return world


def written_between_two_batches() -> SweepWorld:
    """A record names a file of the second batch; the stream shows it after some empty pages."""
    world = staffed(sweep={"maximumOrphanPercent": 100})
    stream = world.with_stream()
    for number in range(2 * erasure.BATCH):
        world.upload(f"draft-{number:04}.pdf", age=4 * DAY - number)

    def meanwhile(operation: str) -> None:
        if operation == "DeleteObject" and world.calls["DeleteObject"] == erasure.BATCH:
            stream.empty = 8
            world.hire("late", "draft-0150.pdf")
        world.now += 20 * (operation == "PutLogEvents")

    world.meanwhile = meanwhile
    twice(world)
    return world


def s3s_clock() -> SweepWorld:
    world = staffed(sweep={"confirmAfter": "10h"})
    world.upload("fresh.pdf")
    world.needed.add("fresh.pdf")  # its record comes tomorrow morning
    twice(world, apart=11 * HOUR)
    return world


def minimum_age() -> SweepWorld:
    world = staffed(sweep={"confirmAfter": "10h"})
    world.upload("fresh.pdf")
    world.needed.add("fresh.pdf")
    twice(world, apart=11 * HOUR)
    return world


def only_what_was_approved() -> SweepWorld:
    world = staffed(sweep={"maximumOrphanPercent": 1})
    world.upload("draft.pdf")  # too young to be on the list that a person approves
    world.needed.add("draft.pdf")
    for number in range(3):
        world.upload(f"old-{number}.pdf", age=3 * DAY)
    first = world.sweep("Delete")
    assert first.orphan_list is not None
    world.sweep("Delete", after=2 * DAY)
    world.sweep("Delete", after=2 * DAY, approved=first.orphan_list.sha256)
    return world


def without(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    def unchecked(facts: Facts) -> list[SafetyCheck]:
        return [check for check in failed_checks(facts) if check.name != name]

    return lambda patch: patch.setattr(engine, "failed_checks", unchecked)


def _cut(world: SweepWorld, drop: int = 0) -> None:
    whole = world.operations["Scan"]

    def cut(data: TenantData, params: Any) -> Reply:
        reply = whole(data, params)
        if drop:
            reply.answer["Items"] = reply.answer["Items"][drop:]
        else:
            reply.answer.pop("LastEvaluatedKey", None)
        return reply

    world.operations["Scan"] = cut


def _always_delete(patch: pytest.MonkeyPatch) -> None:
    begin = result.begin
    patch.setattr(result, "begin", lambda **more: begin(**{**more, "mode": result.DELETE}))


def _all_names(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(candidates, "translate", lambda _pattern: "(?s:.*)")


def _counts_are_ignored(patch: pytest.MonkeyPatch) -> None:
    class Whatever(int):
        def __ne__(self, _other: object) -> bool:
            return False

    patch.setattr(snapshot, "len", lambda items: Whatever(len(items)), raising=False)


def _an_error_is_the_end(patch: pytest.MonkeyPatch) -> None:
    def forgiving(dynamodb: Any, **more: Any) -> int:
        try:
            return snapshot.scan(dynamodb, **more)
        except Exception:
            return FILES

    patch.setattr(named_files, "scan", forgiving)


def _any_table(patch: pytest.MonkeyPatch) -> None:
    read = orphan_list.earlier

    def earlier(s3: Any, names: Names, **more: Any) -> Any:
        for kept, path in read(s3, names, **more):
            yield replace(kept, head=replace(kept.head, table_id="table-2")), path

    patch.setattr(orphan_list, "earlier", earlier)


def _ignored_claim(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bucket_claim, "claim", lambda *_args, **_more: None)
    patch.setattr(bucket_claim, "still_alone", lambda *_args, **_more: lambda: None)


def _one_sighting(patch: pytest.MonkeyPatch) -> None:
    compare = earlier_lists.compare

    def every_orphan(clients: Any, names: Names, scratch: Any, **more: Any) -> Any:
        found = compare(clients, names, scratch, **more)
        scratch.sighted(0, list(scratch.orphans()))
        return replace(found, compared=1)

    patch.setattr(earlier_lists, "compare", every_orphan)


def _one_scan(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Scratch, "spare", lambda _self, records: list(records))


def _no_condition(patch: pytest.MonkeyPatch) -> None:
    def delete(one: Stored, *, names: Names, calls: Any, conditional: bool) -> FileResult:
        calls.on_bucket(calls.s3.delete_object, names.tenant.bucket.name, Key=one.key)
        return FileResult(ERASED)

    patch.setattr(erasure, "_one", delete)


def _whatever_is_there(patch: pytest.MonkeyPatch) -> None:
    whole = erasure._versions

    def present(batch: Any, *, names: Names, calls: Any, pool: Any) -> Any:
        now = []
        for one in batch:
            listed = list_versions(calls, bucket=names.tenant.bucket.name, key=one.key)
            versions = (StoredVersion(v.version_id, int(v.modified.timestamp()), v.is_marker, 0) for v in listed)
            now.append(one._replace(versions=tuple(versions)))
        return whole(now, names=names, calls=calls, pool=pool)

    patch.setattr(erasure, "_versions", present)


def _null_is_as_good_as_any(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(erasure, "_has_changed", lambda _one, **_more: None)


def _no_cap(patch: pytest.MonkeyPatch) -> None:
    whole = Scratch.take_confirmed
    patch.setattr(Scratch, "take_confirmed", lambda self, _limit: whole(self, 10_000))


def _no_stop(patch: pytest.MonkeyPatch) -> None:
    whole = erasure.erase
    patch.setattr(erasure, "erase", lambda doomed, **more: whole(doomed, **{**more, "may_go_on": lambda: None}))


def _no_limit_of_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(table_reading, "SCAN_ALONE_LASTS_SECONDS", 10 * DAY)


def _no_stream(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(followed_stream, "why_unusable", lambda _table: "it is taken out")
    _no_limit_of_time(patch)


def _not_read_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(table_reading.TableReading, "read_on", lambda _self: None)


def _one_page_is_up_to_now(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(followed_stream, "BEHIND_SECONDS", 1000.0)


def _our_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "s3_time", lambda answer: s3_time(answer) + 2 * DAY)  # it is two days ahead


def _no_age(patch: pytest.MonkeyPatch) -> None:
    whole = candidates.rules
    patch.setattr(candidates, "rules", lambda names, *, began: whole(names, began=began + 2 * DAY))


def _everything_is_approved(patch: pytest.MonkeyPatch) -> None:
    whole = Scratch.confirm
    any_list = {"approved_only": False}
    patch.setattr(Scratch, "confirm", lambda self, number, **more: whole(self, number, **more | any_list))


@dataclass(frozen=True)
class Case:
    """happens: the story; its world at the end. taken_out: the rule, out of the code."""

    happens: Callable[[], SweepWorld]
    taken_out: Callable[[pytest.MonkeyPatch], None]


CASES = {
    "detect by default": Case(report_by_default, _always_delete),
    "spec.sweep.include": Case(include, _all_names),
    "minimum age": Case(minimum_age, _no_age),
    "no listed key named at all": Case(nothing_named, without("NothingNamed")),
    "shrunken scan": Case(shrunken_scan, without("ShrunkenScan")),
    "a page that lacks what it counts": Case(uncounted_page, _counts_are_ignored),
    "a failed page": Case(failed_page, _an_error_is_the_end),
    "table re-created": Case(table_changed, _any_table),
    "table restored": Case(restored, without("YoungTable")),
    "records that name no file": Case(dangling_records, without("DanglingRecords")),
    "orphan share": Case(too_many_orphans, without("TooManyOrphans")),
    "prefixes that overlap": Case(overlap, without("Overlap")),
    "owner claim": Case(owner_claim, _ignored_claim),
    "two sightings": Case(two_sightings, _one_sighting),
    "second scan": Case(second_scan, _one_scan),
    "conditional delete": Case(written_again, _no_condition),
    "a check before the delete, where S3 ignores conditions": Case(
        partial(written_again, honours=False), _no_condition
    ),
    "exactly the versions seen": Case(partial(written_again, versioning="Enabled"), _whatever_is_there),
    "a null version is checked again": Case(partial(written_again, versioning="Suspended"), _null_is_as_good_as_any),
    "cap a run": Case(cap, _no_cap),
    "stop switch": Case(stop_switch, _no_stop),
    "fifteen minutes after the scan": Case(within_fifteen_minutes, _no_limit_of_time),
    "fifteen minutes after the start of a slow scan": Case(slow_second_scan, _no_limit_of_time),
    "the stream, for a record that moves in each scan": Case(moves_in_each_scan, _no_stream),
    "the stream, read on before each batch": Case(written_between_two_batches, _not_read_on),
    "the stream, read up to the present": Case(written_between_two_batches, _one_page_is_up_to_now),
    "S3's clock": Case(s3s_clock, _our_clock),
    "an approval is for one list": Case(only_what_was_approved, _everything_is_approved),
}


@pytest.mark.parametrize("name", CASES)
def test_safety_check_case_loses_no_live_file(name: str) -> None:
    world = CASES[name].happens()
    assert (world.lost, world.missing) == ([], set())


@pytest.mark.parametrize("name", CASES)
def test_safety_check_case_without_its_rule_loses_a_live_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    CASES[name].taken_out(monkeypatch)
    world = CASES[name].happens()
    assert world.lost or world.missing
