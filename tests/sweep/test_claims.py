"""Claims on the files under a key prefix: two tenants of two clusters both stop, whatever comes between their calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from humangov.api.names import Names
from humangov.api.spec import parse
from humangov.reading.progress import FailedError
from humangov.sweep import bucket_claim, erasure
from humangov.sweep.bucket_claim import ClaimedError, key_of
from humangov.sweep.run import NotNowError

from testing import samples
from testing.killed import Killed
from testing.sweep.reply import Reply
from testing.sweep.tenant_data import DAY
from testing.sweep.world import SweepWorld, clients
from tests.sweep.test_stop import InCluster, Swept, cluster, sweep

__all__ = ["sweep"]  # a fixture

DELETE = {"mode": "Delete", "maximumOrphanPercent": 100}


def tenant(cluster: str = "blue", *, prefix: str = "") -> Names:
    found = samples.names(bucket={"name": "files", "keyPrefix": prefix}, sweep=DELETE)
    return replace(found, identity=replace(found.identity, cluster=cluster))


def staffed(names: Names, *, files: int = 20, orphans: int = 1, **more: Any) -> SweepWorld:
    world = SweepWorld(names=names, **more)
    for number in range(files):
        world.upload(f"{number}.pdf", age=9 * DAY)
        world.hire(str(number), f"{number}.pdf")
    world.upload(*(f"orphan-{number}.pdf" for number in range(orphans)), age=9 * DAY)
    return world


def same_bucket(world: SweepWorld, names: Names) -> SweepWorld:
    """Another cluster's tenant, with a table of its own, whose files are in the same bucket."""
    other = SweepWorld(names=names, table_id="another", versioning=world.versioning)
    other.objects, other.now = world.objects, world.now
    return other


def claims(world: SweepWorld) -> list[str]:
    return [key for key in sorted(world.objects) if bucket_claim.may_be_claim(key)]


def put_claim(world: SweepWorld, names: Names) -> None:
    body = json.dumps({"tenant": names.owner, "table": names.table_arn}).encode()
    world.put(key_of(names), body, at=world.now)


@pytest.mark.parametrize("versioning", [None, "Enabled"])
@pytest.mark.parametrize(("blues", "greens"), [("", ""), ("", "staff/"), ("staff/", ""), ("staff/", "staff/")])
def test_two_clusters_on_one_key_prefix_stop_both(blues: str, greens: str, versioning: str | None) -> None:
    blue = staffed(tenant("blue", prefix=blues), versioning=versioning)
    blue.sweep()
    green = same_bucket(blue, tenant("green", prefix=greens))
    for number in range(10):
        green.upload(f"{'' if greens else 'staff/'}new-{number}.pdf")
        green.hire(f"new-{number}", f"{'' if greens else 'staff/'}new-{number}.pdf")
    for nights in (2, 3, 4):
        for world in (green, blue):
            world.now = blue.now if world is green else blue.now + nights * DAY
            try:
                found = world.sweep()
            except ClaimedError:
                continue
            assert "Overlap" in [check.name for check in found.failed_checks]
    assert (blue.lost, blue.missing, green.lost, green.missing) == ([], set(), [], set())
    assert "orphan-0.pdf" in blue.files


def test_claimed_sweep_says_whose_the_claim_is_and_what_to_do() -> None:
    blue = staffed(tenant("blue"))
    green = same_bucket(blue, tenant("green"))
    for world in (blue, green):
        put_claim(world, world.names)
    for world, other in ((blue, green), (green, blue)):
        with pytest.raises(ClaimedError) as raised:
            world.sweep()
        assert f"{key_of(other.names)} in bucket files claims these files for {other.names.owner}" in str(raised.value)
        assert "If that HumanGovState, which the object names, no longer exists, delete the object" in str(raised.value)


def test_claim_of_another_namespace_names_nothing_of_it() -> None:
    """The condition is read in the namespace; the object in the bucket says whose it is."""
    world = staffed(tenant("blue"))
    secret = samples.tenant("secret", namespace="florida", bucket={"name": "files"}, table={"name": "secret-table"})
    other = samples.names(of=secret)
    put_claim(world, replace(other, identity=world.names.identity))
    with pytest.raises(ClaimedError) as raised:
        world.sweep()
    said = str(raised.value)
    assert "claims these files for a HumanGovState of another namespace" in said
    assert "secret" not in said
    assert "florida" not in said


