"""The function's configuration from its environment."""

from __future__ import annotations

import pytest
from humangov.cleanup.environment import FunctionSettings, SettingsError, in_account_of, read_settings

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
        file_names="Unique",
        file_indexes=(),
        region="us-east-1",
        maximum_erasures_per_hour=20_000,
    )


@pytest.mark.parametrize("version", ["", ":7", ":live"])
def test_function_derives_missing_table_and_account_settings_from_its_own_arn(version: str) -> None:
    settings = in_account_of(read_settings(REQUIRED), f"arn:aws-cn:lambda:cn-north-1:210987654321:function:x{version}")

    assert settings.table_arn == "arn:aws-cn:dynamodb:cn-north-1:210987654321:table/humangov-california-dynamodb"
    assert settings.account_id == "210987654321"


def test_function_takes_table_and_account_from_its_environment() -> None:
    told = {"HUMANGOV_TABLE_ARN": "arn:aws:dynamodb:local:table/california", "HUMANGOV_ACCOUNT": "123456789012"}
    settings = in_account_of(read_settings(REQUIRED | told), "nothing that it would understand")
    assert (settings.table_arn, settings.account_id) == tuple(told.values())


@pytest.mark.parametrize("arn", ["", "x", "arn:aws:lambda:us-east-1::function:x", "arn:aws:s3:us-east-1:1:function:x"])
def test_function_that_lambda_names_without_an_account_handles_nothing(arn: str) -> None:
    with pytest.raises(SettingsError, match="nothing is erased"):
        in_account_of(read_settings(REQUIRED), arn)


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


@pytest.mark.parametrize(
    ("text", "file_names"), [("Unique", "Unique"), ("Reused", "Reused"), ("Shared", "Shared"), ("", "Unique")]
)
def test_message_explains_shared_file_names(text: str, file_names: str) -> None:
    assert read_settings(REQUIRED | {"HUMANGOV_FILE_NAMES": text}).file_names == file_names


@pytest.mark.parametrize("text", ["shared", "unique", "SHARED ", "reused", "true"])
def test_a_word_that_could_mean_shared_or_reused_never_means_unique(text: str) -> None:
    with pytest.raises(SettingsError, match="HUMANGOV_FILE_NAMES must be Unique, Reused or Shared"):
        read_settings(REQUIRED | {"HUMANGOV_FILE_NAMES": text})


def test_indexes_of_file_names_and_the_region_are_read() -> None:
    settings = read_settings(
        REQUIRED | {"HUMANGOV_FILE_INDEXES": '{"by-scan": "scan", "by-pdf": "pdf"}', "AWS_REGION": "cn-north-1"}
    )

    assert settings.file_indexes == (("by-pdf", "pdf"), ("by-scan", "scan"))
    assert settings.location.region == "cn-north-1"


@pytest.mark.parametrize("text", ["by-pdf", "[]", '"by-pdf"', '{"by-pdf": ""}', '{"": "pdf"}', '{"by-pdf": 1}', "null"])
def test_indexes_that_are_no_map_to_attributes_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="HUMANGOV_FILE_INDEXES must be a JSON object"):
        read_settings(REQUIRED | {"HUMANGOV_FILE_INDEXES": text})


@pytest.mark.parametrize(("text", "limit"), [("0", None), ("60", 60), ("", None)])
def test_the_greatest_age_of_a_record_is_a_number_of_seconds(text: str, limit: int | None) -> None:
    found = read_settings(REQUIRED | {"HUMANGOV_RECORD_AGE_LIMIT_SECONDS": text})
    assert found.record_age_limit_seconds == limit


@pytest.mark.parametrize(("text", "maximum"), [("0", 0), ("7", 7), ("", 20_000)])
def test_the_limit_of_erasures_in_an_hour_is_a_number_and_0_is_none(text: str, maximum: int) -> None:
    found = read_settings(REQUIRED | {"HUMANGOV_MAXIMUM_ERASURES_PER_HOUR": text})
    assert found.maximum_erasures_per_hour == maximum


@pytest.mark.parametrize("text", ["-1", "none", "1.5", "1e3", "\u0661", " 1"])
def test_a_limit_that_is_no_number_is_refused(text: str) -> None:
    for name in ("HUMANGOV_MAXIMUM_ERASURES_PER_HOUR", "HUMANGOV_RECORD_AGE_LIMIT_SECONDS"):
        with pytest.raises(SettingsError, match=f"{name} must be a whole number"):
            read_settings(REQUIRED | {name: text})
