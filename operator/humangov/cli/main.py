"""`humangov`: the group of commands. Each command is a module beside this one, loaded when it is called.

kopf, the Kubernetes client and boto3 take long to load: a command loads only what it needs.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from humangov import __version__
from humangov.cli import terminal
from humangov.cli.options import CONTEXT
from humangov.logs import printable

# The first sentence of each command's help, so that the list of commands loads none of them; a test compares them.
_SUMMARIES = {
    "approve": "Let a state erase again after its erasure limit.",
    "check": "Check table and bucket before a manifest is applied.",
    "checkpoint": "Write a checkpoint of receipts to a bucket.",
    "completion": "Print the script that completes commands and options in a shell.",
    "install-check": "Check whether an installation of the operator works.",
    "leaks": "List leaked AWS resources.",
    "plan": "Show what the operator would change in AWS.",
    "receipts": "Show which files were erased, and when.",
    "redrive": "Retry failed invocations.",
    "report": "Write a report of erasures, from receipts and orphan lists.",
    "run": "Run the operator.",
    "start": "Start what `humangov stop` has stopped.",
    "stop": "Stop the erasure of files.",
    "sweep": "Find orphans: files that no record names.",
    "uninstall-check": "Check whether the operator can be uninstalled.",
    "verify": "Verify that no receipt was altered, inserted or removed.",
}
_HIDDEN = ("final-read",)  # for the operator's Jobs
COMMANDS = (*_SUMMARIES, *_HIDDEN)


def load(name: str) -> click.Command:
    """The command of this name, with its options: `command` in the module that is named after it."""
    command: click.Command = import_module(f"humangov.cli.{name.replace('-', '_')}").command
    return command


class LazyGroup(click.Group):
    """A group that lists its commands without loading them."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        return load(cmd_name) if cmd_name in self.commands else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """From here on a command is at work; `run` logs what it does."""
        name, command, rest = super().resolve_command(ctx, args)
        if name and name != "run" and not ctx.resilient_parsing:
            terminal.begin_progress(name)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """An error may quote a name that a tenant chose; what nobody expected would reach the terminal as it is."""
        try:
            return super().invoke(ctx)
        except (click.Abort, click.exceptions.Exit, BrokenPipeError):  # `| head` has read enough: click ends quietly
            raise
        except click.UsageError as error:
            text = "\n".join(map(printable, error.format_message().split("\n")))
            raise click.UsageError(text, ctx=error.ctx) from error
        except click.ClickException as error:
            raise click.ClickException(printable(error.message)) from error
        except Exception as error:
            terminal.show_failure(error)
            sys.exit(1)
        finally:
            terminal.end_progress()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Group(commands=self.commands).format_commands(ctx, formatter)


_STAND_INS = [
    *(click.Command(name, help=summary) for name, summary in _SUMMARIES.items()),
    *(click.Command(name, hidden=True) for name in _HIDDEN),
]


@click.group(cls=LazyGroup, commands=_STAND_INS, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="humangov")
def main() -> None:
    """The HumanGovState operator: erases the files of deleted records, with one manifest per tenant.

    AWS credentials come from the SDK's default chain (environment, IRSA, Pod Identity, profile). The cluster is the
    pod's own, or the one in KUBECONFIG.
    """
