"""That people read one vocabulary: no retired word of docs/glossary.md reaches them.

Held to it: documents, chart, definition, messages, help of commands, and the names in the code: modules, functions,
classes, variables, fields; and the names of all tests. A retired word is a word-bounded pattern, with the contexts in
which the same word is right.
It can't show that a sentence is good, and it finds no new private word.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import pytest
import yaml
from click.testing import CliRunner
from humangov.cli.main import COMMANDS, main

from sandbox.paths import REPOSITORY

GLOSSARY = REPOSITORY / "docs" / "glossary.md"
PACKAGE = REPOSITORY / "operator" / "humangov"
CHART = REPOSITORY / "deploy" / "helm" / "humangov-operator"


@dataclass(frozen=True)
class Retired:
    say: str
    """The replacement: the beginning of a row of the glossary, or the word itself."""
    pattern: str
    allowed: str = r"(?!)"
    """Where the word is right: a pattern that covers the word and its context."""


RETIRED = (
    Retired(
        "reconcile", r"pass|passes",
        allowed=r"(?:checks?|tests?|record) (?:\w+ )?pass(?:es)?|pass(?:es)? (?:\w+ ){0,2}roles?",
    ),
    Retired("reconcile", r"looks? again|looked at again|next look|one more look|look at once|take a look"),
    Retired("permission", r"rights?", allowed=r"right[- ]hand|to the right"),
    Retired("ownership tag", r"marks?|marked|unmarked|nobody's|not ours"),
    Retired("assume a role", r"tak(?:e|es|ing)(?: \w+){0,3} roles? on|tak(?:es?|ing) on|as whom"),
    Retired("drift", r"puts? back|putting back|mend(?:s|ed|ing)?|br(?:ings?|ought) (?:\w+ )?in step"),
    Retired("in sync", r"in step|out of step"),
    Retired(
        "adopt", r"tak(?:en|es|e|ing) over|let(?:s|ting)? go(?: of)?",
        allowed=r"(?:standby|it)(?: can)? takes? over",  # of the leader
    ),
    Retired("re-create", r"anew"),
    Retired("transient error", r"at leisure|asked again|tried again|tries again|for good"),
    Retired("transient error", r"(?:a|no) person is needed|needs? a person|person's business|a person has to"),
    Retired("leader", r"stands? by|who works|at work"),
    Retired("leaked AWS resources", r"left ?overs?|left over|cared for by nobody"),
    Retired("orphan list", r"(?:sweep's|orphan|its) manifests?|manifests? of (?:a|the|this|one) (?:sweep|orphans?)"),
    Retired("orphan list", r"mode Report|list in the manifest"),
    Retired("safety check", r"brakes?"),
    Retired("final stream read", r"last look"),
    Retired("stop", r"emergency stops?"),
    Retired("stream lag", r"how late|could not be handled|can't be handled|gave up|given? up|nobody knows"),
    Retired("allowed names", r"who may name|may name what|which namespace may name|strangers?|claimed by"),
    Retired("observed", r"ought|told|tells?|came to|said"),
    Retired("AWS resource", r"AWS objects?"),
    Retired(
        "create", r"made",
        allowed=r"calls? (?:that )?(?:is|are|was|were) made|made (?:no |\w+ )?progress|can be made to",
    ),
    Retired("automatically", r"by (?:itself|themselves)"),
    Retired("in progress", r"on (?:its|their) way|under way"),
    Retired("deleted", r"gone"),
    Retired("does not exist", r"(?:is|are) not there|isn't there|aren't there"),
    Retired("enabled, disabled", r"turn(?:s|ed)? (?:on|off)|switch(?:es|ed)? (?:on|off)"),
    Retired("failures bucket", r"buckets? of failures"),
    Retired("AWS denies", r"says? no|said no"),
    Retired("a new sentence", r"hence|so that"),
)  # fmt: skip
# In names only: prose may say "yours and theirs".
RETIRED_NAMES = (*RETIRED, Retired("ownership tag", r"ours|theirs|nobody"))
# Where a retired word is right in a name.
ALLOWED_NAMES = ("pass through",)
# No prose: comments, code, links, names of tests.
_NO_PROSE = re.compile(r"<!--.*?-->|`[^`]*`|\]\([^)]*\)|https?://\S+|tests/[\w/.]+::\w+")


@dataclass(frozen=True)
class Text:
    line: int
    text: str


def problems(texts: Iterator[Text] | list[Text], *, name: str, retired: Sequence[Retired] = RETIRED) -> list[str]:
    """`file:line: "word": say …` for each retired word outside its contexts."""
    found = []
    for one in texts:
        for line, text in enumerate(one.text.split("\n"), start=one.line):
            for word in retired:
                right = [match.span() for match in re.finditer(word.allowed, text, re.IGNORECASE)]
                found += [
                    f'{name}:{line}: "{match[0]}": say {replacement(word.say)}'
                    for match in re.finditer(rf"(?<![\w-])(?:{word.pattern})(?![\w-])", text, re.IGNORECASE)
                    if not any(start <= match.start() and match.end() <= end for start, end in right)
                ]
    return found


def rows() -> list[tuple[str, str]]:
    """(say, not) of the glossary's second table."""
    section = GLOSSARY.read_text().split("## Words used as elsewhere\n")[1]
    lines = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [(say.strip(), old.strip()) for say, old in lines[2:]]


