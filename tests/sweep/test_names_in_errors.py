"""What ends a sweep is told in its status and its log without a file's name, whatever the SDK says."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.parsers import ResponseParserError
from humangov.sweep import output, run, status
from humangov.sweep.run import SweepRequest, begin_sweep, run_sweep

from testing import samples
from testing.sweep.tenant_data import DAY
from testing.sweep.world import SweepWorld, clients

NAME = "jane-doe.pdf"
ERRORS = [
    ReadTimeoutError(endpoint_url=f"https://files.s3.amazonaws.com/?start-after={NAME}"),
    ResponseParserError(f"Unable to parse response, invalid XML received. Further retries may succeed:\nb'{NAME}'"),
]


@pytest.mark.parametrize("operation", ["ListObjectsV2", "ListMultipartUploads", "Scan", "GetObject"])
@pytest.mark.parametrize("error", ERRORS, ids=["time-out", "no XML"])
def test_error_that_ends_a_sweep_names_no_file_in_status_and_log(
    error: Exception, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = SweepWorld(names=samples.names(bucket={"name": "files"}))
    world.upload(NAME, age=3 * DAY)

    def fails(_data: Any, _params: Any) -> Any:
        raise error

    world.operations[operation] = fails
    with world.behind(clients()) as sdk:
        monkeypatch.setattr(run, "connect_as_sweep", lambda _names: sdk)
        options = SweepRequest()
        begun = begin_sweep(world.names.tenant, options)
        ended = run_sweep(world.names, begun, options, why_stop=lambda: None, may_erase=lambda: None)
    told = [
        *output.lines(ended.result, ended.names, word=ended.word, problem=ended.problem, files_named=False),
        str(status.status_fields(
            ended.result, ended.names, word=ended.word, problem=ended.problem, now=ended.ended, before={}
        )),
    ]  # fmt: skip
    assert type(error).__name__ in "\n".join(told)
    assert "jane" not in "\n".join(told)
