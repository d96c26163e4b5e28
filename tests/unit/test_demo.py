"""The demo's own parts: waiting, telling, manifests. The story itself is told by tests/e2e/test_demo.py."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.demo import __main__ as program
from sandbox.demo import aws_side, people
from sandbox.demo.kubectl import KubectlError, shown
from sandbox.demo.narration import Narrator, ObservedStep, summary_lines, wants_color
from sandbox.demo.observing import NotObservedError, Observer
from sandbox.demo.story import STORY, Step


class Clock:
    """Time that passes only where somebody waits; seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def observer(clock: Clock, narration: list[str] | None = None) -> Observer:
    announce: Callable[[str], None] = (narration if narration is not None else []).append
    return Observer(seconds=10, stays_seconds=2, announce=announce, clock=clock, pause=clock.pause)


def narrator() -> tuple[Narrator, io.StringIO]:
    out = io.StringIO()
    return Narrator(out=out, steps=2, color=False, width=80, clock=Clock()), out


def test_demo_observes_a_result_before_the_deadline_and_prints_long_waits() -> None:
    clock, narration = Clock(), list[str]()
    assert observer(clock, narration).until(lambda: clock.now, lambda now: now >= 5, expected="five", every=0.5) == 5
    assert narration == ["waiting until five"]


def test_demo_reports_what_it_observed_instead_of_the_expected_result() -> None:
    with pytest.raises(NotObservedError) as raised:
        observer(Clock()).until(lambda: "Disabled", lambda state: state == "Enabled", expected="a trigger, Enabled")
    assert raised.value.expected == "a trigger, Enabled, within 10 s"
    assert raised.value.seen == "Disabled"


def test_demo_retries_an_error_and_reports_a_lasting_one() -> None:
    clock = Clock()

    def see() -> str:
        if clock.now < 3:
            raise KubectlError("kubectl get: connection refused")
        return "there"

    assert observer(clock).until(see, lambda found: found == "there", expected="it") == "there"

    def denied() -> str:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetRole")

    with pytest.raises(NotObservedError, match="AccessDenied"):
        observer(Clock()).until(denied, bool, expected="it")


def test_bug_of_the_demo_is_raised_and_not_observed() -> None:
    def broken() -> str:
        raise KeyError("pdf")

    with pytest.raises(KeyError):
        observer(Clock()).until(broken, bool, expected="it")


def test_demo_checks_continuously_that_a_result_stays() -> None:
    clock = Clock()
    assert observer(clock).stays(lambda: "there", lambda found: found == "there", expected="it stays") == "there"
    assert clock.now > 2
    with pytest.raises(NotObservedError, match="it stays, for 2 s"):
        observer(clock).stays(lambda: clock.now, lambda now: now < 3, expected="it stays")


def test_demo_step_counts_only_after_it_was_observed() -> None:
    narration, out = narrator()
    narration.step("First", lambda: "this")
    with pytest.raises(NotObservedError):
        narration.step("Second", lambda: observer(Clock()).until(lambda: "one", lambda _: False, expected="two"))
    assert [one.title for one in narration.observed] == ["First"]
    assert narration.number == 2
    narration.failed(expected="two", seen="one\nand a half", logs=["/logs/"])
    assert out.getvalue().splitlines()[-5:] == [
        "FAILED in step 2/2: Second",
        "       expected:  two",
        "       seen:      one",
        "                  and a half",
        "       log:       /logs/",
    ]


def test_demo_wraps_prose_and_no_tables() -> None:
    narration, out = narrator()
    narration.say("humangov-operator " * 20)
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "humangov-\n" not in out.getvalue()
    narration.output("x" * 200)
    assert "x" * 200 in out.getvalue()


