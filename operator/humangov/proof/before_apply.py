"""What table and bucket of a HumanGovState are like, before it is applied: reads alone, with the caller's credentials.

Everything is bounded: a sample of records, a number of files. What can't be read is Unread, never absent.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from humangov.api.names import OWNER_TAG, Names
from humangov.aws import log_group
from humangov.aws.clients import Clients
from humangov.aws.data_plane import Readers
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.aws.errors import AwsError
from humangov.aws.other_copies import OtherCopies
from humangov.aws.other_copies import observe as observe_copies
from humangov.aws.ownership import adopts
from humangov.aws.s3_codes import NOT_FOUND
from humangov.cleanup.calls import error_code
from humangov.cleanup.references import FileKeys, Location, is_reserved, keys_to_erase, keys_to_keep
from humangov.cleanup.s3_urls import SCHEME
from humangov.reading.progress import FailedError
from humangov.sweep.bucket_claim import ClaimedError, claim

SAMPLE, FILES, HEADS = 2000, 10_000, 100
"""As many records are read, files listed, and files asked for."""

_DENIED = ("AccessDenied", "AccessDeniedException", "403")
_MISSING = ("ResourceNotFoundException", "TableNotFoundException", "NoSuchBucket")
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Unread:
    """Why something is not known. action: the IAM action.

    denied: the caller has no permission for it. missing: the table, or the bucket, does not exist.
    """

    action: str
    reason: str
    denied: bool
    missing: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """As DescribeTable has it. view_type None: no stream. encryption: DynamoDB's own, or the type of the KMS key.

    keys: the attributes of the primary key, as `id (S)`. items and size_bytes are up to six hours old. on_demand: each
    read is charged.
    """

    status: str
    created: datetime
    view_type: str | None
    replicas: tuple[str, ...]
    indexes: tuple[str, ...]
    encryption: str
    items: int
    size_bytes: int
    keys: tuple[str, ...]
    on_demand: bool


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """versioning None: never enabled. lock: whether Object Lock is enabled. encryption: by default, or `none`."""

    region: str | Unread
    versioning: str | Unread | None
    lock: bool | Unread
    encryption: str | Unread


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Numbers count records unless stated otherwise.

    whole       the whole table was read
    forms       what the texts in the file attributes are: key, s3 URI, URL, or not certain
    without     no file attribute, or none with a text
    attributes  other attributes whose texts look like names of files, by the number of records
    shared      files that several records name
    asked, missing   files that were asked for, and those that S3 does not have
    listed      files that match spec.sweep.include; None: not known. all_listed: these are all
    named       files that these records name
    orphans     of the listed files, those that no record names; None: not known, because the table was read in part
    objects     that were listed, files or not
    """

    records: int
    whole: bool
    forms: Mapping[str, int]
    without: int
    attributes: Mapping[str, int]
    shared: int
    asked: int
    missing: int | Unread
    listed: int | Unread
    all_listed: bool
    named: int
    orphans: int | None
    objects: int


@dataclass(frozen=True, kw_only=True)
class Owned:
    """kind: such as `function`. owner: value of the ownership tag, or `nobody`; None: the name is free.

    adopted: by this HumanGovState, if its namespace may adopt.
    """

    kind: str
    name: str
    owner: str | Unread | None
    adopted: bool = False


@dataclass(frozen=True, kw_only=True)
class Facts:
    """owners: whose the function, log group and role of these names are, by their ownership tags.

    claimed: why another tenant's sweep owns files here; None: none does.
    """

    table: Table | Unread
    recovery: bool | Unread
    bucket: Bucket
    copies: OtherCopies
    sample: Sample | Unread
    claimed: str | Unread | None
    owners: tuple[Owned, ...]


