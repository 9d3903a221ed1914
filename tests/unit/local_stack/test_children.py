"""Processes of a stack: stopped, killed, orphaned and found again. All of them real."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.children import Child, ProcessRecord, eventually
from deploy.local.installation import REPOSITORY, Installation

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
PATIENT = "echo ready; sleep 600"
STUBBORN = "trap '' TERM; echo ready; while :; do sleep 1; done"
FAMILY = "sleep 600 & echo $!; wait"


async def spawn(child: Child, script: str) -> None:
    child.spawn(["/bin/sh", "-c", script], ENVIRONMENT, Path("/"))
    assert await eventually(lambda: child.output().endswith("\n"), 10)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_stop_lets_a_process_end_by_itself(installation: Installation) -> None:
    child = Child(installation, "patient")
    await spawn(child, PATIENT)
    assert child.pid is not None
    assert await child.stop(10)
    assert not child.running
    assert child.ending == "was ended by SIGTERM"
    assert not installation.pid_file("patient").exists()


async def test_what_ignores_sigterm_is_killed_after_the_deadline(installation: Installation) -> None:
    child = Child(installation, "stubborn")
    await spawn(child, STUBBORN)
    assert not await child.stop(0.2)
    assert child.ending == "was ended by SIGKILL"


async def test_kill_takes_what_the_process_forked(installation: Installation) -> None:
    child = Child(installation, "family")
    await spawn(child, FAMILY)
    grandchild = int(child.output())
    assert alive(grandchild)
    await child.kill()
    assert await eventually(lambda: not alive(grandchild), 10)


async def test_what_a_dead_process_forked_goes_with_it(installation: Installation) -> None:
    child = Child(installation, "family")
    await spawn(child, FAMILY)
    grandchild = int(child.output())
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    assert await eventually(lambda: not child.running, 10)
    assert await eventually(lambda: not alive(grandchild), 10)


async def test_a_failure_is_told_in_words_with_the_last_lines(installation: Installation) -> None:
    child = Child(installation, "failing")
    child.spawn(["/bin/sh", "-c", "echo no such host >&2; exit 3"], ENVIRONMENT, Path("/"))
    assert await eventually(lambda: not child.running, 10)
    assert not child.succeeded
    assert child.last_words() == f"failing ended with code 3. The end of {child.log_path}:\n    no such host"


async def test_a_child_does_not_outlive_a_supervisor_that_is_killed(installation: Installation) -> None:
    supervisor = (
        "import os, pathlib, signal, sys\n"
        "from deploy.local.children import Child\n"
        "from deploy.local.installation import Installation\n"
        "child = Child(Installation(pathlib.Path(sys.argv[1])), 'orphan')\n"
        "child.spawn(['/bin/sleep', '600'], {}, pathlib.Path('/'))\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.readline()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", supervisor, str(installation.root)],
        cwd=REPOSITORY,
        input="\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    orphan = int(done.stdout)
    assert await eventually(lambda: not alive(orphan), 10)


@pytest.mark.parametrize("script", [PATIENT, STUBBORN])
async def test_a_leftover_is_found_by_its_pid_file_and_stopped(installation: Installation, script: str) -> None:
    with subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE) as leftover:
        assert leftover.stdout is not None
        assert leftover.stdout.readline() == b"ready\n"
        record = ProcessRecord(installation.pid_file("worker"))
        record.write(leftover.pid)
        assert record.pid() == leftover.pid
        assert await Child(installation, "worker").stop_leftover(0.5)
        assert not alive(leftover.pid)
    assert not await Child(installation, "worker").stop_leftover(0.5)


async def test_a_process_that_got_the_pid_of_a_dead_one_is_left_alone(installation: Installation) -> None:
    installation.pid_file("worker").write_text(f"{os.getpid()} 1\n")  # our pid, but started at another time
    assert ProcessRecord(installation.pid_file("worker")).pid() is None
    assert not await Child(installation, "worker").stop_leftover(0.5)
