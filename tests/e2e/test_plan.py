"""`humangov plan -f`: what would be changed, in words and in the exit code. It runs with kubectl's permissions.

On the real API server and the emulated AWS (MiniStack) behind the recording proxy.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sandbox.recorder import Recorder
from testing.live.account import Account
from testing.live.cluster import Cluster
from testing.live.command import run_humangov
from testing.live.states import Resource
from testing.live.waiting import wait_for
from tests.conftest import World

Plan = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def plan(cluster: Cluster, tmp_path: Path) -> Plan:
    def run(text: str, *, account: Account, **variables: str) -> subprocess.CompletedProcess[str]:
        manifest = tmp_path / "manifest.yaml"
        manifest.write_text(text)
        environment = {**cluster.sandbox.environment(), **account.environment, **variables}
        return run_humangov("plan", "-f", str(manifest), environment=environment, folder=tmp_path)

    return run


def test_plan_shows_creations_of_a_new_tenant_nothing_in_sync_and_drift(
    world: World, recorder: Recorder, plan: Plan
) -> None:
    states, account, state = world.states, world.account, world.state
    manifest = states.manifest(state, **account.spec(state))
    text = yaml.safe_dump(manifest)
    proxied = {"AWS_ENDPOINT_URL": recorder.url}
    never = states.manifest(state, **account.spec(state, sweep={"schedule": "0 3 30-31 2 *"}))
    fresh = plan(yaml.safe_dump(never), account=account, **proxied)
    assert (fresh.returncode, fresh.stderr) == (2, "")
    header, *lines = fresh.stdout.splitlines()
    assert header == f"{states.namespace}/{state} ({account.id}, us-east-1):"
    assert {line.split()[0] for line in lines} >= {"stream", "role", "function", "trigger"}
    assert "waits: spec.sweep.schedule '0 3 30-31 2 *' never occurs: there is no such date" in fresh.stdout
    assert "lambda:CreateFunction" in fresh.stdout
    assert states.get(state) is None, "a plan creates nothing"
    states.apply(manifest)
    states.wait_ready(state)
    settled = plan(text, account=account, **proxied)
    assert (settled.returncode, settled.stderr) == (0, "")
    assert settled.stdout == f"{states.namespace}/{state} ({account.id}, us-east-1): in sync\n"
    account.client("lambda").update_function_configuration(FunctionName=f"humangov-{state}-delete-file", Timeout=3)
    function = account.client("lambda").get_function
    wait_for(
        lambda: function(FunctionName=f"humangov-{state}-delete-file")["Configuration"]["State"] == "Active",
        what="Lambda is done with the change by hand",
    )
    drifted = plan(text, account=account, **proxied)
    assert (drifted.returncode, drifted.stderr) == (2, "")
    (_, line) = drifted.stdout.splitlines()
    assert line.split() == ["function", "lambda:UpdateFunctionConfiguration", "timeoutSeconds", "3", "→", "300"]
    assert [call for call in recorder.calls if call.writes] == [], "a plan only reads"


def without_bucket_name(manifest: Resource) -> str:
    return yaml.safe_dump({**manifest, "spec": {**manifest["spec"], "bucket": {}}})


BAD: dict[str, tuple[Callable[[Resource], str], str]] = {
    "no bucket name": (without_bucket_name, "spec.bucket.name is required"),
    "what only the API server knows": (
        lambda manifest: yaml.safe_dump({**manifest, "spec": {**manifest["spec"], "logs": {"retentionDays": 15}}}),
        "spec.logs.retentionDays: Unsupported value: 15",
    ),
    "a misspelt field": (
        lambda manifest: yaml.safe_dump({**manifest, "spec": {**manifest["spec"], "buckets": {}}}),
        "spec.buckets is not a field",
    ),
    "another kind": (lambda _: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "expected a HumanGovState"),
    "a list": (lambda _: "- 1\n", "expected a HumanGovState, found no object"),
    "no YAML": (lambda _: "spec: {table: [", "manifest.yaml: while parsing"),
    "metadata that is a list": (lambda manifest: yaml.safe_dump({**manifest, "metadata": ["x"]}), "metadata must be"),
    "a name that is a number": (
        lambda manifest: yaml.safe_dump({**manifest, "metadata": {"name": 5}}), "metadata.name 5 must be",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_plan_of_a_bad_manifest_prints_a_message_without_a_traceback(
    case: str, account: Account, cluster: Cluster, plan: Plan
) -> None:
    change, sentence = BAD[case]
    manifest: Resource = {
        "apiVersion": "humangov.io/v1", "kind": "HumanGovState", "metadata": {"name": "california"},
        "spec": account.spec("california"),
    }  # fmt: skip
    done = plan(change(manifest), account=account)
    assert done.returncode == 1, done.stdout
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
