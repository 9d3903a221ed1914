"""What is said about smppctl, smppd and smsc-sim is what they do."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import prometheus_client
import pytest

from app.settings import SmppdSettings
from smpp_daemon import bind_health, metrics, reports
from smpp_daemon.simulator import Simulator
from smpp_daemon.simulator.main import main as simulator
from smpp_daemon.smppctl.main import main
from tests.smpp.daemon_harness import World, bound, running

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "deploy" / "man"
COMMON = {"--socket", "--json", "--help"}


def leaves(command: click.Command = main, *path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from leaves(each, *path, name)
    else:
        yield " ".join(path), command


def page(name: str) -> str:
    """A page without the marks of roff."""
    text = re.sub(r"\\f[A-Z]", "", (PAGES / name).read_text())
    return text.replace("\\-", "-").replace("\\(aq", "'")


COMMANDS = dict(leaves())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_explains_every_command_and_option(name: str) -> None:
    heading = re.compile(rf'^\.SS "{re.escape(name)}( .*)?"$', re.MULTILINE)
    found = heading.search(page("smppctl.1"))
    assert found is not None
    section = page("smppctl.1")[found.end() :].partition("\n.S")[0]
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[0] in COMMON or f".BI {parameter.opts[0]}" in section
            if parameter.show_default is True:
                assert f"Default: {parameter.default}." in section
        else:
            assert parameter.make_metavar(click.Context(COMMANDS[name])).strip("[]") in found.group(0)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_speaks_json(name: str) -> None:
    command = COMMANDS[name]
    assert command.epilog
    assert f"smppctl {name}" in command.epilog
    options = {option for parameter in command.params for option in parameter.opts}
    if name != "completion":
        assert "--socket" in options
    assert ("--json" in options) == (name not in ("completion", "watch"))
    context = click.Context(command, info_name=f"smppctl {name}")
    assert max(map(len, command.get_help(context).splitlines())) <= 100


def test_no_page_speaks_of_commands_that_are_not_there() -> None:
    told = {" ".join(re.findall(r"[a-z]+", line)) for line in re.findall(r'^\.SS "([a-z ]+)', page("smppctl.1"), re.M)}
    assert told == set(COMMANDS)


def test_the_simulator_s_page_names_every_option() -> None:
    for parameter in simulator.params:
        assert isinstance(parameter, click.Option)
        assert f".BI {parameter.opts[0]}" in page("smsc-sim.1") or parameter.opts[0] == "--help"


def test_the_daemon_s_page_names_every_setting() -> None:
    for field in SmppdSettings.__struct_fields__:
        assert f"TURUMBA_SMPPD_{field.upper()}" in page("smppd.8")


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
@pytest.mark.parametrize("name", ["smppctl.1", "smppd.8", "smsc-sim.1"])
def test_man_finds_nothing_wrong(name: str) -> None:
    shown = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(PAGES / name)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
    )
    assert shown.stderr == ""
    assert "SEE ALSO" in shown.stdout


def test_the_documentation_names_every_command_field_and_metric() -> None:
    text = (ROOT / "docs" / "smppctl.md").read_text()
    missing = [name for name in COMMANDS if not re.search(rf"\b{name.split()[0]}\b", text)]
    structs = [
        each
        for module in (reports, bind_health)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, msgspec.Struct)
    ]
    missing += [
        f"{struct.__name__}.{field}"
        for struct in structs
        for field in struct.__struct_fields__
        if f"`{field}`" not in text
    ]
    own = (metrics.command_status, metrics.accounts, metrics.queue_consumers, metrics.receipt_lag_seconds)
    missing += [each._name for each in own if each._name not in text]
    assert not missing


def test_no_metric_of_the_daemon_has_an_id_in_its_labels() -> None:
    names = {
        label
        for each in vars(metrics).values()
        if isinstance(each, prometheus_client.metrics.MetricWrapperBase)
        for label in each._labelnames
    }
    assert names == {"class", "state", "hold", "status", "outcome", "whose"}


@pytest.mark.parametrize(("shell", "words"), [("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete --")])
def test_completion_is_printed_for_each_shell(shell: str, words: str) -> None:
    shown = _smppctl("completion", shell)
    assert words in shown
    assert "_SMPPCTL_COMPLETE" in shown


async def test_accounts_are_completed_from_the_running_daemon(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Simulator() as operator:
        await world.make_channel(operator.port)
        async with running(world.settings) as daemon:
            await bound(daemon, world)

            def complete(words: str) -> str:
                return _smppctl(
                    _SMPPCTL_COMPLETE="bash_complete",
                    COMP_WORDS=words,
                    COMP_CWORD=str(len(words.split(" ")) - 1),
                )

            assert await asyncio.to_thread(complete, f"smppctl show --socket {path} op") == "plain,operator\n"
            assert not (await asyncio.to_thread(complete, f"smppctl show --socket {path} x")).strip()
            assert "plain,drain" in await asyncio.to_thread(complete, "smppctl d")


def _smppctl(*arguments: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", "from smpp_daemon.smppctl.main import main; main(prog_name='smppctl')", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | environment,
    ).stdout
