"""A sandbox that is up, as tests, benches and the demo use it, and the variables that lead programs to it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox import emulator
from sandbox.choices import OWN_ENDPOINT_VARIABLE, OWN_KUBECONFIG_VARIABLE
from sandbox.paths import BIN, Layout
from sandbox.state import AwsSource, KubernetesSource, SandboxState


@dataclass(frozen=True)
class Sandbox:
    """Where all of a running sandbox is. None: not asked for, or the user's own affair."""

    root: Path
    kubernetes: KubernetesSource
    kubeconfig: Path | None
    kubectl: Path | None
    kube_cache: Path
    audit_log: Path | None
    """The API server's audit log, one JSON event a line; None on a cluster that is not ours."""
    aws: AwsSource
    aws_endpoint_url: str | None
    logs: Path

    def environment(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """A copy of `base` under which kubectl, boto3 and the operator talk to this sandbox alone."""
        removed = set(removed_variables(self, base))
        return {
            **{name: value for name, value in base.items() if name not in removed},
            **variables(self, base),
        }


def of(layout: Layout, state: SandboxState) -> Sandbox:
    return Sandbox(
        root=layout.root,
        kubernetes=state.kubernetes,
        kubeconfig=Path(state.kubeconfig) if state.kubeconfig else None,
        kubectl=Path(state.kubectl) if state.kubectl else None,
        kube_cache=layout.kube_cache,
        audit_log=layout.audit_log if state.kubernetes == "sandbox" else None,
        aws=state.aws,
        aws_endpoint_url=state.aws_endpoint_url,
        logs=layout.logs,
    )


def variables(sandbox: Sandbox, base: Mapping[str, str]) -> dict[str, str]:
    """What to set. A user's own endpoint keeps the user's own credentials and region, if there are any."""
    # BIN has kubectl where it is built, and humangov (`make setup`).
    folders = [str(folder) for folder in (sandbox.kubectl.parent if sandbox.kubectl else None, BIN) if folder]
    result = {"PATH": _path(folders, base.get("PATH", os.defpath))}
    if sandbox.kubeconfig is not None:
        result |= {"KUBECONFIG": str(sandbox.kubeconfig), "KUBECACHEDIR": str(sandbox.kube_cache)}
        if sandbox.kubernetes == "sandbox":
            result[OWN_KUBECONFIG_VARIABLE] = str(sandbox.kubeconfig)
    if sandbox.aws_endpoint_url is not None:
        access = {
            "AWS_ACCESS_KEY_ID": emulator.ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": emulator.SECRET,
            "AWS_DEFAULT_REGION": emulator.REGION,
        }
        if sandbox.aws == "endpoint":
            access |= {name: base[name] for name in access if base.get(name)}
        else:
            access |= {OWN_ENDPOINT_VARIABLE: sandbox.aws_endpoint_url, "AWS_REGION": emulator.REGION}
        result |= {
            "AWS_ENDPOINT_URL": sandbox.aws_endpoint_url,
            **access,
            # No emulator serves the endpoints that botocore makes of account numbers.
            "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    return result


def removed_variables(sandbox: Sandbox, base: Mapping[str, str]) -> list[str]:
    """What to unset: all that would lead a client past the endpoint, or give it other credentials."""
    if sandbox.aws_endpoint_url is None:
        return []
    strays = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"}
    strays |= {name for name in base if name.startswith("AWS_ENDPOINT_URL_")}
    if sandbox.aws == "emulator":
        strays |= {"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"}
    return sorted(strays & set(base))


def shell_lines(sandbox: Sandbox, base: Mapping[str, str]) -> list[str]:
    """For `eval "$(make -s sandbox-env)"`."""
    unset = [f"unset {name}" for name in removed_variables(sandbox, base)]
    export = [f"export {name}={shlex.quote(value)}" for name, value in variables(sandbox, base).items()]
    return unset + export


def _path(first: list[str], rest: str) -> str:
    """The folders in front, each named once however often this is applied."""
    others = [folder for folder in rest.split(os.pathsep) if folder not in first]
    return os.pathsep.join([*dict.fromkeys(first), *others])
