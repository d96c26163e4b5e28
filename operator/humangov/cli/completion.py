"""`humangov completion`: the script that completes commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from humangov.cli import options, terminal

PROGRAM = "humangov"
# click's own name of the variable by which the script asks the program.
_VARIABLE = "_HUMANGOV_COMPLETE"


@click.command("completion", context_settings=options.CONTEXT)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(*, shell: str) -> None:
    """Print the script that completes commands and options in a shell.

    bash: `source <(humangov completion bash)` in ~/.bashrc. zsh: the same with zsh in ~/.zshrc, after compinit. fish:
    `humangov completion fish > ~/.config/fish/completions/humangov.fish`. kubectl completes `kubectl humangov`
    automatically where its own completion is set up.
    """
    from humangov.cli.main import main

    completing = get_completion_class(shell)
    if completing is None:  # click has all three
        raise click.ClickException(f"no completion for {shell}")
    terminal.show(*completing(main, {}, PROGRAM, _VARIABLE).source().splitlines())
