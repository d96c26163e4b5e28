"""The function's configuration: environment variables, read once at the cold start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from .references import Location

HOLD_VARIABLE, HOLD_SINCE_VARIABLE = "HUMANGOV_HOLD", "HUMANGOV_HOLD_SINCE"

UNIQUE, REUSED, SHARED = "Unique", "Reused", "Shared"


class SettingsError(ValueError):
    """The configuration is not valid; the text is a sentence for people."""


DEFAULT_ERASURES_PER_HOUR = 20_000


class LegalHold(NamedTuple):
    """Nothing is erased. reason: as declared. since: when the function was put on hold, RFC 3339, or empty."""

    reason: str
    since: str = ""


@dataclass(frozen=True)
class FunctionSettings:
    """The tenant, and the location of its files.

    tenant            as in the tag `humangov.io/tenant`: <cluster>/<namespace>/<name>
    key_prefix        object key = key_prefix + file name, byte for byte; may be empty
    file_attributes   the table's attributes that name files, at least one
    file_names        Unique: a name is written once, for one record. Reused: a name may be uploaded again, so each
                      file's age is compared with the removal. Shared: several records may name one file: only the
                      sweep erases, because it reads every record
    file_indexes      the table's indexes that find records by a file's name: (index, file attribute)
    region            of table and bucket
    partition, account_id  of these too; an empty account fits no event and no bucket, and so erases nothing
    described_table_arn    as DynamoDB returns it; empty: as AWS makes it of the others
    hold              the legal hold, if there is one
    maximum_erasures_per_hour  of files, in each environment of the function; 0: no limit
    record_age_limit_seconds   the age at which records leave the stream, or Lambda discards them; None: whoever calls
                      has read the whole table
    """

    tenant: str
    table: str
    bucket: str
    key_prefix: str = ""
    file_attributes: tuple[str, ...] = ("pdf",)
    file_names: str = UNIQUE
    file_indexes: tuple[tuple[str, str], ...] = ()
    hold: LegalHold | None = None
    maximum_erasures_per_hour: int = DEFAULT_ERASURES_PER_HOUR
    region: str = "us-east-1"
    record_age_limit_seconds: int | None = None
    partition: str = "aws"
    account_id: str = ""
    described_table_arn: str = ""

    @property
    def table_arn(self) -> str:
        return (
            self.described_table_arn
            or f"arn:{self.partition}:dynamodb:{self.region}:{self.account_id}:table/{self.table}"
        )

    @property
    def location(self) -> Location:
        return Location(self.bucket, self.key_prefix, self.region)


def read_settings(environment: Mapping[str, str]) -> FunctionSettings:
    """Settings from HUMANGOV_*, and AWS_REGION, which Lambda sets. Raises SettingsError."""
    return FunctionSettings(
        tenant=_required(environment, "HUMANGOV_TENANT", "the tenant that owns the files"),
        table=_required(environment, "HUMANGOV_TABLE", "the table whose deleted records' files are erased"),
        bucket=_required(environment, "HUMANGOV_BUCKET", "the bucket that holds the files"),
        key_prefix=environment.get("HUMANGOV_KEY_PREFIX", ""),
        file_attributes=_attributes(environment.get("HUMANGOV_FILE_ATTRIBUTES") or '["pdf"]'),
        file_names=_file_names(environment.get("HUMANGOV_FILE_NAMES") or UNIQUE),
        file_indexes=_indexes(environment.get("HUMANGOV_FILE_INDEXES") or "{}"),
        region=environment.get("AWS_REGION") or "us-east-1",
        hold=_hold(environment),
        maximum_erasures_per_hour=_number(environment, "HUMANGOV_MAXIMUM_ERASURES_PER_HOUR", DEFAULT_ERASURES_PER_HOUR),
        described_table_arn=environment.get("HUMANGOV_TABLE_ARN", ""),
        account_id=environment.get("HUMANGOV_ACCOUNT", ""),
        record_age_limit_seconds=_number(environment, "HUMANGOV_RECORD_AGE_LIMIT_SECONDS", 0) or None,
    )


def in_account_of(settings: FunctionSettings, function_arn: str) -> FunctionSettings:
    """These settings, with what the environment does not tell: the account and region of the function itself.

    function_arn: `arn:<partition>:lambda:<region>:<account>:function:<name>`, and perhaps a version or an alias, as
    Lambda names it. Raises SettingsError.
    """
    if settings.described_table_arn and settings.account_id:
        return settings
    match function_arn.split(":", 6):
        case ["arn", partition, "lambda", region, account, "function", _] if partition and region and account:
            return replace(
                settings, partition=partition, region=region, account_id=settings.account_id or account
            )  # fmt: skip
    raise SettingsError(f"Lambda names the function {function_arn}, which names no account: nothing is erased")


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set. It must name {meaning}.")
    return value


def _attributes(text: str) -> tuple[str, ...]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise SettingsError(
            'HUMANGOV_FILE_ATTRIBUTES must be a JSON list of attribute names, such as ["pdf"], but it is ' + text
        )
    return tuple(dict.fromkeys(value))


def _file_names(text: str) -> str:
    if text not in (UNIQUE, REUSED, SHARED):
        raise SettingsError(f"HUMANGOV_FILE_NAMES must be {UNIQUE}, {REUSED} or {SHARED}, but it is {text}")
    return text


def _indexes(text: str) -> tuple[tuple[str, str], ...]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not all(isinstance(one, str) and one for pair in value.items() for one in pair):
        raise SettingsError(
            'HUMANGOV_FILE_INDEXES must be a JSON object from index to attribute, such as {"by-pdf": "pdf"}, '
            "but it is " + text
        )
    return tuple(sorted(value.items()))


def _hold(environment: Mapping[str, str]) -> LegalHold | None:
    """That the variable is set counts, whatever it says: in doubt nothing is erased."""
    if HOLD_VARIABLE not in environment:
        return None
    return LegalHold(reason=environment[HOLD_VARIABLE], since=environment.get(HOLD_SINCE_VARIABLE, ""))


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or ""
    if text and not (text.isascii() and text.isdecimal()):
        raise SettingsError(f"{name} must be a whole number, 0 for no limit, but it is {text}")
    return int(text) if text else default
