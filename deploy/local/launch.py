"""Become another program whose life is bound to the process that started it.

Run by path with `python -I -S launch.py PARENT SIGNAL UID GID COMMAND…`: gives up root when UID is not -1, asks the
kernel for SIGNAL (a number) when the parent with pid PARENT dies, and executes COMMAND (an absolute path) as itself.
A separate program instead of a `preexec_fn`, because running Python between fork and exec is unsafe once a process has
threads, and Python 3.12 and later warn about it.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PARENT_IS_GONE = 113


def main(arguments: list[str]) -> None:
    """Never returns: executes the command, or exits with `PARENT_IS_GONE` when its parent died too early."""
    parent, death_signal, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    if uid != -1:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After the change of user, which clears the request; before the look at the parent, which closes the gap between.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit(PARENT_IS_GONE)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
