"""What the operator asked of AWS while the tests ran, written down for tests/after/test_aws_calls.py.

From two sources. Passes in a test's own process (tests/aws) tell each call with its parameters, and what AWS would look
up to judge it is asked of the emulator. Operators as processes tell it by their own log: the action and a name, from
which the ARN is made here, and no condition.

Each test has an account of its own; in what is written down it is always ACCOUNT.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from humangov.api.names import ROLE_PATH
from humangov.aws import clients

from sandbox.paths import BUILD, Layout

ACCOUNT = "123456789012"
REGION = "us-east-1"
KNOW_NO_RESOURCE = {
    "sts:GetCallerIdentity",
    "lambda:ListEventSourceMappings",
    "lambda:ListFunctions",
    "lambda:CreateEventSourceMapping",
    "logs:DescribeLogGroups",
    "tag:GetResources",
    "cloudwatch:GetMetricData",
    "backup:DescribeProtectedResource",
    "iam:ListRoles",
}
Client = Callable[[str], Any]
"""The SDK's client of a service, past all that a test puts between the operator and AWS."""


@dataclass(frozen=True, kw_only=True)
class JudgedCall:
    """One call, as AWS judges it."""

    action: str
    resource: str
    context: Mapping[str, str] | None
    """Condition keys; None where the source does not tell."""
    region: str
    reported: str
    """The resource as the operator's log tells it."""


def folder() -> Path:
    """Of the run in this sandbox: runs beside each other have sandboxes of their own."""
    return BUILD / "evidence" / Layout.of().root.name / "aws"


def forget() -> None:
    """A new run begins."""
    shutil.rmtree(folder(), ignore_errors=True)


def found() -> list[JudgedCall]:
    """What was written down by all processes of the run."""
    lines = {line for path in folder().glob("*.jsonl") for line in path.read_text().splitlines()}
    return [JudgedCall(**json.loads(line)) for line in sorted(lines)]


class Evidence:
    """The notes of one process. Safe to use from several threads."""

    def __init__(self) -> None:
        self._path = folder() / f"{os.getpid()}.jsonl"
        self._written: set[str] = set()
        self._lock = threading.Lock()

    def note(
        self, action: str, *, target: str, parameters: Mapping[str, Any], account: str, region: str, client: Client
    ) -> None:
        """A call that is about to be made. `target` is what the operator's log will call its resource."""
        place = Place(account=account, region=region)
        resource, context = place.judged(action, parameters, client)
        reported = place.resource_of(action, target)
        self._write(
            JudgedCall(action=action, resource=resource, context=context, region=region, reported=reported), account
        )
        for implied, on, under in place.implied(action, parameters, resource):
            self._write(JudgedCall(action=implied, resource=on, context=under, region=region, reported=on), account)

    def note_logs(self, paths: Iterable[Path]) -> None:
        """What these logs of operators tell."""
        for path in paths:
            for action, target in calls_in(path.read_text(errors="replace").splitlines()):
                place = Place(account=ACCOUNT, region=REGION)
                resource = place.resource_of(action, re.sub(r":\d{12}:", f":{ACCOUNT}:", target))
                asked = JudgedCall(action=action, resource=resource, context=None, region=REGION, reported=resource)
                self._write(asked, ACCOUNT)

    def _write(self, asked: JudgedCall, account: str) -> None:
        known = repr(asked).replace(account, ACCOUNT)  # cheaper than its line, which is written once of thousands
        with self._lock:
            if known not in self._written:
                self._written.add(known)
                line = json.dumps(asdict(asked), sort_keys=True).replace(account, ACCOUNT)
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a") as output:
                    output.write(f"{line}\n")


