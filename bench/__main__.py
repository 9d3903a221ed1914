"""`python -m bench`: runs the benchmarks one after the other and appends what they say to docs/benchmarks.md."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from bench.harness import ROOT, say

NAMES = (
    "wire",
    "daemon",
    "throttle",
    "binds",
    "server",
    "auth",
    "ingest",
    "list",
    "contacts",
    "templates",
    "bulk",
    "fair",
)
PAGE = ROOT / "docs" / "benchmarks.md"
OF_EVERY_LINE = {"bench", "value", "unit", "higher_is_better", "reference", "ratio", "params", "samples", "version"}


def run(name: str) -> dict[str, Any] | None:
    """The JSON line of one benchmark; None when it failed."""
    say(f"== {name}")
    result = subprocess.run(
        [sys.executable, "-m", f"bench.{name}"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    lines = result.stdout.strip().splitlines()
    if result.returncode or not lines:
        say(f"{name} failed with {result.returncode}")
        return None
    line: dict[str, Any] = json.loads(lines[-1])
    return line


def row(line: dict[str, Any]) -> str:
    """One line of the table; figures beside the main one follow it."""
    more = "; ".join(
        f"{name} {_short(value)}" for name, value in line.items() if name not in OF_EVERY_LINE and "samples" not in name
    )
    value = f"{_short(line['value'])} {line['unit']}" + (f"; {more}" if more else "")
    reference = line["reference"]
    return f"| `{line['bench']}` | {value} | {reference['name']}: {_short(reference['value'])} | {line['ratio']} |"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_short(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return f"{value:,.0f}" if isinstance(value, int | float) and abs(value) >= 1000 else str(value)


def main(names: list[str]) -> None:
    lines = [line for name in names if (line := run(name)) is not None]
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    head = [f"## {datetime.now(UTC):%Y-%m-%d}, {machine}, everything on one machine", ""]
    table = ["| bench | value | reference of the same run | ratio |", "|---|---|---|---|", *map(row, lines)]
    with PAGE.open("a") as page:
        page.write("\n" + "\n".join([*head, *table]) + "\n")
    say(f"appended to {PAGE.relative_to(ROOT)}")
    if len(lines) < len(names):
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:] or list(NAMES))
