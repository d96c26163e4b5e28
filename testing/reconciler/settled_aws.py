"""An account in which everything of many tenants is as declared, in memory: it answers every read, and counts them.

In place of the SDK below `Clients`. Pages are as large as AWS's. It cannot show writes, errors, permissions or limits,
and takes no time: what AWS refuses at which rate is for the reader of the counts.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import boto3
from botocore.exceptions import ClientError
from humangov.api.names import Identity, Names
from humangov.api.spec import Tenant
from humangov.aws import resources, role, stream, stream_observed
from humangov.aws.actions import ACTIONS
from humangov.aws.change import Context, boundary_of
from humangov.aws.clients import Clients
from humangov.bundle import Bundle

_BORN = datetime(2026, 3, 1, 11, tzinfo=UTC)
_LABEL = "2026-03-01T11:00:00.000"
_ACTION_OF = {(method.service, method.name): action for action, method in ACTIONS.items()}
Answer = dict[str, Any]


class _Session:
    """What `Clients` asks of the SDK's session: a client for each service, all of them the account's."""

    def __init__(self, account: SettledAccount) -> None:
        self._account = account

    def client(self, service: str, **_: Any) -> Any:
        return _Client(self._account, service)

    def get_credentials(self) -> str:
        return "some"

    def get_partition_for_region(self, _: str) -> str:
        return "aws"


class _Client:
    def __init__(self, account: SettledAccount, service: str) -> None:
        self._account, self._service = account, service

    def __getattr__(self, name: str) -> Callable[..., Answer]:
        action = _ACTION_OF[self._service, name]
        return lambda **parameters: self._account.answer(action, parameters)


class SettledAccount:
    """calls: by IAM's name of the action."""

    def __init__(self, *, account_id: str, region: str, cluster: str, boundary: str | None, bundle: Bundle) -> None:
        self.identity = Identity(account_id=account_id, region=region, cluster=cluster, partition="aws")
        self.calls: Counter[str] = Counter()
        self._boundary, self._bundle = boundary, bundle
        self._tables: dict[str, Answer] = {}
        self._roles: dict[str, Answer] = {}
        self._policies: dict[str, Any] = {}
        self._groups: dict[str, Answer] = {}
        self._functions: dict[str, Answer] = {}
        self._mappings: dict[str, Answer] = {}
        self._tags: dict[str, Mapping[str, str]] = {}

    def clients(self) -> Clients:
        return Clients(region=self.identity.region, session=cast(boto3.Session, _Session(self)))

    def add(self, tenant: Tenant) -> None:
        """Everything that the operator declares of it, by the operator's own word."""
        names = Names(tenant=tenant, identity=self.identity)
        boundary = boundary_of(self._boundary, names)
        context = Context(names=names, default_tags={}, permissions_boundary_arn=boundary, now=_BORN)
        arn = f"{names.table_arn}/stream/{_LABEL}"
        table = stream_observed.Observed(
            table_id=f"id-{tenant.name}", table_status="ACTIVE", enabled=True, view_type=stream.VIEW_TYPE, arn=arn,
            label=_LABEL, kms_key_arn=None,
        )  # fmt: skip
        observed = role.Observed(
            created=_BORN, path="/humangov/", trust="", policy=None, boundary=boundary, tags={},
            role_id=f"AROA{tenant.name.upper()}",
        )  # fmt: skip
        wanted = resources.desired(context, {resources.STREAM: table, resources.ROLE: observed}, bundle=self._bundle)
        self._add_table(names, arn)
        self._add_role(names, wanted[resources.ROLE], observed)
        group = wanted[resources.LOG_GROUP]
        name = tenant.log_group_name
        self._groups[name] = {"logGroupName": name, "retentionInDays": group.retention_days, "creationTime": 1}
        self._tags[names.log_group_arn] = group.tags
        self._add_function(names, wanted[resources.FUNCTION])
        self._add_mapping(names, wanted[resources.TRIGGER], arn)

    def _add_table(self, names: Names, arn: str) -> None:
        self._tables[names.tenant.table.name] = {
            "TableName": names.tenant.table.name, "TableId": f"id-{names.tenant.name}", "TableStatus": "ACTIVE",
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": stream.VIEW_TYPE},
            "LatestStreamArn": arn, "LatestStreamLabel": _LABEL,
        }  # fmt: skip
        self._tags[names.table_arn] = {"humangov.io/tenant": names.owner, stream.STREAM_TAG: _LABEL}

    def _add_role(self, names: Names, wanted: role.Desired, observed: role.Observed) -> None:
        name = names.tenant.role_name
        self._roles[name] = {
            "RoleName": name, "Arn": names.role_arn, "Path": observed.path, "RoleId": observed.role_id,
            "CreateDate": _BORN,
            "AssumeRolePolicyDocument": json.loads(wanted.trust),
            "PermissionsBoundary": {"PermissionsBoundaryArn": wanted.boundary} if wanted.boundary else {},
            "Tags": [{"Key": key, "Value": value} for key, value in wanted.tags.items()],
        }  # fmt: skip
        self._policies[name] = json.loads(wanted.policy)

    def _add_function(self, names: Names, wanted: Any) -> None:
        name = names.tenant.function.name
        self._functions[name] = {
            "FunctionName": name, "FunctionArn": names.function_arn, "CodeSha256": wanted.bundle.code_sha256,
            "Architectures": [wanted.architecture], "PackageType": "Zip", **wanted.configuration,
        }  # fmt: skip
        self._tags[names.function_arn] = wanted.tags

    def _add_mapping(self, names: Names, wanted: Any, source: str) -> None:
        configuration = {field: value for field, value in wanted.configuration.items() if field != "Enabled"}
        uuid = f"uuid-{names.tenant.name}"
        self._mappings[uuid] = {
            "UUID": uuid, "FunctionArn": names.function_arn, "EventSourceArn": source, "State": "Enabled",
            "LastModified": _BORN, "LastProcessingResult": "OK", **configuration,
        }  # fmt: skip
        self._tags[names.mapping_arn(uuid)] = wanted.tags

    def answer(self, action: str, asked: Mapping[str, Any]) -> Answer:
        self.calls[action] += 1
        found = getattr(self, "_" + action.replace(":", "_").lower(), None)
        if found is not None:
            return cast(Answer, found(asked))
        if action in _EMPTY:
            return dict(_EMPTY[action])
        if action in _ABSENT:
            raise ClientError({"Error": {"Code": _ABSENT[action], "Message": "none"}}, action)
        raise AssertionError(f"{action} is no read of a settled tenant")

    def _sts_getcalleridentity(self, _: Mapping[str, Any]) -> Answer:
        return {"Account": self.identity.account_id}

    def _dynamodb_describetable(self, asked: Mapping[str, Any]) -> Answer:
        return {"Table": self._tables[asked["TableName"]]}

    def _dynamodb_listtagsofresource(self, asked: Mapping[str, Any]) -> Answer:
        return {"Tags": _listed(self._tags[asked["ResourceArn"]])}

    def _iam_getrole(self, asked: Mapping[str, Any]) -> Answer:
        return {"Role": self._roles[asked["RoleName"]]}

    def _iam_getrolepolicy(self, asked: Mapping[str, Any]) -> Answer:
        return {"PolicyDocument": self._policies[asked["RoleName"]]}

    def _iam_listrolepolicies(self, _: Mapping[str, Any]) -> Answer:
        return {"PolicyNames": [role.POLICY_NAME]}

    def _iam_listroles(self, asked: Mapping[str, Any]) -> Answer:
        shown = [{k: v for k, v in one.items() if k not in _NOT_LISTED} for one in self._roles.values()]
        return _page(shown, "Roles", ("Marker", "Marker"), asked, size=asked.get("MaxItems", 100))

    def _logs_describeloggroups(self, asked: Mapping[str, Any]) -> Answer:
        prefix = asked.get("logGroupNamePrefix", "")
        found = [one for name, one in self._groups.items() if name.startswith(prefix)]
        return _page(found, "logGroups", ("nextToken", "nextToken"), asked, size=50)

    def _logs_listtagsforresource(self, asked: Mapping[str, Any]) -> Answer:
        return {"tags": dict(self._tags[asked["resourceArn"]])}

    def _lambda_getfunction(self, asked: Mapping[str, Any]) -> Answer:
        found = self._functions[asked["FunctionName"]]
        shown = {**found, "State": "Active", "LastUpdateStatus": "Successful"}
        return {"Configuration": shown, "Tags": dict(self._tags[found["FunctionArn"]])}

    def _lambda_listfunctions(self, asked: Mapping[str, Any]) -> Answer:
        return _page(list(self._functions.values()), "Functions", ("NextMarker", "Marker"), asked, size=50)

    def _lambda_listversionsbyfunction(self, asked: Mapping[str, Any]) -> Answer:
        return {"Versions": [{"Version": "$LATEST", "FunctionName": asked["FunctionName"]}]}

    def _lambda_listeventsourcemappings(self, asked: Mapping[str, Any]) -> Answer:
        name = asked.get("FunctionName")
        found = [one for one in self._mappings.values() if name is None or one["FunctionArn"].endswith(f":{name}")]
        return _page(found, "EventSourceMappings", ("NextMarker", "Marker"), asked, size=100)

    def _lambda_listtags(self, asked: Mapping[str, Any]) -> Answer:
        return {"Tags": dict(self._tags[asked["Resource"]])}

    def _tag_getresources(self, asked: Mapping[str, Any]) -> Answer:
        found = [{"ResourceARN": arn, "Tags": _listed(tags)} for arn, tags in self._tags.items()]
        token = ("PaginationToken", "PaginationToken")
        return _page(found, "ResourceTagMappingList", token, asked, size=asked.get("ResourcesPerPage", 50))


