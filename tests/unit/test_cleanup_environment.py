"""The function's configuration from its environment."""

from __future__ import annotations

import pytest
from humangov.cleanup.environment import FunctionSettings, SettingsError, read_settings

REQUIRED = {
    "HUMANGOV_TENANT": "uid/humangov/california",
    "HUMANGOV_TABLE": "humangov-california-dynamodb",
    "HUMANGOV_BUCKET": "humangov-california-s3-zsmb",
}


def test_what_is_not_set_has_humangovs_defaults() -> None:
    assert read_settings(REQUIRED) == FunctionSettings(
        tenant="uid/humangov/california",
        table="humangov-california-dynamodb",
        bucket="humangov-california-s3-zsmb",
        key_prefix="",
        file_attributes=("pdf",),
        shared=False,
        maximum_erasures_per_hour=20_000,
    )


def test_prefix_and_attributes_are_taken_as_they_are() -> None:
    settings = read_settings(
        REQUIRED | {"HUMANGOV_KEY_PREFIX": "/ a ", "HUMANGOV_FILE_ATTRIBUTES": '["pdf", "a.b", "pdf"]'}
    )

    assert settings.key_prefix == "/ a "
    assert settings.file_attributes == ("pdf", "a.b")


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", ["", None])
def test_a_missing_variable_is_named_in_a_sentence(name: str, value: str | None) -> None:
    environment = {key: one for key, one in REQUIRED.items() if key != name}
    if value is not None:
        environment[name] = value

    with pytest.raises(SettingsError, match=f"^{name} is not set[.] It must name the .*[.]$"):
        read_settings(environment)


@pytest.mark.parametrize("text", ["pdf", "[]", '"pdf"', "{}", '["pdf", ""]', "[1]", "null", '["pdf"'])
def test_attributes_that_are_no_list_of_names_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="HUMANGOV_FILE_ATTRIBUTES must be a JSON list"):
        read_settings(REQUIRED | {"HUMANGOV_FILE_ATTRIBUTES": text})


@pytest.mark.parametrize(("text", "shared"), [("Unique", False), ("Shared", True), ("", False)])
def test_whether_names_are_shared_is_told(text: str, shared: bool) -> None:
    assert read_settings(REQUIRED | {"HUMANGOV_FILE_NAMES": text}).shared is shared


@pytest.mark.parametrize("text", ["shared", "unique", "SHARED ", "true"])
def test_a_word_that_could_mean_shared_never_means_unique(text: str) -> None:
    with pytest.raises(SettingsError, match="HUMANGOV_FILE_NAMES must be Unique or Shared"):
        read_settings(REQUIRED | {"HUMANGOV_FILE_NAMES": text})


@pytest.mark.parametrize(("text", "maximum"), [("0", 0), ("7", 7), ("", 20_000)])
def test_the_limit_of_erasures_in_an_hour_is_a_number_and_0_is_none(text: str, maximum: int) -> None:
    found = read_settings(REQUIRED | {"HUMANGOV_MAXIMUM_ERASURES_PER_HOUR": text})
    assert found.maximum_erasures_per_hour == maximum


@pytest.mark.parametrize("text", ["-1", "none", "1.5", "1e3", "\u0661", " 1"])
def test_a_limit_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="HUMANGOV_MAXIMUM_ERASURES_PER_HOUR must be a whole number"):
        read_settings(REQUIRED | {"HUMANGOV_MAXIMUM_ERASURES_PER_HOUR": text})