def observe(readers: Readers, clients: Clients, names: Names) -> Facts:
    """Raises nothing of AWS."""
    bucket = {"Bucket": names.tenant.bucket.name, "ExpectedBucketOwner": names.identity.account_id}
    table = {"TableName": names.tenant.table.name}
    ddb, s3 = readers.dynamodb, readers.s3
    return Facts(
        table=_read("dynamodb:DescribeTable", lambda: _table(ddb.describe_table(**table)["Table"])),
        recovery=_read(
            "dynamodb:DescribeContinuousBackups", lambda: _recovery(ddb.describe_continuous_backups(**table))
        ),
        bucket=Bucket(
            region=_read(
                "s3:GetBucketLocation",
                lambda: str(s3.get_bucket_location(**bucket).get("LocationConstraint") or "us-east-1"),
            ),
            versioning=_read("s3:GetBucketVersioning", lambda: s3.get_bucket_versioning(**bucket).get("Status")),
            lock=_read(
                "s3:GetBucketObjectLockConfiguration", lambda: bool(s3.get_object_lock_configuration(**bucket)),
                absent=("ObjectLockConfigurationNotFoundError", False),
            ),
            encryption=_read(
                "s3:GetEncryptionConfiguration", lambda: _encryption(s3.get_bucket_encryption(**bucket)),
                absent=("ServerSideEncryptionConfigurationNotFoundError", "none"),
            ),
        ),
        copies=observe_copies(clients, names),
        sample=_read("dynamodb:Scan", lambda: _sample(readers, names)),
        claimed=_read("s3:ListBucket", lambda: _claimed(s3, names)),
        owners=(
            _owned("function", names.tenant.function.name, names, lambda: _tags_of_function(clients, names)),
            _owned("log group", names.tenant.log_group_name, names, lambda: _tags_of_log_group(clients, names)),
            _owned("role", names.tenant.role_name, names, lambda: _tags_of_role(clients, names)),
        ),
    )  # fmt: skip


def _read(action: str, read: Callable[[], Found], *, absent: tuple[str, Found] | None = None) -> Found | Unread:
    """absent: AWS's code for there being none, and what that means."""
    try:
        return read()
    except (FailedError, *SDK_ERRORS) as error:
        code = error_code(error)
        if absent is not None and code == absent[0]:
            return absent[1]
        return Unread(
            action=action, reason=without_names(error), denied=code in _DENIED, missing=code in _MISSING
        )  # fmt: skip


def _table(found: Mapping[str, Any]) -> Table:
    stream = found.get("StreamSpecification") or {}
    return Table(
        status=str(found["TableStatus"]),
        created=found["CreationDateTime"],
        view_type=stream.get("StreamViewType") if stream.get("StreamEnabled") else None,
        replicas=tuple(str(one["RegionName"]) for one in found.get("Replicas") or ()),
        indexes=tuple(str(one["IndexName"]) for one in found.get("GlobalSecondaryIndexes") or ()),
        encryption=str((found.get("SSEDescription") or {}).get("SSEType") or "with a key of DynamoDB"),
        items=int(found.get("ItemCount") or 0),
        size_bytes=int(found.get("TableSizeBytes") or 0),
        keys=_keys(found),
        on_demand=(found.get("BillingModeSummary") or {}).get("BillingMode") == "PAY_PER_REQUEST",
    )


def _keys(found: Mapping[str, Any]) -> tuple[str, ...]:
    types = {one["AttributeName"]: one["AttributeType"] for one in found.get("AttributeDefinitions") or ()}
    names = (str(one["AttributeName"]) for one in found.get("KeySchema") or ())
    return tuple(f"{name} ({types.get(name, '?')})" for name in names)


def _recovery(found: Mapping[str, Any]) -> bool:
    description = found["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription") or {}
    return description.get("PointInTimeRecoveryStatus") == "ENABLED"


def _encryption(found: Mapping[str, Any]) -> str:
    rules = found["ServerSideEncryptionConfiguration"]["Rules"]
    kinds = (one.get("ApplyServerSideEncryptionByDefault") or {} for one in rules)
    return ", ".join(str(one["SSEAlgorithm"]) for one in kinds if "SSEAlgorithm" in one) or "none"


def _owned(kind: str, name: str, names: Names, tags: Callable[[], Mapping[str, str] | None]) -> Owned:
    """tags: of the resource, None if there is none; raises AwsError."""
    try:
        found = tags()
    except AwsError as error:
        unread = Unread(action=error.action, reason=str(error), denied=error.denied)
        return Owned(kind=kind, name=name, owner=unread)
    if found is None:
        return Owned(kind=kind, name=name, owner=None)
    return Owned(kind=kind, name=name, owner=str(found.get(OWNER_TAG) or "nobody"), adopted=adopts(found, names))


def _tags_of_function(clients: Clients, names: Names) -> Mapping[str, str] | None:
    name = names.tenant.function.name
    found = clients.find("lambda:GetFunction", target=name, FunctionName=name)
    return None if found is None else found.get("Tags") or {}


def _tags_of_log_group(clients: Clients, names: Names) -> Mapping[str, str] | None:
    found = log_group.observe(clients, names, deep=True)
    return None if found is None else found.tags or {}


