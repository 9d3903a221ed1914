"""An SMSC for development, tests and benchmarks: `smsc-sim` on the command line, `Simulator` in a test."""

from smpp_daemon.simulator.journal import Accepted
from smpp_daemon.simulator.originated import Message
from smpp_daemon.simulator.script import Rule, Script, read_script
from smpp_daemon.simulator.server import Simulator
from smpp_daemon.simulator.settings import SimulatorSettings, TlsFiles
from smpp_daemon.simulator.statistics import Statistics

__all__ = [
    "Accepted",
    "Message",
    "Rule",
    "Script",
    "Simulator",
    "SimulatorSettings",
    "Statistics",
    "TlsFiles",
    "read_script",
]
