"""No name of a file leaves a job: not by its output, an error's text, an exception that nobody expected, or a library.

Names are for people, in the orphan list and the receipts. Runs on nothing.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import click
import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from click.testing import CliRunner
from humangov import logs
from humangov.aws.error_words import SDK_ERRORS, without_names
from humangov.cleanup.outcomes import failed
from humangov.cli import main, terminal
from humangov.redrive.result import RedriveResult
from humangov.sweep import output, status
from humangov.sweep.listing import Stored
from humangov.sweep.result import SweepResult, begin

from testing import samples

NAME = 'jane-doe" \x1b[2K x.pdf'
URL = f"https://files.s3.us-east-1.amazonaws.com/?list-type=2&start-after={NAME}"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ERRORS = [
    exceptions.EndpointConnectionError(endpoint_url=URL),
    exceptions.ReadTimeoutError(endpoint_url=URL),
    exceptions.ConnectTimeoutError(endpoint_url=URL),
    exceptions.ConnectionClosedError(endpoint_url=URL),
    exceptions.SSLError(endpoint_url=URL, error=NAME),
    exceptions.ConnectionError(error=f"url: /{NAME}"),
    exceptions.HTTPClientError(error=f"HTTPSConnectionPool(host='files'): Max retries exceeded with url: /{NAME}"),
    exceptions.ResponseStreamingError(error=NAME),
    exceptions.ParamValidationError(report=f"Invalid type for parameter Key, value: {NAME}"),
    ResponseParserError(f"Unable to parse response, invalid XML received. Further retries may succeed:\nb'{NAME}'"),
    ClientError(
        {
            "Error": {
                "Code": "AccessDenied",
                "Message": "User: arn:aws:sts::123456789012:assumed-role/humangov-sweep/x is not authorized to "
                f'perform: s3:GetObject on resource: "arn:aws:s3:::files/a/{NAME}" because no identity-based policy '
                "allows it",
            }
        },
        "GetObject",
    ),
    ClientError({"Error": {"Code": "AccessDenied", "Message": f"on arn:aws-us-gov:s3:::files/{NAME}"}}, "GetObject"),
    ClientError({"Error": {"Code": "301", "Message": f"Use {URL}"}}, "ListObjectsV2"),
]  # fmt: skip


def reported(error: Exception) -> str:
    return f"{type(error).__name__}-{ERRORS.index(error)}"


@pytest.mark.parametrize("error", ERRORS, ids=reported)
def test_error_of_the_sdk_is_reported_without_the_object_key(error: Exception) -> None:
    assert isinstance(error, SDK_ERRORS)
    assert "jane" in str(error), "the SDK itself quotes it"
    told = without_names(error)
    assert "jane" not in told
    assert ".pdf" not in told
    assert told


def test_useful_parts_of_an_error_message_are_kept() -> None:
    assert without_names(ERRORS[0]) == "EndpointConnectionError (files.s3.us-east-1.amazonaws.com)"
    assert without_names(ERRORS[10]) == (
        "GetObject: AccessDenied: User: arn:aws:sts::123456789012:assumed-role/humangov-sweep/x is not authorized to "
        'perform: s3:GetObject on resource: "arn:aws:s3:::files/…" because no identity-based policy allows it'
    )
    assert without_names(exceptions.NoCredentialsError()) == "NoCredentialsError: Unable to locate credentials"
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "explicit deny in a policy"}}, "ListObjectsV2")
    assert without_names(denied) == "ListObjectsV2: AccessDenied: explicit deny in a policy"


def swept() -> SweepResult:
    named = Stored(key=NAME, size=5, modified=0, etag='"e"', versions=())
    redriven = RedriveResult(found=1, failed={NAME: [failed("x")]}, unreadable={NAME: "x"}, kept={NAME: "x"})
    return replace(
        begin(mode="Detect", now=0.0), orphans=1, listed=2, largest=[named], shared=(NAME,), redriven=redriven
    )  # fmt: skip


def test_output_of_a_sweep_names_files_to_a_person_only() -> None:
    def told(*, files_named: bool) -> str:
        given: dict[str, Any] = {"word": "Detected", "problem": None, "files_named": files_named}
        lines = output.lines(swept(), samples.names(), **given)
        return "\n".join([*lines, json.dumps(output.as_json(swept(), samples.names(), now=NOW, **given))])

    assert told(files_named=True).count("jane-doe") >= 5
    assert "jane-doe" not in told(files_named=False)


def test_status_of_a_sweep_names_no_file() -> None:
    fields = status.status_fields(swept(), samples.names(), word="Detected", problem=None, now=NOW, before={})
    assert "jane-doe" not in json.dumps(fields)


@pytest.mark.parametrize(
    ("in_pod", "in_job", "tty", "shown"),
    [
        (False, False, False, True),  # a person who pipes it into a file
        (False, False, True, True),
        (True, False, False, False),  # whatever writes the log of a pod
        (True, False, True, True),  # a person, by kubectl exec
        (True, True, False, False),
        (False, True, True, False),  # what the operator started writes the status
    ],
)
def test_names_are_shown_to_people_and_never_in_the_log_of_a_pod(
    monkeypatch: pytest.MonkeyPatch, in_pod: bool, in_job: bool, tty: bool, shown: bool
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if in_pod:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: tty, raising=False)
    assert terminal.shows_names(in_job=in_job) is shown


def run_failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Any:
    @click.command("sweep")
    def failing() -> None:
        raise error

    monkeypatch.setattr(main, "load", lambda _name: failing)
    return CliRunner().invoke(main.main, ["sweep"])


def test_unexpected_exception_is_logged_in_a_pod_with_type_and_place_but_not_its_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    result = run_failing(monkeypatch, KeyError(NAME))
    assert result.exit_code == 1
    assert "jane" not in result.output
    assert "in failing" in result.output
    assert "KeyError: its text may hold a file's name" in result.output


def test_unexpected_exception_is_shown_to_a_person_and_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    result = run_failing(monkeypatch, ValueError(NAME))
    assert result.exit_code == 1
    assert "jane-doe" in result.output
    assert "\x1b" not in result.output


def test_wrong_use_that_quotes_a_name_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (click.UsageError(NAME), click.BadParameter(NAME, param_hint="--filename")):
        result = run_failing(monkeypatch, error)
        assert result.exit_code == 2
        assert "jane-doe" in result.output
        assert "\x1b" not in result.output


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_log_of_the_sdk_itself_holds_no_url(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    level = root.level
    try:
        logs.configure(log_format=log_format, level="warning")
        # As urllib3 does: https://github.com/urllib3/urllib3/blob/main/src/urllib3/connectionpool.py
        logging.getLogger("urllib3.connectionpool").warning("Failed to parse headers (url=%s): %s", URL, NAME)
        try:
            raise ValueError(NAME)
        except ValueError:
            logging.getLogger("botocore.credentials").warning("Refreshing failed", exc_info=True)
        logging.getLogger("humangov.x").warning("table %s", "california")
    finally:
        root.setLevel(level)
    told = log.getvalue()
    assert "jane" not in told
    assert "Failed to parse headers (url=%s): %s" in told
    assert "Refreshing failed (ValueError)" in told
    assert "table california" in told
