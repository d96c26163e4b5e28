"""That the documents tell the truth: what they name exists, and what exists and matters is named.

It can't show that the prose is right.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from humangov.api.conditions import PARTS
from humangov.api.spec import parse
from humangov.aws.budget import Budget
from humangov.aws.clients import Called
from humangov.aws.limits import LAMBDA
from humangov.aws.stream_lag import StreamLag
from humangov.cli.main import COMMANDS, load
from humangov.manager.metrics import Gauges, Metrics
from humangov.manager.problem_gauges import Problem
from humangov.manager.sweep_gauges import SweepGauges

from deploy.documents_site import outside
from deploy.render import variables
from sandbox.paths import REPOSITORY
from testing.documents import load_one, table

PACKAGE = REPOSITORY / "operator" / "humangov"
OPERATIONS = REPOSITORY / "docs" / "operations.md"
DOCUMENTS = sorted(
    [
        *(REPOSITORY / "docs").glob("*.md"),
        *(REPOSITORY / "docs" / "runbooks").rglob("*.md"),
        *(REPOSITORY / "deploy").rglob("*.md"),
        *(
            REPOSITORY / name
            for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "tests/README.md")
        ),
    ]
)
# A reason that is not written where it is given: taken from Lambda, states of a mapping with a change in progress, or
# from an error of aws/ownership.py. https://docs.aws.amazon.com/lambda/latest/api/API_GetEventSourceMapping.html
TAKEN_OVER = {
    "mapping.state": {"Creating", "Enabling", "Disabling", "Updating", "Deleting"},
    "error.reason": {"NotOwned", "OtherCluster"},
    "OtherClusterError.reason": {"OtherCluster"},
}
FINDINGS = ("in_sync", "waiting", "ripening", "transient", "action_required", "warning")


def every_document(check: Callable[[Path], None]) -> Callable[[], None]:
    """One test of all documents, which names each that fails: hundreds of tests of a millisecond cost seconds."""

    def test() -> None:
        found = []
        for path in DOCUMENTS:
            try:
                check(path)
            except AssertionError as error:
                found.append(f"{path.relative_to(REPOSITORY)}: {error}")
        assert found == []

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    return test


def blocks(path: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


# Reasons


def reasons_in(path: Path, constants: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Every ("finding" or "event", reason) that a module gives. KeyError: one that can't be read off the source."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("Finding"), attr=method), args=[reason, *_]) if (
                method in FINDINGS
            ):
                yield from (("finding", one) for one in values(reason, path.stem, constants))
            case ast.Call(func=ast.Name("Event" | "replace" as name), keywords=keywords):
                kind = "event" if name == "Event" else "finding"
                for keyword in keywords:
                    if keyword.arg == "reason":
                        yield from ((kind, one) for one in values(keyword.value, path.stem, constants))
            case ast.Assign(targets=[ast.Name("reason")], value=ast.Constant(str(text))):
                yield "finding", text
            case ast.Assign(
                targets=[ast.Tuple(elts=[ast.Name("reason"), *_])],
                value=ast.Tuple(elts=[ast.Constant(str(text)), *_]),
            ):
                yield "finding", text


def values(expression: ast.expr, module: str, constants: Mapping[str, str]) -> set[str]:
    """What an expression stands for: a word, a constant of this module or of another, or what Lambda says."""
    match expression:
        case ast.Constant(str(reason)):
            return {reason}
        case ast.Name("ready_reason" | "reason") | ast.Subscript(slice=ast.Constant("reason")):
            return set()  # passed on; found where it comes from
        case ast.Name(name):
            return {constants[f"{module}.{name}"]}
        case _:
            source = ast.unparse(expression)
            return {constants[source]} if source in constants else TAKEN_OVER[source]


def reasons() -> dict[str, set[str]]:
    """What the code gives: "finding" → reasons of conditions, "event" → reasons of events alone."""
    modules = [path for path in sorted(PACKAGE.rglob("*.py")) if not path.is_relative_to(PACKAGE / "cleanup")]
    constants = {
        f"{path.stem}.{name}": value
        for path in modules
        for node in ast.parse(path.read_text()).body
        for name, value in constant(node)
    }
    everything: dict[str, set[str]] = {"finding": set(), "event": set()}
    for path in modules:
        for kind, reason in reasons_in(path, constants):
            everything[kind].add(reason)
    return everything


def constant(node: ast.stmt) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(str(value))):
            yield name, value


def test_every_condition_reason_is_documented_and_every_documented_one_exists() -> None:
    explained = {reason for row in table(OPERATIONS, "Reasons") for reason in quoted(row[0])}
    assert explained == reasons()["finding"]


def test_every_event_is_documented() -> None:
    explained = {reason for row in table(OPERATIONS, "Events") for reason in quoted(row[0])}
    assert reasons()["event"] <= explained
    assert explained <= reasons()["event"] | reasons()["finding"]


def test_every_metric_is_documented_with_its_type_and_labels() -> None:
    explained = {
        name.strip("`"): (kind, quoted(labels)) for name, kind, labels, _ in table(OPERATIONS, "Metrics reference")
    }
    assert explained == exported_metrics()


def exported_metrics() -> dict[str, tuple[str, set[str]]]:
    """Type and labels of all that is ours in the registry, once each of them has something to tell."""
    reported = Metrics(
        version="1",
        gauges=lambda: Gauges(
            tenants={("Ready", "True", "InSync"): 1}, leaked_tenants=0,
            problems={("a", "b"): Problem("Stalled", "TableNotFound")},
            stream_lags={("a", "b"): StreamLag(iterator_age_seconds=1, failed_records=0)},
            limited_records={("a", "b"): 0},
            sweeps={
                ("a", "b"): SweepGauges(
                    result=("True", "Erased"), ended=1.0, due=2.0, orphans=0, files={"erased": 1}
                )
            },
            running_sweeps=0, waiting_sweeps=0,
        ),
    )  # fmt: skip
    reported.called(Called(service="iam", operation="GetRole", seconds=1, code="Throttling", throttled=True))
    reported.reconciled("success", seconds=1)
    reported.became_ready(1)
    budget = Budget(waited=reported.waited)
    budget.wait(LAMBDA, where="1/us-east-1")
    reported.budget = budget.use
    found = {}
    for family in reported.registry.collect():
        if family.name.startswith("humangov_"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            found[family.name + ("_total" if family.type == "counter" else "")] = (family.type, labels)
    return found


def test_every_condition_is_documented() -> None:
    explained = [cell for row in table(OPERATIONS, "Conditions") for cell in quoted(row[0])]
    assert explained == ["Ready", "Reconciling", "Stalled", *PARTS]


# Flags, variables, fields


def flags() -> set[str]:
    return {
        name
        for command in COMMANDS
        for option in load(command).params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    } | {"--help", "--version"}


@every_document
def test_every_documented_flag_exists(path: Path) -> None:
    others = re.compile(
        r"\b(kubectl|aws|eksctl|docker|pip|mypy|pre-commit|pytest|cosign|gh)\b|\b[Hh]elm\b|\bmake bench\b|ARGS="
    )
    commands = path.read_text().replace("\\\n", "")
    lines = [line for line in commands.splitlines() if not others.search(line)]
    named = {flag for line in lines for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)}
    assert named <= flags()


@every_document
def test_every_documented_environment_variable_exists(path: Path) -> None:
    read = {
        name
        for command in COMMANDS
        for option in load(command).params
        if isinstance(option, click.Option)
        for name in variables(option)
    }
    assert set(re.findall(r"HUMANGOV_[A-Z_]+", path.read_text())) <= read


def test_every_setting_is_in_docs_settings() -> None:
    rows = table(REPOSITORY / "docs" / "settings.md", "Flags and environment variables")
    named = {cell for row in rows for cell in quoted(row[0])}
    assert named == {option.opts[0] for option in load("run").params if isinstance(option, click.Option)}


def fields() -> set[str]:
    definition = load_one((REPOSITORY / "crds" / "humangovstates.yaml").read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    def walk(schema: Mapping[str, Any], path: str) -> Iterator[str]:
        yield path
        for name, field in (schema.get("properties") or (schema.get("items") or {}).get("properties") or {}).items():
            yield from walk(field, f"{path}.{name}")

    return {found for part in ("spec", "status") for found in walk(schema["properties"][part], part)}


@every_document
def test_every_documented_field_exists(path: Path) -> None:
    named = set(re.findall(r"(?<![\w./-])((?:spec|status)\.[a-zA-Z0-9]+(?:\.[a-zA-Z0-9]+)*)", path.read_text()))
    assert {name for name in named if not name.endswith(".py")} <= fields()


def test_every_spec_field_is_in_the_api_reference() -> None:
    text = (REPOSITORY / "docs" / "api.md").read_text()
    for path in fields():
        owner, _, name = path.rpartition(".")
        if owner:
            assert re.search(rf"^### {re.escape(owner)}(\[\])?$.*?^\| `{name}` \|", text, re.MULTILINE | re.DOTALL), (
                path
            )


@every_document
def test_every_documented_manifest_is_valid(path: Path) -> None:
    for text in blocks(path, "yaml"):
        for manifest in yaml.safe_load_all(text):
            if manifest.get("kind") == "HumanGovState":
                assert parse(manifest, default_region="us-east-1").name == manifest["metadata"]["name"]


# Paths, links, commands


@every_document
def test_every_documentation_link_resolves(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


@every_document
def test_every_documented_file_exists(path: Path) -> None:
    top = "|".join(["operator", "deploy", "crds", "docs", "tests", "testing", "sandbox", "bench", "requirements"])
    for name in re.findall(rf"(?<![\w./-])((?:{top})/[\w./-]*\w/?)(?![\w*<])", path.read_text()):
        if "<" not in name and "*" not in name:
            assert (REPOSITORY / name).exists(), name


@every_document
def test_every_documented_test_exists(path: Path) -> None:
    for file, name in re.findall(r"\b(tests/[\w/.-]+\.py)::(\w+)", path.read_text()):
        assert f"\ndef {name}(" in (REPOSITORY / file).read_text(), f"{file}::{name}"


def test_every_complaint_names_a_test() -> None:
    rows = table(REPOSITORY / "docs" / "complaints.md", "Complaints")
    assert rows
    for complaint, here, shown_by in rows:
        assert here, complaint
        assert "::test_" in shown_by, complaint


def test_every_threat_names_a_test() -> None:
    rows = table(REPOSITORY / "docs" / "security.md", "Threats")
    assert len(rows) > 15
    for row in rows:
        assert len(row) == 5, row
        assert "::test_" in row[4], row[0]


@every_document
def test_every_documented_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:`|\$ |^)make ([a-z-]+)", path.read_text(), re.MULTILINE)
    assert set(named) <= targets


@every_document
def test_no_document_names_a_path_of_one_machine_only(path: Path) -> None:
    assert not re.search(r"/(?:home|root|work|Users)/", path.read_text())


def test_readme_has_at_most_two_screens() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 100


def test_readme_commands_are_make_demo_and_make_test() -> None:
    shown = [line for text in blocks(REPOSITORY / "README.md", "console") for line in text.splitlines()]
    assert [line for line in shown if line.startswith("$ make")] == ["$ make demo", "$ make test"]


def test_readme_columns_are_the_printer_columns_of_the_definition() -> None:
    definition = load_one((REPOSITORY / "crds" / "humangovstates.yaml").read_text())
    columns = definition["spec"]["versions"][0]["additionalPrinterColumns"]
    wanted = ["NAME", *(column["name"].upper() for column in columns if not column.get("priority"))]
    [shown] = re.findall(r"^NAME .*$", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert shown.split() == wanted


# The site


def test_links_to_what_is_not_on_the_site_lead_to_the_repository_or_are_plain_text() -> None:
    page = "[a](../deploy/iam/README.md#x), [b](install.md#y), [c](design/2026-11-22-first-whole.md)"
    assert outside(page, source="") == "a, [b](install.md#y), c"
    assert outside(page, source="https://git.example.com/x/") == (
        "[a](https://git.example.com/x/deploy/iam/README.md#x), [b](install.md#y), "
        "[c](https://git.example.com/x/docs/design/2026-11-22-first-whole.md)"
    )


def test_every_document_is_in_the_navigation_of_the_site() -> None:
    text = (REPOSITORY / "mkdocs.yml").read_text()
    named = set(re.findall(r": ([\w-]+\.md)$", text, re.MULTILINE))
    assert named == {path.name for path in (REPOSITORY / "docs").glob("*.md")}
