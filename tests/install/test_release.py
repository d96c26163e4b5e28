"""A release's life: installed, upgraded from an older chart, rolled back, uninstalled, installed again. With real pods.

On a whole cluster with a node; the emulated AWS (MiniStack). Its pods share the node's network, so an upgrade ends the
old pod first; that two wait for each other by a Lease is shown in tests/e2e.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sandbox import local_operator
from sandbox.handle import Sandbox
from sandbox.release import CHART, NAME, HelmError, Release
from testing.live.account import Account
from testing.live.audit_log import Audit
from testing.live.cluster import Cluster
from testing.live.states import States
from testing.live.waiting import wait_for
from tests.install.conftest import Install, wait_erased, with_values

DEFINITION = "humangovstates.humangov.io"


@pytest.fixture
def older_chart(tmp_path: Path) -> Path:
    """This chart as a predecessor might have been: another version, and a definition that lacks a field."""
    chart = tmp_path / "older"
    shutil.copytree(CHART, chart)
    described = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**described, "version": "0.0.1"}))
    file = chart / "files" / "humangovstates.yaml"
    definition = yaml.safe_load(file.read_text())
    for version in definition["spec"]["versions"]:
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].pop("suspend")
    file.write_text(yaml.safe_dump(definition, sort_keys=False))
    return chart


@pytest.fixture
def no_definition(node: Sandbox, cluster: Cluster, namespace: str) -> Iterator[None]:
    """The definition is the release's own; afterwards it is everybody's again."""
    cluster.output("delete", "crd", DEFINITION, "--ignore-not-found")
    yield
    local_operator.install_definition(node)
    wait_for(
        lambda: cluster.kubectl("get", "humangovstates", "-n", namespace).returncode == 0, what="the kind is served"
    )


def has_suspend(cluster: Cluster) -> bool:
    path = "{.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.suspend.type}"
    return cluster.output("get", "crd", DEFINITION, "-o", f"jsonpath={path}") == "boolean"


@pytest.mark.usefixtures("no_definition")
def test_upgrade_updates_the_definition_and_uninstall_keeps_it(
    release: Release, cluster: Cluster, account: Account, states: States, older_chart: Path
) -> None:
    # After an upgrade of the definition a watch goes on with the old one: what counts is the next look at everything.
    release = with_values(release, crds={"install": True, "keep": True}, resync=3)
    release.install(chart=older_chart)
    assert not has_suspend(cluster)
    account.make("california")
    states.kubectl_apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")
    before = states.get("california")
    assert before is not None
    release.install()
    assert has_suspend(cluster)
    after = states.get("california")
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "the states outlive the upgrade of their definition"
    # A field that the older definition did not have; the API server serves the new one a moment later.
    wait_for(lambda: states.respec("california", suspend=True)["spec"].get("suspend"), what="spec.suspend is known")
    states.wait_reason("california", "Suspended")
    release.helm("rollback", release.name, "1", "--namespace", states.namespace, "--wait", "--timeout=120s")
    assert not has_suspend(cluster)
    release.install()
    states.delete("california")
    states.wait_none(seconds=60)
    release.uninstall()
    assert cluster.output("get", "crd", DEFINITION, "-o", "name").strip().endswith(DEFINITION)
    assert account.leaked() == {}
    release.install()
    states.kubectl_apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")
    states.delete("california")
    states.wait_none(seconds=60)
    release.uninstall()


def test_uninstall_with_live_states_is_refused_with_instructions(
    install: Install, states: States, account: Account
) -> None:
    release = install()
    account.make("california", "florida")
    for name in ("california", "florida"):
        states.kubectl_apply(states.manifest(name, **account.spec(name)))
    states.wait_ready("california", "florida")
    with pytest.raises(HelmError) as refused:
        release.uninstall()
    reported = str(refused.value)
    for words in ("2 HumanGovStates", f"{states.namespace}/california", "kubectl delete humangovstates", "Retain"):
        assert words in reported
    assert "Traceback" not in reported
    # The operator is still there and at work.
    states.respec("california", function={"timeoutSeconds": 120})
    states.wait_ready("california")
    # The second way: release, keep what is in AWS.
    states.respec("florida", deletionPolicy="Retain")
    states.delete("california", "florida")
    states.wait_none(seconds=60)
    release.uninstall()
    kept = account.leaked()
    assert "florida" in json.dumps(kept)
    assert "california" not in json.dumps(kept)


def test_bad_image_is_rolled_back_without_writes_to_in_sync_states(
    install: Install, states: States, account: Account, audit: Audit
) -> None:
    release = install()
    account.make("california")
    states.kubectl_apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")
    key = account.employ("california", "ada")
    position = audit.position()
    image = {**release.values["image"], "tag": "no-such-tag"}
    with pytest.raises(HelmError):
        with_values(release, image=image).install("--timeout=8s")
    waiting = [
        status["state"]["waiting"]["reason"]
        for pod in release.pods()
        for status in pod["status"].get("containerStatuses", ())
        if "waiting" in status["state"]
    ]
    assert "ErrImageNeverPull" in waiting
    # Erasing is Lambda's work: it does not wait for the operator.
    account.dismiss("california", "ada")
    wait_erased(account, "california", key)
    release.helm("rollback", release.name, "1", "--namespace", states.namespace, "--wait", "--timeout=120s")
    states.reconcile("california", "after-the-rollback")
    written = audit.states_written_since(position)
    assert written == ["patch humangovstates/status california"], (
        "one write, for the annotation that requested a reconciliation"
    )


def test_release_limited_to_one_namespace_has_no_permissions_in_others(
    cluster: Cluster, install: Install, states: States, account: Account
) -> None:
    release = install(watchNamespaces=[states.namespace], clusterName="install")
    account.make("california")
    states.kubectl_apply(states.manifest("california", **account.spec("california")))
    states.wait_ready("california")
    who = f"--as=system:serviceaccount:{states.namespace}:{NAME}"
    for question, answer in {
        "list humangovstates -n default": "no", "get namespaces/default": "no", "get namespaces/kube-system": "yes",
    }.items():  # fmt: skip
        assert cluster.kubectl("auth", "can-i", *question.split(), who).stdout.strip() == answer
    assert not [line for line in release.logs().splitlines() if json.loads(line)["level"] in ("error", "warning")]
    states.delete("california")
    states.wait_none(seconds=60)
