"""docs/install.md: every command that needs neither AWS nor a registry is run as it stands there, in its order.

On a whole cluster with a node, and the emulated AWS (MiniStack). What is a user's own is put in: the values file, and
in the overlay what the sandbox's node needs (its host's network, and where API server and AWS are).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import local_operator
from sandbox.handle import Sandbox
from sandbox.paths import REPOSITORY
from sandbox.release import Release
from testing.live.account import Account
from testing.live.cluster import Cluster
from testing.live.states import States
from testing.live.waiting import wait_for

DOCUMENT = REPOSITORY / "docs" / "install.md"
NAMESPACE = "humangov"
CRD = "humangovstates.humangov.io"


@dataclass(frozen=True)
class Block:
    section: str
    language: str
    text: str
    elsewhere: bool
    """It needs AWS or a registry, and says so."""


def blocks() -> list[Block]:
    """The fenced blocks. **Needs …** holds until the end of its section."""
    found, section, elsewhere = [], "", False
    parts = re.split(r"^```(\w*)\n(.*?)^```\n", DOCUMENT.read_text(), flags=re.MULTILINE | re.DOTALL)
    for prose, language, text in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        headings = re.findall(r"^## (.*)$", prose, flags=re.MULTILINE)
        if headings:
            section, elsewhere = headings[-1], False
        elsewhere = elsewhere or "**Needs " in prose
        found.append(Block(section, language, text, elsewhere))
    return found


def commands(section: str) -> list[str]:
    """Of the blocks to be run, command by command."""
    texts = [one.text for one in blocks() if one.language == "bash" and one.section == section and not one.elsewhere]
    return [command for text in texts for command in re.sub(r"\\\n\s*", "", text).splitlines()]


LOGS = "kubectl logs -n humangov deployment/humangov-operator"
SECTIONS = ["3. The operator, with Helm", "4. The states", "5. Upgrade, roll back, uninstall"]
ALONE = "Without Helm"


def test_every_documented_install_command_is_tested_except_those_that_need_aws() -> None:
    run = [command for section in [*SECTIONS, ALONE] for command in commands(section)]
    assert {command.split()[0] for command in run} == {"kubectl", "helm"}
    assert len(run) == 21
    marked = [one for one in blocks() if one.language == "bash" and one.elsewhere]
    for block in marked:
        assert re.search(r"^(aws|docker) ", block.text, flags=re.MULTILINE), block.text
    assert len(marked) + 5 == len([one for one in blocks() if one.language == "bash"])


class Shell:
    """A terminal in a checkout, with kubectl and helm, as the cluster's administrator."""

    def __init__(self, node: Sandbox, folder: Path) -> None:
        self._node, self.folder = node, folder
        shutil.copytree(REPOSITORY / "deploy", folder / "deploy")
        (folder / "crds").mkdir()

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", command],
            cwd=self.folder, env=self._node.environment(), capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def shell(node: Sandbox, cluster: Cluster, release: Release, tmp_path: Path) -> Iterator[Shell]:
    """On a cluster on which nothing of ours was ever installed (`release` is not, it only lends its values)."""
    assert not release.pods()
    cluster.output("delete", "crd", CRD, "--ignore-not-found")
    yield Shell(node, tmp_path)
    if cluster.kubectl("get", "crd", CRD).returncode == 0 and cluster.kubectl("get", "hgs", "-A").returncode == 0:
        States(cluster, NAMESPACE).abandon()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    local_operator.install_definition(node)
    wait_for(lambda: cluster.kubectl("get", "humangovstates", "-A").returncode == 0, what="the kind is served")


