"""Writes the generated files: `python -m deploy.render`. With `--check` it only names stale files (exit code 1).

deploy/helm/…/files   the definition, as the chart contains it, and the dashboard
deploy/helm/…/README  its table of values (between two markers), from the comments in values.yaml
deploy/helm/…/values.schema.json
                      its definitions of Kubernetes' types, from the client
docs/api.md           from the definition
docs/settings.md      its table of settings (between two markers), from the options of `humangov run`
deploy/install.yaml   from the chart and deploy/namespace.yaml, with helm
deploy/reports.yaml   what the chart adds for reports, with helm

`--check` needs no helm, which is built from Go: a test in tests/deploy checks whether these two are fresh.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from humangov.cli.main import load

from deploy.monitoring import dashboard
from deploy.values_schema import with_kubernetes_types
from sandbox import helm
from sandbox.errors import SandboxError

REPOSITORY = Path(__file__).resolve().parent.parent
DEFINITION = "crds/humangovstates.yaml"
NAMESPACE = "deploy/namespace.yaml"
CHART = "deploy/helm/humangov-operator"
VALUES = f"{CHART}/values.yaml"
VALUES_SCHEMA = f"{CHART}/values.schema.json"
CHART_DEFINITION = f"{CHART}/files/humangovstates.yaml"
DASHBOARD = f"{CHART}/files/dashboard.json"
CHART_README = f"{CHART}/README.md"
INSTALL = "deploy/install.yaml"
REPORTS = "deploy/reports.yaml"
API = "docs/api.md"
SETTINGS = "docs/settings.md"
SETTINGS_BEGIN = "<!-- settings: made by `make manifests` -->"
SETTINGS_END = "<!-- end of settings -->"
VALUES_BEGIN = "<!-- values: made by `make manifests` -->"
VALUES_END = "<!-- end of values -->"
# Fixed, because the rendering may depend on it: the release, its namespace, the oldest supported Kubernetes.
TEMPLATE = (
    "template", "humangov-operator", "--namespace", "humangov", "--kube-version", "1.30.0", "--no-hooks",
    # The name that kustomize's `images` replaces, as in deploy/kustomize.
    "--set", "image.repository=humangov-operator",
)  # fmt: skip
# The bucket is a placeholder, as deploy/iam has it: deploy/kustomize-reports puts a user's own into its place.
WITH_REPORTS = (
    "--show-only",
    "templates/reports.yaml",
    "--set",
    "reports.enabled=true,reports.bucket=reports-of-humangov",
)

Schema = Mapping[str, Any]


def rendered(repository: Path = REPOSITORY) -> dict[str, str]:
    """The path of every generated file → its desired content. Raises SandboxError without helm, ValueError."""
    return {
        **rendered_without_helm(repository), INSTALL: install(repository), REPORTS: reports(repository),
    }  # fmt: skip


def rendered_without_helm(repository: Path = REPOSITORY) -> dict[str, str]:
    """The files that need no helm. Raises ValueError for an unusable source."""
    definition = (repository / DEFINITION).read_text()
    head = f"# A copy of {DEFINITION}, written by `make manifests`: do not edit.\n"
    return {
        CHART_DEFINITION: head + _without_comment(definition),
        DASHBOARD: dashboard.rendered(),
        CHART_README: with_table(
            (repository / CHART_README).read_text(),
            values_table((repository / VALUES).read_text()),
            markers=(VALUES_BEGIN, VALUES_END),
        ),
        VALUES_SCHEMA: with_kubernetes_types((repository / VALUES_SCHEMA).read_text()),
        API: api_reference(yaml.safe_load(definition)),
        SETTINGS: with_table(
            (repository / SETTINGS).read_text(), settings_table(), markers=(SETTINGS_BEGIN, SETTINGS_END)
        ),
    }


def install(repository: Path = REPOSITORY) -> str:
    """The whole installation as plain YAML: the chart with its default values, and a namespace for it.

    Without Helm's hooks: kubectl would run them as Jobs. Raises SandboxError without helm, ValueError if
    the chart can't be rendered.
    """
    head = (
        f"# Generated from {CHART} and {NAMESPACE} by `make manifests`: do not edit.\n"
        "# kubectl apply --server-side -f deploy/install.yaml\n"
    )
    return f"{head}{_without_comment((repository / NAMESPACE).read_text())}{_chart(repository)}"


def reports(repository: Path = REPOSITORY) -> str:
    """What the chart's value `reports` adds, as plain YAML. Raises as `install`."""
    head = (
        f"# Generated from {CHART} by `make manifests`: do not edit.\n"
        "# Reports and checkpoints, beside install.yaml: deploy/kustomize-reports puts your bucket into it.\n"
    )
    return f"{head}{_chart(repository, *WITH_REPORTS)}"


