"""`smppctl watch` in a real pseudo-terminal, and what it draws."""

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from smpp_daemon.bind_health import BindState
from smpp_daemon.reports import AccountReport
from smpp_daemon.simulator import Script, Simulator, SimulatorSettings
from smpp_daemon.smppctl.watch.keys import keys
from smpp_daemon.smppctl.watch.model import Model, Seen, View
from smpp_daemon.smppctl.watch.picture import Picture, lines
from tests.smpp.daemon_harness import World, bound, daemon_settings, eventually, open_world, running
from tests.smpp.terminal import Terminal
from tests.smpp.test_smppctl_check import account, bind, daemon

WATCH = ("smpp_daemon.smppctl.main", "watch", "--interval", "0.2", "--socket")
ALTERNATE, NORMAL = b"\x1b[?1049h", b"\x1b[?1049l"
HIDDEN, VISIBLE = b"\x1b[?25l", b"\x1b[?25h"


def restored(terminal: Terminal) -> bool:
    """Whether the shell after it finds its terminal as it was."""
    output = bytes(terminal.output)
    return (
        output.rindex(ALTERNATE) < output.rindex(NORMAL)
        and output.rindex(HIDDEN) < output.rindex(VISIBLE)
        and terminal.settings == terminal.before
    )


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
async def test_it_shows_accounts_reacts_to_keys_and_tells_in_words_what_goes_down(
    environment: dict[str, str], daemon_database_url: str, tmp_path: Path, columns: int, lines: int
) -> None:
    settings = daemon_settings(environment, daemon_database_url, tmp_path)
    path = settings.smppd.admin_socket
    refusing = SimulatorSettings(script=Script(bind_status="RALYBND"))
    async with (
        Simulator() as operator,
        Simulator(refusing) as other,
        open_world(settings) as one,
        open_world(settings) as two,
    ):
        await one.make_channel(operator.port, binds=2, rate={"per_second": 200})
        await one.change(name="Alpha Telecom")
        await two.make_channel(other.port)
        await two.change(name="Beta Mobile")
        async with running(settings) as daemon:
            account = await bound(daemon, one, 2)
            await one.send(30)
            await eventually(lambda: account.counters.accepted == 30)
            async with Terminal(*WATCH, path, columns=columns, lines=lines) as terminal:
                shown = await terminal.until(lambda text: "Beta Mob" in text and "2/2" in text and "q quit" in text)
                assert "2 of 3 binds up" in shown
                assert "RabbitMQ ok" in shown
                assert "DLR/m" in shown
                assert ("CERT" in shown) == (columns > 100)
                assert re.search(r">Alpha Tel\S* +\S* *up +2/2", shown)
                assert f"#1 127.0.0.1:{operator.port} TRX bound" in shown
                assert "q quit" in terminal.screen.display[-1]
                terminal.type("j")
                await terminal.until(lambda text: re.search(r">Beta", text) and "RALYBND" in text)
                terminal.type("\x1b[A")
                await terminal.until(lambda text: re.search(r">Alpha", text))
                terminal.type("?")
                await terminal.until(lambda text: "pause or resume the account" in text)
                terminal.type("?")
                await terminal.until(lambda text: ">Alpha" in text)
                terminal.type("/mobile")
                await terminal.until(lambda text: "/mobile" in text and "Alpha" not in text)
                terminal.type("\r")
                await terminal.until(lambda text: "filter /mobile" in text and ">Beta" in text)
                terminal.type("\x1b")
                await terminal.until(lambda text: ">Alpha" in text or (">Beta" in text and "Alpha" in text))
                terminal.type("k\r")
                await terminal.until(lambda text: "results unpublished" in text and "Alpha Telecom" in text)
                for _ in range(6):
                    terminal.type("\x1b[6~")
                await terminal.until(lambda text: "enquire_link_seconds" in text)
                terminal.type("s")
                await terminal.until(lambda text: ">Alpha" in text)
                terminal.type("p")
                await terminal.until(lambda text: "Pause Alpha Telecom? y/n" in text)
                terminal.type("n")
                await terminal.until(lambda text: "Nothing was done" in text)
                terminal.type("py")
                await terminal.until(lambda text: re.search(r">Alpha\S* ?\S* +paused", text))
                terminal.type("py")
                await terminal.until(lambda text: re.search(r">Alpha\S* ?\S* +up", text))
                await operator.stop()
                await terminal.until(lambda text: "0 of 3 binds up" in text and " down " in text)
                await terminal.until(lambda text: "cannot connect to 127.0.0.1" in text)
                terminal.resize(100, 30)
                await terminal.until(lambda text: "q quit" in terminal.screen.display[29] and "LAG" in text)
                terminal.type("q")
                assert await terminal.ended() == 0
                await eventually(lambda: restored(terminal))


