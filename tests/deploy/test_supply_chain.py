"""What a release is made of: versions, notes, the chart's package, the SBOM, the workflows. No registry is asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from humangov import __version__

from deploy import release
from deploy.release import ReleaseError, changes, package, problems, section, versions
from sandbox import actionlint
from sandbox.paths import REPOSITORY
from tests.deploy.chart import RELEASE, run_helm

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yaml"))
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
CHANGELOG = """# Changelog

## [Unreleased]

### Added

- Something that is not released.

## [1.2.3] – 2026-01-31

### Added

- One thing,
  on two lines.

### Fixed

- Another.
- A third.

## [1.2.2] – 2026-01-01

### Added

- An old one.
"""
every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


# The workflows


def workflow(path: Path) -> Mapping[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


def lint(*paths: Path) -> subprocess.CompletedProcess[str]:
    # Of shellcheck and pyflakes only where they happen to be.
    command: list[str | Path] = [actionlint.locate(say=print), "-shellcheck=", "-pyflakes=", *paths]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)


def test_actionlint_finds_nothing_in_the_workflows() -> None:
    done = lint(*WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_what_is_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        WORKFLOWS[0].read_text().replace("steps.build.outputs", "steps.built.outputs") + "  nonsense: 1\n"
    )
    done = lint(broken)
    assert done.returncode == 1
    assert "nonsense" in done.stdout


@every_workflow
def test_workflow_has_no_permission_but_where_a_job_names_it(path: Path) -> None:
    assert workflow(path)["permissions"] == {"contents": "read"}
    for name, job in workflow(path)["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 120, name
        writes = {what for what, how in job.get("permissions", {}).items() if how == "write"}
        assert not writes or path.stem == "release", name


@every_workflow
def test_workflow_names_no_registry_and_gets_it_from_a_variable(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"[\w-]+\.(?:io|com|org|dev|aws)/", text) == []
    for step in (step for job in workflow(path)["jobs"].values() for step in job.get("steps", ())):
        if step.get("uses", "").startswith("docker/login-action"):
            assert step["with"]["registry"] == "${{ vars.REGISTRY }}"


@every_workflow
def test_workflow_calls_targets_of_the_makefile_that_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE))
    called: set[str] = set()
    for line in re.findall(r"\bmake ([a-z][a-z =\w$\"-]*)", path.read_text()):
        called |= {word for word in line.split() if re.fullmatch("[a-z-]+", word)}
    assert called <= targets, called - targets
    assert called


def test_checked_out_credentials_are_not_kept() -> None:
    for path in WORKFLOWS:
        for step in (step for job in workflow(path)["jobs"].values() for step in job.get("steps", ())):
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False, path


def test_release_signs_image_and_chart_without_a_key_and_only_after_tests_and_scan() -> None:
    jobs = workflow(REPOSITORY / ".github" / "workflows" / "release.yaml")["jobs"]
    assert jobs["image"]["needs"] == "rehearse"
    assert jobs["chart"]["needs"] == ["image", "scan"]
    for name in ("image", "chart"):
        assert jobs[name]["permissions"]["id-token"] == "write"
        assert "cosign sign --yes" in json.dumps(jobs[name]["steps"])
    [build] = [step for step in jobs["image"]["steps"] if step.get("id") == "build"]
    assert build["with"]["platforms"] == "linux/amd64,linux/arm64"
    assert (build["with"]["sbom"], build["with"]["provenance"]) == (True, "mode=max")
    assert "BASE=${{ steps.base.outputs.reference }}" in build["with"]["build-args"]
    [scan] = [
        step["with"]
        for step in workflow(REPOSITORY / ".github" / "workflows" / "scan.yaml")["jobs"]["scan"]["steps"]
        if "trivy" in step.get("uses", "")
    ]
    assert (scan["severity"], scan["ignore-unfixed"], scan["exit-code"]) == ("CRITICAL", True, "1")


def test_no_digest_and_no_commit_is_invented() -> None:
    """Renovate puts them there from what it reads; the release reads the base's digest itself."""
    extends = json.loads((REPOSITORY / "renovate.json").read_text())["extends"]
    assert {"helpers:pinGitHubActionDigests", "docker:pinDigests"} <= set(extends)
    assert "ARG BASE=python:3.13-slim\n" in (REPOSITORY / "Dockerfile").read_text()


# Versions, notes and the chart's package