def replacement(say: str) -> str:
    """The glossary's whole cell where there is one."""
    return next((f"“{cell}”" for cell, _ in rows() if cell.startswith(say)), f"“{say}”")


# Where people read


def prose(path: Path) -> list[Text]:
    """A Markdown document without its fenced blocks, code, links and names of tests."""
    fenced, texts = False, []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            texts.append(Text(line=number, text=_NO_PROSE.sub("", line)))
    return texts


def glossary(path: Path) -> list[Text]:
    """Without the column of retired words."""
    return [
        Text(line=text.line, text=text.text.split(" | ")[0] if text.line > _second_table() else text.text)
        for text in prose(path)
    ]


def _second_table() -> int:
    return GLOSSARY.read_text().splitlines().index("## Words used as elsewhere")


def whole(path: Path) -> list[Text]:
    return [Text(line=1, text=path.read_text())]


def comments(path: Path) -> list[Text]:
    """What is said in YAML, templates, HCL: comments, and lines of descriptions, annotations and refusals."""
    said = re.compile(r"#|/\*|[Dd]escription\"?\s*[:=]|summary:|fail ")
    return [
        Text(line=number, text=line)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if said.search(line)
    ]


def descriptions(path: Path) -> list[Text]:
    """Every description and rule's message in the definition, where it stands."""
    found: list[Text] = []

    def walk(node: yaml.Node | None) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value in ("description", "message") and isinstance(value, yaml.ScalarNode):
                    found.append(Text(line=value.start_mark.line + 1, text=" ".join(value.value.split())))
                walk(value)
        elif isinstance(node, yaml.SequenceNode):
            for item in node.value:
                walk(item)

    walk(yaml.compose(path.read_text(), yaml.SafeLoader))
    return found


def constants(path: Path) -> list[Text]:
    """Every string of a module that can reach people: of sentences, not names; no docstrings but those of commands."""
    tree = ast.parse(path.read_text())
    helps = {
        id(node.body[0].value) for node in ast.walk(tree) if is_command(node) and isinstance(node.body[0], ast.Expr)
    }
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)} - helps
    return [
        Text(line=node.lineno, text=node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if " " in node.value.strip() and id(node) not in silent
    ]


def is_command(node: ast.AST) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef) and any("command" in ast.unparse(one) for one in node.decorator_list)