def _chart(repository: Path, *more: str) -> str:
    """What helm renders. Raises SandboxError without helm, ValueError if the chart can't be rendered."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "chart"
        shutil.copytree(repository / CHART, fresh)
        (fresh / "files" / "humangovstates.yaml").write_text((repository / DEFINITION).read_text())
        schema = fresh / "values.schema.json"
        schema.write_text(with_kubernetes_types(schema.read_text()))
        done = helm.run(*TEMPLATE, *more, str(fresh), say=_say)
    if done.returncode != 0:
        raise ValueError(f"{CHART} can't be rendered: {done.stderr.strip()}")
    return done.stdout


def api_reference(definition: Mapping[str, Any]) -> str:
    """The API in Markdown: one table for each object, one row for each field."""
    names = definition["spec"]["names"]
    lines = [
        "# API reference",
        "",
        f"Generated from `{DEFINITION}` by `make manifests`: do not edit.",
        f"The same text is in the cluster: `kubectl explain {names['shortNames'][0]}.spec`.",
    ]
    for version in definition["spec"]["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        lines += [
            "",
            f"## {names['kind']} `{definition['spec']['group']}/{version['name']}`",
            "",
            schema["description"],
            "",
            f"{definition['spec']['scope']}. Plural `{names['plural']}`, short name `{names['shortNames'][0]}`,",
            f"category `{names['categories'][0]}`.",
            "",
            *_rules(schema),
        ]
        for part in ("spec", "status"):
            lines += _object(part, schema["properties"][part])
        lines += ["### Columns of `kubectl get`", "", "| Column | Shows | With |", "|---|---|---|"]
        lines += [
            f"| {column['name'].upper()} | {column.get('description') or '`' + column['jsonPath'] + '`'} | "
            f"{'`-o wide`' if column.get('priority') else ''} |"
            for column in version["additionalPrinterColumns"]
        ]
    return "\n".join(lines) + "\n"


def with_table(document: str, table: str, *, markers: tuple[str, str]) -> str:
    """The document with the current table between the markers. Raises ValueError if they are missing."""
    before, begin, rest = document.partition(markers[0])
    _, end, after = rest.partition(markers[1])
    if not begin or not end:
        raise ValueError(f"the markers {' and '.join(markers)} are missing")
    return f"{before}{begin}\n{table}\n{end}{after}"


def values_table(text: str) -> str:
    """Every value of the chart with its default, by the comment above it. Raises ValueError for one without."""
    lines = ["| Value | Default | |", "|---|---|---|"]
    for path, value, comment in _commented(text):
        default = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
        lines.append(f"| `{path}` | `{default.replace(chr(39) * 2, chr(34) * 2)}` | {_cell(comment)} |")
    return "\n".join(lines)


def settings_table() -> str:
    """Every option of `humangov run`, with its environment variables and default."""
    lines = ["| Flag of `humangov run` | Environment | Default | |", "|---|---|---|---|"]
    for option in load("run").params:
        if isinstance(option, click.Option):
            environment = ", ".join(f"`{name}`" for name in variables(option))
            cells = f"`{option.opts[0]}`", environment, _default_of_option(option), _cell(option.help or "")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def variables(option: click.Option) -> list[str]:
    """The environment variables of an option; the first one that is set counts."""
    return [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())


def main() -> int:
    """Write or check. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.render", description="Write the generated files.")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; name stale files, except install.yaml and reports.yaml, and exit with code 1",
    )
    check = parser.parse_args().check
    try:
        fresh = rendered_without_helm() if check else rendered()
    except (SandboxError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stale = [
        (path, text)
        for path, text in fresh.items()
        if not (REPOSITORY / path).exists() or (REPOSITORY / path).read_text() != text
    ]
    for path, text in stale:
        if check:
            sys.stderr.write(f"{path} is stale: run `make manifests`\n")
        else:
            (REPOSITORY / path).write_text(text)
            sys.stdout.write(f"wrote {path}\n")
    return 1 if check and stale else 0


def _without_comment(text: str) -> str:
    """Without the comment at the top, which is about the source."""
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return "".join(lines)


def _commented(text: str) -> Iterator[tuple[str, Any, str]]:
    """(path, value, comment) of each key of a YAML document that has a comment above it."""
    lines = text.splitlines()

    def comment_above(line: int) -> str:
        words: list[str] = []
        while line > 0 and lines[line - 1].lstrip().startswith("#"):
            line -= 1
            words.insert(0, lines[line].lstrip(" #"))
        return " ".join(words)

    def walk(node: yaml.MappingNode, values: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any, str]]:
        for key, inner in node.value:
            path, value, comment = f"{above}{key.value}", values[key.value], comment_above(key.start_mark.line)
            if comment:
                yield path, value, comment
            elif isinstance(inner, yaml.MappingNode) and inner.value:
                yield from walk(inner, value, f"{path}.")
            else:
                raise ValueError(f"{VALUES}: {path} needs a comment that explains it")

    root = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(f"{VALUES}: expected a mapping")
    return walk(root, yaml.safe_load(text), "")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _object(path: str, schema: Schema) -> Iterator[str]:
    """The table of one object's fields, then the tables of the objects in it."""
    required = schema.get("required", ())
    yield from (f"### {path}", "", schema["description"], "", *_rules(schema))
    yield from ("| Field | Type | Default | |", "|---|---|---|---|")
    inner = []
    for name, field in schema["properties"].items():
        default = "required" if name in required else _default(field)
        text = " ".join([field["description"], *_constraints(field)])
        yield f"| `{name}` | {_type(field)} | {default} | {_cell(text)} |"
        if field.get("properties"):
            inner.append((f"{path}.{name}", field))
        elif (field.get("items") or {}).get("properties"):
            inner.append((f"{path}.{name}[]", {**field["items"], "description": "An item of the list."}))
    yield ""
    for where, field in inner:
        yield from _object(where, field)