@pytest.fixture
def holdings(account: Account) -> Iterator[None]:
    """Tables and buckets of deploy/examples."""
    specs = [yaml.safe_load(file.read_text())["spec"] for file in (REPOSITORY / "deploy/examples").glob("*.yaml")]
    dynamodb, s3 = account.client("dynamodb"), account.client("s3")
    for spec in specs:
        dynamodb.create_table(
            TableName=spec["table"]["name"], BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )  # fmt: skip
        s3.create_bucket(Bucket=spec["bucket"]["name"])
    yield
    for spec in specs:
        s3.delete_bucket(Bucket=spec["bucket"]["name"])


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(one)
    for key, value in other.items():
        mine = result.get(key)
        result[key] = merged(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return result


def output(shell: Shell, command: str) -> str:
    """An operator on a machine too busy to renew the lease in time has just started again, with an empty log."""
    text = shell.run(command)
    if command == LOGS and "watching" not in text:
        wait_for(lambda: "watching" in shell.run(command), what="the operator's log says that it watches")
        return shell.run(command)
    return text


@pytest.mark.usefixtures("holdings")
def test_installation_document_by_helm(shell: Shell, release: Release, account: Account) -> None:
    [theirs] = [yaml.safe_load(one.text) for one in blocks() if one.language == "yaml"]
    own = {key: value for key, value in release.values.items() if key != "crds"}
    values = merged(theirs, own)
    assert values["permissionsBoundary"] == theirs["permissionsBoundary"]
    (shell.folder / "humangov-values.yaml").write_text(yaml.safe_dump(values))
    printed = {command: output(shell, command) for section in SECTIONS for command in commands(section)}
    table = printed["kubectl get humangovstates -n humangov"]
    assert [line.split()[:3] for line in table.splitlines()[1:]] == [
        [name, "True", "InSync"] for name in ("california", "florida", "staging")
    ]
    assert "watching humangovstates" in printed[LOGS]
    assert "Events:" in printed["kubectl describe humangovstates -n humangov california"]
    assert account.leaked() == {}
    assert CRD in shell.run("kubectl get crd -o name"), "kept"


@pytest.mark.usefixtures("holdings")
def test_installation_document_without_helm(shell: Shell, release: Release, account: Account) -> None:
    overlay = shell.folder / "deploy/kustomize"
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    image = release.values["image"]
    kustomization["images"] = [{"name": "humangov-operator", "newName": image["repository"], "newTag": image["tag"]}]
    kustomization["patches"] += [{"path": "node.yaml"}, {"path": "namespace.yaml"}]
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    (overlay / "node.yaml").write_text(yaml.safe_dump(for_the_node(release)))
    # The host's network is beyond what `restricted` allows.
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    (overlay / "namespace.yaml").write_text(yaml.safe_dump(namespace))
    for command in commands(ALONE):
        if command.startswith("kubectl apply -f deploy/examples"):
            wait_for(lambda: shell_serves(shell), what="the kind is served")
        shell.run(command)
    assert account.leaked() == {}


def shell_serves(shell: Shell) -> bool:
    try:
        shell.run("kubectl get humangovstates -A")
    except AssertionError:
        return False
    return True


def for_the_node(release: Release) -> dict[str, Any]:
    """What the sandbox's node needs, as a patch of the Deployment."""
    values = release.values
    port = values["probes"]["port"]
    probe = {"httpGet": {"host": "127.0.0.1"}}
    region = {"name": "AWS_REGION", "value": values["region"]}
    address = {"name": "HUMANGOV_PROBE_ADDRESS", "value": f"127.0.0.1:{port}"}
    container = {
        "name": "operator",
        "imagePullPolicy": "Never",
        "env": [*values["extraEnv"], region, address],
        "volumeMounts": values["extraVolumeMounts"],
        "ports": [
            {"name": "probes", "containerPort": 8080, "$patch": "delete"},
            {"name": "probes", "containerPort": port},
        ],
        **dict.fromkeys(("startupProbe", "livenessProbe", "readinessProbe"), probe),
    }
    pod = {"hostNetwork": True, "containers": [container], "volumes": values["extraVolumes"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "humangov-operator", "namespace": NAMESPACE},
        "spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}, "template": {"spec": pod}},
    }
