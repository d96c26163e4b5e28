"""One account of the emulated AWS: what HumanGov's people and application do there, and what is left in the end."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from sandbox import emulator
from testing.live.states import Resource

REGION = "us-east-1"
OWNER_TAG = "humangov.io/tenant"
_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3}, max_pool_connections=16)
_MAKING = threading.Lock()


@cache
def _session() -> boto3.Session:
    """Loading the services' models costs more than all calls of a test: it is done once a process."""
    return boto3.Session(region_name=REGION)


class Account:
    """An AWS world of its own."""

    def __init__(self, *, endpoint_url: str) -> None:
        self.id = emulator.new_account()
        self.endpoint_url = endpoint_url
        self._suffix = secrets.token_hex(3)
        self._clients: dict[str, Any] = {}

    @property
    def environment(self) -> dict[str, str]:
        """For a process that is to work in this account."""
        return {
            "AWS_ACCESS_KEY_ID": self.id,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            # As deploy/iam demands. The emulator asks nobody whether there is such a policy.
            "HUMANGOV_PERMISSIONS_BOUNDARY": f"arn:aws:iam::{self.id}:policy/humangov-cleanup-boundary",
        }

    def client(self, service: str) -> Any:
        with _MAKING:
            if service not in self._clients:
                self._clients[service] = _session().client(
                    service, endpoint_url=self.endpoint_url, config=_CONFIG,
                    aws_access_key_id=self.id, aws_secret_access_key="sandbox",
                )  # fmt: skip
            return self._clients[service]

    # What people make before they declare a tenant.

    def table_name(self, state: str) -> str:
        return f"humangov-{state}-dynamodb"

    def bucket_name(self, state: str) -> str:
        """Buckets' names are unique in the world, tables' in an account."""
        return f"humangov-{state}-s3-{self._suffix}"

    def make_table(self, state: str, **more: Any) -> None:
        self.client("dynamodb").create_table(
            TableName=self.table_name(state), BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], **more,
        )  # fmt: skip

    def make_bucket(self, state: str, *, name: str | None = None) -> None:
        self.client("s3").create_bucket(Bucket=name or self.bucket_name(state))

    def make(self, *states: str) -> None:
        """Table and bucket of each."""
        for state in states:
            self.make_table(state)
            self.make_bucket(state)

    def spec(self, state: str, **more: Any) -> dict[str, Any]:
        """The spec of a HumanGovState for this state, as short as it may be."""
        return {"table": {"name": self.table_name(state)}, "bucket": {"name": self.bucket_name(state)}, **more}

    # What the application does.

    def employ(self, state: str, employee: str, *, pdf: str | None = None) -> str:
        """Upload the file under a fresh name, then write the record, in that order; the file's key."""
        key = pdf or f"{employee}-{secrets.token_hex(4)}.pdf"
        self.client("s3").put_object(Bucket=self.bucket_name(state), Key=key, Body=b"%PDF-1.4 " + employee.encode())
        self.record(state, employee, pdf=key)
        return key

    def record(self, state: str, employee: str, *, pdf: str) -> None:
        self.client("dynamodb").put_item(
            TableName=self.table_name(state),
            Item={"id": {"S": employee}, "name": {"S": f"Name of {employee}"}, "pdf": {"S": pdf}},
        )

    def dismiss(self, state: str, employee: str) -> None:
        """Delete the record and leave the PDF, as the application does."""
        self.client("dynamodb").delete_item(TableName=self.table_name(state), Key={"id": {"S": employee}})

    def files(self, state: str) -> set[str]:
        answer = self.client("s3").list_objects_v2(Bucket=self.bucket_name(state))
        return {item["Key"] for item in answer.get("Contents", ())}

    def has_file(self, state: str, key: str) -> bool:
        answer = self.client("s3").list_objects_v2(Bucket=self.bucket_name(state), Prefix=key)
        return any(item["Key"] == key for item in answer.get("Contents", ()))

    # What is there.

    def roles(self) -> list[Resource]:
        return list(self.client("iam").list_roles()["Roles"])

    def functions(self) -> list[Resource]:
        return self._pages("lambda", "list_functions", "Functions")

    def mappings(self) -> list[Resource]:
        return self._pages("lambda", "list_event_source_mappings", "EventSourceMappings")

    def log_groups(self) -> list[Resource]:
        return self._pages("logs", "describe_log_groups", "logGroups")

    def table(self, state: str) -> Resource:
        described: Resource = self.client("dynamodb").describe_table(TableName=self.table_name(state))["Table"]
        return described

    def table_tags(self, arn: str) -> dict[str, str]:
        tags = self.client("dynamodb").list_tags_of_resource(ResourceArn=arn).get("Tags", [])
        return {tag["Key"]: tag["Value"] for tag in tags}

    def log_lines(self, state: str) -> list[str]:
        group = f"/aws/lambda/humangov-{state}-delete-file"
        return [event["message"] for event in self._pages("logs", "filter_log_events", "events", logGroupName=group)]

    def receipts(self, state: str) -> list[Mapping[str, Any]]:
        """The cleanup function's lines of proof."""
        found = []
        for line in self.log_lines(state):
            start = line.find('{"receipt"')
            if start >= 0:
                found.append(json.loads(line[start:]))
        return found

    def leaked(self) -> dict[str, list[str]]:
        """Everything in the whole account that the operator could have made, and every ownership tag on a table."""
        streams, tags = [], []
        for name in self.client("dynamodb").list_tables()["TableNames"]:
            described = self.client("dynamodb").describe_table(TableName=name)["Table"]
            if (described.get("StreamSpecification") or {}).get("StreamEnabled"):
                streams.append(name)
            tags += [
                f"{name}: {key}" for key in self.table_tags(described["TableArn"]) if key.startswith("humangov.io")
            ]
        found = {
            "roles": [role["RoleName"] for role in self.roles()],
            "functions": [function["FunctionName"] for function in self.functions()],
            "mappings": [mapping["UUID"] for mapping in self.mappings()],
            "log groups": [group["logGroupName"] for group in self.log_groups()],
            "streams": streams,
            "table tags": tags,
        }
        return {kind: names for kind, names in found.items() if names}

    def picture(self) -> str:
        """All that the operator could change, as one text: equal texts mean that nothing was touched."""
        tables = {}
        for name in self.client("dynamodb").list_tables()["TableNames"]:
            described = self.client("dynamodb").describe_table(TableName=name)["Table"]
            tables[name] = {
                "stream": [described.get("StreamSpecification"), described.get("LatestStreamArn")],
                "tags": self.table_tags(described["TableArn"]),
            }
        iam, function = self.client("iam"), self.client("lambda")
        roles = []
        for role in self.roles():
            name = role["RoleName"]
            policies = iam.list_role_policies(RoleName=name)["PolicyNames"]
            documents = [iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in policies]
            roles.append([iam.get_role(RoleName=name)["Role"], documents])
        functions = []
        for one in self.functions():
            whole = function.get_function(FunctionName=one["FunctionName"])
            functions.append([whole["Configuration"], whole.get("Tags"), whole.get("Concurrency")])
        groups = [{key: value for key, value in group.items() if key != "storedBytes"} for group in self.log_groups()]
        return json.dumps([tables, roles, functions, self.mappings(), groups], default=str, sort_keys=True)

    def _pages(self, service: str, operation: str, items: str, **parameters: Any) -> list[Resource]:
        client = self.client(service)
        found: list[Resource] = []
        for page in client.get_paginator(operation).paginate(**parameters):
            found += page.get(items) or []
        return found