_NOT_LISTED = ("Tags", "PermissionsBoundary")
_EMPTY: Mapping[str, Answer] = {
    "dynamodb:DescribeStream": {"StreamDescription": {"StreamStatus": "ENABLED"}},
    "iam:ListAttachedRolePolicies": {"AttachedPolicies": []},
    "logs:DescribeSubscriptionFilters": {"subscriptionFilters": []},
    "lambda:ListFunctionUrlConfigs": {"FunctionUrlConfigs": []},
    "lambda:ListAliases": {"Aliases": []},
    "lambda:ListFunctionEventInvokeConfigs": {"FunctionEventInvokeConfigs": []},
    "lambda:GetFunctionCodeSigningConfig": {},
    "s3:GetBucketLocation": {"LocationConstraint": None},
    "s3:GetBucketVersioning": {},
    "s3:ListBucket": {"Contents": []},
}
_ABSENT = {
    "lambda:GetPolicy": "ResourceNotFoundException",
    "s3:GetReplicationConfiguration": "ReplicationConfigurationNotFoundError",
    "s3:GetLifecycleConfiguration": "NoSuchLifecycleConfiguration",
    "backup:DescribeProtectedResource": "ResourceNotFoundException",
}


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _page(
    every: Sequence[Any], items: str, token: tuple[str, str], asked: Mapping[str, Any], *, size: int
) -> Answer:  # fmt: skip
    """token: its name in the answer, and in the request."""
    start = int(base64.b64decode(asked[token[1]])) if asked.get(token[1]) else 0
    following = {token[0]: base64.b64encode(str(start + size).encode()).decode()} if start + size < len(every) else {}
    return {items: every[start : start + size], **following}