def test_claim_that_comes_at_any_call_of_a_sweep_ends_its_erasures_within_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(erasure, "BATCH", 10)

    def second_sweep(at: int | None) -> tuple[int, int, bool]:
        """The sweep that would erase 25 files; the claim comes just before its call number `at`.

        Its calls, its erasures after that, and whether it ended with the claim.
        """
        world = staffed(tenant("blue"), orphans=25)
        world.sweep()
        calls = {"all": 0}

        def meanwhile(operation: str) -> None:
            calls["all"] += 1
            world.now += 11 * (operation == "PutLogEvents")
            if calls["all"] == at:
                put_claim(world, tenant("green"))
                world.calls.clear()

        world.calls.clear()
        world.meanwhile = meanwhile
        try:
            world.sweep(after=DAY)
        except ClaimedError:
            return calls["all"], world.calls["DeleteObject"], True
        return calls["all"], world.calls["DeleteObject"], False

    number, erased, claimed = second_sweep(None)
    assert (erased, claimed) == (30, False)  # two of a probe, and three of what the batches had begun
    for at in (*range(1, 20), *range(20, number - 20, 7)):
        _, erased, claimed = second_sweep(at)
        assert claimed, at
        assert erased <= 13, at  # a batch, two of a probe, and what the batch had begun


def test_of_two_claims_that_are_written_at_once_neither_is_missed() -> None:
    """Green claims just before each call of blue's: blue sees it at once, or when it asks before its next erasure."""
    seen_at_once = []
    for at in range(1, 8):
        blue, calls = staffed(tenant("blue")), {"all": 0}
        blue.operations["PutObject"] = _unconditional(blue.operations["PutObject"])

        def meanwhile(_operation: str, *, blue: SweepWorld = blue, calls: dict[str, int] = calls, at: int = at) -> None:
            calls["all"] += 1
            if calls["all"] == at:
                put_claim(blue, tenant("green"))

        blue.meanwhile = meanwhile
        with blue.behind(clients()) as sdk:
            try:
                bucket_claim.claim(sdk.patient_s3, blue.names, write=True)
            except ClaimedError:
                seen_at_once.append(at)
            if calls["all"] < at:
                put_claim(blue, tenant("green"))
            blue.meanwhile = lambda _operation: None
            for names in (blue.names, tenant("green")):
                with pytest.raises(ClaimedError):
                    bucket_claim.still_alone(sdk.patient_s3, names, now=lambda: 0.0)()
    assert seen_at_once[:3] == [1, 2, 3]  # read, written, listed


def _unconditional(put: Callable[..., Any]) -> Callable[..., Any]:
    """An S3 that ignores the condition of a write."""
    return lambda data, params: put(data, {name: value for name, value in params.items() if name != "IfNoneMatch"})


@pytest.mark.parametrize("when", ["killed before", "killed after"])
def test_sweep_that_is_killed_while_it_writes_its_claim_hides_no_other_claim(when: str) -> None:
    for at in range(1, 7):
        blue = staffed(tenant("blue"))
        blue.sweep()
        green, calls = same_bucket(blue, tenant("green")), {"all": 0}

        def fault(_operation: str, *, calls: dict[str, int] = calls, at: int = at) -> str | None:
            calls["all"] += 1
            return when if calls["all"] == at else None

        green.faults = fault
        with suppress(Killed, ClaimedError):
            green.sweep()
        green.faults = lambda _operation: None
        with pytest.raises(ClaimedError):
            green.sweep()
        with pytest.raises(ClaimedError):
            blue.sweep(after=DAY)
        assert "orphan-0.pdf" in blue.files


@pytest.mark.parametrize("place", ["florida/.humangov/owner.json", ".humangov/owner.json"])
@pytest.mark.parametrize("versioning", [None, "Enabled", "Suspended"])
@pytest.mark.parametrize("body", [b"{}", b'{"tenant": "c/humangov/florida", "table": "arn:aws:dynamodb:::table/x"}'])
def test_removed_claim_no_longer_stops_a_sweep(place: str, versioning: str | None, body: bytes) -> None:
    world = staffed(tenant(), versioning=versioning)
    world.upload(place, body=body)
    try:
        assert [check.name for check in world.sweep().failed_checks] == ["Overlap"]
    except ClaimedError:
        assert place == ".humangov/owner.json"
    world.remove(place)
    found = [world.sweep(after=DAY) for _ in range(2)][-1]
    assert not found.failed_checks
    assert world.files.isdisjoint({"orphan-0.pdf"})


