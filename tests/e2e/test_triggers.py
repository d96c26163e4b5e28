"""The emulated AWS reads each table's stream for itself, as AWS does: sandbox/emulator_start.py."""

from __future__ import annotations

import json
from typing import Any

from testing.live.account import Account
from testing.live.waiting import wait_for
from testing.zips import zipped

HANGS = "import time\n\ndef handler(event, context):\n    time.sleep(40)\n"
WORKS = "def handler(event, context):\n    pass\n"


def trigger(account: Account, state: str, source: str) -> str:
    """Table, role, function and trigger of a state; returns the trigger's UUID."""
    account.make_table(state, StreamSpecification={"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"})
    [table] = [account.client("dynamodb").describe_table(TableName=account.table_name(state))["Table"]]
    role = account.client("iam").create_role(RoleName=state, AssumeRolePolicyDocument=json.dumps({}))["Role"]["Arn"]
    function = account.client("lambda").create_function(
        FunctionName=state, Runtime="python3.12", Role=role, Handler="index.handler", Timeout=60,
        Code={"ZipFile": zipped("index.py", source)},
    )  # fmt: skip
    mapping = account.client("lambda").create_event_source_mapping(
        EventSourceArn=table["LatestStreamArn"], FunctionName=function["FunctionName"], StartingPosition="TRIM_HORIZON"
    )
    return str(mapping["UUID"])


def result(account: Account, uuid: str) -> Any:
    return account.client("lambda").get_event_source_mapping(UUID=uuid).get("LastProcessingResult")


def test_function_that_hangs_keeps_no_other_tables_records_waiting(account: Account) -> None:
    hanging, working = trigger(account, "arizona", HANGS), trigger(account, "nevada", WORKS)
    account.record("arizona", "1", pdf="1.pdf")
    account.record("nevada", "1", pdf="1.pdf")
    account.record("nevada", "2", pdf="2.pdf")
    wait_for(lambda: str(result(account, working)).startswith("OK"), what="nevada's records are processed", seconds=20)
    assert not str(result(account, hanging)).startswith("OK")
