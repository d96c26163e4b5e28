"""The function's configuration from its environment."""

from __future__ import annotations

import pytest
from humangov.cleanup.environment import FunctionSettings, SettingsError, read_settings

REQUIRED = {
    "HUMANGOV_TENANT": "uid/humangov/california",
    "HUMANGOV_TABLE": "humangov-california-dynamodb",
    "HUMANGOV_BUCKET": "humangov-california-s3-zsmb",
}


def test_optional_function_variables_have_defaults() -> None:
    assert read_settings(REQUIRED) == FunctionSettings(
        tenant="uid/humangov/california",
        table="humangov-california-dynamodb",
        bucket="humangov-california-s3-zsmb",
        key_prefix="",
        file_attributes=("pdf",),
        shared=False,
    )


def test_key_prefix_and_file_attributes_are_read_verbatim() -> None:
    settings = read_settings(
        REQUIRED | {"HUMANGOV_KEY_PREFIX": "/ a ", "HUMANGOV_FILE_ATTRIBUTES": '["pdf", "a.b", "pdf"]'}
    )

    assert settings.key_prefix == "/ a "
    assert settings.file_attributes == ("pdf", "a.b")


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", ["", None])
def test_missing_function_variable_is_named_in_the_error(name: str, value: str | None) -> None:
    environment = {key: one for key, one in REQUIRED.items() if key != name}
    if value is not None:
        environment[name] = value

    with pytest.raises(SettingsError, match=f"^{name} is not set[.] It must name the .*[.]$"):
        read_settings(environment)


@pytest.mark.parametrize("text", ["pdf", "[]", '"pdf"', "{}", '["pdf", ""]', "[1]", "null", '["pdf"'])
def test_invalid_file_attributes_variable_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="HUMANGOV_FILE_ATTRIBUTES must be a JSON list"):
        read_settings(REQUIRED | {"HUMANGOV_FILE_ATTRIBUTES": text})


@pytest.mark.parametrize(("text", "shared"), [("Unique", False), ("Shared", True), ("", False)])
def test_file_names_variable_is_unique_or_shared(text: str, shared: bool) -> None:
    assert read_settings(REQUIRED | {"HUMANGOV_FILE_NAMES": text}).shared is shared


@pytest.mark.parametrize("text", ["shared", "unique", "SHARED ", "true"])
def test_misspelled_file_names_variable_is_refused_and_never_means_unique(text: str) -> None:
    with pytest.raises(SettingsError, match="HUMANGOV_FILE_NAMES must be Unique or Shared"):
        read_settings(REQUIRED | {"HUMANGOV_FILE_NAMES": text})