def calls_in(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Action and resource of each call that an operator's log (--log-format json, --log-level debug) tells of."""
    for line in lines:
        # The last line of one that was killed may have no end.
        if f'"logger": "{clients.__name__}"' in line and line.endswith("}"):
            reported = json.loads(line)
            yield reported["action"], reported["resource"]


@dataclass(frozen=True, kw_only=True)
class Place:
    account: str
    region: str

    def judged(self, action: str, parameters: Mapping[str, Any], client: Client) -> tuple[str, Mapping[str, str]]:
        """The resource and the condition keys by which AWS judges a call with these parameters."""
        here = {"aws:RequestedRegion": self.region}
        service, name = action.split(":")
        if action == "iam:ListRoles":
            return "*", {"aws:RequestedRegion": "us-east-1"}  # IAM is one, and there
        if service == "iam":
            there = {} if name == "CreateRole" else _role(client, parameters["RoleName"])
            boundary = parameters.get("PermissionsBoundary") or (
                there.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
            )
            path = parameters.get("Path", "/")  # a role that is not there has none
            arn = there.get("Arn") or self._arn("iam", f"role{path}{parameters['RoleName']}", region="")
            return arn, here | ({"iam:PermissionsBoundary": boundary} if boundary else {})
        if action == "lambda:CreateEventSourceMapping":
            return "*", here | {"lambda:FunctionArn": self._function(parameters["FunctionName"])}
        if name in ("GetEventSourceMapping", "UpdateEventSourceMapping", "DeleteEventSourceMapping"):
            function = _function_of(client, parameters["UUID"])
            resource = self._arn("lambda", f"event-source-mapping:{parameters['UUID']}")
            return resource, here | ({"lambda:FunctionArn": function} if function else {})
        if action in KNOW_NO_RESOURCE:
            return "*", here
        if service == "s3":
            here |= {"aws:ResourceAccount": self.account}
        if action == "s3:ListBucket":
            here |= {"s3:prefix": parameters.get("Prefix", "")}
        by_arn = ("Resource", "resourceArn", "ResourceArn", "StreamArn")
        arn = next((str(parameters[key]) for key in by_arn if key in parameters), None)
        return arn or self.resource_of(action, _named(parameters)), here

    def implied(
        self, action: str, parameters: Mapping[str, Any], resource: str
    ) -> Iterator[tuple[str, str, Mapping[str, str]]]:
        """What AWS also wants to be allowed for the call: action, resource, condition keys."""
        here = {"aws:RequestedRegion": self.region}
        if action in ("lambda:CreateFunction", "lambda:UpdateFunctionConfiguration") and "Role" in parameters:
            yield "iam:PassRole", parameters["Role"], here | {"iam:PassedToService": "lambda.amazonaws.com"}
        if action == "lambda:GetFunction":  # else the answer has no tags
            yield "lambda:ListTags", resource, here
        if parameters.get("Tags") or parameters.get("tags"):
            match action:
                case "iam:CreateRole":
                    yield "iam:TagRole", resource, here
                case "logs:CreateLogGroup":
                    yield "logs:TagResource", resource, here
                case "lambda:CreateFunction":
                    yield "lambda:TagResource", resource, here
                case "lambda:CreateEventSourceMapping":
                    yield "lambda:TagResource", self._arn("lambda", "event-source-mapping:*"), here

    def resource_of(self, action: str, target: str) -> str:
        """The ARN of what the operator's log names."""
        service = action.split(":")[0]
        if action in KNOW_NO_RESOURCE:
            return "*"
        if target.startswith("arn:"):
            return target
        match service:
            case "iam":
                return self._arn("iam", f"role{ROLE_PATH}{target}", region="")
            case "lambda" if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", target):
                return self._arn("lambda", f"event-source-mapping:{target}")
            case "lambda":
                return self._function(target)
            case "dynamodb":
                return self._arn("dynamodb", f"table/{target}")
            case "logs":
                return self._arn("logs", f"log-group:{target}")
            case "s3":
                return f"arn:aws:s3:::{target}"
            case _:
                raise ValueError(f"{action}: what is its resource?")

    def _function(self, name: str) -> str:
        return name if name.startswith("arn:") else self._arn("lambda", f"function:{name}")

    def _arn(self, service: str, resource: str, *, region: str | None = None) -> str:
        return f"arn:aws:{service}:{self.region if region is None else region}:{self.account}:{resource}"


def _named(parameters: Mapping[str, Any]) -> str:
    """What a call without an ARN is about: of a function, perhaps an alias or a version."""
    keys = ("FunctionName", "TableName", "logGroupName", "Bucket")
    named = next(str(parameters[key]) for key in keys if key in parameters)
    return f"{named}:{parameters['Qualifier']}" if "Qualifier" in parameters else named


def _role(client: Client, name: str) -> Mapping[str, Any]:
    """Empty if there is none."""
    try:
        return dict(client("iam").get_role(RoleName=name)["Role"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchEntity":
            return {}
        raise


def _function_of(client: Client, uuid: str) -> str | None:
    """The ARN of the function that a mapping calls; None if there is no such mapping."""
    pages = client("lambda").get_paginator("list_event_source_mappings").paginate()
    every = [mapping for page in pages for mapping in page["EventSourceMappings"]]
    return next((str(mapping["FunctionArn"]) for mapping in every if mapping["UUID"] == uuid), None)
