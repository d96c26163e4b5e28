"""Which helm is used, and what it is let know and leave behind. Runs on nothing; builds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import gobuild, golang, helm, paths
from sandbox.errors import SandboxError


def script(folder: Path, text: str) -> dict[str, str]:
    """An environment that names a program which does this as its helm."""
    path = folder / "helm"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return {"HELM": str(path), "PATH": "/usr/bin:/bin"}


def test_helm_of_the_user_is_used_if_its_major_version_matches(tmp_path: Path) -> None:
    environ = script(tmp_path, "echo v4.0.5+g1b6053d")
    assert helm.locate(say=lambda _: None, environ=environ) == tmp_path / "helm"


@pytest.mark.parametrize(
    ("text", "reported"),
    [("echo v3.19.0+g3d8990f", "is Helm 3; Helm 4 is needed"), ("exit 1", "is no helm that runs; Helm 4 is needed"),
     ("echo hello", "is no helm that runs")],
)  # fmt: skip
def test_helm_of_another_version_is_refused(tmp_path: Path, text: str, reported: str) -> None:
    with pytest.raises(SandboxError, match=reported):
        helm.locate(say=lambda _: None, environ=script(tmp_path, text))


def test_missing_helm_of_the_user_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no helm that runs"):
        helm.locate(say=lambda _: None, environ={"HELM": str(tmp_path / "none")})


def test_helm_on_the_path_is_ignored_and_built_from_the_pinned_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = {name: value for name, value in script(tmp_path, "echo v4.1.0").items() if name != "HELM"}
    built: list[gobuild.Program] = []

    def ensure_built(program: gobuild.Program, **_: object) -> Path:
        built.append(program)
        return Path("/built/helm")

    monkeypatch.setattr(gobuild, "ensure_built", ensure_built)
    environ = {**on_path, "PATH": f"{tmp_path}:{on_path['PATH']}"}
    assert helm.locate(say=lambda _: None, environ=environ) == Path("/built/helm")
    [program] = built
    assert program.package == "helm.sh/helm/v4/cmd/helm"
    version = gobuild.required_version((helm.SOURCE / "go.mod").read_text(), helm.MODULE)
    assert f"-X helm.sh/helm/v4/internal/version.version={version}" in gobuild.arguments(program)[-1]
    assert "-mod=readonly" in gobuild.arguments(program)


def test_helm_ignores_user_settings_and_writes_nothing_to_the_home() -> None:
    given = {"HOME": "/home/x", "KUBECONFIG": "/k", "HELM_NAMESPACE": "other", "HELM_CACHE_HOME": "/home/x/.cache"}
    variables = helm.environment(given)
    assert variables["KUBECONFIG"] == "/k"
    assert "HELM_NAMESPACE" not in variables
    for kind in ("CACHE", "CONFIG", "DATA"):
        assert Path(variables[f"HELM_{kind}_HOME"]).is_relative_to(paths.BUILD)


def test_helm_module_requires_the_go_version_of_the_sandbox() -> None:
    text = (helm.SOURCE / "go.mod").read_text()
    assert f"\ngo {'.'.join(map(str, golang.NEEDED))}\n" in text
