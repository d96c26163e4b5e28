"""`humangov report`: what is counted from lines of a log, what is said not to be shown, and what the page holds."""

from __future__ import annotations

import html
import json
import re
import shlex
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from humangov.cleanup.receipt_chain import EMPTY, linked
from humangov.cli.main import load
from humangov.proof import figures, period, pictures, report_files, standing, states, surroundings
from humangov.proof.chain_check import ChainCheck
from humangov.proof.gaps import LIMITS
from humangov.proof.ledger import Ledger, kind_of
from humangov.proof.orphan_lists import SweepRun, SweepRuns
from humangov.proof.receipts import WhenError
from humangov.proof.report import Report, Subject, build
from humangov.proof.report_files import Files
from humangov.proof.surroundings import Declared, LogGroup

from testing import samples

NOVEMBER = period.month("2026-11")
WRITTEN = datetime(2026, 12, 2, 8, tzinfo=UTC)
GROUP = LogGroup(
    name="/aws/lambda/humangov-california-delete-file", region="us-east-1", exists=True, retention_days=400,
    created=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip
SUBJECT = Subject(
    tenant="humangov/california", owner=samples.OWNER, account_id="123456789012", region="us-east-1", bucket="files",
    key_prefix="", table="records",
)  # fmt: skip
HOSTILE = "</td><script>alert(1)</script>&\u202egpj.\x1b[31m'\"<img src=x onerror=y>"


class Log:
    """Lines of receipts in chained streams, a second apart unless said otherwise."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._at = datetime(2026, 11, 3, 10, tzinfo=UTC)
        self._ends: dict[str, Any] = {}

    def add(
        self, kind: str, *, key: str = "cv.pdf", event_id: str = "e1", at: datetime | None = None,
        stream: str = "receipts/2026/11/03/a", event: str = "REMOVE", deleted: datetime | None = None, **more: Any,
    ) -> Log:  # fmt: skip
        self._at = at or self._at + timedelta(seconds=1)
        line = {
            "receipt": kind, "tenant": samples.OWNER, "bucket": "files", "key": key,
            "record_key": {"id": {"S": event_id}}, "event_id": event_id, "sequence_number": "1",
            "event": event, "expired": False,
            "deleted_at": None if event == "SWEEP" else _text(deleted or self._at - timedelta(seconds=1)),
            "id": f"{len(self.events)}", **more,
        }  # fmt: skip
        message, self._ends[stream] = linked(line, after=self._ends.get(stream, EMPTY))
        self.events.append({"timestamp": _ms(self._at), "logStreamName": stream, "message": message})
        return self

    def erased(self, *, within: float = 0.5, **more: Any) -> Log:
        """An intent and its outcome."""
        self.add("intent", **more)
        at = more.pop("at", None) or self._at
        deleted = at - timedelta(seconds=within)
        return self.add(
            "outcome", outcome="erased", erased_at=_text(at), versions_erased=1, versions_left=0, announced=True,
            at=at, deleted=deleted, **more,
        )  # fmt: skip

    def outcome(self, text: str, **more: Any) -> Log:
        return self.add("outcome", outcome=text, erased_at=None, announced=False, **more)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def declared(**more: Any) -> Declared:
    resource = samples.resource(**more)
    ready = {"type": "Ready", "status": "True", "reason": "InSync", "message": "as declared"}
    return surroundings.declared(
        {**resource, "status": {"conditions": [ready]}}, samples.names(of=samples.tenant(**more))
    )


def sweep(run: str = "abcd1234", **more: Any) -> SweepRun:
    values: dict[str, Any] = {
        "at": "2026-11-04T02:00:00Z", "mode": "Delete", "records": 90, "listed": 100, "too_young": 1, "live": 90,
        "orphans": 9, "orphan_bytes": 900, "failed_checks": (), "names_expired": False, "key": "k", "sha256": "0" * 64,
    }  # fmt: skip
    return SweepRun(run=run, **{**values, **more})


def written(
    events: Iterable[Mapping[str, Any]], folder: Path, *, most_rows: int = 100, name: str = "california", **more: Any
) -> tuple[Report, Files]:  # fmt: skip
    files = report_files.files_in(folder, name=name)
    ledger = Ledger(report_files.partial_database(files))
    given: dict[str, Any] = {
        "subject": SUBJECT, "period": NOVEMBER, "group": GROUP, "declared": declared(),
        "sweeps": SweepRuns(runs=(sweep(),)), "now": WRITTEN,
    }  # fmt: skip
    report = build(events, ledger, **{**given, **more})
    ledger.close()
    report_files.save(report, files, most_rows=most_rows)
    return report, files


def counted(events: Iterable[Mapping[str, Any]], folder: Path) -> Mapping[str, int | None]:
    found = written(events, folder)[0].figures
    assert found is not None
    return {name: one.value for name, one in found.numbers.items()}


def kinds(report: Report) -> list[str]:
    return [gap.kind for gap in report.gaps]


# What is counted.


def test_report_counts_erased_files_and_how_soon(tmp_path: Path) -> None:
    log = Log()
    for number in range(100):
        log.erased(key=f"{number}.pdf", event_id=f"e{number}", within=(number + 1) / 10)
    numbers = counted(log.events, tmp_path)
    assert (numbers["records"], numbers["deletions"], numbers["erased"], numbers["open"]) == (100, 100, 100, 0)
    assert (numbers["median_ms"], numbers["p99_ms"], numbers["latest_ms"]) == (5000, 9900, 10_000)
    assert numbers["within_second"] == 10


@pytest.mark.parametrize(
    ("told", "figure"),
    [
        (["erased"], "erased"),
        (["intent"], "unknown"),
        (["failed: SlowDown", "erased"], "erased"),
        (["erased", "absent"], "erased"),
        (["erased", "failed: StillThere"], "open"),
        (["failed: SlowDown"], "open"),
        (["limited"], "open"),
        (["held: lawsuit (since 2026-11-01T00:00:00Z)"], "open"),
        (["kept: live"], "stays"),
        (["left to the sweep"], "stays"),
        (["retained until 2030-01-01T00:00:00.000Z"], "stays"),
        (["absent"], "absent"),
        (["intent", "absent"], "absent"),
        (["something new"], "open"),
        (["erased", "intent"], "open"),
    ],
)
def test_each_file_is_counted_once_by_what_became_of_it(told: Sequence[str], figure: str, tmp_path: Path) -> None:
    log = Log()
    for text in told:
        if text == "erased":
            log.erased()
        elif text == "intent":
            log.add("intent")
        else:
            log.outcome(text)
    numbers = counted(log.events, tmp_path)
    assert numbers["freed"] == 1
    places = {name: numbers[name] for name in ("erased", "absent", "stays", "open")}
    assert sum(value or 0 for value in places.values()) == 1, places
    assert numbers[figure] == 1


def test_failed_attempt_and_redrive_are_reported_with_the_outcome_that_settled_them(tmp_path: Path) -> None:
    log = Log().outcome("failed: SlowDown").erased(stream="redrive/2026/11/03/b")
    numbers = counted(log.events, tmp_path)
    assert (numbers["erased"], numbers["failed_then_settled"], numbers["redriven"]) == (1, 1, 1)


def test_erasures_by_sweeps_are_counted_separately_from_deletions(tmp_path: Path) -> None:
    swept: dict[str, Any] = {"event": "SWEEP", "stream": "sweep/2026/11/04/c", "event_id": "sweep abcd1234"}
    log = Log().erased().erased(key="o.pdf", **swept).outcome("kept: newer", key="p.pdf", **swept)
    upload = {**swept, "event_id": "sweep abcd1234, upload u1"}
    log.add("intent", **upload).add("outcome", outcome="erased: incomplete upload", erased_at=None, **upload)
    report, _ = written(log.events, tmp_path)
    assert report.figures is not None
    numbers = report.figures
    assert (numbers["erased"], numbers["swept"], numbers["uploads_aborted"]) == (1, 1, 1)
    assert [(one.run, one.erased, one.others) for one in numbers.sweeps] == [("abcd1234", 1, 1)]


@pytest.mark.parametrize(
    ("event_id", "gap"),
    [("sweep abcd1234", "SweepNotSettled"), ("sweep abcd1234, upload u1", "UploadsNotSettled")],
)
def test_what_a_killed_sweep_had_begun_is_a_gap(event_id: str, gap: str, tmp_path: Path) -> None:
    """A history of the adversarial world found a report without one where the abort of an upload was cut off."""
    begun = Log().erased().add("intent", event="SWEEP", stream="sweep/2026/11/04/c", event_id=event_id)
    report, _ = written(begun.events, tmp_path)
    assert {one.kind for one in report.gaps} & {"CutOff", "SweepNotSettled", "UploadsNotSettled"} == {gap}


def test_receipts_outside_the_month_are_not_counted(tmp_path: Path) -> None:
    log = Log()
    log.erased(key="before.pdf", event_id="b", at=NOVEMBER.since - timedelta(milliseconds=1))
    log.erased(key="first.pdf", event_id="f", at=NOVEMBER.since)
    log.erased(key="last.pdf", event_id="l", at=NOVEMBER.until)
    log.erased(key="after.pdf", event_id="a", at=NOVEMBER.until + timedelta(milliseconds=1))
    assert counted(log.events, tmp_path)["erased"] == 2


def test_each_figure_and_table_is_reproduced_from_the_database_by_its_query(tmp_path: Path) -> None:
    log = Log().erased().erased(key="b.pdf", event_id="e2").outcome("kept: live", key="c.pdf", event_id="e3")
    report, files = written(log.events, tmp_path)
    data = json.loads(files.data.read_text())
    with sqlite3.connect(files.database) as database:
        for figure in data["figures"]:
            [again] = database.execute(figure["query"]).fetchone() or [None]
            assert again == figure["value"], figure
        for name, key in (("days", "days"), ("stays", "stays"), ("sweeps", "sweeps")):
            rows = database.execute(data["queries"][name]).fetchall()
            assert [list(row) for row in rows] == [list(one.values())[: len(rows[0])] for one in data[key]]
    assert report.lines == len(log.events)


def test_a_year_is_shown_by_months(tmp_path: Path) -> None:
    log = Log().erased(at=datetime(2026, 2, 3, tzinfo=UTC)).erased(event_id="e2", at=datetime(2026, 11, 3, tzinfo=UTC))
    year = period.span("2026-01-01", "2026-12-01", now=WRITTEN)
    report, _ = written(log.events, tmp_path, period=year)
    assert report.figures is not None
    assert [one.name for one in report.figures.days] == ["2026-02", "2026-11"]
    every = figures.each_day(report.figures, since=year.since, until=year.until)
    assert [one.name for one in every][:2] == ["2026-01", "2026-02"]
    assert len(every) == 12


def test_every_outcome_has_a_kind_and_a_meaning() -> None:
    for text in (
        "erased", "absent", "absent after intent", "kept: live", "kept: newer, after a cut-off attempt",
        "kept: undated", "kept: reserved", "kept: interrupted", "left to the sweep",
        "retained until 2030-01-01T00:00:00.000Z",
        "retained: legal hold", "retained: MFA delete", "limited", "held: x",
        "failed: SlowDown, after a failed attempt", "unknown: cut off", "erased: incomplete upload",
    ):  # fmt: skip
        kind = kind_of(text)
        assert text.startswith(kind.kind) or text == "left to the sweep"
        assert "does not know" not in figures.meaning_of(kind.reason), text


# What could not be shown.


def test_a_report_with_nothing_missing_has_no_gap_and_states_its_limits(tmp_path: Path) -> None:
    report, files = written(Log().erased().events, tmp_path)
    assert report.gaps == ()
    text = files.page.read_text()
    assert "Nothing of this period is missing" in text
    assert all(limit.replace("'", "&#39;") in text for limit in LIMITS)


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"group": replace(GROUP, exists=False)}, "LogGroupMissing"),
        ({"group": replace(GROUP, exists=None, problem="AccessDenied")}, "LogGroupUnknown"),
        ({"group": replace(GROUP, created=datetime(2026, 11, 9, tzinfo=UTC))}, "LogGroupYounger"),
        ({"group": replace(GROUP, retention_days=20)}, "ReceiptsExpired"),
        ({"declared": None}, "SettingsUnknown"),
        ({"declared": declared(suspend=True)}, "Suspended"),
        ({"declared": declared(trigger={"enabled": False})}, "TriggerDisabled"),
        ({"declared": declared(hold={"reason": "lawsuit"})}, "Held"),
        ({"declared": declared(sweep={"suspend": True})}, "SweepsSuspended"),
        ({"sweeps": None}, "SweepsUnknown"),
        ({"sweeps": SweepRuns()}, "NoSweep"),
        ({"sweeps": SweepRuns(problem="AccessDenied")}, "OrphanListsUnread"),
        ({"sweeps": SweepRuns(runs=(sweep(),), unread=1)}, "ListsForeign"),
        ({"sweeps": SweepRuns(runs=(sweep(failed_checks=("YoungTable",)),))}, "SafetyCheckFailed"),
        ({"now": NOVEMBER.until + timedelta(minutes=59)}, "PeriodNotOver"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_missing_information_is_a_gap_of_the_report(more: Mapping[str, Any], kind: str, tmp_path: Path) -> None:
    report, files = written(Log().erased().events, tmp_path, **more)
    assert kinds(report) == [kind]
    assert json.loads(files.data.read_text())["gaps"][0]["kind"] == kind


@pytest.mark.parametrize(
    ("condition", "status", "kind"),
    [
        ("Stopped", "True", "Stopped"), ("Stopped", "Unknown", "Stopped"),
        ("RecordsDelivered", "False", "NotDelivered"), ("FailuresHandled", "Unknown", "FailuresWaiting"),
        ("SweepSucceeded", "False", "SweepFailed"),
    ],
)  # fmt: skip
def test_conditions_that_are_not_good_are_gaps(condition: str, status: str, kind: str, tmp_path: Path) -> None:
    stored = {"type": condition, "status": status, "message": "why", "lastTransitionTime": "2026-11-05T00:00:00Z"}
    resource = {**samples.resource(), "status": {"conditions": [stored]}}
    report, _ = written(Log().erased().events, tmp_path, declared=surroundings.declared(resource, samples.names()))
    assert [(gap.kind, "2026-11-05" in gap.message and "why" in gap.message) for gap in report.gaps] == [(kind, True)]


def test_without_a_log_group_no_figure_is_shown(tmp_path: Path) -> None:
    report, files = written([], tmp_path, group=replace(GROUP, exists=False))
    assert report.figures is None
    assert "Nothing of this period is proven" in files.page.read_text()
    assert json.loads(files.data.read_text())["figures"] is None


def test_receipts_that_were_read_before_an_error_count_and_the_error_is_a_gap(tmp_path: Path) -> None:
    def cut_off() -> Iterable[Mapping[str, Any]]:
        yield from Log().erased().add("intent", event_id="e2").events
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "FilterLogEvents")

    report, _ = written(cut_off(), tmp_path)
    assert kinds(report) == ["ReceiptsUnread", "CutOff"]
    assert report.figures is not None
    assert report.figures["erased"] == 1

    def refused() -> Iterable[Mapping[str, Any]]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "FilterLogEvents")
        yield {}

    report, _ = written(refused(), tmp_path)
    assert report.figures is None


def test_report_shows_stops_and_approvals_with_their_field_managers(tmp_path: Path) -> None:
    metadata = {
        "annotations": {
            "humangov.io/stop": "lawsuit", "humangov.io/approve-sweep": "ab12",
            "humangov.io/approve-sweep-by": "jane@example.com",
        },
        "managedFields": [
            {
                "manager": "humangov-stop", "time": "2026-11-05T06:07:08Z",
                "fieldsV1": {"f:metadata": {"f:annotations": {"f:humangov.io/stop": {}}}},
            }
        ],
    }  # fmt: skip
    found = surroundings.declared(samples.resource(metadata=metadata), samples.names())
    assert [(one.value, one.by, one.at, one.signed) for one in found.deeds] == [
        ("lawsuit", "humangov-stop", "2026-11-05T06:07:08Z", ""), ("ab12", "", "", "jane@example.com"),
    ]  # fmt: skip
    _, files = written(Log().erased().events, tmp_path, declared=found)
    assert "humangov-stop" in files.page.read_text()
    assert "jane@example.com" in files.page.read_text()


# Chains.


def test_a_whole_chain_is_not_broken_in_whatever_order_lines_of_one_millisecond_come() -> None:
    log = Log()
    same = datetime(2026, 11, 3, tzinfo=UTC)
    for number in range(5):
        log.add("intent", key=f"{number}", at=same)
    check = ChainCheck()
    for event in reversed(log.events):
        check.take(event)
    check.finish()
    assert (check.lines, check.broken.total(), check.begun) == (5, 0, 0)


@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("deed", ["removed", "altered", "inserted"])
def test_a_line_that_was_removed_altered_or_inserted_breaks_the_chain(deed: str, place: int, tmp_path: Path) -> None:
    events = Log().erased().erased(key="b.pdf", event_id="e2").erased(key="c.pdf", event_id="e3").events
    if deed == "removed":
        del events[place]
    elif deed == "altered":
        events[place] = {**events[place], "message": events[place]["message"].replace("REMOVE", "MODIFY")}
    else:
        events.insert(place, events[place])
    report, _ = written(events, tmp_path)
    assert "ChainBroken" in kinds(report)
    assert report.chain.breaks[0].stream == "receipts/2026/11/03/a"


def test_receipts_outside_of_chained_streams_are_a_gap(tmp_path: Path) -> None:
    events = [{**one, "logStreamName": "2026/11/03/[1]a"} for one in Log().erased().events]
    assert kinds(written(events, tmp_path)[0]) == ["LinesNotChained"]


# The files.


class Page(HTMLParser):
    """Tags with attributes, and the texts of the page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_names_of_files_records_and_streams_are_escaped_in_the_page(tmp_path: Path) -> None:
    log = Log().erased(key=HOSTILE, event_id=HOSTILE, stream=f"receipts/{HOSTILE}")
    _, files = written(
        log.outcome(HOSTILE, key=HOSTILE).events, tmp_path, subject=replace(SUBJECT, tenant=HOSTILE),
        sweeps=SweepRuns(runs=(sweep(mode=HOSTILE, failed_checks=(HOSTILE,)),)),
    )  # fmt: skip
    page = Page(files.page.read_text())
    assert {tag for tag, _ in page.tags} & {"script", "img", "iframe", "object", "link", "form"} == set()
    text = "".join(page.texts)
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b") in text


def test_the_appendix_says_whether_a_record_was_deleted_or_changed(tmp_path: Path) -> None:
    log = Log().erased(event_id="CA-1002", key="a.pdf").erased(event_id="CA-1003", key="b.pdf", event="MODIFY")
    log.outcome("erased", event_id="sweep 1", key="c.pdf", event="SWEEP")
    appendix = written(log.events, tmp_path)[1].page.read_text().partition('class="appendix"')[2]
    rows = {name: row for row in appendix.split("<tr>") for name in ("a.pdf", "b.pdf", "c.pdf") if name in row}
    assert "Z, deleted<" in rows["a.pdf"]
    assert "Z, changed<" in rows["b.pdf"]
    assert ", deleted<" not in rows["c.pdf"]


def test_the_page_answers_whether_the_file_of_one_record_was_erased_by_commands_that_run(tmp_path: Path) -> None:
    log = Log().erased(event_id="CA-1002", key="brooks.pdf").erased(event_id="CA-1003", key="chen.pdf")
    subject = replace(SUBJECT, stored_in=("my-reports", "humangov/"))
    _, files = written(log.events, tmp_path, subject=subject)
    text = html.unescape(files.page.read_text())
    section = text.partition('id="one"')[2].partition("</section>")[0]
    asking, shown, verifying = re.findall(r"<pre>(.*?)</pre>", section, re.DOTALL)

    program, database, sql = shlex.split(asking)
    assert (program, tmp_path / database) == ("sqlite3", files.database)
    with closing(sqlite3.connect(files.database)) as connection:
        [(key, outcome, *_)] = connection.execute(sql.replace("KEY", "CA-1002")).fetchall()
    assert (key, outcome) == ("brooks.pdf", "erased")

    assert shlex.split(shown)[:3] == ["aws", "logs", "filter-log-events"]
    assert f"--log-group-name {GROUP.name}" in shown
    name, command, *arguments = shlex.split(verifying)
    assert (name, command) == ("humangov", "verify")
    given = load("verify").make_context("verify", arguments).params
    assert (given["tenant"], given["bucket"], given["prefix"]) == ("humangov/california", "my-reports", "humangov/")


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ('{"id": {"S": "CA-1002"}}', "id CA-1002"),
        ('{"state": {"S": "CA"}, "number": {"N": "7"}}', "state CA, number 7"),
        ('{"id": {"B": "AAEC"}}', '{"id": {"B": "AAEC"}}'),
        ('{"id": {"S": 7}}', '{"id": {"S": 7}}'),
        ('{"id": "CA-1002"}', '{"id": "CA-1002"}'),
        ("{}", "{}"), ("[]", "[]"), ("", ""), ("CA-1002", "CA-1002"), ("[" * 100_000, "[" * 100_000),
    ],
)  # fmt: skip
def test_a_record_is_named_as_people_know_it(key: str, shown: str) -> None:
    assert standing.record_name(key) == shown


