"""The units of deploy/systemd, read as systemd reads them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import click
import pytest

from app.cli import main as turumba
from app.commands.api import WORKERS_END_SECONDS
from app.lib.environment import variable_names
from app.settings import PREFIX, SECRETS, Settings, SmppdSettings, read_settings
from smpp_daemon.main import UNBIND_SECONDS

ROOT = Path(__file__).parents[3]
UNITS = ROOT / "deploy" / "systemd"
COMMON = UNITS / "turumba-.service.d" / "10-common.conf"
PROGRAMS = "/opt/turumba/venv/bin/"

SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
ONCE = ("turumba-migrate.service", "turumba-upgrade.service")
LASTING = [name for name in SERVICES if name not in (*ONCE, "turumba-smsc-sim.service")]
"""Our own processes that run until they are asked to end."""

Unit = dict[str, dict[str, list[str]]]


def parse(*files: Path) -> Unit:
    """Sections → keys → values, drop-ins after the file they add to (systemd.unit(5))."""
    sections: Unit = defaultdict(lambda: defaultdict(list))
    for file in files:
        section = ""
        for line in file.read_text().splitlines():
            if not line or line.startswith(("#", ";")):
                continue
            if match := re.fullmatch(r"\[(\w+)\]", line):
                section = match[1]
                continue
            key, equals, value = line.partition("=")
            assert equals, f"{file.name}: {line}"
            assert key.strip() == key, f"{file.name}: {line}"
            assert section, f"{file.name}: {line}"
            sections[section][key].append(value)
    return sections


def service(name: str) -> dict[str, list[str]]:
    return parse(UNITS / name, COMMON)["Service"]


def seconds(unit: dict[str, list[str]], key: str) -> int:
    (value,) = unit[key]
    return int(value)


def test_there_is_one_for_every_process() -> None:
    assert set(SERVICES) == {
        "turumba-api.service",
        "turumba-migrate.service",
        "turumba-relay.service",
        "turumba-scheduler.service",
        "turumba-smppd@.service",
        "turumba-smsc-sim.service",
        "turumba-upgrade.service",
        "turumba-worker@.service",
    }


def test_the_common_part_repeats_nothing_of_a_unit() -> None:
    """It comes second, so what both set would be silently the common one's."""
    common = parse(COMMON)
    for name in SERVICES:
        own = parse(UNITS / name)
        for section, keys in common.items():
            assert not (keys.keys() & own[section].keys()) - {"Environment"}, name


@pytest.mark.parametrize("name", SERVICES)
def test_starts_what_the_project_installs(name: str) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    unit = service(name)
    for line in unit["ExecStart"] + [line for line in unit["ExecReload"] if PROGRAMS in line]:
        program, *arguments = shlex.split(line)
        assert program.startswith(PROGRAMS)
        assert program.removeprefix(PROGRAMS) in scripts
        if program == f"{PROGRAMS}turumba":
            command: click.Command = turumba
            while isinstance(command, click.Group):
                found = command.get_command(click.Context(command), arguments.pop(0))
                assert found is not None, line
                command = found
            options = {option for parameter in command.params for option in parameter.opts}
            assert set(arguments) <= options


@pytest.mark.parametrize("name", LASTING)
def test_lasting_processes_notify_and_are_watched(name: str) -> None:
    unit = service(name)
    assert unit["Type"] == ["notify"]
    assert unit["NotifyAccess"] == ["main"]
    assert unit["KillMode"] == ["mixed"]
    assert unit["Restart"] == ["on-failure"]
    assert seconds(unit, "WatchdogSec") >= 10
    assert parse(UNITS / name, COMMON)["Unit"]["StartLimitIntervalSec"] == ["0"], "tried again for as long as it takes"
    assert parse(UNITS / name)["Install"]["WantedBy"] == ["turumba.target"]


@pytest.mark.parametrize("name", LASTING)
def test_stopping_leaves_time_to_drain(name: str) -> None:
    needed = {
        "turumba-api.service": WORKERS_END_SECONDS + 10,
        "turumba-smppd@.service": SmppdSettings().drain_seconds + UNBIND_SECONDS,
    }.get(name, 60)
    assert seconds(service(name), "TimeoutStopSec") > needed


@pytest.mark.parametrize("name", LASTING)
def test_the_schema_comes_first(name: str) -> None:
    unit = parse(UNITS / name, COMMON)["Unit"]
    assert "turumba-migrate.service" in unit["Requires"]
    assert "turumba-migrate.service" in " ".join(unit["After"]).split()
    migrate = service("turumba-migrate.service")
    assert migrate["Type"] == ["oneshot"]
    # Without it every restart after a crash would need the database to be there at that moment.
    assert migrate["RemainAfterExit"] == ["yes"]
    assert migrate["TimeoutStartSec"] == ["infinity"], "it waits for the database"


def test_an_upgrade_changes_the_schema_and_restarts_nothing() -> None:
    upgrade = service("turumba-upgrade.service")
    assert "RemainAfterExit" not in upgrade, "it can be started again"
    assert upgrade["LoadCredential"] == service("turumba-migrate.service")["LoadCredential"]
    for name in SERVICES:
        for key, values in parse(UNITS / name)["Unit"].items():
            assert "turumba-upgrade" not in " ".join(values), f"{name}: {key}"


