"""What the sandbox starts itself, and what of the user's it uses instead: decisions over variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.errors import SandboxError
from sandbox.paths import Layout
from sandbox.state import AwsSource, KubernetesSource

ACCOUNT_VARIABLE = "SANDBOX_AWS"
# `make sandbox-env` exports these beside the variables they repeat, so that a shell which uses one
# sandbox is not taken for a user who names a cluster or an endpoint of their own.
OWN_KUBECONFIG_VARIABLE = "HUMANGOV_SANDBOX_KUBECONFIG"
OWN_ENDPOINT_VARIABLE = "HUMANGOV_SANDBOX_AWS_ENDPOINT_URL"


@dataclass(frozen=True)
class Choice:
    """Where Kubernetes and AWS come from. `kubeconfig` and `aws_endpoint_url` are the user's own, if any."""

    kubernetes: KubernetesSource
    kubeconfig: str | None
    aws: AwsSource
    aws_endpoint_url: str | None
    node: bool = False
    """Whether the control plane of ours gets a node, on which pods run."""
    controllers: bool = True
    """Whether it gets the controller manager: without it, a deleted namespace stays, and nothing makes pods."""


def choose(
    environ: Mapping[str, str],
    layout: Layout,
    *,
    kubernetes: bool,
    aws: bool,
    node: bool = False,
    controllers: bool = True,
) -> Choice:
    kubeconfig = _users_kubeconfig(environ, layout) if kubernetes else None
    account = _real_account(environ) if aws else False
    endpoint = _users_endpoint(environ) if aws and not account else None
    aws_source: AwsSource
    if not aws:
        aws_source = "none"
    elif account:
        aws_source = "account"
    else:
        aws_source = "endpoint" if endpoint else "emulator"
    return Choice(
        kubernetes="none" if not kubernetes else "user" if kubeconfig else "sandbox",
        kubeconfig=kubeconfig,
        aws=aws_source,
        aws_endpoint_url=endpoint,
        node=node and kubernetes and not kubeconfig,
        controllers=controllers or node,
    )


def explain(choice: Choice) -> list[str]:
    """A line for each thing of the user's that is used."""
    lines = []
    if choice.kubernetes == "user":
        lines.append(f"KUBECONFIG is set: using the cluster of {choice.kubeconfig}, starting no control plane")
    if choice.aws == "endpoint":
        lines.append(f"AWS_ENDPOINT_URL is set: using {choice.aws_endpoint_url}, starting no emulated AWS")
    if choice.aws == "account":
        lines.append(f"{ACCOUNT_VARIABLE}=account: using the AWS account of your credentials, starting no emulated AWS")
    return lines


def _users_kubeconfig(environ: Mapping[str, str], layout: Layout) -> str | None:
    given = environ.get("KUBECONFIG")
    if not given or given in (str(layout.kubeconfig), environ.get(OWN_KUBECONFIG_VARIABLE)):
        return None
    return given


def _users_endpoint(environ: Mapping[str, str]) -> str | None:
    given = environ.get("AWS_ENDPOINT_URL")
    if not given or given == environ.get(OWN_ENDPOINT_VARIABLE):
        return None
    return given


def _real_account(environ: Mapping[str, str]) -> bool:
    """A real account is used only if it is asked for by name: a stray AWS_PROFILE must do no harm."""
    given = environ.get(ACCOUNT_VARIABLE, "")
    if given not in ("", "account", "emulator"):
        raise SandboxError(f"{ACCOUNT_VARIABLE}={given}: expected `account` (your real AWS account) or `emulator`.")
    return given == "account"