@pytest.mark.parametrize(
    ("environ", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_demo_uses_color_only_on_terminals_that_allow_it(
    environ: dict[str, str], is_terminal: bool, expected: bool
) -> None:
    assert wants_color(environ, is_terminal=is_terminal) is expected


def test_demo_summary_has_a_line_per_step_and_the_total_time() -> None:
    assert summary_lines([ObservedStep("One", "x", 1.04), ObservedStep("The other", "y", 12.5)]) == [
        "STEP   SEEN        TIME",
        " 1     One         1.0 s",
        " 2     The other   12.5 s",
        "       in all      13.5 s",
    ]


def test_demo_shows_commands_quoted_for_the_shell() -> None:
    assert shown("kubectl", "patch", "-p", '{"spec": {}}', "-o=json") == "kubectl patch -p '{\"spec\": {}}' -o=json"


def test_demo_uses_the_three_example_states() -> None:
    found = people.states(namespace="humangov", suffix="")
    assert [state.name for state in found] == ["california", "florida", "staging"]
    assert found[0].table == "humangov-california-dynamodb"
    assert found[0].bucket == "humangov-california-s3-zsmb"
    assert found[0].function == "humangov-california-delete-file"
    files = [employee.pdf for state in found for employee in state.employees]
    assert len(files) == len(set(files)) == 15


def test_demo_names_have_a_suffix_in_a_shared_account(tmp_path: Any) -> None:
    found = people.states(namespace="elsewhere", suffix="-f00")
    people.write(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["california.yaml", "florida.yaml", "staging.yaml"]
    for state in found:
        assert state.manifest["metadata"] == {"name": f"{state.name}-f00", "namespace": "elsewhere"}
        assert state.table.endswith("-f00")
        assert state.bucket.endswith("-f00")
        assert state.function == f"humangov-{state.name}-f00-delete-file"


def test_demo_pdfs_are_valid() -> None:
    employee = people.staff("california")[0]
    content = people.pdf(employee)
    assert content.startswith(b"%PDF-1.4\n")
    assert content.endswith(b"%%EOF\n")
    assert employee.name.encode() in content
    start = re.search(rb"startxref\n(\d+)\n", content)
    assert start is not None
    assert content[int(start[1]) :].startswith(b"xref\n0 6\n")
    for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n \n", content), 1):
        assert content[int(offset) :].startswith(b"%d 0 obj" % number)


def test_demo_distinguishes_receipts_from_lambda_log_lines() -> None:
    assert aws_side._receipt("START RequestId: 1 Version: $LATEST") is None
    assert aws_side._receipt('"a string"') is None
    assert aws_side._receipt(json.dumps({"level": "INFO", "message": "batch"})) is None
    assert aws_side._receipt(json.dumps({"receipt": "outcome", "key": "a.pdf"})) == {
        "receipt": "outcome",
        "key": "a.pdf",
    }


def test_demo_story_has_thirteen_steps() -> None:
    titles = [step.title for step in STORY]
    assert len(titles) == len(set(titles)) == 13


class _Stage:
    """As much of a stage as the first step and a failing one touch."""

    class Kubectl:
        def show(self, *_: str) -> str:
            return ""

    class AwsSide:
        region = "us-east-1"

    kubectl = Kubectl()
    aws = AwsSide()

    def logs(self) -> list[str]:
        return ["/logs/operator.log"]


def test_demo_ends_at_an_unobserved_step_with_what_was_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    @contextlib.contextmanager
    def sandbox_up(_: object, *, controllers: bool) -> Iterator[tuple[Any, bool]]:
        assert not controllers  # the demo builds less
        yield type("Running", (), {"aws_endpoint_url": "http://x"}), True
        closed.append("sandbox")

    @contextlib.contextmanager
    def opened(*_: object, **__: object) -> Iterator[_Stage]:
        try:
            yield _Stage()
        finally:
            closed.append("stage")

    monkeypatch.setattr(program, "sandbox_up", sandbox_up)
    monkeypatch.setattr(program, "opened", opened)
    narration, out = narrator()

    def unseen(_: object) -> str:
        raise NotObservedError(expected="the file gone", seen="the file")

    with pytest.raises(NotObservedError):
        program.narrate(narration, story=[Step("The file goes", unseen)])
    assert "FAILED in step 2/2: The file goes" in out.getvalue()
    assert "expected:  the file gone" in out.getvalue()
    assert "log:       /logs/operator.log" in out.getvalue()
    assert closed == ["stage"]
