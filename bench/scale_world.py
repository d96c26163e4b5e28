"""What the scale bench's fake AWS keeps: roles, functions, mappings, log groups, tags (bench/scale_aws.py serves it).

Every table and bucket that is named exists. What ripens: Lambda knows a role after 8 s, a function is Pending for 2, a
mapping Creating, or Deleting, for 3.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

ACCOUNT, REGION = "123456789012", "us-east-1"
ROLE_SECONDS, FUNCTION_SECONDS, MAPPING_SECONDS = 8.0, 2.0, 3.0
_PAGE = 50  # CloudWatch Logs' own


class AwsRefusalError(Exception):
    """The AWS error of this code."""

    def __init__(self, code: str, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


class World:
    """What is there, by name."""

    def __init__(self, *, ripening: bool) -> None:
        self.ripening = 1.0 if ripening else 0.0
        self.tables: dict[str, dict[str, Any]] = {}
        self.roles: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.functions: dict[str, dict[str, Any]] = {}
        self.mappings: dict[str, dict[str, Any]] = {}
        self.mappings_of: dict[str, list[str]] = {}

    def clone(self, pattern: str, names: list[str]) -> None:
        """What belongs to tenant `pattern`, for each of the names: all that holds the name, with the other name."""
        for kind in (self.tables, self.roles, self.groups, self.functions, self.mappings):
            text = {key: json.dumps(one) for key, one in kind.items() if pattern in key or pattern in str(one)}
            for name in names:
                for key, one in text.items():
                    copied = key.replace(pattern, name)
                    if kind is self.mappings:
                        copied = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
                        one = one.replace(key, copied)
                    kind[copied] = described = json.loads(one.replace(pattern, name))
                    if kind is self.mappings:
                        self.mappings_of.setdefault(_name_of(described["FunctionArn"]), []).append(copied)

    def inventory(self) -> dict[str, Any]:
        """Functions with their memory, mappings with their states by function, and the names of all else."""
        return {
            "functions": {name: one["shown"]["MemorySize"] for name, one in self.functions.items()},
            "mappings": {
                function: [self.mappings[key]["State"] for key in list(keys) if self._is_there(key)]
                for function, keys in list(self.mappings_of.items())
            },
            "roles": sorted(self.roles),
            "groups": sorted(self.groups),
            "streams": sorted(name for name, one in self.tables.items() if one["stream"]),
        }

    def _is_there(self, key: str) -> bool:
        """A mapping goes when it is looked at after its time."""
        try:
            self.mapping(key)
        except AwsRefusalError:
            return False
        return True

    # DynamoDB

    def table(self, name: str) -> dict[str, Any]:
        return self.tables.setdefault(name, {"name": name, "stream": None, "tags": {}})

    def _described(self, name: str) -> dict[str, Any]:
        one = self.table(name)
        arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"
        key = {"AttributeName": "id", "KeyType": "HASH"}
        stream = {
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": one["view"]},
            "LatestStreamArn": f"{arn}/stream/{one['stream']}",
            "LatestStreamLabel": one["stream"],
        } if one["stream"] else {}  # fmt: skip
        return {
            "TableName": name, "TableArn": arn, "TableStatus": "ACTIVE", "KeySchema": [key], "ItemCount": 0,
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}], "TableSizeBytes": 0,
            "CreationDateTime": 1.7e9, "TableId": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
            "DeletionProtectionEnabled": False, **stream,
        }  # fmt: skip

    def describe_table(self, given: Any) -> Any:
        return {"Table": self._described(given["TableName"])}

    def update_table(self, given: Any) -> Any:
        one, wanted = self.table(given["TableName"]), given["StreamSpecification"]
        one["stream"] = "2026-03-01T11:00:00.000" if wanted["StreamEnabled"] else None
        one["view"] = wanted.get("StreamViewType")
        return {"TableDescription": self._described(given["TableName"])}

    def describe_stream(self, given: Any) -> Any:
        return {
            "StreamDescription": {
                "StreamArn": given["StreamArn"], "StreamStatus": "ENABLED", "StreamViewType": "NEW_AND_OLD_IMAGES",
                "Shards": [],
            }
        }  # fmt: skip

    def table_tags(self, given: Any) -> dict[str, str]:
        tags: dict[str, str] = self.table(given["ResourceArn"].rpartition("/")[2])["tags"]
        return tags

    def list_table_tags(self, given: Any) -> Any:
        return {"Tags": _pairs(self.table_tags(given))}

    def tag_table(self, given: Any) -> Any:
        self.table_tags(given).update({one["Key"]: one["Value"] for one in given["Tags"]})
        return {}

    def untag_table(self, given: Any) -> Any:
        for key in given["TagKeys"]:
            self.table_tags(given).pop(key, None)
        return {}

    # CloudWatch Logs

    def describe_groups(self, given: Any) -> Any:
        prefix, after = given.get("logGroupNamePrefix", ""), given.get("nextToken", "")
        exact = prefix in self.groups and not after
        names = [prefix] if exact else []
        if not exact or any(one.startswith(prefix) and one != prefix for one in self._near(prefix)):
            names = sorted(one for one in self.groups if one.startswith(prefix) and one > after)
        shown = [{"logGroupName": one, "arn": _group_arn(one) + ":*", **self.groups[one]["shown"]} for one in names]
        limit = int(given.get("limit", _PAGE))
        token = {"nextToken": names[limit - 1]} if len(names) > limit else {}
        return {"logGroups": shown[:limit], **token}

    def _near(self, prefix: str) -> list[str]:
        """Of groups, only those of a name that another's begins with: the bench's names have all one length."""
        return [] if len(prefix) > len("/aws/lambda/") else list(self.groups)

    def create_group(self, given: Any) -> Any:
        name = given["logGroupName"]
        if name in self.groups:
            raise AwsRefusalError("ResourceAlreadyExistsException", "The specified log group already exists")
        self.groups[name] = {"shown": {"creationTime": 1, "storedBytes": 0}, "tags": given.get("tags", {})}
        return {}

    def group(self, name: str) -> dict[str, Any]:
        if name not in self.groups:
            raise AwsRefusalError("ResourceNotFoundException", "The specified log group does not exist.")
        return self.groups[name]

    def retain(self, given: Any) -> Any:
        self.group(given["logGroupName"])["shown"]["retentionInDays"] = given["retentionInDays"]
        return {}

    def group_tags(self, given: Any) -> Any:
        return {"tags": self.group(given["resourceArn"].split(":")[6])["tags"]}

    def delete_group(self, given: Any) -> Any:
        self.group(given["logGroupName"])
        del self.groups[given["logGroupName"]]
        return {}

    # IAM: an answer is XML

    def role(self, given: Any) -> dict[str, Any]:
        if given["RoleName"] not in self.roles:
            raise AwsRefusalError(
                "NoSuchEntity", f"The role with name {given['RoleName']} cannot be found.", status=404
            )
        return self.roles[given["RoleName"]]

    def create_role(self, given: Any) -> str:
        name, path = given["RoleName"], given.get("Path", "/")
        self.roles[name] = {
            "name": name, "path": path, "trust": given["AssumeRolePolicyDocument"], "policies": {},
            "tags": _query_pairs(given, "Tags.member"), "made": time.time(),
        }  # fmt: skip
        return _role_xml(self.roles[name])

    def get_role(self, given: Any) -> str:
        return _role_xml(self.role(given))

    def put_role_policy(self, given: Any) -> str:
        self.role(given)["policies"][given["PolicyName"]] = given["PolicyDocument"]
        return ""

    def get_role_policy(self, given: Any) -> str:
        found = self.role(given)["policies"].get(given["PolicyName"])
        if found is None:
            raise AwsRefusalError("NoSuchEntity", "The role policy cannot be found.", status=404)
        names = f"<RoleName>{given['RoleName']}</RoleName><PolicyName>{escape(given['PolicyName'])}</PolicyName>"
        return f"{names}<PolicyDocument>{escape(found)}</PolicyDocument>"

    def list_role_policies(self, given: Any) -> str:
        names = "".join(f"<member>{escape(one)}</member>" for one in self.role(given)["policies"])
        return f"<PolicyNames>{names}</PolicyNames><IsTruncated>false</IsTruncated>"

    def list_attached(self, given: Any) -> str:
        self.role(given)
        return "<AttachedPolicies/><IsTruncated>false</IsTruncated>"

    def list_roles(self, given: Any) -> str:
        prefix, after = given.get("PathPrefix", "/"), given.get("Marker", "")
        names = sorted(one for one, role in self.roles.items() if role["path"].startswith(prefix) and one > after)
        limit = int(given.get("MaxItems", 100))
        members = "".join(_role_xml(self.roles[one], tag="member", tags=False) for one in names[:limit])
        more = len(names) > limit
        marker = f"<Marker>{names[limit - 1]}</Marker>" if more else ""
        return f"<Roles>{members}</Roles><IsTruncated>{str(more).lower()}</IsTruncated>{marker}"

    def delete_role_policy(self, given: Any) -> str:
        self.role(given)["policies"].pop(given["PolicyName"], None)
        return ""

    def delete_role(self, given: Any) -> str:
        self.role(given)
        del self.roles[given["RoleName"]]
        return ""

    # Lambda

    def function(self, name: str) -> dict[str, Any]:
        if name not in self.functions:
            raise AwsRefusalError("ResourceNotFoundException", f"Function not found: {name}", status=404)
        one = self.functions[name]
        if one["shown"]["State"] == "Pending" and time.time() - one["made"] >= FUNCTION_SECONDS * self.ripening:
            one["shown"] |= {"State": "Active", "LastUpdateStatus": "Successful"}
        return one

    def create_function(self, given: Any) -> Any:
        name, role = given["FunctionName"], given["Role"].rpartition("/")[2]
        if name in self.functions:
            raise AwsRefusalError("ResourceConflictException", f"Function already exist: {name}", status=409)
        if role not in self.roles or time.time() - self.roles[role]["made"] < ROLE_SECONDS * self.ripening:
            raise AwsRefusalError(
                "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda."
            )
        code = base64.b64decode(given.pop("Code")["ZipFile"])
        tags = given.pop("Tags", {})
        shown = {
            **given, "FunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}", "State": "Pending",
            "CodeSha256": base64.b64encode(hashlib.sha256(code).digest()).decode(), "CodeSize": len(code),
            "Version": "$LATEST", "LastModified": "2026-03-01T11:00:00.000+0000", "PackageType": "Zip",
            "EphemeralStorage": given.get("EphemeralStorage", {"Size": 512}),
            "TracingConfig": given.get("TracingConfig", {"Mode": "PassThrough"}),
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        }  # fmt: skip
        self.functions[name] = {"shown": shown, "tags": tags, "made": time.time(), "concurrency": None}
        return shown

    def get_function(self, name: str) -> Any:
        one = self.function(name)
        limit = {"Concurrency": {"ReservedConcurrentExecutions": one["concurrency"]}} if one["concurrency"] else {}
        return {"Configuration": one["shown"], "Code": {"RepositoryType": "S3"}, "Tags": one["tags"], **limit}

    def functions_shown(self, query: Mapping[str, str]) -> Any:
        """Without their State, as AWS lists them."""
        after, limit = query.get("Marker", ""), int(query.get("MaxItems", 50))
        names = sorted(name for name in self.functions if name > after)
        hidden = ("State", "LastUpdateStatus")
        listed = [
            {field: value for field, value in self.functions[name]["shown"].items() if field not in hidden}
            for name in names[:limit]
        ]
        return {"Functions": listed, **({"NextMarker": names[limit - 1]} if len(names) > limit else {})}

    def update_function(self, name: str, given: Any) -> Any:
        one = self.function(name)
        if "ZipFile" in given:
            code = base64.b64decode(given["ZipFile"])
            one["shown"]["CodeSha256"] = base64.b64encode(hashlib.sha256(code).digest()).decode()
        else:
            one["shown"] |= given
        return one["shown"]

    def limit(self, name: str, number: int | None) -> Any:
        self.function(name)["concurrency"] = number
        return {"ReservedConcurrentExecutions": number}

    def delete_function(self, name: str) -> Any:
        self.function(name)
        del self.functions[name]
        return {}

    def mappings_shown(self, query: Mapping[str, str]) -> Any:
        name, after = query.get("FunctionName", ""), query.get("Marker", "")
        of = self.mappings_of.get(name.rpartition(":")[2], []) if name else sorted(self.mappings)
        source, limit = query.get("EventSourceArn"), int(query.get("MaxItems", 100))
        found = [self.mapping(one) for one in of if one in self.mappings and one > after]
        found = [one for one in found if source in (None, one["EventSourceArn"])]
        more = {"NextMarker": found[limit - 1]["UUID"]} if len(found) > limit else {}
        return {"EventSourceMappings": found[:limit], **more}

    def mapping(self, key: str) -> Any:
        if key not in self.mappings:
            raise AwsRefusalError("ResourceNotFoundException", "The resource you requested does not exist.", status=404)
        one = self.mappings[key]
        if one["State"] in _AFTER and time.time() - one["LastModified"] >= MAPPING_SECONDS * self.ripening:
            if one["State"] == "Deleting":
                del self.mappings[key]
                self.mappings_of[_name_of(one["FunctionArn"])].remove(key)
                return self.mapping(key)
            one["State"] = _AFTER[one["State"]]
        return {name: value for name, value in one.items() if name != "Tags"}

    def create_mapping(self, given: Any) -> Any:
        key, name = str(uuid.uuid4()), given["FunctionName"].rpartition(":")[2]
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
        enabled = given.pop("Enabled", True)
        self.mappings[key] = {
            **given, "UUID": key, "FunctionArn": arn, "LastModified": time.time(), "StateTransitionReason": "User",
            "State": "Creating" if enabled else "Disabled", "LastProcessingResult": "No records processed",
            "ParallelizationFactor": given.get("ParallelizationFactor", 1),
            "EventSourceMappingArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{key}",
        }  # fmt: skip
        self.mappings_of.setdefault(name, []).append(key)
        return self.mapping(key)

    def change_mapping(self, key: str, given: Any, *, state: str) -> Any:
        self.mapping(key)
        enabled = given.pop("Enabled", None)
        self.mappings[key] |= {
            **given,
            "LastModified": time.time(),
            "State": "Disabling" if enabled is False else state,
        }
        return self.mapping(key)

    def lambda_tags(self, arn: str) -> dict[str, str]:
        kind, _, key = arn.partition(f":{ACCOUNT}:")[2].partition(":")
        one = self.function(key) if kind == "function" else self.mappings.get(key)
        if one is None:
            raise AwsRefusalError("ResourceNotFoundException", "The resource does not exist.", status=404)
        tags: dict[str, str] = one.setdefault("tags" if kind == "function" else "Tags", {})
        return tags

    def resources(self, given: Any) -> Any:
        """Tagged resources of all kinds but roles."""
        wanted = {one["Key"] for one in given.get("TagFilters", ())}
        kinds = tuple(given.get("ResourceTypeFilters", ()))
        found = sorted((arn, tags) for arn, tags in self._tagged() if wanted <= set(tags) and _of_kind(arn, kinds))
        after = given.get("PaginationToken", "")
        found = [one for one in found if one[0] > after]
        page = [{"ResourceARN": arn, "Tags": _pairs(tags)} for arn, tags in found[:100]]
        return {"ResourceTagMappingList": page, "PaginationToken": found[99][0] if len(found) > 100 else ""}

    def _tagged(self) -> list[tuple[str, dict[str, str]]]:
        return [
            *((one["shown"]["FunctionArn"], one["tags"]) for one in self.functions.values()),
            *((_group_arn(name), one["tags"]) for name, one in self.groups.items()),
            *((self._described(name)["TableArn"], one["tags"]) for name, one in self.tables.items()),
            *((one["EventSourceMappingArn"], one.get("Tags", {})) for one in self.mappings.values()),
        ]


_AFTER = {"Creating": "Enabled", "Updating": "Enabled", "Enabling": "Enabled", "Disabling": "Disabled", "Deleting": ""}


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _query_pairs(given: Mapping[str, str], prefix: str) -> dict[str, str]:
    numbers = range(1, 51)
    return {
        given[f"{prefix}.{n}.Key"]: given.get(f"{prefix}.{n}.Value", "")
        for n in numbers
        if f"{prefix}.{n}.Key" in given
    }


def _group_arn(name: str) -> str:
    return f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"


def _name_of(function_arn: str) -> str:
    return function_arn.split(":")[6]


def _of_kind(arn: str, kinds: tuple[str, ...]) -> bool:
    service = arn.split(":")[2]
    return not kinds or any(kind.partition(":")[0] == service for kind in kinds)


def _role_xml(role: Mapping[str, Any], *, tag: str = "Role", tags: bool = True) -> str:
    name = role["name"]
    pairs = "".join(
        f"<member><Key>{escape(key)}</Key><Value>{escape(value)}</Value></member>"
        for key, value in role["tags"].items()
    )
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(role["made"]))
    identity = f"AROA{name}"  # so that a copy of what holds it, under another name, holds the copy's
    return (
        f"<{tag}><Path>{role['path']}</Path><RoleName>{name}</RoleName><RoleId>{identity}</RoleId>"
        f"<Arn>arn:aws:iam::{ACCOUNT}:role{role['path']}{name}</Arn><CreateDate>{created}</CreateDate>"
        f"<AssumeRolePolicyDocument>{escape(role['trust'])}</AssumeRolePolicyDocument>"
        f"{f'<Tags>{pairs}</Tags>' if tags else ''}</{tag}>"
    )
