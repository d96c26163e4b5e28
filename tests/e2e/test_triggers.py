"""What the emulated AWS does as AWS does it: sandbox/emulator_start.py."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from testing.live.account import Account
from testing.live.waiting import wait_for
from testing.zips import zipped

HANGS = "import time\n\ndef handler(event, context):\n    time.sleep(40)\n"
LASTS = "import time\n\ndef handler(event, context):\n    time.sleep(3)\n    print('done')\n"
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


def test_invocation_that_outlives_its_function_creates_no_log_group(account: Account) -> None:
    trigger(account, "arizona", LASTS)
    functions, logs = account.client("lambda"), account.client("logs")

    def groups() -> list[str]:
        return [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]

    with ThreadPoolExecutor(1) as thread:
        functions.invoke(FunctionName="arizona")
        assert groups() == ["/aws/lambda/arizona"]
        lasting = thread.submit(functions.invoke, FunctionName="arizona")
        time.sleep(1)
        functions.delete_function(FunctionName="arizona")
        logs.delete_log_group(logGroupName="/aws/lambda/arizona")
        lasting.exception()  # whether it has ended or was ended does not matter
    assert groups() == []
