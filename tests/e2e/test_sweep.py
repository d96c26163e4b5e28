"""Orphans from before the operator came: found, approved, seen twice, and gone, in three states at once.

On the real API server with its controllers, the emulated AWS (MiniStack) and the operator as a process. There is no
node: what the CronJob's template makes runs as a process, with its command, environment and account's token; in
tests/install a kubelet runs it. A day passes in what a proxy says S3's clock is.
"""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox.later import LaterLayer
from sandbox.proxy import Proxy
from testing.live.account import Account
from testing.live.states import States, condition
from testing.live.sweep_pods import ACCOUNT, Pods, template
from testing.live.waiting import wait_for
from tests.conftest import Print, StartOperator

# Files of each; every tenth is an orphan. California's listing takes two pages.
FILES = {"california": 1010, "florida": 100, "texas": 100}
ORPHANS = {state: number // 10 for state, number in FILES.items()}
STATES = tuple(FILES)
HOUR = 3600


def fill(account: Account, state: str) -> tuple[set[str], set[str]]:
    """Files with records, and orphans."""
    s3, dynamodb = account.client("s3"), account.client("dynamodb")
    keys = [f"{state}-{number:04}-{secrets.token_hex(2)}.pdf" for number in range(FILES[state])]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=account.bucket_name(state), Key=key, Body=b"%PDF"), keys))
    live, orphans = keys[ORPHANS[state] :], keys[: ORPHANS[state]]
    for first in range(0, len(live), 25):
        items = [{"id": {"S": f"id-{key}"}, "pdf": {"S": key}} for key in live[first : first + 25]]
        puts = [{"PutRequest": {"Item": item}} for item in items]
        dynamodb.batch_write_item(RequestItems={account.table_name(state): puts})
    return set(live), set(orphans)


def files(account: Account, state: str) -> set[str]:
    pages = account.client("s3").get_paginator("list_objects_v2").paginate(Bucket=account.bucket_name(state))
    keys = {one["Key"] for page in pages for one in page["Contents"]}
    return {key for key in keys if not key.startswith(".humangov/")}


@pytest.fixture
def aws(account: Account) -> Any:
    later = LaterLayer()
    with Proxy(account.endpoint_url, layers=[later]) as proxy:
        yield later, {**account.environment, "AWS_ENDPOINT_URL": proxy.url}


def test_sweep_reports_121_orphans_of_1210_files_and_the_second_erases_exactly_them_once_approved(
    states: States, account: Account, operator: StartOperator, tmp_path: Path, aws: Any, measured: Print
) -> None:
    later, environment = aws
    account.make(*STATES)
    with ThreadPoolExecutor(len(STATES)) as pool:
        made = dict(zip(STATES, pool.map(lambda state: fill(account, state), STATES), strict=True))
    operator("--sweep-template", template(states.cluster, states.namespace))
    sweep = {"mode": "Delete", "schedule": "0 0 1 1 *"}
    states.apply(*(states.manifest(state, **account.spec(state, sweep=sweep)) for state in STATES))
    for state in STATES:
        states.wait_ready(state)
    pods = Pods(states.cluster, states.namespace, tmp_path)

    def reported(state: str) -> dict[str, Any]:
        return dict((states.get(state) or {})["status"].get("sweep") or {})

    def swept(value: str, *, hours: float) -> list[Any]:
        later.seconds = hours * HOUR
        for state in STATES:
            states.annotate(state, sweep=value)
        done = pods.run(len(STATES), environment=environment)
        for state in STATES:
            wait_for(
                lambda state=state: (states.get(state) or {})["status"].get("lastHandledSweep") == value,  # type: ignore[misc]
                what="the annotation is echoed",
            )
        return done

    first = swept("1", hours=25)
    # The tables are a minute old: a person approves what is to be erased.
    assert [done.returncode for done in first] == [3, 3, 3], first[0].stderr
    for state in STATES:
        fields = reported(state)
        live = FILES[state] - ORPHANS[state]
        assert (fields["result"], fields["listed"], fields["live"]) == ("SafetyCheckFailed", FILES[state], live)
        assert "the table was created at " in fields["message"]
        assert f"humangov.io/approve-sweep={fields['orphanListSHA256']}" in fields["message"]
        assert (fields["orphans"], fields["confirmed"], fields["erased"]) == (ORPHANS[state], 0, 0)
        assert files(account, state) == made[state][0] | made[state][1]
        wait_for(
            lambda state=state: condition(states.get(state), "SweepSucceeded")["reason"] == "SafetyCheckFailed",  # type: ignore[misc]
            what="the operator tells of it",
        )
        states.approve(state, fields["orphanListSHA256"])
    row = states.cluster.output("get", "hgs", "texas", "-n", states.namespace).splitlines()
    assert row[0].split()[:8] == ["NAME", "READY", "REASON", "STOPPED", "TRIGGER", "ORPHANS", "LAST-SWEEP", "AGE"]
    assert row[1].split()[4] == str(ORPHANS["texas"])

    second = swept("2", hours=46)
    assert [done.returncode for done in second] == [0, 0, 0], second[0].stderr
    for state in STATES:
        fields = reported(state)
        assert (fields["result"], fields["orphans"], fields["erased"]) == ("Erased", 0, ORPHANS[state]), fields
        assert files(account, state) == made[state][0]
    measured(f"sweep of {FILES['california']:,} files: {second[0].stdout.splitlines()[0]}")

    # As the operator made it, and nobody else's hands were in it.
    _of_a_cron_job(states)
    _reported_in_receipts(account)
    for state in STATES[1:]:  # there the final read erases nothing, and says that it is not complete
        states.respec(state, trigger={"enabled": False})
    states.wait_ready(*STATES)
    states.cluster.output("delete", "hgs", *STATES, "-n", states.namespace, "--wait=false")
    ends = pods.run(len(STATES), environment=environment)
    assert sorted(end.returncode for end in ends) == [0, 2, 2], [end.stderr for end in ends]
    states.wait_none(seconds=60)
    left = states.cluster.output("get", "cronjobs,jobs", "-n", states.namespace, "-o", "name").split()
    assert left == ["cronjob.batch/humangov-operator-sweep-template"]
    assert account.leaked() == {}


def _of_a_cron_job(states: States) -> None:
    found = json.loads(states.cluster.output("get", "cronjobs", "-n", states.namespace, "-o", "json"))["items"]
    found = [one for one in found if "humangov.io/name" in one["metadata"]["labels"]]
    assert len(found) == len(STATES)
    pod = found[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == ACCOUNT
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert found[0]["spec"]["concurrencyPolicy"] == "Forbid"


def _reported_in_receipts(account: Account) -> None:
    logs = account.client("logs")
    group = "/aws/lambda/humangov-texas-delete-file"
    events = logs.filter_log_events(logGroupName=group, logStreamNamePrefix="sweep/")["events"]
    lines = [json.loads(event["message"]) for event in events]
    assert sum(line.get("outcome") == "erased" for line in lines) == ORPHANS["texas"]
    assert sum(line.get("receipt") == "intent" for line in lines) == ORPHANS["texas"]
    # Scan and stream: the emulated DynamoDB, and the trigger as its only reader.
    assert {line["reading"] for line in lines if "receipt" in line} == {"snapshot"}