def _rules(schema: Schema) -> list[str]:
    rules = [f"- {_cell(_sentence(rule['message']))}" for rule in schema.get("x-kubernetes-validations", ())]
    return ["The API server rejects anything else:", "", *rules, ""] if rules else []


def _type(field: Schema) -> str:
    kind = field["type"]
    if kind == "array":
        of = field["items"]["type"]
        return f"list of {of}s" + (", each once" if field.get("x-kubernetes-list-type") == "set" else "")
    if kind == "object" and "additionalProperties" in field:
        return f"map of {field['additionalProperties']['type']}s"
    return f"{kind} ({field['format']})" if field.get("format") == "date-time" else str(kind)


def _default(field: Schema) -> str:
    if "default" not in field or field["default"] == {}:
        return ""
    value = field["default"]
    text = str(value).lower() if isinstance(value, bool) else '""' if value == "" else _plain(value)
    return f"`{text}`"


def _plain(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _constraints(field: Schema) -> Iterator[str]:
    """What the API server rejects, in words."""
    if "enum" in field:
        yield f"One of {', '.join(f'`{value}`' for value in field['enum'])}."
    if "minimum" in field and "maximum" in field:
        yield f"{field['minimum']} to {field['maximum']}."
    elif "minimum" in field:
        yield f"At least {field['minimum']}."
    if "minLength" in field and "maxLength" in field:
        yield f"{field['minLength']} to {field['maxLength']} characters."
    elif "maxLength" in field:
        yield f"At most {field['maxLength']} characters."
    elif "minLength" in field:
        yield f"At least {field['minLength']} characters."
    if "minItems" in field and "maxItems" in field:
        yield f"{field['minItems']} to {field['maxItems']} of them."
    if "maxProperties" in field:
        yield f"At most {field['maxProperties']} of them."
    if "items" in field and "maxLength" in field["items"]:
        yield f"Each {field['items'].get('minLength', 0)} to {field['items']['maxLength']} characters."
    if isinstance(field.get("additionalProperties"), Mapping) and "maxLength" in field["additionalProperties"]:
        yield f"A value has at most {field['additionalProperties']['maxLength']} characters."
    for rule in field.get("x-kubernetes-validations", ()):
        yield _sentence(rule["message"])


def _default_of_option(option: click.Option) -> str:
    if isinstance(option.show_default, str):
        return _cell(option.show_default)
    default = option.default
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, str | int | float):
        return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    return ""


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[0].upper() if not text.startswith(('spec.', 'metadata.')) else text[0]}{text[1:]}" + (
        "" if text.endswith(".") else "."
    )


def _cell(text: str) -> str:
    """Text as Markdown shows it inside a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main())
