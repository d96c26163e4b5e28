"""The image, as far as it shows without building it: what the Dockerfile takes, and the package that goes in.

It can't show that the base image holds together with it; issues of that kind need a build.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from humangov import __version__
from humangov.bundle import bundle

from sandbox.paths import REPOSITORY

DOCKERFILE = REPOSITORY / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    stage: int
    name: str
    text: str


def instructions() -> list[Instruction]:
    """The Dockerfile's instructions, continued lines joined, with the stage that each is in (from 0)."""
    lines = (line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[Instruction] = []
    stage = -1
    for line in filter(None, joined.splitlines()):
        name, _, text = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, text))
    return found


def texts(name: str, *, stage: int | None = None) -> list[str]:
    return [one.text for one in instructions() if one.name == name and stage in (None, one.stage)]


FINAL = max(one.stage for one in instructions())


def test_it_is_built_in_one_stage_and_shipped_in_another_of_the_same_base() -> None:
    bases = [text.split()[0] for text in texts("FROM")]
    assert bases == ["python:3.13-slim", "python:3.13-slim"]


def test_it_runs_as_a_numeric_user_that_is_not_root_and_the_pod_as_the_same() -> None:
    [user] = texts("USER", stage=FINAL)
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user)
    documents = yaml.safe_load_all((REPOSITORY / "deploy" / "operator.yaml").read_text())
    [deployment] = [document for document in documents if document["kind"] == "Deployment"]
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_it_starts_the_operator() -> None:
    assert json.loads(texts("ENTRYPOINT", stage=FINAL)[0]) == ["humangov"]
    assert json.loads(texts("CMD", stage=FINAL)[0]) == ["run"]


def test_its_labels_say_what_it_is_and_its_version_is_the_package_s() -> None:
    labels = " ".join(texts("LABEL", stage=FINAL))
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert f"VERSION={__version__}" in texts("ARG", stage=FINAL)


def test_everything_from_outside_is_fixed_by_hash() -> None:
    installs = [
        part for text in texts("RUN") for part in text.split("&&") if re.search(r"pip .*\b(install|wheel)\b", part)
    ]
    assert len(installs) == 4
    for part in installs:
        assert "--no-index" in part or ("--require-hashes" in part and "--only-binary :all:" in part), part
    for name in ("run", "build"):
        text = (REPOSITORY / "requirements" / f"{name}.txt").read_text()
        entries = re.split(r"\n(?=\S)", text.strip())
        assert entries
        for entry in entries:
            assert re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", entry), entry
            assert "--hash=sha256:" in entry, entry
        assert "://" not in text


def test_what_builds_it_stays_behind() -> None:
    copies = texts("COPY", stage=FINAL)
    assert copies == ["--from=build /opt/humangov /opt/humangov"]
    final = " ".join(texts("RUN", stage=FINAL))
    assert "apt-get" not in final
    assert "pip install" not in final
    assert "venv --without-pip /opt/humangov" in " ".join(texts("RUN", stage=0))


def test_its_code_is_compiled_before_it_is_shipped_to_a_read_only_root() -> None:
    assert "compileall -q --invalidation-mode unchecked-hash" in " ".join(texts("RUN", stage=0))


def in_context(path: str) -> bool:
    """Whether .dockerignore lets a path into the build: the last pattern that fits decides."""
    taken = True
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        wanted, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        expression = fnmatch.translate(pattern.replace("**/", "")).removesuffix(r"\Z").removesuffix(r"\z")
        prefix = r"(.*/)?" if pattern.startswith("**/") else ""
        if re.match(rf"{prefix}{expression}(/.*)?$", path):
            taken = wanted
    return taken


@pytest.mark.parametrize("path", [".git/config", ".build/venv/bin/python", "tests/conftest.py", "sandbox/build.py",
                                  "operator/humangov/__pycache__/cli.cpython-313.pyc"])  # fmt: skip
def test_what_the_build_does_not_need_is_not_sent_to_it(path: str) -> None:
    assert not in_context(path)


def test_what_the_dockerfile_copies_exists_and_is_sent() -> None:
    sources = [source for text in texts("COPY", stage=0) for source in text.split()[:-1]]
    assert sources
    for source in sources:
        assert (REPOSITORY / source).exists(), source
        assert in_context(source), source
    assert in_context("operator/humangov/cleanup/handler.py")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the files that the Dockerfile copies, with nothing to be had from outside."""
    folder = tmp_path_factory.mktemp("context")
    for source in ("pyproject.toml", "README.md", "LICENSE"):
        (folder / source).write_bytes((REPOSITORY / source).read_bytes())
    for path in (REPOSITORY / "operator").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            target = folder / path.relative_to(REPOSITORY)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheels")]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=clean())
    [built] = (folder / "wheels").glob("*.whl")
    return built


def clean() -> dict[str, str]:
    """No path leads to the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel without scripts of its own making is its archive, unpacked."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def told_by(installed: Path, code: str) -> str:
    """What Python says with the installed package before all else."""
    environment = {**clean(), "PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_wheel_holds_the_package_its_licence_and_its_command_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
        command = archive.read(entry_points).decode()
    assert "humangov = humangov.cli:main" in command
    assert {name.split("/")[0] for name in names} == {"humangov", f"humangov_operator-{__version__}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith(".pyc")]


def test_the_installed_command_tells_its_version(installed: Path) -> None:
    code = "import sys; sys.argv = ['humangov', '--version']; from humangov.cli import main; main()"
    assert told_by(installed, code) == f"humangov, version {__version__}"


def test_the_installed_package_packs_the_same_cleanup_function_as_the_checkout(installed: Path) -> None:
    code = "import humangov.bundle as b; print(b.__file__); print(b.bundle().code_sha256)"
    where, digest = told_by(installed, code).splitlines()
    assert Path(where).is_relative_to(installed)
    assert digest == bundle().code_sha256