@pytest.mark.parametrize("name", SERVICES)
def test_is_hardened(name: str) -> None:
    unit = service(name)
    yes = {"NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers", "MemoryDenyWriteExecute"}
    yes |= {"ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups"}
    yes |= {"ProtectClock", "ProtectHostname", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID"}
    yes |= {"LockPersonality", "RemoveIPC"}
    for key in yes:
        assert unit[key] == ["yes"], key
    assert unit["User"] == ["turumba"]
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == [""]
    assert unit["SystemCallFilter"][0] == "@system-service"
    assert set(unit["RestrictAddressFamilies"][0].split()) == {"AF_UNIX", "AF_INET", "AF_INET6"}
    assert unit["UMask"] == ["0077"]
    assert unit["LimitCORE"] == ["0"], "a core holds every secret"
    for key in ("LimitNOFILE", "MemoryMax", "TasksMax"):
        assert len(unit[key]) == 1, key


def test_every_variable_is_a_setting() -> None:
    known = {name for name, _, _ in variable_names(Settings, PREFIX)} | {f"{name}_FILE" for name in SECRETS}
    named: set[str] = set()
    for path in UNITS.rglob("*"):
        if path.is_file():
            named |= set(re.findall(r"\bTURUMBA_[A-Z_]+\b", path.read_text()))
    assert {"TURUMBA_ENCRYPTION_KEYS_FILE", "TURUMBA_SMPPD_ADMIN_SOCKET"} <= named
    assert named <= known


def test_the_example_is_accepted_with_all_it_proposes(tmp_path: Path) -> None:
    keys = tmp_path / "encryption-keys"
    keys.write_text("key-1:x\n")
    text = (UNITS / "turumba.env.example").read_text()
    lines = [line.removeprefix("#") for line in text.splitlines() if re.match(r"#?TURUMBA_[A-Z_]+=", line)]
    variables = dict(line.split("=", 1) for line in lines)
    settings = read_settings(variables | {"TURUMBA_ENCRYPTION_KEYS_FILE": str(keys)})
    assert settings.encryption_keys == "key-1:x"
    assert settings.smppd == SmppdSettings(), "commented values are the defaults"


@pytest.mark.parametrize("name", SERVICES)
def test_files_of_one_kind_of_process_override_those_of_all(name: str) -> None:
    files = service(name)["EnvironmentFile"]
    if files:
        assert files[0] == "-/etc/turumba/turumba.env"
        kind = re.sub(r"^turumba-|@?\.service$", "", name)
        assert set(files[1:]) <= {f"-/etc/turumba/{kind}.env", f"-/etc/turumba/{kind}@%i.env"}


def test_no_two_processes_of_a_host_have_the_same_metrics_port() -> None:
    ports = []
    for name in LASTING:
        for line in service(name)["Environment"]:
            if match := re.search(r"TURUMBA_METRICS_PORT=(\S+)", line):
                ports += (
                    [match[1].replace("%i", str(each)) for each in range(1, 10)] if "%i" in match[1] else [match[1]]
                )
    assert len(ports) == len(set(ports)) == 2 + 2 * 9


def installed(folder: Path) -> list[Path]:
    """The units as they would be installed, with our programs where they are here."""
    shutil.copytree(UNITS / COMMON.parent.name, folder / COMMON.parent.name)
    found = []
    for path in [*UNITS.glob("*.service"), *UNITS.glob("*.target")]:
        text = path.read_text().replace(PROGRAMS, f"{Path(sys.executable).parent}/")
        for copy in [path.name] if "@" not in path.name else [path.name, path.name.replace("@", "@1")]:
            (folder / copy).write_text(text)
            found.append(folder / copy)
    return [path for path in found if "@." not in path.name]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed: apt-get install --no-install-recommends systemd",
)


@needs_systemd
def test_systemd_accepts_them(tmp_path: Path) -> None:
    result = run("systemd-analyze", "verify", *map(str, installed(tmp_path)))
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@needs_systemd
def test_systemd_calls_their_exposure_ok(tmp_path: Path) -> None:
    for path in installed(tmp_path):
        if path.suffix == ".service":
            result = run("systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", str(path))
            assert result.returncode == 0, result.stdout + result.stderr


@needs_systemd
@pytest.mark.skipif(os.geteuid() != 0, reason="giving files to their owners takes root")
def test_the_user_and_the_directories_are_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    made = run("systemd-sysusers", f"--root={tmp_path}", str(UNITS / "turumba.sysusers.conf"))
    assert made.returncode == 0, made.stderr
    assert re.search(r"^turumba:x:\d+:\d+:", (tmp_path / "etc" / "passwd").read_text(), re.MULTILINE)
    (tmp_path / "etc" / "turumba").mkdir()
    (tmp_path / "etc" / "turumba" / "turumba.env").write_text("")
    (tmp_path / "etc" / "turumba" / "encryption-keys").write_text("")
    tidied = run("systemd-tmpfiles", f"--root={tmp_path}", "--create", str(UNITS / "turumba.tmpfiles.conf"))
    assert tidied.returncode == 0, tidied.stderr
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("etc/turumba", "etc/turumba/turumba.env")}
    assert modes == {"etc/turumba": 0o750, "etc/turumba/turumba.env": 0o640}
    assert (tmp_path / "etc/turumba/encryption-keys").stat().st_mode & 0o777 == 0o600
    assert str((tmp_path / "run/turumba/smppd.sock").readlink()) == "smppd-1.sock"
