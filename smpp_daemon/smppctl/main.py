"""`smppctl`: looks at running smppds and tells them what to do."""

import click

from smpp_daemon.smppctl.check import check
from smpp_daemon.smppctl.completion import completion
from smpp_daemon.smppctl.looking import errors, server, show, status
from smpp_daemon.smppctl.messages import cancel, orphans, query
from smpp_daemon.smppctl.reloading import reload
from smpp_daemon.smppctl.steering import drain, pause, rebind, resume, set_
from smpp_daemon.smppctl.testing import send
from smpp_daemon.smppctl.tracing import trace
from smpp_daemon.smppctl.watching import watch


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Look at running smppds, and tell them what to do.

    ACCOUNT is a channel's id, the start of one, a name, or a system_id. Every command knows --json, which prints one
    line, and --socket. Exit codes: 0 done, 1 not done or not all well, 2 a daemon is not reachable or the command line
    is wrong; `check` has its own.
    """


for command in (
    status,
    watch,
    show,
    errors,
    check,
    pause,
    resume,
    drain,
    rebind,
    set_,
    trace,
    send,
    query,
    cancel,
    orphans,
    reload,
    server,
    completion,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
