"""What checkpoints prove of receipts: by number in a report, and of one record in `humangov verify`."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from humangov.cli import account_role
from humangov.cli.options import TenantOptions
from humangov.proof import checkpoint, receipt_table, standing, surroundings
from humangov.proof.chain_check import ChainCheck
from humangov.proof.checkpoint import EMPTY_CHAIN, Chain, extended, of_lines
from humangov.proof.standing import OfRecord, Standings, names_record, worst
from humangov.proof.verification import Reading, Stated, judged_by, verify

from testing import samples
from tests.unit.test_report import WRITTEN, Log, written

CHECKPOINT = datetime(2026, 11, 3, 12, tzinfo=UTC)
STREAM = "receipts/2026/11/03/"


def ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def chain_of(events: Sequence[Any], *, minimum_age: int = 60) -> Chain:
    """One checkpoint of these lines."""
    check = ChainCheck()
    for event in events:
        check.take(event)
    check.finish()
    one = of_lines(
        check, EMPTY_CHAIN, tenant="c/n/x", log_group="g", region="r", until_ms=ms(CHECKPOINT), retention_days=400,
        minimum_age=minimum_age,
    )  # fmt: skip
    content = checkpoint.spell(one)
    return extended(EMPTY_CHAIN, checkpoint.parse(content), content=content, place="first")


def stored() -> Log:
    return Log().erased(event_id="CA-1001", stream=STREAM + "a").erased(event_id="CA-1002", stream=STREAM + "b")


def forged(log: Log, *, number: int = 1, stream: str = STREAM + "c", at: datetime | None = None) -> Log:
    """Dated before the checkpoint, and not in it."""
    for one in range(number):
        log.erased(event_id=f"CA-66{one}", key=f"forged-{one}.pdf", stream=stream, at=at)
    return log


def shown(log: Log, chain: Chain, folder: Path) -> tuple[dict[str, Any], str, Any]:
    report, files = written(log.events, folder, stated=Stated(chain))
    return json.loads(files.data.read_text()), " ".join(html.unescape(files.page.read_text()).split()), report


def test_of_receipts_those_that_are_proven_differ_and_are_not_covered_are_counted(tmp_path: Path) -> None:
    chain = chain_of(stored().events)
    log = forged(stored()).erased(event_id="CA-1003", key="late.pdf", stream=STREAM + "d", at=CHECKPOINT + timedelta(1))
    data, page, _ = shown(log, chain, tmp_path)
    assert data["checkpoints"]["standings"] == {"proven": 2, "differs": 1, "later": 1, "unknown": 0}
    assert data["checkpoints"]["erased"] == data["checkpoints"]["standings"]
    said = (
        "2 are proven by a checkpoint, 1 is in a log stream that is not as a checkpoint states and 1 is not yet covered"
    )
    assert page.count(said) == 2  # beside the headline, and of all receipts
    assert "The checkpoints have no signature" in page


def test_a_line_in_a_log_stream_without_a_chain_is_counted_as_a_gap_and_not_as_a_receipt(tmp_path: Path) -> None:
    chain = chain_of(stored().events)
    data, page, report = shown(forged(stored(), stream="other/c"), chain, tmp_path)
    assert data["checkpoints"]["standings"] == {"proven": 2, "differs": 0, "later": 0, "unknown": 0}
    assert data["checkpoints"]["erased"] == data["checkpoints"]["standings"]
    assert data["chain"]["notChained"] == 2
    [gap] = [one.message for one in report.gaps if one.kind == "LinesNotChained"]
    assert gap.startswith("2 lines call themselves receipts and are in no chain, in log stream other/c: ")
    assert "forged-0.pdf" not in page


def test_a_line_without_a_chain_changes_nothing_of_what_is_proven_of_its_record() -> None:
    chain = chain_of(stored().events)
    log = stored()
    for record in ("CA-1002", "CA-660"):
        log.erased(event_id=record, stream="other/c")
    for record, expected in (("CA-1002", "proven"), ("CA-660", "no receipt")):
        numbers, found, its = asked(log, chain, record)
        assert (numbers, found) == (Standings(proven=2), expected)
        assert {line.stream for one in its for line in one.lines} <= {STREAM + "b"}


def test_a_log_stream_that_goes_on_after_the_period_is_not_called_proven(tmp_path: Path) -> None:
    """Whoever chained its lines again could not be seen: the line that the checkpoint states was not read."""
    log = stored()
    whole = stored().erased(event_id="CA-1004", stream=STREAM + "b")
    data, _, _ = shown(log, chain_of(whole.events), tmp_path)
    assert data["checkpoints"]["standings"]["proven"] == 1


def test_the_gap_names_the_kind_and_at_most_three_records(tmp_path: Path) -> None:
    chain = chain_of(stored().events)
    for number, named in ((1, "of record id CA-660:"), (5, "of records id CA-660, id CA-661, id CA-662 and 2 more:")):
        _, _, report = shown(forged(stored(), number=number), chain, tmp_path)
        [gap] = [one.message for one in report.gaps if one.kind == "NotAsStored"]
        assert "lines were inserted" in gap
        assert f"{STREAM}c (Inserted)" in gap
        assert named in gap


def asked(log: Log, chain: Chain, record: str) -> tuple[Standings, str, Any]:
    read = Reading(log.events, ChainCheck(chain.covered), OfRecord(record))
    numbers = read.numbers()
    found = verify(read.chain, chain, retention_days=400, now_ms=ms(CHECKPOINT + timedelta(1)))
    by = judged_by(found, read.chain, chain)
    assert read.record is not None
    its = read.record.judge(by, until_ms=found.until_ms)
    from humangov.proof.standing import counts_of

    return counts_of(numbers, by), worst({one.standing for one in its}), its


@pytest.mark.parametrize(
    ("record", "standing"),
    [("CA-1002", "proven"), ('{"id": {"S": "CA-1002"}}', "proven"), ("CA-660", "differs"), ("CA-1003", "later"),
     ("CA-9", "no receipt")],
)  # fmt: skip
def test_verify_judges_one_record_by_its_lines_whatever_is_wrong_elsewhere(record: str, standing: str) -> None:
    chain = chain_of(stored().events)
    log = forged(stored()).erased(event_id="CA-1003", key="late.pdf", stream=STREAM + "d", at=CHECKPOINT + timedelta(1))
    numbers, found, its = asked(log, chain, record)
    assert numbers == Standings(proven=2, differs=1, later=1)
    assert found == standing
    assert [(line.kind, line.number) for one in its for line in one.lines] == (
        [] if standing == "no receipt" else [("intent", 1), ("outcome", 2)]
    )


@pytest.mark.parametrize("key", [None, "CA-1002", ["CA-1002"], {"id": "CA-1002"}, {"id": ["CA-1002"]}, 7])
def test_a_forged_key_of_any_form_names_no_record(key: Any) -> None:
    assert names_record(key, "CA-1002") is False
    log = stored()
    log.add("outcome", outcome="erased", record_key=key, stream=STREAM + "a")
    asked(log, chain_of(stored().events), "CA-1002")  # and stops nothing


@pytest.mark.parametrize(("minimum_age", "late"), [(0, True), (59, True), (60, False), (90, False)])
def test_an_inserted_line_may_have_been_shown_late_where_a_checkpoint_covers_young_lines(
    minimum_age: int, late: bool
) -> None:
    chain = chain_of(stored().events, minimum_age=minimum_age)
    read = Reading(forged(stored()).events, ChainCheck(chain.covered))
    read.numbers()
    [found] = verify(read.chain, chain, retention_days=400, now_ms=ms(CHECKPOINT + timedelta(1))).findings
    assert found.kind == "Inserted"
    assert ("CloudWatch Logs showed them after the checkpoint was written" in found.message) is late


def test_a_checkpoint_without_a_minimum_age_is_one_of_an_hour() -> None:
    one = checkpoint.Checkpoint(
        tenant="c/n/x", log_group="g", region="r", until_ms=1, retention_days=1, previous="0" * 64, streams={},
        minimum_age=5,
    )  # fmt: skip
    content = json.loads(checkpoint.spell(one))
    assert checkpoint.parse(json.dumps(content).encode()).minimum_age == 5
    del content["minimumAgeMinutes"]
    assert checkpoint.parse(json.dumps(content).encode()).minimum_age == 60


def test_the_page_says_what_a_stop_leaves_out_and_its_text_once(tmp_path: Path) -> None:
    text = "Reserved concurrency is 0; lawsuit"
    condition = {"type": "Stopped", "status": "True", "message": text, "lastTransitionTime": "2026-11-05T00:00:00Z"}
    declared = surroundings.declared({**samples.resource(), "status": {"conditions": [condition]}}, samples.names())
    _, files = written(stored().events, tmp_path, declared=declared, now=WRITTEN)
    page = html.unescape(files.page.read_text())
    assert page.count(text) == 1
    assert "Files of records deleted since the stop have no receipt yet and are not in these numbers" in page
    assert "a stop overrides it" in page


@pytest.mark.parametrize(
    ("versions", "said"), [(1, "The bucket keeps versions"), (None, "The bucket kept no versions")]
)
def test_the_page_says_whether_the_bucket_keeps_versions(versions: int | None, said: str, tmp_path: Path) -> None:
    log = (
        Log().add("intent").add("outcome", outcome="erased", erased_at="2026-11-03T10:00:02Z", versions_erased=versions)
    )
    _, files = written(log.events, tmp_path)
    page = files.page.read_text()
    assert said in page
    assert "needs credentials of AWS" in page
    assert "humangov receipts humangov/california --since 2026-11-01 --record KEY" in page


def test_no_receipts_are_counted_without_a_colon() -> None:
    assert list(receipt_table.table_lines([]))[-1] == "0 receipts"


def test_an_account_role_beside_a_manifest_is_refused_and_not_ignored(tmp_path: Path) -> None:
    import click

    given = TenantOptions(
        tenant=None, namespace=None, filename=tmp_path / "california.yaml", region="us-east-1", cluster_name="cluster"
    )
    with pytest.raises(click.UsageError, match="--account-role contradicts --filename"):
        account_role.found(given, name="reader")


CHAINED_STREAM = "receipts/2026/03/01/0"


@pytest.mark.parametrize(
    ("holds", "differing", "fitting", "stream", "covered", "expected"),
    [
        (True, (), (CHAINED_STREAM,), CHAINED_STREAM, True, standing.PROVEN),
        (True, (), (), CHAINED_STREAM, True, standing.UNKNOWN),
        (False, (), (CHAINED_STREAM,), CHAINED_STREAM, True, standing.UNKNOWN),
        (True, (), (CHAINED_STREAM,), CHAINED_STREAM, False, standing.LATER),
        (True, (CHAINED_STREAM,), (CHAINED_STREAM,), CHAINED_STREAM, True, standing.DIFFERS),
        (True, (), ("other",), "other", True, standing.UNKNOWN),
    ],
)
def test_line_is_proven_only_if_all_of_its_stream_is_known_to_be_as_a_checkpoint_states(
    holds: bool, differing: tuple[str, ...], fitting: tuple[str, ...], stream: str, covered: bool, expected: str
) -> None:
    by = standing.Judged(holds=holds, differing=differing, fitting=fitting)
    assert by.standing(stream, covered=covered) == expected


@pytest.mark.parametrize("other", [standing.DIFFERS, standing.UNKNOWN, standing.LATER])
def test_receipt_of_which_one_line_is_not_proven_is_not_proven(other: str) -> None:
    assert standing.worst([standing.PROVEN, other]) == other
    assert standing.worst([]) == standing.NO_RECEIPT