def test_the_page_of_a_log_group_alone_names_no_command_that_needs_the_state(tmp_path: Path) -> None:
    _, files = written(Log().erased().events, tmp_path, subject=replace(SUBJECT, owner=None))
    assert "humangov verify" not in files.page.read_text().partition('id="one"')[2].partition("</section>")[0]


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    _, files = written(Log().erased().events, tmp_path)
    text = files.page.read_text()
    page = Page(text)
    attributes = {name: value for _, several in page.tags for name, value in several.items()}
    assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")]
    links = [several["href"] for tag, several in page.tags if "href" in several and tag]
    assert links
    assert all(str(link).startswith("#") for link in links)
    assert not re.findall(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert "default-src 'none'" in text


def test_pictures_are_named_and_described_for_a_screen_reader(tmp_path: Path) -> None:
    _, files = written(Log().erased().events, tmp_path)
    page = Page(files.page.read_text())
    ids = [several["id"] for _, several in page.tags if "id" in several]
    assert len(ids) == len(set(ids))
    drawn = [several for tag, several in page.tags if tag == "svg"]
    assert len(drawn) == 3
    for one in drawn:
        assert one["role"] == "img"
        assert set(str(one["aria-labelledby"]).split()) <= set(ids)
    headed = [several for tag, several in page.tags if tag == "th"]
    assert all("scope" in one for one in headed)


@pytest.mark.parametrize(
    ("most", "labels"),
    [
        (0, [0, 1]),
        (2, [0, 1, 2]),
        (9, [0, 2, 4, 6, 8, 10]),
        (37, [0, 8, 16, 24, 32, 40]),
        (1234, [0, 300, 600, 900, 1200, 1500]),
    ],
)
def test_axes_of_files_have_whole_numbers_up_to_the_most(most: int, labels: list[int]) -> None:
    assert pictures._whole(most)[: len(labels)] == labels
    assert pictures._whole(most)[-1] >= most


def test_a_long_appendix_ends_early_and_the_page_says_so(tmp_path: Path) -> None:
    log = Log()
    for number in range(5):
        log.erased(key=f"file-{number}.pdf", event_id=f"e{number}")
    _, files = written(log.events, tmp_path, most_rows=3)
    text = files.page.read_text()
    assert "The first 3 of 5 receipts." in text
    assert "file-2.pdf" in text
    assert "file-3.pdf" not in text
    with sqlite3.connect(files.database) as database:
        assert database.execute("SELECT count(*) FROM receipts").fetchone() == (5,)


def test_files_are_private_whole_and_named_after_the_tenant(tmp_path: Path) -> None:
    _, files = written(Log().erased().events, tmp_path, name="../humangov/california 2026-11")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in files)
    assert files.page.name == "humangov-california-2026-11.html"
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_neither_page_nor_json_has_a_secret(tmp_path: Path) -> None:
    account = {
        "roleARN": "arn:aws:iam::123456789012:role/x", "sweepRoleARN": "arn:aws:iam::123456789012:role/y",
        "externalID": "very-secret",
    }  # fmt: skip
    _, files = written(Log().erased().events, tmp_path, declared=declared(account=account, tags={"token": "hidden"}))
    for path in (files.page, files.data):
        assert "very-secret" not in path.read_text()
        assert "hidden" not in path.read_text()


