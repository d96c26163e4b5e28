"""The SDK's three clients as the function calls them, before a tenant in memory.

They check their parameters with botocore's own models and keep to the limits of a call; each call passes the tenant's
faults. They can't show IAM, retries or time-outs: what the SDK does is not here.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import botocore.session
from botocore.validate import validate_parameters

from testing.event_source.tenant import Tenant, client_error
from testing.lambda_runtime.runtime_api import FUNCTION_ARN


def clients(tenant: Tenant, *, owner_named: bool = True) -> dict[str, Any]:
    """What `boto3.client` gives, by the service's name. owner_named: each call of S3 must say whose the bucket is."""
    return {"dynamodb": DynamoDB(tenant), "s3": S3(tenant, owner_named=owner_named), "logs": Logs(tenant)}


class DynamoDB:
    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        _validate("dynamodb", "BatchGetItem", request)
        tenant = self._tenant
        tenant.in_between()
        ((table, asked),) = request["RequestItems"].items()
        if table != tenant.table:
            raise client_error("ResourceNotFoundException", "BatchGetItem")
        ids = [_id(key) for key in asked["Keys"]]
        if len(set(ids)) != len(ids) or not 1 <= len(ids) <= 100 or None in ids or not asked.get("ConsistentRead"):
            raise client_error("ValidationException", "BatchGetItem")
        attributes = {asked["ExpressionAttributeNames"][one] for one in asked["ProjectionExpression"].split(", ")}
        tenant.looked()
        return tenant.call("BatchGetItem", ids[0] or "", lambda: self._read(asked, attributes))  # type: ignore[no-any-return]

    def query(self, **request: Any) -> dict[str, Any]:
        _validate("dynamodb", "Query", request)
        raise client_error("ValidationException", "Query")  # this table has no index

    def _read(self, asked: Mapping[str, Any], attributes: set[str]) -> dict[str, Any]:
        tenant = self._tenant
        left = [key for key in asked["Keys"] if tenant.fault("BatchGetItem", f"key {_id(key)}") == "unprocessed"]
        items = [tenant.records.get(_id(key) or "") for key in asked["Keys"] if key not in left]
        found = [{name: item[name] for name in attributes if name in item} for item in items if item]
        again = {tenant.table: {**asked, "Keys": left}} if left else {}
        return {"Responses": {tenant.table: json.loads(json.dumps(found))}, "UnprocessedKeys": again}


