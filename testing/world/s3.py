"""S3's operations on the bucket: listings in pages, conditional and versioned deletes, whose effects the auditor sees.

After https://docs.aws.amazon.com/AmazonS3/latest/API/. Reads and listings are those of testing.sweep.s3. What the
setting says of conditions holds for jobs alone: the function sets none. It can't show Object Lock, MFA delete, or
replication.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from humangov.cleanup.references import FAILURES_PREFIX

from testing.event_source import destination
from testing.sweep import s3 as plain
from testing.sweep.reply import Reply
from testing.sweep.tenant_data import TenantData
from testing.world.account import Account, Answer, RefusedError
from testing.world.actor import SWEEP, Actor
from testing.world.bucket import Upload, UploadInParts
from testing.world.setting import HONOURED, REFUSED
from testing.world.stream import StreamRecord

Params = Mapping[str, Any]


def _plainly(read: Callable[[TenantData, Params], Reply]) -> Callable[[Account, Actor, Params], Answer]:
    def operation(account: Account, actor: Actor, params: Params) -> Answer:
        bucket = account.bucket
        _require_bucket(account, params)
        bucket.now, bucket.page = account.clock.now, account.setting.page
        reply = read(bucket, params)
        if reply.status >= 300:
            raise RefusedError(reply.answer["Error"]["Code"], reply.status)
        return dict(reply.answer)

    return operation


list_objects_v2 = _plainly(plain.list_objects_v2)
_head_object = _plainly(plain.head_object)
_put_object = _plainly(plain.put_object)
_get_object = _plainly(plain.get_object)
_list_object_versions = _plainly(plain.list_object_versions)


def get_bucket_versioning(account: Account, actor: Actor, params: Params) -> Answer:
    _require_bucket(account, params)
    return {"Status": account.bucket.versioning} if account.bucket.versioning else {}


def put_object(account: Account, actor: Actor, params: Params) -> Answer:
    answer = _put_object(account, actor, params)
    if actor.kind == SWEEP:
        account.audit.sweeps.stored(actor, params["Key"])
    return answer


def head_object(account: Account, actor: Actor, params: Params) -> Answer:
    """As the object is now, with its date; a condition that does not hold is an error, where the store looks at it."""
    honoured = account.setting.conditions == HONOURED
    asked = params if honoured else {name: value for name, value in params.items() if not name.startswith("If")}
    answer = _head_object(account, actor, asked)
    current = account.bucket.current(params["Key"])
    assert current is not None, "S3 has answered 404"
    actor.sweeping.looked[params["Key"]] = (account.clock.tick(), account.clock.now)
    return {
        **answer,
        "LastModified": datetime.fromtimestamp(int(current.modified), UTC),
        "ContentLength": len(current.body),
        **({"VersionId": current.version_id} if account.bucket.versioning else {}),
    }


def get_object(account: Account, actor: Actor, params: Params) -> Answer:
    if params["Key"] in account.foreign:
        raise RefusedError("AccessDenied", 403)
    if "VersionId" in params:
        found = [one.version_id for one in account.bucket.objects.get(params["Key"], ())]
        if params["VersionId"] not in found:
            raise RefusedError("NoSuchVersion", 404)
    answer = _get_object(account, actor, params)
    if params["Key"].startswith(FAILURES_PREFIX):
        actor.give(_stream_records(account, account.bucket.data(params["Key"])[-1].body))
    return answer


def list_object_versions(account: Account, actor: Actor, params: Params) -> Answer:
    answer = _list_object_versions(account, actor, params)
    if prefix := params.get("Prefix"):
        actor.listed[prefix] = account.clock.tick()
        actor.sweeping.looked[prefix] = (actor.listed[prefix], account.clock.now)
    return answer


def list_multipart_uploads(account: Account, actor: Actor, params: Params) -> Answer:
    """Incomplete uploads by key, then by their start.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
    """
    _require_bucket(account, params)
    after_key, after_id = params.get("KeyMarker", ""), params.get("UploadIdMarker")
    found = sorted(account.bucket.in_parts.values(), key=_place_of_upload)
    found = [one for one in found if one.key.startswith(params.get("Prefix", ""))]
    if after_id and after_key:
        last = next((one for one in found if one.upload_id == after_id), None)
        place = _place_of_upload(last) if last else (after_key, float("inf"), after_id)
        found = [one for one in found if _place_of_upload(one) > place]
    else:
        found = [one for one in found if one.key > after_key]
    page = found[: min(account.setting.page, params.get("MaxUploads", 1000))]
    more = {"NextKeyMarker": page[-1].key, "NextUploadIdMarker": page[-1].upload_id} if len(found) > len(page) else {}
    uploads = [
        {
            "Key": one.key,
            "UploadId": one.upload_id,
            "Initiated": datetime.fromtimestamp(int(one.initiated), UTC),
            "StorageClass": "STANDARD",
        }
        for one in page
    ]
    return {**({"Uploads": uploads} if uploads else {}), "IsTruncated": bool(more), **more}


def list_parts(account: Account, actor: Actor, params: Params) -> Answer:
    """Every incomplete upload has one part."""
    upload = _upload(account, params)
    at = datetime.fromtimestamp(int(upload.initiated), UTC)
    return {"Parts": [{"PartNumber": 1, "Size": 5_242_880, "LastModified": at, "ETag": '"0"'}], "IsTruncated": False}


def abort_multipart_upload(account: Account, actor: Actor, params: Params) -> Answer:
    upload = _upload(account, params)
    del account.bucket.in_parts[upload.upload_id]
    account.trace(lambda: f"{actor.kind}: ABORTS the upload of {upload.key}")
    account.audit.sweeps.aborted(actor, upload)
    return {}


def _place_of_upload(one: UploadInParts) -> tuple[str, float, str]:
    return one.key, one.initiated, one.upload_id


def _upload(account: Account, params: Params) -> UploadInParts:
    _require_bucket(account, params)
    found = account.bucket.in_parts.get(params["UploadId"])
    if found is None or found.key != params["Key"]:
        raise RefusedError("NoSuchUpload", 404)
    return found


def no_lock(account: Account, actor: Actor, params: Params) -> Answer:
    """GetObjectRetention and GetObjectLegalHold of a bucket without Object Lock."""
    raise RefusedError("InvalidRequest")


def delete_object(account: Account, actor: Actor, params: Params) -> Answer:
    _require_bucket(account, params)
    entry = _delete(account, actor, params["Key"], params.get("VersionId"), if_match=params.get("IfMatch"))
    marker = entry.get("DeleteMarkerVersionId")
    return {"DeleteMarker": True, "VersionId": marker} if marker else {}


def delete_objects(account: Account, actor: Actor, params: Params) -> Answer:
    _require_bucket(account, params)
    asked = params["Delete"]["Objects"]
    if not 1 <= len(asked) <= 1000:
        raise RefusedError("MalformedXML")
    deleted, errors = [], []
    for one in asked:
        fault = account.weather.of_key()
        if fault is None or fault.startswith("done, "):
            try:
                entry = _delete(account, actor, one["Key"], one.get("VersionId"), if_match=one.get("ETag"))
            except RefusedError as error:
                fault = error.code
        if fault is None:
            deleted.append(entry)
        else:
            code = fault.removeprefix("done, ")
            errors.append({**one, "Code": code, "Message": "User is not authorized to perform: s3:DeleteObject"})
    quiet = params["Delete"].get("Quiet", False)
    return {**({"Deleted": deleted} if deleted and not quiet else {}), **({"Errors": errors} if errors else {})}


def _stream_records(account: Account, body: bytes) -> list[StreamRecord]:
    """The changes that an invocation record holds, whose reader has been told of them."""
    try:
        records = destination.event(body)["Records"]
        numbers = [one["dynamodb"]["SequenceNumber"] for one in records]
    except (ValueError, KeyError, TypeError):
        return []
    return [account.table.changes[one] for one in numbers if one in account.table.changes]


def _delete(account: Account, actor: Actor, key: str, version_id: str | None, *, if_match: str | None) -> Answer:
    bucket = account.bucket
    current = bucket.current(key)
    if if_match is not None and account.setting.conditions == REFUSED:
        raise RefusedError("NotImplemented", 501)
    if if_match is not None and account.setting.conditions == HONOURED:
        if current is None:
            raise RefusedError("NoSuchKey", 404)
        if if_match != current.etag:
            raise RefusedError("PreconditionFailed", 412)
    entry: Answer = {"Key": key}
    if version_id is not None:
        removed = _destroy(account, actor, key, version_id)
        marker = {"DeleteMarker": True, "DeleteMarkerVersionId": version_id}
        return {**entry, "VersionId": version_id, **(marker if removed is not None and removed.is_marker else {})}
    if bucket.versioning is None:
        for one in list(bucket.objects.get(key, ())):
            _destroy(account, actor, key, one.version_id)
        return entry
    if bucket.versioning == "Suspended":
        _destroy(account, actor, key, "null")
    return {**entry, "DeleteMarker": True, "DeleteMarkerVersionId": bucket.put_marker(key)}


def _destroy(account: Account, actor: Actor, key: str, version_id: str) -> Upload | None:
    data = account.bucket.data(key)
    removed = account.bucket.destroy(key, version_id)
    if not isinstance(removed, Upload):
        return None
    if not removed.is_marker:
        account.trace(lambda: f"{actor.kind}: ERASES {key} {version_id}")
        account.audit.destroyed(actor, key, removed, newest=removed is data[-1])
    return removed


def _require_bucket(account: Account, params: Params) -> None:
    if params["Bucket"] != account.setting.names.tenant.bucket.name:
        raise RefusedError("NoSuchBucket", 404)
    # Every call of ours says whose the bucket must be: a bucket of that name may be anybody's.
    if params.get("ExpectedBucketOwner") != account.setting.names.identity.account_id:
        raise RefusedError("AccessDenied", 403)


OPERATIONS: Mapping[str, Callable[[Account, Actor, Params], Answer]] = {
    "get_bucket_versioning": get_bucket_versioning,
    "list_objects_v2": list_objects_v2,
    "list_object_versions": list_object_versions,
    "get_object": get_object,
    "head_object": head_object,
    "list_multipart_uploads": list_multipart_uploads,
    "list_parts": list_parts,
    "abort_multipart_upload": abort_multipart_upload,
    "put_object": put_object,
    "delete_object": delete_object,
    "delete_objects": delete_objects,
    "get_object_retention": no_lock,
    "get_object_legal_hold": no_lock,
}
