"""An SMSC for development, tests and benchmarks: `smsc-sim` on the command line, `Simulator` in a test."""

from smpp_daemon.simulator.journal import Accepted
from smpp_daemon.simulator.script import Rule, Script, read_script
from smpp_daemon.simulator.server import Simulator, SimulatorSettings, Statistics

__all__ = ["Accepted", "Rule", "Script", "Simulator", "SimulatorSettings", "Statistics", "read_script"]
