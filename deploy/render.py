"""Makes what is derived: `python -m deploy.render` writes it, with `--check` it only says what is stale (exit code 1).

deploy/install.yaml   from crds/humangovstates.yaml and deploy/operator.yaml
docs/api.md           from the definition
README.md             its table of settings (between two marks), from the command's own options
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml
from humangov.cli import main as command

REPOSITORY = Path(__file__).resolve().parent.parent
DEFINITION = "crds/humangovstates.yaml"
OPERATOR = "deploy/operator.yaml"
INSTALL = "deploy/install.yaml"
API = "docs/api.md"
README = "README.md"
SETTINGS_BEGIN = "<!-- settings: made by `make manifests` -->"
SETTINGS_END = "<!-- end of settings -->"

Schema = Mapping[str, Any]


def rendered(repository: Path = REPOSITORY) -> dict[str, str]:
    """Every derived file's path → what it ought to hold."""
    definition = (repository / DEFINITION).read_text()
    return {
        INSTALL: install(definition, (repository / OPERATOR).read_text()),
        API: api_reference(yaml.safe_load(definition)),
        README: with_settings((repository / README).read_text()),
    }


def install(definition: str, operator: str) -> str:
    """The whole installation: the definition first, so that a first `kubectl apply` finds the kind."""
    head = (
        "# Made from crds/humangovstates.yaml and deploy/operator.yaml by `make manifests`: do not edit.\n"
        "# kubectl apply --server-side -f deploy/install.yaml\n"
    )
    return f"{head}{_without_comment(definition)}---\n{_without_comment(operator)}"


def api_reference(definition: Mapping[str, Any]) -> str:
    """The API in Markdown: a table an object, a row a field."""
    names = definition["spec"]["names"]
    lines = [
        "# API reference",
        "",
        f"Made from `{DEFINITION}` by `make manifests`: do not edit.",
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


def with_settings(readme: str) -> str:
    """The README with today's table of settings. Raises ValueError if its marks are missing."""
    before, begin, rest = readme.partition(SETTINGS_BEGIN)
    _, end, after = rest.partition(SETTINGS_END)
    if not begin or not end:
        raise ValueError(f"{README}: the marks {SETTINGS_BEGIN} and {SETTINGS_END} are missing")
    return f"{before}{begin}\n{settings_table()}\n{end}{after}"


def settings_table() -> str:
    """Every option of `humangov run`, with its environment variable and default."""
    run = command.commands["run"]
    lines = ["| Flag of `humangov run` | Environment | Default | |", "|---|---|---|---|"]
    for option in run.params:
        if isinstance(option, click.Option):
            environment = ", ".join(f"`{name}`" for name in variables(option))
            cells = f"`{option.opts[0]}`", environment, _default_of_option(option), _cell(option.help or "")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def variables(option: click.Option) -> list[str]:
    """The environment variables that an option is read from, the first that is set."""
    return [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.render", description="Make the derived files.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 names what is stale")
    check = parser.parse_args().check
    stale = [
        (path, text)
        for path, text in rendered().items()
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
    """Without the comment at its head, which is about the source."""
    lines = text.splitlines(keepends=True)
    while lines and lines[0].startswith("#"):
        lines.pop(0)
    return "".join(lines)


def _object(path: str, schema: Schema) -> Iterator[str]:
    """The table of one object's fields, then those of the objects in it."""
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
            inner.append((f"{path}.{name}[]", {**field["items"], "description": "One of the list."}))
    yield ""
    for where, field in inner:
        yield from _object(where, field)


def _rules(schema: Schema) -> list[str]:
    rules = [f"- {_cell(_sentence(rule['message']))}" for rule in schema.get("x-kubernetes-validations", ())]
    return ["Refused otherwise:", "", *rules, ""] if rules else []


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
    """What the API server refuses, in words."""
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
    if isinstance(default, str | int | float) and not isinstance(default, bool):
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