async def test_a_daemon_that_goes_and_comes_is_told_and_the_screen_goes_on(world: World) -> None:
    path = world.settings.smppd.admin_socket
    async with Terminal(*WATCH, path) as terminal:
        await terminal.until(lambda text: "There is no socket" in text)
        async with Simulator() as operator:
            await world.make_channel(operator.port)
            async with running(world.settings) as daemon:
                await bound(daemon, world)
                await terminal.until(lambda text: ">operator" in text and "1/1" in text)
            await terminal.until(lambda text: "There is no socket" in text)
        terminal.terminate()
        assert await terminal.ended() == 128 + 15
        await eventually(lambda: restored(terminal))


async def test_ctrl_c_leaves_the_terminal_as_it_was(world: World) -> None:
    async with Terminal(*WATCH, world.settings.smppd.admin_socket) as terminal:
        await terminal.until(lambda text: "There is no socket" in text)
        assert terminal.settings != terminal.before
        terminal.type("\x03")
        assert await terminal.ended() == 0
        await eventually(lambda: restored(terminal))


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"jq", ["j", "q"]),
        (b"\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[4~", ["up", "down", "page up", "page down", "home", "end"]),
        (b"\x1b", ["escape"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        (b"\r\n\x7f\x03", ["enter", "enter", "backspace", "interrupt"]),
        ("ä∞".encode(), ["ä", "∞"]),
        (b"\x1b[1;5C\x1b[200~\xff\x00\x1b[", []),
    ],
)
def test_octets_of_a_terminal_become_keys(octets: bytes, expected: list[str]) -> None:
    assert keys(octets) == expected


def picture_of(view: View, count: int) -> Model:
    model = Model()
    failing = bind(BindState.ERROR, last_error="RINVPASWD, retry in 60 s (try 2). The password is wrong. " * 3)
    accounts = [
        account(bind(certificate_days=3, tls=True), failing, channel_id=f"id-{number}", name=f"Operator {number}" * 3)
        for number in range(count)
    ]
    path = Path("/run/x.sock")
    report = AccountReport("2026-11-24T10:00:00Z", accounts[0], [], {"hosts": [], "window": 5}) if accounts else None
    model.take(Seen({path: daemon(*accounts)}, {}, report))
    model.view = view
    return model


@given(
    view=st.sampled_from(View),
    count=st.integers(0, 40),
    width=st.integers(10, 250),
    height=st.integers(4, 80),
    steps=st.lists(st.sampled_from(["j", "k", "G", "g", "page down", "p", "y", "/", "x", "escape", "enter", "?"])),
)
def test_the_picture_fills_any_terminal_exactly(
    view: View, count: int, width: int, height: int, steps: list[str]
) -> None:
    model = picture_of(view, count)
    console = Console(width=width, height=height, file=io.StringIO(), force_terminal=True)
    for step in steps:
        model.key(step)
    drawn = lines(model, console, width, height)
    assert len(drawn) == height
    printed = list(console.render(Picture(model), console.options.update(width=width, height=height)))
    rows = "".join(segment.text for segment in printed if not segment.control).split("\n")
    assert len(rows) == height
    assert {cell_len(row) for row in rows} == {width}


async def test_the_selected_account_stays_in_sight_in_a_long_list() -> None:
    model = picture_of(View.LIST, 60)
    console = Console(width=80, height=24, file=io.StringIO())
    for _ in range(70):
        model.key("j")
        shown = "\n".join(str(line) for line in lines(model, console, 80, 24))
        assert ">Operator" in shown
    assert model.current is not None
    assert model.current.account.channel_id == model.rows[-1].account.channel_id