def test_all_that_says_a_version_says_the_same() -> None:
    found = versions()
    assert len(found) == 5
    # Between two releases the changelog has no section of this version yet.
    assert [where for where in found if found[where] != __version__] in ([], [next(reversed(found))])


@pytest.mark.parametrize(
    ("tag", "said", "found"),
    [
        ("v1.2.3", {"a": "1.2.3", "b": "1.2.3"}, []),
        ("v1.2.3", {"a": "1.2.3", "b": "1.2.2"}, ["b says 1.2.2, and the tag 1.2.3"]),
        ("v1.2.3", {"a": None}, ["a says no version, and the tag 1.2.3"]),
        ("1.2.3", {"a": "1.2.3"}, ["the tag 1.2.3 is not of the form v1.2.3"]),
        ("v1.2.3-rc1", {}, ["the tag v1.2.3-rc1 is not of the form v1.2.3"]),
    ],
)
def test_tag_of_another_version_is_refused(tag: str, said: Mapping[str, str | None], found: list[str]) -> None:
    assert problems(tag, said) == found


def test_release_notes_are_the_changelogs_section() -> None:
    text = section(CHANGELOG, "1.2.3")
    assert text.startswith("### Added\n\n- One thing,")
    assert text.endswith("- A third.\n")
    assert changes(text) == [
        {"kind": "added", "description": "One thing, on two lines."},
        {"kind": "fixed", "description": "Another."},
        {"kind": "fixed", "description": "A third."},
    ]
    with pytest.raises(ReleaseError, match=r"no section for 9\.9\.9: rename \[Unreleased\]"):
        section(CHANGELOG, "9.9.9")


def test_packaged_chart_has_the_image_by_digest_and_needs_no_value(tmp_path: Path) -> None:
    image = f"registry.example.com/humangov-operator@{DIGEST}"
    source = "https://git.example.com/humangov"
    made = package(image=image, source=source, changelog=CHANGELOG, version="1.2.3", out=tmp_path)
    with tarfile.open(made) as archive:
        names = archive.getnames()
        told = archive.extractfile("humangov-operator/Chart.yaml")
        assert told is not None
        chart = yaml.safe_load(told.read())
    assert {"humangov-operator/LICENSE", "humangov-operator/README.md", "humangov-operator/values.schema.json"} <= set(
        names
    )
    assert (chart["home"], chart["sources"]) == (source, [source])
    assert yaml.safe_load(chart["annotations"]["artifacthub.io/images"])[0]["image"] == image
    assert len(yaml.safe_load(chart["annotations"]["artifacthub.io/changes"])) == 3
    done = run_helm("template", RELEASE, str(made))
    assert done.returncode == 0, done.stderr
    assert f'image: "{image}"' in done.stdout


@pytest.mark.parametrize("image", ["humangov-operator:1", "humangov-operator@sha256:12", ""])
def test_chart_of_an_image_without_a_digest_is_not_packaged(image: str, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="has no digest"):
        package(image=image, source="x", changelog=CHANGELOG, version="1.2.3", out=tmp_path)


def test_release_command_says_what_is_wrong_in_one_sentence() -> None:
    command = [sys.executable, "-m", release.__name__, "check", "--tag", "v99.0.0"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert f"operator/humangov/__init__.py says {__version__}, and the tag 99.0.0" in done.stderr
    assert "Traceback" not in done.stderr


# The SBOM


def locked() -> dict[tuple[str, str], set[str]]:
    """(name, version) → hashes of requirements/run.txt."""
    text = (REPOSITORY / "requirements" / "run.txt").read_text()
    found = {}
    for entry in re.split(r"\n(?=\S)", text.strip()):
        match = re.match(r"([\w.-]+)(?:\[[\w,]+\])?==([^\s;]+)", entry)
        assert match, entry
        found[match.group(1), match.group(2)] = set(re.findall(r"--hash=sha256:(\w+)", entry))
    return found


def test_sbom_lists_exactly_what_is_locked_with_its_hashes() -> None:
    done = subprocess.run(
        ["make", "-s", "sbom"], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    sbom = json.loads((REPOSITORY / ".build" / "release" / "sbom.cdx.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    assert sbom["metadata"]["component"]["name"] == "humangov-operator"
    listed = {
        (one["name"], one["version"]): {
            found["content"] for where in one["externalReferences"] for found in where.get("hashes", ())
        }
        for one in sbom["components"]
    }
    assert listed == locked()
