"""The function's configuration: environment variables, read once at the cold start."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


class SettingsError(ValueError):
    """The configuration cannot be used; the text is a sentence for the person who set it."""


@dataclass(frozen=True)
class FunctionSettings:
    """Whose files are erased, and where they lie.

    tenant            as in the tag `humangov.io/tenant`: <cluster>/<namespace>/<name>
    key_prefix        object key = key_prefix + file name, byte for byte; may be empty
    file_attributes   the table's attributes that name files, at least one
    shared            several records may name one file: nothing is erased here, the sweep sees every record
    """

    tenant: str
    table: str
    bucket: str
    key_prefix: str = ""
    file_attributes: tuple[str, ...] = ("pdf",)
    shared: bool = False


def read_settings(environment: Mapping[str, str]) -> FunctionSettings:
    """Settings from HUMANGOV_*. Raises SettingsError for what is missing or unreadable."""
    return FunctionSettings(
        tenant=_required(environment, "HUMANGOV_TENANT", "whose files these are"),
        table=_required(environment, "HUMANGOV_TABLE", "the table whose deleted records' files are erased"),
        bucket=_required(environment, "HUMANGOV_BUCKET", "the bucket that holds the files"),
        key_prefix=environment.get("HUMANGOV_KEY_PREFIX", ""),
        file_attributes=_attributes(environment.get("HUMANGOV_FILE_ATTRIBUTES") or '["pdf"]'),
        shared=_shared(environment.get("HUMANGOV_FILE_NAMES") or "Unique"),
    )


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set: it says {meaning}.")
    return value


def _attributes(text: str) -> tuple[str, ...]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise SettingsError(
            'HUMANGOV_FILE_ATTRIBUTES must be a JSON list of attribute names, such as ["pdf"]; it is ' + text
        )
    return tuple(dict.fromkeys(value))


def _shared(text: str) -> bool:
    if text not in ("Unique", "Shared"):
        raise SettingsError(f"HUMANGOV_FILE_NAMES must be Unique or Shared; it is {text}")
    return text == "Shared"
