"""The operator as a local process beside a control plane, with its own service account and only its own permissions."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from sandbox import api_server
from sandbox.handle import Sandbox
from sandbox.paths import BUILD, REPOSITORY
from sandbox.serviceaccount import kubeconfig_for

SERVICE_ACCOUNT = "humangov-operator"
_WATCHING_WITHIN_SECONDS = 60.0
_OF_SANDBOX = "-of-sandbox"


class OperatorError(Exception):
    """The operator did not start; the message holds the end of its log."""


def install(sandbox: Sandbox, *, namespace: str, definition: bool = True) -> None:
    """The definition, and in `namespace` the service account with the permissions of deploy/install.yaml."""
    if definition:
        install_definition(sandbox)
        install_policies(sandbox)
    documents = [_moved(document, namespace) for document in _account_and_permissions()]
    if api_server.is_own(sandbox):
        api_server.apply(sandbox, documents)
    else:
        _apply(sandbox, documents)


def install_definition(sandbox: Sandbox) -> None:
    """The definition alone; returns once it is served."""
    _apply(sandbox, [yaml.safe_load((REPOSITORY / "crds" / "humangovstates.yaml").read_text())])
    wait_established(sandbox)


def wait_established(sandbox: Sandbox, *, seconds: float = 30.0) -> None:
    """`kubectl wait` fails at once where an API server seconds old does not list the definition yet, or shows none of
    its conditions. Raises CalledProcessError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            kubectl(sandbox, "wait", "--for=condition=Established", "--timeout=5s", "crd/humangovstates.humangov.io")
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def install_policies(sandbox: Sandbox) -> None:
    """The admission policies of deploy/install.yaml. They hold for every operator of the cluster, in any namespace."""
    _apply(sandbox, policies())


def policies() -> list[dict[str, Any]]:
    """Under names of their own, beside those of a release."""
    found = []
    for document in yaml.safe_load_all((REPOSITORY / "deploy" / "install.yaml").read_text()):
        if document["kind"].startswith("ValidatingAdmissionPolicy"):
            document["metadata"]["name"] += _OF_SANDBOX
            if "policyName" in document["spec"]:
                document["spec"]["policyName"] += _OF_SANDBOX
            found.append(document)
    return found


def uninstall(sandbox: Sandbox, *, namespace: str, wait: bool = True) -> None:
    """Take back what `install` created for `namespace`. Definition and policies stay: other operators use them."""
    cluster_wide = [(kind, f"{SERVICE_ACCOUNT}-{namespace}") for kind in ("ClusterRole", "ClusterRoleBinding")]
    if api_server.is_own(sandbox) and not wait:
        api_server.delete(sandbox, [*cluster_wide, ("Namespace", namespace)])
        return
    kubectl(sandbox, "delete", "--ignore-not-found", *(f"{kind.lower()}/{name}" for kind, name in cluster_wide))
    kubectl(sandbox, "delete", "namespace", "--ignore-not-found", f"--wait={str(wait).lower()}", namespace)