def names(path: Path) -> list[Text]:
    """What a module calls its functions, classes, parameters, variables and fields: `in_step` as "in step"."""
    found: list[Text] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(Text(line=node.lineno, text=words(node.name)))
        elif isinstance(node, ast.arg):
            found.append(Text(line=node.lineno, text=words(node.arg)))
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append(Text(line=node.lineno, text=words(node.id)))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.append(Text(line=node.lineno, text=words(node.attr)))
    return [one for one in [Text(line=1, text=words(path.stem)), *found] if one.text not in ALLOWED_NAMES]


def names_of_tests(path: Path) -> list[Text]:
    """What a module calls its tests, which a search is to find: of its other names nothing is asked."""
    return [
        Text(line=node.lineno, text=words(node.name))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]


def words(name: str) -> str:
    """`_in_step`, `InStep` and `IN_STEP` are "in step"."""
    return " ".join(part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])", name))


def documents() -> list[Path]:
    names = ("README.md", "CONTRIBUTING.md", "tests/README.md")
    docs = REPOSITORY / "docs"
    return [*(REPOSITORY / name for name in names), *docs.glob("*.md"), *(docs / "runbooks").rglob("*.md")]


def deployed() -> Iterator[tuple[Path, Any]]:
    deploy = REPOSITORY / "deploy"
    copies = {deploy / "install.yaml", CHART / "files" / "humangovstates.yaml"}
    for path in deploy.rglob("*"):
        if path.suffix == ".md":
            yield path, prose
        elif path.name == "NOTES.txt":
            yield path, whole
        elif path.suffix in (".yaml", ".tpl", ".tf") and path not in copies:
            yield path, comments


def sources() -> Mapping[str, list[tuple[Path, Any]]]:
    """Part → its files, each with what reads it."""
    api = REPOSITORY / "docs" / "api.md"  # made from the definition
    settings = REPOSITORY / "docs" / "settings.md"  # made from the command's options
    return {
        "docs": [
            (path, glossary if path == GLOSSARY else prose) for path in documents() if path not in (api, settings)
        ],
        "deploy": list(deployed()),
        "operator": [(path, constants) for path in PACKAGE.rglob("*.py")],
        "crds": [(REPOSITORY / "crds" / "humangovstates.yaml", descriptions), (api, prose)],
        "cli": [(settings, prose)],
    }


def relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


CODE = ("operator", "testing", "bench", "sandbox")


def code() -> list[Path]:
    return sorted(path for folder in CODE for path in (REPOSITORY / folder).rglob("*.py"))


def modules_of_tests() -> list[Path]:
    return sorted((REPOSITORY / "tests").rglob("test_*.py"))


def test_no_retired_word_reaches_a_reader() -> None:
    every = [one for files in sources().values() for one in sorted(files, key=lambda one: one[0])]
    found = [problem for path, read in every for problem in problems(read(path), name=relative(path))]
    assert found == []


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_no_retired_word_is_in_the_help_of_a_command(command: str | None) -> None:
    done = CliRunner().invoke(main, [*([command] if command else []), "--help"], prog_name="humangov")
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert problems([Text(line=1, text=text)], name=f"humangov {command or ''} --help") == []


def test_no_retired_word_is_in_a_name_of_the_code() -> None:
    found = [
        problem for path in code() for problem in problems(names(path), name=relative(path), retired=RETIRED_NAMES)
    ]
    assert found == []


def test_no_retired_word_is_in_the_name_of_a_test() -> None:
    found = [
        problem
        for path in modules_of_tests()
        for problem in problems(names_of_tests(path), name=relative(path), retired=RETIRED_NAMES)
    ]
    assert found == []


# The test itself


def test_every_source_of_texts_is_nonempty() -> None:
    assert all(sources().values())
    assert all((code(), modules_of_tests()))


