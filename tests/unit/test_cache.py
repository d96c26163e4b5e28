"""What the operator remembers of the resources. Runs on nothing."""

from __future__ import annotations

from typing import Any

from humangov.api.conditions import Finding
from humangov.kube.client import Resource
from humangov.reconcile.cache import ANSWERS_COME_WITHIN_SECONDS, ReconcilerMemory, Store, key_of

from testing.samples import resource


def form(version: int, *, uid: str = "u", **spec: Any) -> Resource:
    return resource(metadata={"resourceVersion": str(version), "uid": uid}, **spec)


KEY = "humangov/california"


def store(*forms: Resource) -> Store:
    made = Store(default_region="us-east-1")
    for one in forms:
        made.put(one)
    return made


def test_store_never_replaces_a_newer_resource_version_with_an_older_one() -> None:
    assert store(form(10), form(9)).get(KEY) == form(10)
    assert store(form(9), form(10)).get(KEY) == form(10)
    assert store(form(9), form(10, suspend=True), form(9)).tenants()[0].suspend


def test_store_compares_resource_versions_as_numbers() -> None:
    assert store(form(99), form(100)).get(KEY) == form(100)


def test_store_ignores_a_late_version_of_a_deleted_resource_of_the_same_name() -> None:
    assert store(form(20, uid="new"), form(10, uid="old")).get(KEY) == form(20, uid="new")


def test_re_created_resource_starts_with_an_empty_memory() -> None:
    of = store(form(10))
    of.remember(KEY, uid="u", reconciler=ReconcilerMemory(reconciliations=5))
    of.put(form(11))
    assert of.memory(KEY).reconciler.reconciliations == 5
    of.put(form(12, uid="another"))
    assert of.memory(KEY).reconciler.reconciliations == 0


def test_late_response_does_not_restore_a_deleted_resource_in_the_store() -> None:
    of = store(form(10))
    of.drop(KEY, uid="u")
    of.put(form(9))
    assert of.get(KEY) is None
    assert of.tenants() == []
    of.put(form(20, uid="another"))
    assert of.get(KEY) is not None


def test_what_was_deleted_is_remembered_as_long_as_answers_may_be_late_and_no_longer() -> None:
    now = [0.0]
    of = Store(default_region="us-east-1", monotonic=lambda: now[0])
    for number in range(1000):
        now[0] = number * 10.0
        of.put(resource(metadata={"resourceVersion": "1", "uid": f"u{number}", "name": f"state-{number}"}))
        of.drop(f"humangov/state-{number}", uid=f"u{number}")
    assert len(of._deleted) <= ANSWERS_COME_WITHIN_SECONDS / 10 + 1
    of.put(resource(metadata={"resourceVersion": "2", "uid": "u960", "name": "state-960"}))
    assert of.get("humangov/state-960") is None


def test_what_was_deleted_is_refused_no_longer_than_answers_may_be_late() -> None:
    """Even if nothing else is deleted meanwhile."""
    now = [0.0]
    of = Store(default_region="us-east-1", monotonic=lambda: now[0])
    of.put(form(10))
    of.drop(KEY, uid="u")
    now[0] = ANSWERS_COME_WITHIN_SECONDS - 1
    of.put(form(11))
    assert of.get(KEY) is None
    now[0] = ANSWERS_COME_WITHIN_SECONDS + 1
    of.put(form(11))
    assert of.get(KEY) == form(11)


def test_store_drops_no_other_resource_of_the_same_name() -> None:
    of = store(form(10, uid="old"), form(20, uid="new"))
    assert not of.drop(KEY, uid="old")
    assert of.get(KEY) == form(20, uid="new")
    assert [tenant.uid for tenant in of.tenants()] == ["new"]
    of.put(form(21, uid="new"))
    assert of.get(KEY) == form(21, uid="new")


def test_store_keeps_an_invalid_resource_but_lists_no_tenant() -> None:
    of = store(form(10, trigger={"unknown": 1}))
    assert of.get(KEY) is not None
    assert of.tenants() == []
    assert list(of) == [KEY]
    of.put(form(11))
    assert [tenant.key for tenant in of.tenants()] == [KEY]
    of.put(form(12, trigger={"unknown": 1}))
    assert of.tenants() == []


def test_store_drops_an_unknown_key_without_an_error() -> None:
    assert not store().drop(KEY, uid="u")
    assert key_of(form(1)) == KEY


def test_reconcile_of_a_deleted_resource_finds_an_empty_memory() -> None:
    of = store(form(10))
    of.remember(KEY, uid="u", reconciler=ReconcilerMemory(reconciliations=5))
    of.drop(KEY, uid="u")
    assert of.memory(KEY).reconciler.reconciliations == 0


def test_memory_of_a_deleted_resource_is_not_kept_for_the_re_created_one() -> None:
    of = store(form(10, uid="old"))
    of.put(form(12, uid="new"))
    of.remember(KEY, uid="old", reconciler=ReconcilerMemory(reconciliations=5))
    assert of.memory(KEY).reconciler.reconciliations == 0


def test_memory_writers_replace_only_their_own_part() -> None:
    of = store(form(10))
    of.remember(KEY, uid="u", reconciler=ReconcilerMemory(reconciliations=5))
    of.remember(KEY, uid="u", stream_lag=Finding.warning("StreamLagging", "late"))
    assert of.memory(KEY).reconciler.reconciliations == 5
    assert of.memory(KEY).stream_lag is not None


def provisioned(name: str, *, region: str = "us-east-1", uid: str = "u", version: int = 1) -> Resource:
    found = form(version, uid=uid)
    status = {"aws": {"accountID": "111111111111", "region": region, "cluster": "c"}}
    return {**found, "metadata": {**found["metadata"], "name": name}, "status": status}


def test_only_what_has_aws_resources_in_its_account_and_region_shares_a_tenants_limits() -> None:
    """Others may create as many invalid or refused ones as they like: nobody is read less often for them."""
    of = provisioned("california")["status"]
    junk = [{**form(1), "metadata": {**form(1)["metadata"], "name": f"junk-{number}"}} for number in range(50)]
    kept = store(provisioned("california"), provisioned("texas"), provisioned("utah", region="us-west-2"), *junk)
    assert (len(kept.resources()), kept.provisioned_beside(of)) == (53, 2)
    kept.put(provisioned("texas", uid="re-created", version=2))
    assert kept.provisioned_beside(of) == 2
    kept.drop("humangov/texas", uid="re-created")
    kept.drop("humangov/junk-1", uid="u")
    assert (len(kept.resources()), kept.provisioned_beside(of)) == (51, 1)
    kept.put({**form(2), "status": {}})
    assert (kept.provisioned_beside(of), kept.provisioned_beside({})) == (0, 0)