class S3:
    """The calls that a role without s3:GetObject may make."""

    def __init__(self, tenant: Tenant, *, owner_named: bool) -> None:
        self._tenant, self._owner_named = tenant, owner_named

    def get_bucket_versioning(self, **request: Any) -> dict[str, Any]:
        _validate("s3", "GetBucketVersioning", request)
        status = self._tenant.versioning
        return self._call("GetBucketVersioning", request, "", lambda: {"Status": status} if status else {})

    def list_objects_v2(self, **request: Any) -> dict[str, Any]:
        _validate("s3", "ListObjectsV2", request)
        prefix = request["Prefix"]
        return self._call("ListObjectsV2", request, prefix, lambda: self._list(prefix, request.get("MaxKeys", 1000)))

    def list_object_versions(self, **request: Any) -> dict[str, Any]:
        _validate("s3", "ListObjectVersions", request)
        prefix = request["Prefix"]
        return self._call("ListObjectVersions", request, prefix, lambda: self._list_versions(request))

    def get_object_retention(self, **request: Any) -> dict[str, Any]:
        return self._lock("GetObjectRetention", request)

    def get_object_legal_hold(self, **request: Any) -> dict[str, Any]:
        return self._lock("GetObjectLegalHold", request)

    def _lock(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The bucket has no Object Lock."""
        _validate("s3", operation, request)

        def refuse() -> dict[str, Any]:
            raise client_error("InvalidRequest", operation)

        return self._call(operation, request, request["Key"], refuse)

    def delete_objects(self, **request: Any) -> dict[str, Any]:
        _validate("s3", "DeleteObjects", request)
        tenant = self._tenant
        tenant.in_between()
        asked = request["Delete"]["Objects"]
        if not 1 <= len(asked) <= 1000:
            raise client_error("MalformedXML", "DeleteObjects")
        if any(one.keys() - {"Key", "VersionId"} for one in asked):
            raise NotImplementedError("conditional deletes")
        quiet = request["Delete"].get("Quiet", False)
        return self._call("DeleteObjects", request, asked[0]["Key"], lambda: self._delete(asked, quiet=quiet))

    def delete_object(self, **request: Any) -> dict[str, Any]:
        _validate("s3", "DeleteObject", request)
        self._tenant.in_between()
        key, version = request["Key"], request.get("VersionId")
        return self._call("DeleteObject", request, key, lambda: self._tenant.erase(key, version))

    def _call(self, operation: str, request: Mapping[str, Any], subject: str, do: Callable[[], Any]) -> dict[str, Any]:
        if request["Bucket"] != self._tenant.bucket:
            raise client_error("NoSuchBucket", operation, status=404)
        if self._owner_named and request.get("ExpectedBucketOwner") != FUNCTION_ARN.split(":")[4]:
            raise client_error("AccessDenied", operation, status=403)
        return self._tenant.call(operation, subject, do)  # type: ignore[no-any-return]

    def _delete(self, asked: list[dict[str, str]], *, quiet: bool) -> dict[str, Any]:
        deleted, errors = [], []
        for one in asked:
            fault = self._tenant.fault("DeleteObjects", f"key {one['Key']}")
            if fault is None or fault.startswith("done, "):
                answer = self._tenant.erase(one["Key"], one.get("VersionId"))
                if fault is None:
                    deleted.append(answer)
            if fault is not None:
                errors.append({**one, "Code": fault.removeprefix("done, "), "Message": "spoiled"})
        return {**({"Deleted": deleted} if deleted and not quiet else {}), **({"Errors": errors} if errors else {})}

    def _list(self, prefix: str, most: int) -> dict[str, Any]:
        found = list(itertools.islice(filter(self._tenant.is_there, self._tenant.keys(prefix)), most))
        contents = [{"Key": key, "LastModified": _when(self._tenant.objects[key][-1].modified)} for key in found]
        return {"KeyCount": len(found), "IsTruncated": False, **({"Contents": contents} if contents else {})}

    def _list_versions(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """In the order of keys, the newest version first."""
        most = request.get("MaxKeys", 1000)
        rows = [
            (key, one, place == 0)
            for key in self._tenant.keys(request["Prefix"])
            for place, one in enumerate(reversed(self._tenant.objects[key]))
        ]
        if "KeyMarker" in request:
            after = (request["KeyMarker"], request.get("VersionIdMarker"))
            places = [place for place, (key, one, _) in enumerate(rows) if (key, one.version_id) == after]
            rows = rows[places[0] + 1 :] if places else [row for row in rows if row[0] > request["KeyMarker"]]
        page, more = rows[:most], len(rows) > most
        answer: dict[str, Any] = {"IsTruncated": more, "Versions": [], "DeleteMarkers": []}
        for key, one, latest in page:
            row = {"Key": key, "VersionId": one.version_id, "IsLatest": latest, "LastModified": _when(one.modified)}
            answer["DeleteMarkers" if one.marker else "Versions"].append(row)
        if more:
            answer |= {"NextKeyMarker": page[-1][0], "NextVersionIdMarker": page[-1][1].version_id}
        return {name: value for name, value in answer.items() if value != []}


class Logs:
    """One log group. What is refused is not stored."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def create_log_stream(self, **request: Any) -> dict[str, Any]:
        return self._call("CreateLogStream", request, lambda: self._tenant.log_streams.setdefault(_stream(request), []))

    def put_log_events(self, **request: Any) -> dict[str, Any]:
        events = request["logEvents"]
        size = sum(len(one["message"].encode()) + 26 for one in events)
        times = [one["timestamp"] for one in events]
        if not 1 <= len(events) <= 10_000 or size > 1_048_576 or times != sorted(times):
            raise client_error("InvalidParameterException", "PutLogEvents")
        return self._call("PutLogEvents", request, lambda: self._put(request))

    def _put(self, request: Mapping[str, Any]) -> None:
        if _stream(request) not in self._tenant.log_streams:
            raise client_error("ResourceNotFoundException", "PutLogEvents")
        self._tenant.put_log(_stream(request), [one["message"] for one in request["logEvents"]])

    def _call(self, operation: str, request: Mapping[str, Any], do: Callable[[], Any]) -> dict[str, Any]:
        _validate("logs", operation, request)
        if request["logGroupName"] != self._tenant.log_group:
            raise client_error("ResourceNotFoundException", operation)
        self._tenant.call(operation, "", do)
        return {}


def _stream(request: Mapping[str, Any]) -> str:
    return str(request["logStreamName"])


def _when(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _id(key: Mapping[str, Any]) -> str | None:
    return key["id"]["S"] if key.keys() == {"id"} and key["id"].keys() == {"S"} else None


@functools.cache
def _shape(service: str, operation: str) -> Any:
    return botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape


def _validate(service: str, operation: str, request: Mapping[str, Any]) -> None:
    """Raises botocore's ParamValidationError, as a real client does."""
    validate_parameters(request, _shape(service, operation))
