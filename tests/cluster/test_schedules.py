"""Schedules at the real API server: what its CronJobs refuse, the definition and the operator refuse as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from humangov.api.spec import Sweep
from humangov.api.sweep_schedule import refusal
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from testing.live.cluster import Cluster
from testing.live.states import States
from testing.schedules import ACCEPTED, NEEDLESS, NEVER, NO_ZONES, REFUSED, UNKNOWN_ZONE, ZONES

INVALID = 422


@pytest.fixture(scope="module")
def states(cluster: Cluster) -> Iterator[States]:
    with cluster.fresh_namespace("schedules") as namespace:
        yield States(cluster, namespace)


def is_accepted(create: Any) -> bool:
    try:
        create()
    except ApiException as error:
        if error.status != INVALID:
            raise
        return False
    return True


def by_cron_jobs(states: States, schedule: str, zone: str = "UTC") -> bool:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    spec = {"schedule": schedule, "timeZone": zone, "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    body = {"metadata": {"name": "c"}, "spec": spec}
    api: Any = client.BatchV1Api(states.cluster.api.api_client)
    return is_accepted(lambda: api.create_namespaced_cron_job(states.namespace, body, dry_run="All"))


def by_definition(states: States, **sweep: str) -> bool:
    spec = {"table": {"name": "table"}, "bucket": {"name": "bucket"}, "sweep": sweep}
    return is_accepted(
        lambda: states.cluster.api.create_namespaced_custom_object(
            "humangov.io", "v1", states.namespace, "humangovstates", states.manifest("s", **spec), dry_run="All"
        )
    )


def by_operator(schedule: str) -> bool:
    return refusal(Sweep(schedule=schedule)) is None


def test_definition_and_operator_accept_no_schedule_that_the_cron_job_api_refuses(states: States) -> None:
    for text in ACCEPTED:
        assert (by_cron_jobs(states, text), by_definition(states, schedule=text), by_operator(text)) == (True,) * 3, (
            text
        )
    for text in REFUSED:
        assert (by_cron_jobs(states, text), by_operator(text)) == (False, False), text
        ends_before = text in ("30-10 * * * *", "0 0 * * FRI-MON")  # only numbers can tell: the operator refuses it
        assert by_definition(states, schedule=text) is ends_before, text
    for text in NEVER:
        assert (by_cron_jobs(states, text), by_operator(text)) == (True, False), text
        in_another_form = text in ("0 3 30-31 2 *", "0 3 31 2 */1")
        assert by_definition(states, schedule=text) is in_another_form, text
    for text in NEEDLESS:
        found = (by_cron_jobs(states, text), by_definition(states, schedule=text), by_operator(text))
        assert found == (True, False, False), text


def test_definition_accepts_no_time_zone_that_the_cron_job_api_refuses_but_misspelled_ones(states: States) -> None:
    for zone in ZONES:
        assert (by_cron_jobs(states, "0 0 * * *", zone), by_definition(states, timeZone=zone)) == (True, True), zone
    for zone in NO_ZONES:
        assert (by_cron_jobs(states, "0 0 * * *", zone), by_definition(states, timeZone=zone)) == (False, False), zone
    assert not by_cron_jobs(states, "0 0 * * *", UNKNOWN_ZONE)
    assert by_definition(states, timeZone=UNKNOWN_ZONE)
