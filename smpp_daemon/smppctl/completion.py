"""The command `completion`: a script for the shell."""

import click
from click.shell_completion import get_completion_class

PROGRAM = "smppctl"
VARIABLE = "_SMPPCTL_COMPLETE"


@click.command(
    short_help="Print what makes a shell complete.",
    epilog="Example: smppctl completion bash > /etc/bash_completion.d/smppctl",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options and the names of accounts.

    bash: `smppctl completion bash > /etc/bash_completion.d/smppctl`. zsh: put it as `_smppctl` into a folder of $fpath.
    fish: `smppctl completion fish > ~/.config/fish/completions/smppctl.fish`.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    maker = kind(context.find_root().command, {}, PROGRAM, VARIABLE)
    # Without `source()`, which looks at the version of the shell that happens to be installed here.
    click.echo(maker.source_template % maker.source_vars())
