"""S3 as a sweep asks it: listings, reads, conditional and versioned deletes; every operation by its name.

In place of one bucket behind the SDK, after https://docs.aws.amazon.com/AmazonS3/latest/API/. It can't show
permissions, Object Lock, the parts of an upload, replication, or a listing that is behind.
"""

from __future__ import annotations

import bisect
import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

from botocore.response import StreamingBody

from testing.sweep.reply import Reply, refusal
from testing.sweep.tenant_data import ObjectVersion, TenantData


def get_bucket_versioning(data: TenantData, _params: Mapping[str, Any]) -> Reply:
    return Reply(200, {"Status": data.versioning} if data.versioning else {})


def list_objects_v2(data: TenantData, params: Mapping[str, Any]) -> Reply:
    after = params.get("ContinuationToken") or params.get("StartAfter", "")
    keys = _keys(data, params, after)
    found = [key for key in keys if data.objects[key] and not data.objects[key][-1].is_marker]
    page = found[: data.page]
    answer: dict[str, Any] = {"Contents": [_entry(key, data.objects[key][-1]) for key in page]}
    if len(found) > len(page):
        answer |= {"IsTruncated": True, "NextContinuationToken": page[-1]}
    return Reply(200, answer)


def list_object_versions(data: TenantData, params: Mapping[str, Any]) -> Reply:
    marker, within = params.get("KeyMarker", ""), params.get("VersionIdMarker")
    several = []
    if within is not None:
        ids = [one.version_id for one in reversed(data.objects.get(marker, []))]
        rest = ids[ids.index(within) + 1 :] if within in ids else []
        several += [(marker, version_id) for version_id in rest]
    several += [(key, one.version_id) for key in _keys(data, params, marker) for one in reversed(data.objects[key])]
    page = several[: min(data.page, params.get("MaxKeys", 1000))]
    answer: dict[str, Any] = {"Versions": [], "DeleteMarkers": []}
    for key, version_id in page:
        one = next(version for version in data.objects[key] if version.version_id == version_id)
        entry = _entry(key, one) | {"VersionId": version_id, "IsLatest": one is data.objects[key][-1]}
        answer["DeleteMarkers" if one.is_marker else "Versions"].append(entry)
    if len(several) > len(page):
        answer |= {"IsTruncated": True, "NextKeyMarker": page[-1][0], "NextVersionIdMarker": page[-1][1]}
    return Reply(200, answer)


def _keys(data: TenantData, params: Mapping[str, Any], after: str) -> list[str]:
    prefix = params.get("Prefix", "")
    keys = sorted(key for key, versions in data.objects.items() if versions and key.startswith(prefix))
    return keys[bisect.bisect_right(keys, after) :]


def _entry(key: str, one: ObjectVersion) -> dict[str, Any]:
    content = {} if one.is_marker else {"ETag": one.etag, "Size": len(one.body)}
    return {"Key": key, "LastModified": _modified(one), **content}


def _modified(one: ObjectVersion) -> datetime:
    return datetime.fromtimestamp(int(one.modified), UTC)


def _version(data: TenantData, one: ObjectVersion) -> dict[str, str]:
    return {"VersionId": one.version_id} if data.versioning else {}


def get_object(data: TenantData, params: Mapping[str, Any]) -> Reply:
    one = data.current(params["Key"])
    if "VersionId" in params:
        several = data.objects.get(params["Key"], [])
        one = next((version for version in several if version.version_id == params["VersionId"]), None)
    if one is None or one.is_marker:
        return refusal(404, "NoSuchKey")
    body = StreamingBody(io.BytesIO(one.body), len(one.body))
    return Reply(200, {"Body": body, "ETag": one.etag, **_version(data, one)})


def head_object(data: TenantData, params: Mapping[str, Any]) -> Reply:
    one = data.current(params["Key"])
    if one is None:
        return refusal(404, "404")
    if data.honours is not False and params.get("IfMatch") not in (None, one.etag):
        return refusal(412, "412")
    return Reply(200, {"ETag": one.etag, "LastModified": _modified(one), **_version(data, one)})


def put_object(data: TenantData, params: Mapping[str, Any]) -> Reply:
    if params.get("IfNoneMatch") == "*" and data.current(params["Key"]) is not None:
        return refusal(412, "PreconditionFailed")
    body = params["Body"]
    one = data.put(params["Key"], body if isinstance(body, bytes) else body.read(), at=data.now)
    return Reply(200, {"ETag": one.etag, **_version(data, one)})


def delete_object(data: TenantData, params: Mapping[str, Any]) -> Reply:
    key, one = params["Key"], data.current(params["Key"])
    if params.get("IfMatch") and data.honours is None:
        return refusal(501, "NotImplemented")
    if params.get("IfMatch") and data.honours:
        if one is None:
            return refusal(404, "NoSuchKey")
        if params["IfMatch"] != one.etag:
            return refusal(412, "PreconditionFailed")
    if params.get("VersionId"):
        data.erase(key, params["VersionId"])
        return Reply(204, {})
    if data.versioning:
        return Reply(204, {"DeleteMarker": True, "VersionId": data.put_marker(key)})
    for version in list(data.objects.get(key, ())):
        data.erase(key, version.version_id)
    return Reply(204, {})


def delete_objects(data: TenantData, params: Mapping[str, Any]) -> Reply:
    deleted = []
    for one in params["Delete"]["Objects"]:
        data.erase(one["Key"], one["VersionId"])
        deleted.append({"Key": one["Key"], "VersionId": one["VersionId"]})
    return Reply(200, {"Deleted": deleted})


def list_multipart_uploads(data: TenantData, params: Mapping[str, Any]) -> Reply:
    """Sorted by key, then by upload ID; keys are encoded where that is asked for."""
    encoded = quote_plus if params.get("EncodingType") == "url" else str
    after = (params.get("KeyMarker", ""), params.get("UploadIdMarker", "~"))
    several = sorted(
        (one for one in data.uploads.values() if one.key.startswith(params.get("Prefix", ""))),
        key=lambda one: (one.key, one.upload_id),
    )
    found = [one for one in several if (one.key, one.upload_id) > after]
    page = found[: data.page]
    answer: dict[str, Any] = {
        "Uploads": [
            {"Key": encoded(one.key), "UploadId": one.upload_id, "Initiated": datetime.fromtimestamp(one.began, UTC)}
            for one in page
        ],
        **({"EncodingType": "url"} if encoded is quote_plus else {}),
    }
    if len(found) > len(page):
        last = page[-1]
        answer |= {"IsTruncated": True, "NextKeyMarker": encoded(last.key), "NextUploadIdMarker": last.upload_id}
    return Reply(200, answer)


def abort_multipart_upload(data: TenantData, params: Mapping[str, Any]) -> Reply:
    """A part that is on its way while its upload is aborted is stored all the same."""
    one = data.uploads.get(params["UploadId"])
    if one is None or one.key != params["Key"]:
        return refusal(404, "NoSuchUpload")
    if one.late_parts:
        data.uploads[one.upload_id] = replace(one, parts=1, late_parts=one.late_parts - 1)
    else:
        del data.uploads[one.upload_id]
    return Reply(204, {})


def list_parts(data: TenantData, params: Mapping[str, Any]) -> Reply:
    one = data.uploads.get(params["UploadId"])
    if one is None or one.key != params["Key"]:
        return refusal(404, "NoSuchUpload")
    return Reply(200, {"Parts": [{"PartNumber": 1, "Size": 5}][: one.parts]})
