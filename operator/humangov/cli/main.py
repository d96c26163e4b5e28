"""`humangov`: its commands, each a module of its own beside this one, and loaded when it is called.

The operator's parts are heavy (kopf, the Kubernetes client, boto3): what needs none of them does not wait for them.
"""

from __future__ import annotations

from importlib import import_module

import click

from humangov import __version__
from humangov.cli.options import CONTEXT

# The first sentence of each command's help, so that the list of commands loads none of them; a test compares them.
_SUMMARIES = {
    "leaks": "Find what AWS still has of tenants whose HumanGovState is gone, and with --delete remove it.",
    "plan": "Show what the operator would change in AWS for a manifest.",
    "receipts": "Show what was erased, when, and what proves it: the receipts in the function's log group.",
    "redrive": "Handle what the cleanup function could not: the failed invocations under aws/lambda/ in the bucket of "
    "failures.",
    "run": "Watch HumanGovStates and keep their AWS objects as declared, until SIGTERM.",
    "sweep": "Find the files that no record names, and in mode delete erase those that two sweeps have seen.",
    "uninstall-check": "Tell whether the operator may be uninstalled: not while HumanGovStates have AWS objects that "
    "only it removes.",
}
_HIDDEN = ("final-read",)  # for the operator's Jobs
COMMANDS = (*_SUMMARIES, *_HIDDEN)


def load(name: str) -> click.Command:
    """The command of this name, with its options: `command` in the module that is named after it."""
    command: click.Command = import_module(f"humangov.cli.{name.replace('-', '_')}").command
    return command


class LazyGroup(click.Group):
    """A group whose commands are stand-ins with a line of help until one of them is called."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        return load(cmd_name) if cmd_name in self.commands else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Group(commands=self.commands).format_commands(ctx, formatter)


_STAND_INS = [
    *(click.Command(name, help=summary) for name, summary in _SUMMARIES.items()),
    *(click.Command(name, hidden=True) for name in _HIDDEN),
]


@click.group(cls=LazyGroup, commands=_STAND_INS, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="humangov")
def main() -> None:
    """The HumanGovState operator: the files of deleted records are erased, one manifest a tenant.

    AWS credentials come from where every AWS SDK looks for them (environment, IRSA, Pod Identity, profile); the
    cluster is the pod's own, or that of KUBECONFIG.
    """
