"""`python -m sandbox up | down | status | env`."""

from __future__ import annotations

import os
import sys
import time

import click

import sandbox
from sandbox import emulator, report
from sandbox.errors import SandboxError
from sandbox.handle import Sandbox, shell_lines
from sandbox.paths import Layout


def say(line: str) -> None:
    click.echo(f"sandbox: {line}", err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """A Kubernetes control plane and an emulated AWS on this machine.

    \b
    KUBECONFIG            set by you: use that cluster, start no control plane
    AWS_ENDPOINT_URL      set by you: use that endpoint, start no emulated AWS
    SANDBOX_AWS=account   use the real AWS account of your credentials
    KUBEBUILDER_ASSETS    folder with etcd, kube-apiserver and kubectl to use instead of building them; the demo
                          also finds those of setup-envtest in its own folder
    HUMANGOV_SANDBOX_DIR  folder of the sandbox (default .build/sandbox); each folder is a separate sandbox
    HUMANGOV_CACHE        folder for downloads and builds that clones can share (default .build/cache)
    """


@cli.command()
@click.option("--kube/--no-kube", default=True, help="Kubernetes: etcd, API server, controllers.")
@click.option("--aws/--no-aws", default=True, help="The emulated AWS.")
@click.option("--node/--no-node", default=False, help="A node for pods. Needs root and Debian packages.")
def up(*, kube: bool, aws: bool, node: bool) -> None:
    """Start the sandbox, or its missing parts. The first start builds it, which takes about 5 minutes."""
    started = time.monotonic()
    running = sandbox.up(kubernetes=kube, aws=aws, node=node, say=say)
    click.echo("\n".join(summary(running, seconds=time.monotonic() - started)))


@cli.command()
@click.option("--purge", is_flag=True, help="Also delete its folder, including the logs.")
def down(*, purge: bool) -> None:
    """Stop the sandbox and delete its data. Logs stay until the next start."""
    sandbox.down(purge=purge, say=say)
    say("nothing remains: no process, mount, cgroup, socket or kernel setting")


@cli.command()
def status() -> None:
    """Show each part. Exit code 1 if a part is down, with the end of its log."""
    found = report.report()
    if not found.up:
        click.echo("The sandbox is not running. Start it with: make sandbox", err=True)
        sys.exit(1)
    if found.rows:
        click.echo(report.table(found.rows))
    for note in found.notes:
        click.echo(note, err=not found.healthy)
    sys.exit(0 if found.healthy else 1)


@cli.command()
def env() -> None:
    """Print variables for a shell: eval "$(make -s sandbox-env)"."""
    running = sandbox.current()
    if running is None:
        raise SandboxError("The sandbox, or a part of it, is not running. Start it with: make sandbox")
    click.echo("\n".join(shell_lines(running, os.environ)))


def summary(running: Sandbox, *, seconds: float) -> list[str]:
    lines = [f"The sandbox is up ({seconds:.1f} s)."]
    if running.kubeconfig is not None:
        lines.append(f"  Kubernetes  {running.kubeconfig}")
    if running.aws == "emulator":
        lines.append(f"  AWS         {running.aws_endpoint_url}, account {emulator.ACCOUNT}, {emulator.REGION}")
    elif running.aws == "endpoint":
        lines.append(f"  AWS         {running.aws_endpoint_url}")
    elif running.aws == "account":
        lines.append("  AWS         the real account of your credentials")
    return [
        *lines,
        f"  Logs        {Layout.of().logs}",
        'Use it:   eval "$(make -s sandbox-env)"   and then humangov, kubectl',
        "Try it:   docs/sandbox.md tells how to bring your own application",
        "Stop it:  make sandbox-down",
    ]


def main() -> None:
    """Run the command; whatever could be foreseen ends as a sentence and exit code 1."""
    try:
        cli(standalone_mode=True)
    except SandboxError as error:
        click.echo(f"sandbox: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        click.echo(f"sandbox: {error.strerror or error}{where}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo("sandbox: interrupted", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
