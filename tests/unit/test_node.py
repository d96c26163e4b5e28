"""The node's own decisions: configuration, what is found of it, what this machine lacks. Runs on nothing."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import delivery, release
from sandbox.errors import SandboxError
from sandbox.handle import Sandbox
from sandbox.node import cgroups, containerd, kubelet, packages, register, remains
from sandbox.paths import Layout
from sandbox.pki import Pair
from sandbox.release import CHART

PAIR = Pair(certificate=Path("/c.crt"), key=Path("/c.key"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "s")
    made.configuration.mkdir(parents=True)
    made.node.mkdir()
    return made


def strings(value: Any) -> list[str]:
    """Every string in it."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


def test_containerd_stays_in_the_sandbox_folder_and_listens_on_loopback(layout: Layout) -> None:
    read = tomllib.loads(containerd.configuration(layout))
    paths = [text for text in strings(read) if text.startswith("/")]
    elsewhere = [path for path in paths if not Path(path).is_relative_to(layout.root)]
    assert elsewhere == [containerd.CNI_PLUGINS]
    assert read["plugins"]["io.containerd.grpc.v1.cri"]["stream_server_address"] == "127.0.0.1"


def test_sandbox_folder_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    deep = Layout(tmp_path / ("x" * 100))
    deep.configuration.mkdir(parents=True)
    with pytest.raises(SandboxError, match=r"too long for a socket .*HUMANGOV_SANDBOX_DIR"):
        containerd.write_configuration(deep)


def test_kubelet_stays_in_the_sandbox_folder_authorizes_by_webhook_and_listens_on_loopback(layout: Layout) -> None:
    ports = {kubelet.PART: 20001, kubelet.HEALTH_PORT: 20002}
    read = kubelet.configuration(layout, ports=ports, serving=PAIR, authority=Path("/ca.crt"))
    assert {read["address"], read["healthzBindAddress"]} == {"127.0.0.1"}
    assert read["readOnlyPort"] == 0
    assert read["authentication"]["anonymous"] == {"enabled": False}
    assert read["authorization"] == {"mode": "Webhook"}
    assert read["cgroupRoot"] == f"/{cgroups.name(layout.root)}"
    for name in ("podLogsDir", "volumePluginDir"):
        assert Path(read[name]).is_relative_to(layout.root)


def test_each_sandbox_has_its_own_cgroup() -> None:
    assert cgroups.name(Path("/a")) != cgroups.name(Path("/b"))


def test_mounts_below_the_sandbox_folder_are_listed_innermost_first() -> None:
    lines = [
        "30 1 0:1 / /s/node rw - tmpfs tmpfs rw",
        "31 30 0:2 / /s/node/a\\040b rw shared:1 - tmpfs tmpfs rw",
        "32 1 0:3 / /s2/node rw - tmpfs tmpfs rw",
        "33 1 0:4 / / rw - ext4 /dev/vda rw",
    ]
    found = remains.mounts(Path("/s"), mountinfo="\n".join(lines))
    assert found == [Path("/s/node/a b"), Path("/s/node")]


def test_shim_sockets_are_read_from_containerds_state(layout: Layout) -> None:
    task = containerd.folder(layout) / "state/io.containerd.runtime.v2.task/k8s.io/abc"
    task.mkdir(parents=True)
    (task / "address").write_text("unix:///run/containerd/s/1234\n")
    assert containerd.shim_sockets(layout) == [Path("/run/containerd/s/1234")]


@pytest.mark.parametrize(
    ("conditions", "taints", "usable"),
    [
        ([{"type": "Ready", "status": "True"}], None, True),
        ([{"type": "Ready", "status": "False"}], None, False),
        ([{"type": "MemoryPressure", "status": "True"}], None, False),
        ([{"type": "Ready", "status": "True"}], [{"key": "node.kubernetes.io/not-ready"}], False),
        ([], None, False),
    ],
)
def test_node_is_usable_when_ready_and_untainted(
    conditions: list[dict[str, str]], taints: list[dict[str, str]] | None, usable: bool
) -> None:
    node = {"spec": {"taints": taints} if taints else {}, "status": {"conditions": conditions}}
    assert register.usable(node) is usable


def test_node_without_root_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "needs root" in (packages.obstacle() or "")


def test_missing_packages_of_the_node_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.access", lambda *_: True)
    monkeypatch.setattr(packages, "_may_mount", lambda: True)
    monkeypatch.setattr("shutil.which", lambda name, **_: None if name in ("runc", "apt-get") else f"/bin/{name}")
    assert packages.missing() == ["runc"]
    assert "the packages runc of Debian" in (packages.obstacle() or "")
    with pytest.raises(SandboxError, match="runc"):
        packages.ensure(say=lambda _: None)


