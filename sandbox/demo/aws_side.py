"""The AWS side of the story: what the application holds there, and everything that could be left behind."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.demo.people import Employee, State, pdf
from sandbox.handle import Sandbox

CHANGED_EVERY_SECONDS = 1.0
SERVICES = ("dynamodb", "s3", "lambda", "iam", "logs", "sts")


@dataclass
class AwsSide:
    """Tables, buckets, records and files of all states in one account and region.

    `files_due` is what the story expects in each state's bucket: what is seen there must be exactly that.
    """

    clients: Mapping[str, Any]
    region: str
    states: Sequence[State]
    suffix: str
    """After every name of ours; may be empty in an account of the demo's own."""
    files_due: dict[str, set[str]] = field(default_factory=dict)
    created: list[State] = field(default_factory=list)
    report_bucket: str | None = None

    def state(self, name: str) -> State:
        return next(state for state in self.states if state.name == name)

    def create(self, state: State) -> None:
        """Table, bucket, and for every employee first the file, then the record."""
        self.created.append(state)
        self.clients["dynamodb"].create_table(
            TableName=state.table,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        place = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        self.clients["s3"].create_bucket(Bucket=state.bucket, **place)
        self.clients["dynamodb"].get_waiter("table_exists").wait(
            TableName=state.table, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
        self.files_due[state.name] = set()
        for employee in state.employees:
            self.hire(state, employee)

    def create_report_bucket(self) -> str:
        """Of reports and checkpoints, with versions and Object Lock, as docs/reports.md says; its name."""
        name = f"reports-of-humangov{self.suffix}"
        place = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        self.clients["s3"].create_bucket(Bucket=name, ObjectLockEnabledForBucket=True, **place)
        self.report_bucket = name
        return name

    def hire(self, state: State, employee: Employee) -> None:
        self.clients["s3"].put_object(
            Bucket=state.bucket, Key=employee.pdf, Body=pdf(employee), ContentType="application/pdf"
        )
        self.files_due[state.name].add(employee.pdf)
        self.clients["dynamodb"].put_item(TableName=state.table, Item=employee.item)

    @contextlib.contextmanager
    def in_use(self, state: State) -> Iterator[None]:
        """Meanwhile the application changes a record every second, as those of a table in use change."""
        over = threading.Event()
        key = {"id": {"S": min(self.record_ids(state), default="none")}}
        change = {"ConditionExpression": "attribute_exists(id)", "UpdateExpression": "SET salary = :salary"}

        def work() -> None:
            salary = 50_000
            while not over.wait(CHANGED_EVERY_SECONDS):
                salary += 100
                values = {":salary": {"N": str(salary)}}
                with contextlib.suppress(ClientError, BotoCoreError):  # its record was removed, or there is a storm
                    self.clients["dynamodb"].update_item(
                        TableName=state.table, Key=key, ExpressionAttributeValues=values, **change
                    )

        worker = threading.Thread(target=work, name="application", daemon=True)
        worker.start()
        try:
            yield
        finally:
            over.set()
            worker.join()

    def files(self, state: State) -> set[str]:
        """The application's keys in the state's bucket now."""
        return {key for key in self.keys(state) if not key.startswith(".humangov/")}

    def keys(self, state: State) -> set[str]:
        """All keys in the state's bucket now, also those that a sweep has written."""
        pages = self.clients["s3"].get_paginator("list_objects_v2").paginate(Bucket=state.bucket)
        return {found["Key"] for page in pages for found in page.get("Contents", ())}

    def record_ids(self, state: State) -> set[str]:
        pages = (
            self.clients["dynamodb"]
            .get_paginator("scan")
            .paginate(TableName=state.table, ConsistentRead=True, ProjectionExpression="id")
        )
        return {item["id"]["S"] for page in pages for item in page["Items"]}

    def stream_enabled(self, state: State) -> bool:
        table = self.clients["dynamodb"].describe_table(TableName=state.table)["Table"]
        return bool(table.get("StreamSpecification", {}).get("StreamEnabled"))

    def table_tags(self, state: State) -> dict[str, str]:
        dynamodb = self.clients["dynamodb"]
        arn = dynamodb.describe_table(TableName=state.table)["Table"]["TableArn"]
        return {tag["Key"]: tag["Value"] for tag in dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]}

    def function_is_settled(self, state: State) -> bool:
        """Whether Lambda has finished the last update, and takes another one."""
        found = self.clients["lambda"].get_function_configuration(FunctionName=state.function)
        return bool(found["LastUpdateStatus"] == "Successful")

    def timeout_seconds(self, state: State) -> int:
        """Of the cleanup function."""
        return int(self.clients["lambda"].get_function_configuration(FunctionName=state.function)["Timeout"])

    def mappings(self, state: State) -> list[dict[str, Any]]:
        return list(
            self.clients["lambda"].list_event_source_mappings(FunctionName=state.function)["EventSourceMappings"]
        )

    def trigger_states(self, state: State) -> list[str]:
        """`["Enabled"]` for a trigger that works."""
        return [mapping["State"] for mapping in self.mappings(state)]

    def log_group_retention_days(self, state: State) -> int | None:
        """None if there is no such log group, 0 if it keeps everything for ever."""
        name = log_group(state)
        found = self.clients["logs"].describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        return next((group.get("retentionInDays", 0) for group in found if group["logGroupName"] == name), None)

    def receipts(self, state: State, employee: Employee) -> list[dict[str, Any]]:
        """What the function wrote of this employee's file, oldest first."""
        pages = self.clients["logs"].get_paginator("filter_log_events").paginate(logGroupName=log_group(state))
        lines = (_receipt(event["message"]) for page in pages for event in page["events"])
        return [line for line in lines if line is not None and line.get("key") == employee.pdf]

    def outcomes(self, state: State, employee: Employee) -> list[str]:
        return [str(line["outcome"]) for line in self.receipts(state, employee) if line["receipt"] == "outcome"]

    def inventory(self) -> dict[str, list[str]]:
        """Everything of the account that the operator makes, whoever made it, by kind."""
        mappings = self._paged("lambda", "list_event_source_mappings", "EventSourceMappings")
        found: dict[str, Iterator[str]] = {
            "roles": (role["RoleName"] for role in self._paged("iam", "list_roles", "Roles")),
            "functions": (one["FunctionName"] for one in self._paged("lambda", "list_functions", "Functions")),
            "triggers": (f"{one['FunctionArn'].rpartition(':')[2]} ({one['State']})" for one in mappings),
            "log groups": (group["logGroupName"] for group in self._paged("logs", "describe_log_groups", "logGroups")),
            "enabled streams": (state.table for state in self.created if self.stream_enabled(state)),
            "tags on tables": (
                f"{state.table} ({len(tags)})" for state in self.created if (tags := self.table_tags(state))
            ),
        }
        return {kind: sorted(name for name in names if self.suffix in name) for kind, names in found.items()}

    def remove(self) -> list[str]:
        """Take tables and buckets of ours away; what could not be removed, in words."""
        left = []
        for state in self.created:
            for what, act in (
                (f"bucket {state.bucket}", self._remove_bucket(state)),
                (f"table {state.table}", self._remove_table(state)),
            ):
                try:
                    act()
                except ClientError as error:
                    if error.response["Error"]["Code"] not in ("NoSuchBucket", "ResourceNotFoundException"):
                        left.append(f"{what}: {error}")
        if self.report_bucket:
            try:
                self._remove_report_bucket(self.report_bucket)
            except ClientError as error:
                left.append(f"bucket {self.report_bucket}: {error}")
        return left

    def _remove_report_bucket(self, name: str) -> None:
        """It has versions."""
        for page in self.clients["s3"].get_paginator("list_object_versions").paginate(Bucket=name):
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                self.clients["s3"].delete_object(Bucket=name, Key=one["Key"], VersionId=one["VersionId"])
        self.clients["s3"].delete_bucket(Bucket=name)

    def close(self) -> None:
        for client in self.clients.values():
            client.close()

    def _remove_bucket(self, state: State) -> Callable[[], None]:
        def remove() -> None:
            for key in self.keys(state):
                self.clients["s3"].delete_object(Bucket=state.bucket, Key=key)
            self.clients["s3"].delete_bucket(Bucket=state.bucket)

        return remove

    def _remove_table(self, state: State) -> Callable[[], None]:
        return lambda: self.clients["dynamodb"].delete_table(TableName=state.table)

    def _paged(self, service: str, method: str, items: str) -> Iterator[Mapping[str, Any]]:
        for page in self.clients[service].get_paginator(method).paginate():
            yield from page[items]


def log_group(state: State) -> str:
    return f"/aws/lambda/{state.function}"


def taken(clients: Mapping[str, Any], states: Sequence[State]) -> bool:
    """Whether somebody has a bucket of these names: buckets share one space of names, over all accounts."""
    for state in states:
        try:
            clients["s3"].head_bucket(Bucket=state.bucket)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                return True
        else:
            return True
    return False


def connect(sandbox: Sandbox, *, environment: Mapping[str, str], config: Config) -> tuple[dict[str, Any], str]:
    """A client for each service, and the region, where `environment` leads."""
    if sandbox.aws == "account":
        session = boto3.Session()
        region = session.region_name or "us-east-1"
    else:
        region = environment.get("AWS_REGION") or environment["AWS_DEFAULT_REGION"]
        session = boto3.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=environment.get("AWS_SESSION_TOKEN"),
            region_name=region,
        )
    endpoint = sandbox.aws_endpoint_url
    # An endpoint of one's own has no host name a bucket.
    if endpoint:
        config = config.merge(Config(s3={"addressing_style": "path"}))
    return {
        service: session.client(service, region_name=region, endpoint_url=endpoint, config=config)
        for service in SERVICES
    }, region


def _receipt(message: str) -> dict[str, Any] | None:
    """A line of the function's log, if it is a receipt. Lambda's own lines (START, REPORT) are no JSON."""
    try:
        line = json.loads(message)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "receipt" in line else None