@pytest.mark.parametrize("name", ["scan.humangov/owner.json", f"scan.humangov/owner-{'0' * 32}.json"])
@pytest.mark.parametrize("body", [b"%PDF", b"{}", b"[" * 70_000])
def test_file_whose_name_only_ends_like_a_claims_is_no_claim(name: str, body: bytes) -> None:
    world = staffed(tenant())
    world.upload(name, body=body, age=20 * DAY)
    assert [world.sweep(after=DAY).failed_checks for _ in range(2)] == [[], []]
    assert world.files.isdisjoint({"orphan-0.pdf"})


def test_claim_under_a_key_prefix_that_ends_without_a_slash_counts() -> None:
    world = staffed(tenant())
    put_claim(world, tenant("green", prefix="scan"))
    assert [check.name for check in world.sweep().failed_checks] == ["Overlap"]


def test_claim_of_the_same_tenant_under_another_key_prefix_or_name_is_its_own() -> None:
    world = staffed(tenant(prefix=""))
    put_claim(world, tenant(prefix="old/"))
    body = json.dumps({"tenant": world.names.owner, "table": world.names.table_arn}).encode()
    world.upload(".humangov/owner.json", body=body)
    assert not world.sweep().failed_checks


def test_claim_that_cannot_be_read_is_not_taken_for_an_absence() -> None:
    world = staffed(tenant())
    world.upload("florida/.humangov/owner.json")
    world.faults = lambda operation: (
        "AccessDenied" if operation == "GetObject" and world.calls["GetObject"] > 1 else None
    )
    with pytest.raises(Exception, match="AccessDenied"):
        world.sweep()


def test_sweep_writes_its_claim_once_and_again_if_it_was_deleted_or_spoilt() -> None:
    world = staffed(tenant(), versioning="Enabled")
    for _ in range(3):
        world.sweep(after=DAY)
    assert [len(world.objects[key]) for key in claims(world)] == [1]
    world.remove(key_of(world.names))
    world.sweep(after=DAY)
    world.upload(key_of(world.names), body=b"spoilt")
    world.sweep(after=DAY)
    [versions] = [world.objects[key] for key in claims(world)]
    assert len(versions) == 5
    assert json.loads(versions[-1].body)["tenant"] == world.names.owner


def test_dry_run_writes_no_claim_and_sees_that_of_another() -> None:
    world = staffed(tenant())
    world.sweep(dry_run=True)
    assert claims(world) == []
    put_claim(world, tenant("green"))
    with pytest.raises(ClaimedError):
        world.sweep(dry_run=True)


def test_claim_that_s3_does_not_list_ends_the_sweep() -> None:
    world = staffed(tenant())
    world.operations["PutObject"] = lambda _data, _params: Reply(200, {})
    with pytest.raises(FailedError, match="did not list it"):
        world.sweep()


def test_younger_of_two_tenants_of_one_cluster_is_not_swept_and_writes_no_claim(
    sweep: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = staffed(tenant())
    older = samples.resource(
        "older", bucket={"name": "files"}, sweep=DELETE, metadata={"creationTimestamp": "2026-02-01T10:00:00Z"}
    )
    younger = cluster(sweep=DELETE)
    monkeypatch.setattr(younger, "others", lambda _namespaces: [older, younger.resource])
    with pytest.raises(NotNowError, match="older is older and names the same files"):
        sweep(world, younger)
    assert claims(world) == []

    world.names = samples.names(of=parse(older, default_region="us-east-1"))
    there = InCluster(dict(older) | {"status": {}})
    monkeypatch.setattr(there, "others", younger.others)
    ended = [sweep(world, there)]
    world.now += DAY
    ended.append(sweep(world, there))
    assert [one.word for one in ended] == ["Detected", "Erased"]


def test_tenant_of_another_cluster_that_was_never_swept_has_no_claim_and_one_sweep_of_it_is_enough() -> None:
    for was_swept in (False, True):
        blue = staffed(tenant("blue"))
        green = same_bucket(blue, tenant("green", prefix="staff/"))
        green.upload("hired.pdf", age=9 * DAY)
        green.hire("1", "hired.pdf")
        if was_swept:
            green.sweep()
        found = blue.sweep()
        assert ("Overlap" in [check.name for check in found.failed_checks]) is was_swept
        assert found.orphans == 2, "its file is nobody's for the table of the other"