def _tags_of_role(clients: Clients, names: Names) -> Mapping[str, str] | None:
    name = names.tenant.role_name
    found = clients.find("iam:GetRole", target=name, RoleName=name)
    return None if found is None else {one["Key"]: one["Value"] for one in found["Role"].get("Tags") or ()}


def _claimed(s3: Any, names: Names) -> str | None:
    try:
        claim(s3, names, write=False)
    except ClaimedError as error:
        return str(error)
    return None


def _sample(readers: Readers, names: Names) -> Sample:
    """Raises what the SDK raises by Scan."""
    items, whole = _items(readers.dynamodb, names)
    bucket, attributes = names.tenant.bucket, names.tenant.table.file_attributes
    location = Location(bucket.name, bucket.key_prefix, names.identity.region)
    strict = [keys_to_erase(item, attributes=attributes, location=location) for item in items]
    named = Counter(key for one in strict for key in one.keys)
    heads = list(named)[:HEADS]
    listed = _read("s3:ListBucket", lambda: _listed(readers.s3, names))
    keys, all_listed, objects = ((), False, 0) if isinstance(listed, Unread) else listed
    orphans = None
    if whole and not isinstance(listed, Unread):
        kept = (keys_to_keep(item, attributes=attributes, location=location) for item in items)
        orphans = len(set(keys).difference(*kept))
    return Sample(
        records=len(items), whole=whole, without=sum(not one.keys and not one.unresolved for one in strict),
        forms=_forms(strict), shared=sum(number > 1 for number in named.values()), asked=len(heads),
        attributes=Counter(name for item in items for name in _likely(item) if name not in attributes),
        missing=_read("s3:GetObject", lambda: sum(not _exists(readers.s3, names, key) for key in heads)),
        listed=listed if isinstance(listed, Unread) else len(keys), all_listed=all_listed, named=len(named),
        orphans=orphans, objects=objects,
    )  # fmt: skip


def _items(dynamodb: Any, names: Names) -> tuple[list[Mapping[str, Any]], bool]:
    """Records, and whether these are all. Raises what the SDK raises."""
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=names.tenant.table.name, PaginationConfig={"PageSize": 500}
    )  # fmt: skip
    every = (item for page in pages for item in page.get("Items") or ())
    items = list(itertools.islice(every, SAMPLE + 1))
    return items[:SAMPLE], len(items) <= SAMPLE


def _forms(strict: Sequence[FileKeys]) -> Counter[str]:
    forms = Counter(_form(text) for one in strict for text in one.spellings)
    uncertain = sum(len(one.unresolved) for one in strict)
    return forms + Counter({"not certain": uncertain})


def _form(text: str) -> str:
    scheme = SCHEME.match(text)
    known = {"s3": "s3 URI", "https": "URL", "http": "URL"}
    return known.get(scheme[1].lower(), "key") if scheme else "key"


def _likely(item: Mapping[str, Any]) -> Iterator[str]:
    """Attributes with a text that ends like the name of a file."""
    for name, value in item.items():
        text = value.get("S") if isinstance(value, Mapping) else None
        if isinstance(text, str) and 3 <= len(text.rpartition(".")[2]) <= 4 and "." in text and "@" not in text:
            yield name


def _listed(s3: Any, names: Names) -> tuple[tuple[str, ...], bool, int]:
    """Keys that a sweep would look at, whether these are all, and how many objects were listed."""
    prefix, patterns = names.tenant.bucket.key_prefix, names.tenant.sweep.include
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=names.tenant.bucket.name, Prefix=prefix, ExpectedBucketOwner=names.identity.account_id
    )  # fmt: skip
    every = (one["Key"] for page in pages for one in page.get("Contents") or ())
    keys = list(itertools.islice(every, FILES + 1))
    own = [key.removeprefix(prefix) for key in keys[:FILES] if not is_reserved(key, key_prefix=prefix)]
    matching = (prefix + name for name in own if any(fnmatchcase(name, one) for one in patterns))
    return tuple(matching), len(keys) <= FILES, len(keys)


def _exists(s3: Any, names: Names, key: str) -> bool:
    try:
        s3.head_object(Bucket=names.tenant.bucket.name, Key=key, ExpectedBucketOwner=names.identity.account_id)
    except ClientError as error:
        if error_code(error) in NOT_FOUND:
            return False
        raise
    return True