def test_states_come_worst_first(tmp_path: Path) -> None:
    def state(name: str, events: Iterable[Mapping[str, Any]], **more: Any) -> states.State:
        report, files = written(events, tmp_path, name=name, subject=replace(SUBJECT, tenant=name), **more)
        return states.of_report(report, page=files.page.name)

    found = [
        state("good", Log().erased().events),
        state("slow", Log().erased(within=5000).events),
        state("gaps", Log().erased().events, sweeps=None),
        state("waiting", Log().outcome("failed: SlowDown").events),
        state("without-group", [], group=replace(GROUP, exists=False)),
        states.without_report("denied", problem="AccessDenied"),
    ]
    ordered = states.worst_first(found)
    assert [one.tenant for one in ordered] == ["denied", "without-group", "waiting", "gaps", "slow", "good"]


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-11", "2026-11-01T00:00:00.000Z", "2026-11-30T23:59:59.999Z"),
        ("2024-02", "2024-02-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z"),
        ("2026-12", "2026-12-01T00:00:00.000Z", "2026-12-31T23:59:59.999Z"),
    ],
)
def test_a_month_is_whole_and_ends_before_the_next(text: str, first: str, last: str) -> None:
    found = period.month(text)
    assert (_text(found.since), _text(found.until)) == (first, last)


@pytest.mark.parametrize("text", ["", "2026-13", "2026-1", "november", "9999-12"])
def test_invalid_month_is_refused(text: str) -> None:
    with pytest.raises(WhenError, match="expected 2026-11"):
        period.month(text)


def test_the_operator_loads_no_library_of_reports() -> None:
    """They are in its image, for the CronJob of reports, and not in its memory."""
    code = "import sys, humangov.manager.manager, humangov.cli.run; print({'jinja2', 'pygal'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown.strip() == "set()"