def test_every_row_of_the_glossary_has_patterns() -> None:
    for say, _ in rows():
        assert any(say.startswith(word.say) for word in RETIRED), say


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("the next pass writes nothing", "pass"), ("its rights in AWS", "rights"), ("a right is missing", "right"),
        ("without our mark", "mark"), ("it takes on the role", "takes on"), ("drift is put back", "put back"),
        ("all is in step", "in step"), ("it was taken over", "taken over"), ("it appears anew", "anew"),
        ("retried at leisure", "at leisure"), ("a person is needed", "a person is needed"),
        ("the others stand by", "stand by"), ("leftovers of a state", "leftovers"),
        ("the sweep's manifest", "sweep's manifest"), ("a brake holds", "brake"), ("one last look", "last look"),
        ("the operator is told of it", "told"), ("Who may name what", "who may name"), ("what it ought to be", "ought"),
        ("every AWS object", "AWS object"), ("it recovers by itself", "by itself"), ("nobody knows", "nobody knows"),
        ("the table is not there", "is not there"), ("it is turned on", "turned on"),
        ("the emergency stop", "emergency stop"),
        ("the bucket of failures", "bucket of failures"), ("the check passes in each pass", "pass"),
    ],
)  # fmt: skip
def test_a_planted_retired_word_is_found_with_its_place_and_replacement(text: str, word: str) -> None:
    found = problems([Text(line=7, text=text)], name="docs/planted.md")
    assert any(re.match(rf'docs/planted\.md:7: "{re.escape(word)}": say “.+”', line, re.IGNORECASE) for line in found)


@pytest.mark.parametrize(
    "text",
    ["the safety check passes", "the right-hand column", "a benchmark and a bookmark", "the Job is waiting",
     "one manifest a state", "a standby takes over", "look up the name", "the calls are made"],
)  # fmt: skip
def test_retired_word_in_an_allowed_context_is_accepted(text: str) -> None:
    assert problems([Text(line=1, text=text)], name="docs/planted.md") == []


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("def one_pass(): ...", "pass"), ("class APass: ...", "Pass"), ("is_ours = 1", "ours"), ("BRAKE = 1", "brake"),
        ("def f(told): ...", "told"), ("self.left_over = 1", "left over"), ("def f(*, last_look): ...", "last look"),
        ("async def put_back(): ...", "put back"), ("for gone in (): ...", "gone"), ("role_in_step = 1", "in step"),
        ("with f() as missing_rights: ...", "rights"), ("def _applyAnew(): ...", "anew"), ("mark: int", "mark"),
    ],
)  # fmt: skip
def test_planted_retired_word_in_a_name_is_found_with_its_line(tmp_path: Path, code: str, word: str) -> None:
    module = tmp_path / "module.py"
    module.write_text(f"x = 1\n{code}\n")
    found = problems(names(module), name="module.py", retired=RETIRED_NAMES)
    assert any(re.match(rf'module\.py:2: "{word}": say “.+”', line, re.IGNORECASE) for line in found), found


@pytest.mark.parametrize(
    "code", ["compass = passed = 1", "def pass_through(): ...", "x.marker = bypass", "to_the_right = bright = 1"]
)
def test_retired_word_within_another_or_in_an_allowed_name_is_accepted(tmp_path: Path, code: str) -> None:
    module = tmp_path / "module.py"
    module.write_text(code)
    assert problems(names(module), name="module.py", retired=RETIRED_NAMES) == []


def test_planted_retired_word_in_the_name_of_a_test_is_found_with_its_line(tmp_path: Path) -> None:
    module = tmp_path / "test_module.py"
    module.write_text("def told(): ...\n\ndef test_it_is_told(): ...\n")
    found = problems(names_of_tests(module), name="test_module.py", retired=RETIRED_NAMES)
    assert found == [f'test_module.py:3: "told": say {replacement("observed")}']


def test_retired_module_name_is_found(tmp_path: Path) -> None:
    module = tmp_path / "missing_rights.py"
    module.write_text("")
    assert problems(names(module), name="m.py") != []


def test_retired_words_are_found_in_string_constants_and_not_in_docstrings(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    text = 'NAME = "brake"\n\ndef f(x):\n    """A brake."""\n    raise ValueError(f"the brake {x} holds")\n'
    module.write_text(f'"""A brake."""\n{text}')
    assert problems(constants(module), name="module.py") == [f'module.py:6: "brake": say {replacement("safety check")}']