def kubectl(sandbox: Sandbox, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Run kubectl as the cluster's administrator; its standard output. Raises CalledProcessError."""
    command = [str(sandbox.kubectl), *arguments]
    done = subprocess.run(command, env=sandbox.environment(), input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout


@functools.cache
def _account_and_permissions() -> list[dict[str, Any]]:
    """What of an installation concerns the operator's account. The roles for people are the cluster's, once."""
    kinds = ("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    documents = yaml.safe_load_all((REPOSITORY / "deploy" / "install.yaml").read_text())
    return [document for document in documents if document["kind"] in kinds and not _aggregated(document)]


def _aggregated(document: Mapping[str, Any]) -> bool:
    return any("/aggregate-to-" in label for label in document["metadata"]["labels"])


def _moved(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The same object for an operator in another namespace; what is cluster-wide gets a name of its own."""
    metadata = dict(document["metadata"])
    if document["kind"] == "Namespace":
        return {**document, "metadata": {**metadata, "name": namespace}}
    subjects = [{**subject, "namespace": namespace} for subject in document.get("subjects", ())]
    if "namespace" in metadata:
        moved = {**document, "metadata": {**metadata, "namespace": namespace}}
        return {**moved, "subjects": subjects} if subjects else moved
    metadata["name"] = f"{metadata['name']}-{namespace}"
    moved = {**document, "metadata": metadata}
    if document["kind"] == "ClusterRoleBinding":
        moved["roleRef"] = {**document["roleRef"], "name": f"{document['roleRef']['name']}-{namespace}"}
        moved["subjects"] = subjects
    return moved


def _apply(sandbox: Sandbox, documents: Sequence[Mapping[str, Any]]) -> None:
    kubectl(sandbox, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(documents))


class Process(Protocol):
    """What is used of subprocess.Popen."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def kill(self) -> None: ...


def _spawned(arguments: Sequence[str], *, environment: Mapping[str, str], folder: Path, output: int) -> Process:
    """`humangov ARGUMENTS` in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "humangov.cli", *arguments], stdin=subprocess.DEVNULL, stdout=output,
        stderr=subprocess.STDOUT, start_new_session=True, cwd=folder, env=dict(environment),
    )  # fmt: skip


spawned = _spawned
"""How operators are started. The tests have a faster way, testing/live/forked.py."""


@dataclass
class LocalOperator:
    """A running `humangov run`. As a context manager it is stopped at the end."""

    process: Process
    arguments: Sequence[str]
    """`run` and what follows it."""
    log: Path
    kubeconfig: Path
    """What it talks to the API server with; `sandbox.serviceaccount.kubeconfig_for` renews its token."""

    def __enter__(self) -> LocalOperator:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, *, within_seconds: float = 30.0) -> int:
        """SIGTERM, and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(within_seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        return self.process.wait()

    def kill(self) -> None:
        """SIGKILL: what a crash, an eviction or a lost node looks like."""
        self.process.kill()
        self.process.wait()


def start(
    sandbox: Sandbox,
    *,
    namespace: str,
    folder: Path,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    token_seconds: int = 6 * 3600,
    until: bytes = b"watching humangovstates",
    server: str | None = None,
    source: Path = REPOSITORY / "operator",
) -> LocalOperator:
    """Start the operator of `namespace` (see install) and return once its log says `until`. Raises OperatorError.

    It watches `namespace` alone unless `arguments` name others or `--all-namespaces` is among them (taken out here). It
    waits for no lease unless `--leader-elect` is: the successor of one that was killed would wait for 15 seconds. Nor
    does it keep to AWS's limits, which an emulated AWS does not have, unless `--aws-limits-share` is among them.
    `server`: the address of a proxy in front of the API server. `source`: the folder of the package humangov, for
    example of another release.
    `environment` is laid over the sandbox's variables (AWS_ACCESS_KEY_ID=<12 digits> picks an emulated account).
    """
    folder.mkdir(parents=True, exist_ok=True)
    kubeconfig = kubeconfig_for(
        sandbox=sandbox,
        namespace=namespace,
        service_account=SERVICE_ACCOUNT,
        path=folder / "operator.kubeconfig",
        expiration_seconds=token_seconds,
        server=server,
    )
    wide = "--all-namespaces" in arguments
    flags = [argument for argument in arguments if argument != "--all-namespaces"]
    if not wide and "--namespace" not in flags:
        flags += ["--namespace", namespace]
    if "--aws-limits-share" not in flags:
        flags += ["--aws-limits-share", "0"]
    if "--leader-elect" not in flags:
        flags += ["--no-leader-elect"]
    log = folder / f"operator-{time.time_ns()}.log"
    command = [
        "run", "--operator-namespace", namespace, "--probe-address", "off", "--log-level", "debug", *flags
    ]  # fmt: skip
    with log.open("wb") as output:
        process = spawned(
            command,
            folder=REPOSITORY,
            output=output.fileno(),
            environment={
                **{name: value for name, value in sandbox.environment().items() if not _is_set_here(name)},
                # Without compiled files every start would spend seconds on compiling the SDKs.
                "PYTHONPYCACHEPREFIX": str(BUILD / "pycache"),
                **(environment or {}),
                "KUBECONFIG": str(kubeconfig),
                "PYTHONPATH": str(source),
            },
        )
    running = LocalOperator(process=process, arguments=command, log=log, kubeconfig=kubeconfig)
    deadline = time.monotonic() + _WATCHING_WITHIN_SECONDS
    while until not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            running.kill()
            raise OperatorError(f"the operator did not start; the end of {log}:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)
    return running


def _is_set_here(name: str) -> bool:
    """What of the caller's environment would change how the operator runs."""
    return name.startswith("HUMANGOV_") or name == "PYTHONDONTWRITEBYTECODE"
