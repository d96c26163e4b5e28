"""What a release is made of: `python -m deploy.release check | chart | notes`. docs/release.md tells the order.

check   tag, program, chart, Dockerfile and changelog have one version, and its section says when it was released
chart   the chart as a package, with the image by its digest and the source's address
notes   the changelog's section of this version
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml
from humangov import __version__

from deploy.render import CHART, REPOSITORY
from sandbox import helm
from sandbox.errors import SandboxError

OUT = REPOSITORY / ".build" / "release"
CHANGELOG = "CHANGELOG.md"
# Keep a Changelog's kinds in Artifact Hub's words: https://artifacthub.io/docs/topics/annotations/helm
_KINDS = {"Added": "added", "Changed": "changed", "Deprecated": "deprecated", "Removed": "removed", "Fixed": "fixed",
          "Security": "security"}  # fmt: skip


class ReleaseError(Exception):
    """Why this can't be released; the text is a sentence for people."""


def problems(tag: str, versions: Mapping[str, str | None]) -> list[str]:
    """What does not have the version of the tag, `v1.2.3`. versions: where → which."""
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        return [f"the tag {tag} is not of the form v1.2.3"]
    wanted = tag.removeprefix("v")
    return [
        f"{where} says {found or 'no version'}, and the tag {wanted}"
        for where, found in versions.items()
        if found != wanted
    ]


def versions(repository: Path = REPOSITORY) -> dict[str, str | None]:
    """Every place that says which version this is."""
    chart = yaml.safe_load((repository / CHART / "Chart.yaml").read_text())
    released = re.search(r"^## \[(\d\S*)\] – \d{4}-\d\d-\d\d$", (repository / CHANGELOG).read_text(), re.MULTILINE)
    argument = re.search(r"^ARG VERSION=(\S+)$", (repository / "Dockerfile").read_text(), re.MULTILINE)
    return {
        "operator/humangov/__init__.py": __version__,
        "the chart's version": str(chart["version"]),
        "the chart's appVersion": str(chart["appVersion"]),
        "the Dockerfile's VERSION": argument.group(1) if argument else None,
        "the newest released section of CHANGELOG.md (## [1.2.3] – 2026-01-31)": released.group(1)
        if released
        else None,
    }


def section(changelog: str, version: str) -> str:
    """The text under the version's heading. Raises ReleaseError."""
    parts = re.split(r"^## (.*)$", changelog, flags=re.MULTILINE)
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        if heading.startswith(f"[{version}]"):
            return text.strip() + "\n"
    raise ReleaseError(f"{CHANGELOG} has no section for {version}: rename [Unreleased] to [{version}] – and the date")


def changes(text: str) -> list[dict[str, str]]:
    """The entries of a section, as Artifact Hub shows them."""
    found = []
    for kind, entries in re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", text, flags=re.MULTILINE | re.DOTALL):
        for entry in re.findall(r"^- (.*?)(?=^- |\Z)", entries, flags=re.MULTILINE | re.DOTALL):
            found.append({"kind": _KINDS[kind], "description": " ".join(entry.split())})
    return found


def package(*, image: str, source: str, changelog: str, version: str, out: Path, repository: Path = REPOSITORY) -> Path:
    """The chart's package. image: `host/name@sha256:…`. source: the repository's address, also the chart's home.

    Raises ReleaseError, SandboxError.
    """
    name, at, digest = image.partition("@")
    if not at or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ReleaseError(f"IMAGE={image} has no digest: give the image as NAME@sha256:…, as the registry has it")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder) / "humangov-operator"
        shutil.copytree(repository / CHART, chart)
        described = yaml.safe_load((chart / "Chart.yaml").read_text())
        described |= {"home": source, "sources": [source]}
        described["annotations"] |= {
            "artifacthub.io/images": yaml.safe_dump([{"name": "humangov-operator", "image": image}]),
            "artifacthub.io/changes": yaml.safe_dump(changes(section(changelog, version)), width=1000),
        }
        (chart / "Chart.yaml").write_text(yaml.safe_dump(described, sort_keys=False, width=1000))
        values = (chart / "values.yaml").read_text()
        for key, value in (("repository", name), ("digest", digest)):
            values, number = re.subn(rf'^  {key}: ""$', f"  {key}: {json.dumps(value)}", values, flags=re.MULTILINE)
            if number != 1:
                raise ReleaseError(f"values.yaml has no image.{key} to set")
        (chart / "values.yaml").write_text(values)
        done = helm.run("package", str(chart), "--destination", str(out), say=_say)
    if done.returncode != 0:
        raise ReleaseError(f"the chart can't be packaged: {done.stderr.strip()}")
    return out / f"humangov-operator-{described['version']}.tgz"


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.release", description="What a release is made of.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "notes"):
        commands.add_parser(name).add_argument("--tag", required=True)
    chart = commands.add_parser("chart")
    chart.add_argument("--image", required=True)
    chart.add_argument("--source", required=True)
    given = parser.parse_args()
    changelog = (REPOSITORY / CHANGELOG).read_text()
    try:
        if given.command == "check":
            if found := problems(given.tag, versions()):
                raise ReleaseError("; ".join(found))
            _say(f"{given.tag}: everything says so")
        elif given.command == "notes":
            OUT.mkdir(parents=True, exist_ok=True)
            (OUT / "notes.md").write_text(section(changelog, given.tag.removeprefix("v")))
        else:
            made = package(
                image=given.image, source=given.source, changelog=changelog, version=__version__, out=OUT
            )  # fmt: skip
            _say(f"wrote {made}")
    except (ReleaseError, SandboxError) as error:
        _say(f"release: {error}")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