def test_clusters_that_start_at_once_install_the_packages_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two apt-gets refused each other on a machine that had no packages yet, and one cluster was not started."""
    installed, runs, at_work, refused = threading.Event(), list[list[str]](), threading.Lock(), list[object]()

    def apt_get(arguments: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        runs.append(arguments)
        if not at_work.acquire(blocking=False):
            refused.append(arguments)
            return subprocess.CompletedProcess(arguments, 100, "", "E: Could not get lock")
        time.sleep(0.2)
        installed.set()
        at_work.release()
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setenv("HUMANGOV_CACHE", str(tmp_path))
    monkeypatch.setattr(packages, "obstacle", lambda: None)
    monkeypatch.setattr("shutil.which", lambda name, **_: name if name != "runc" or installed.is_set() else None)
    monkeypatch.setattr("subprocess.run", apt_get)
    with ThreadPoolExecutor(4) as clusters:
        for one in [clusters.submit(packages.ensure, say=lambda _: None) for _ in range(4)]:
            one.result()
    assert refused == []
    [only] = runs
    assert only[-1] == "runc"


@pytest.mark.parametrize(
    ("context", "kind"), [("kind-humangov", "humangov"), ("arn:aws:eks:us-east-1:1:cluster/kind", None), ("", None)]
)
def test_kind_cluster_is_recognized_by_its_context(tmp_path: Path, context: str, kind: str | None) -> None:
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump({"current-context": context}))
    assert delivery.kind_cluster(file) == kind


def users_cluster(tmp_path: Path, *, context: str) -> Sandbox:
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump({"current-context": context}))
    return Sandbox(
        root=tmp_path, kubernetes="user", kubeconfig=file, kubectl=None, kube_cache=tmp_path, audit_log=None,
        aws="account", aws_endpoint_url=None, logs=tmp_path,
    )  # fmt: skip


def programs(folder: Path, *names: str) -> dict[str, str]:
    """Programs that note how they were called, and a PATH that leads to them alone."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/called\n')
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


def test_image_is_built_by_docker_and_loaded_into_kind(tmp_path: Path) -> None:
    variables = programs(tmp_path / "bin", "docker", "kind")
    name = delivery.deliver(users_cluster(tmp_path, context="kind-lab"), say=lambda _: None, environ=variables)
    called = (tmp_path / "bin/called").read_text().splitlines()
    assert called[0].startswith(f"docker build --tag {name} ")
    assert called[1:] == [f"kind load docker-image {name} --name lab"]


def test_image_is_pushed_to_the_registry_of_another_cluster(tmp_path: Path) -> None:
    variables = programs(tmp_path / "bin", "docker") | {"HUMANGOV_IMAGE": "registry.example/humangov-operator:1"}
    running = users_cluster(tmp_path, context="eks")
    assert delivery.deliver(running, say=lambda _: None, environ=variables) == variables["HUMANGOV_IMAGE"]
    assert (tmp_path / "bin/called").read_text().splitlines()[1] == f"docker push {variables['HUMANGOV_IMAGE']}"


def test_image_for_another_cluster_requires_the_variable_humangov_image(tmp_path: Path) -> None:
    variables = programs(tmp_path / "bin", "docker")
    with pytest.raises(SandboxError, match="HUMANGOV_IMAGE=<registry>"):
        delivery.deliver(users_cluster(tmp_path, context="eks"), say=lambda _: None, environ=variables)
    assert not (tmp_path / "bin/called").exists()


def test_missing_docker_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="`docker` is not installed"):
        delivery.deliver(
            users_cluster(tmp_path, context="kind-x"), say=lambda _: None, environ=programs(tmp_path / "b")
        )


def test_values_for_the_node_use_web_identity_and_hold_no_access_key(tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(yaml.safe_dump({"clusters": [{"cluster": {"server": "https://127.0.0.1:6443"}}]}))
    running = Sandbox(
        root=tmp_path, kubernetes="sandbox", kubeconfig=config, kubectl=None, kube_cache=tmp_path, audit_log=None,
        aws="emulator", aws_endpoint_url="http://127.0.0.1:4566", logs=tmp_path,
    )  # fmt: skip
    values = release.values_on_node(running, image="localhost/i:1", account="111122223333", probe_port=20003)
    variables = {one["name"]: one["value"] for one in values["extraEnv"]}
    assert variables["AWS_ROLE_ARN"].startswith("arn:aws:iam::111122223333:role/")
    assert not [name for name in variables if "SECRET" in name or "ACCESS_KEY" in name]
    [volume] = values["extraVolumes"]
    assert volume["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "sts.amazonaws.com"
    assert variables["AWS_WEB_IDENTITY_TOKEN_FILE"].startswith(values["extraVolumeMounts"][0]["mountPath"])
    known = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(values) <= set(known)


@pytest.mark.parametrize(
    ("variables", "reachable"),
    [
        ({}, True),
        ({"KUBECONFIG": "/k"}, False),
        ({"KUBECONFIG": "/k", "AWS_ENDPOINT_URL": "http://10.0.0.1:4566"}, True),
        ({"KUBECONFIG": "/k", "SANDBOX_AWS": "account"}, True),
    ],
)
def test_loopback_endpoint_is_refused_for_pods_of_a_users_cluster(variables: dict[str, str], reachable: bool) -> None:
    said = delivery.unreachable_aws(variables)
    assert (said is None) is reachable
    assert said is None or "SANDBOX_AWS=account" in said


def test_users_values_file_overrides_on_a_users_cluster(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("region: us-gov-west-1\n")
    environ = {"HUMANGOV_VALUES": str(tmp_path / "mine.yaml")}
    values = release.values_elsewhere(image="registry.example/i:2", environ=environ)
    assert values == {"image": {"repository": "registry.example/i", "tag": "2"}, "region": "us-gov-west-1"}
    [named] = release.values_elsewhere(image="i:2", aws_endpoint_url="http://10.0.0.1:4566", environ={})["extraEnv"]
    assert named == {"name": "AWS_ENDPOINT_URL", "value": "http://10.0.0.1:4566"}
