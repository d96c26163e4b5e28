"""The two ways in which the operator runs in the story: as a local process, or in a pod as its users run it."""

from __future__ import annotations

import contextlib

from sandbox import local_operator
from sandbox.demo.kubectl import KubectlError, shown
from sandbox.demo.stage import Stage
from sandbox.local_operator import SERVICE_ACCOUNT
from sandbox.release import HelmError, Release

_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class AsProcess:
    """A local process under its own service account."""

    def __init__(self) -> None:
        self._operator: local_operator.LocalOperator | None = None

    def start(self, stage: Stage) -> str:
        namespace = stage.namespace
        stage.narrator.say(
            f"Install the definition of HumanGovState and the operator's permissions (deploy/install.yaml). Then start "
            f"the operator as a local process with its own service account {namespace}/{SERVICE_ACCOUNT}:"
        )
        local_operator.install(stage.sandbox, namespace=namespace)
        self._operator = local_operator.start(
            stage.sandbox,
            namespace=namespace,
            folder=stage.folder,
            arguments=["--region", stage.aws.region],
            environment={name: stage.environment[name] for name in _CREDENTIALS if name in stage.environment},
        )
        stage.narrator.command(shown(*self._command()))
        return "it runs and watches, with only the permissions in deploy/install.yaml"

    def running(self) -> bool:
        return self._operator is not None and self._operator.process.poll() is None

    def stop(self) -> None:
        if self._operator is None:
            return
        try:
            self._operator.stop()
        finally:
            if self.running():
                self._operator.kill()

    def remove(self, stage: Stage, /) -> list[str]:
        own = f"humangov-operator-{stage.namespace}"
        problems = []
        for kind in ("clusterrolebinding", "clusterrole"):
            try:
                stage.kubectl.run("delete", "--ignore-not-found", kind, own)
            except KubectlError as error:
                problems.append(str(error))
        return problems

    def logs(self) -> list[str]:
        if self._operator is None:
            return []
        code = self._operator.process.poll()
        ended = [] if code is None else [f"(the operator has ended by itself, with exit code {code})"]
        return [str(self._operator.log), *ended]

    def _command(self) -> list[str]:
        """As one would type it."""
        return ["humangov", *(self._operator.arguments if self._operator else ())]


class InPod:
    """The chart, installed by helm."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self.installed = False

    def start(self, stage: Stage) -> str:
        stage.narrator.say("The chart of deploy/helm, installed as anybody would:")
        self.installed = True  # from here on there is something to remove
        # The definition may be there already, put there by other hands.
        stage.narrator.command(shown("helm", *self.release.install_command(), "--take-ownership"))
        self.release.install("--take-ownership")
        stage.kubectl.show("rollout", "status", f"deployment/{self.release.name}", "-n", stage.namespace)
        stage.kubectl.show("get", "pods", "-n", stage.namespace, "-o", "wide")
        [pod] = self.release.pods()
        return f"pod {pod['metadata']['name']} runs and is ready"

    def running(self) -> bool:
        if not self.installed:
            return False
        try:
            return any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for pod in self.release.pods()
                for condition in pod["status"].get("conditions", ())
            )
        except Exception:
            return False

    def stop(self) -> None:
        if self.installed:
            with contextlib.suppress(HelmError):
                self.release.uninstall("--no-hooks", "--ignore-not-found")

    def remove(self, _: Stage, /) -> list[str]:
        return []  # helm has done it

    def logs(self) -> list[str]:
        namespace = self.release.namespace
        return [f"kubectl logs -n {namespace} deployment/{self.release.name}"] if self.installed else []
