"""The import rules: the contracts of pyproject.toml, and what really gets loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LOADED = """
import importlib, json, pkgutil, sys
before = set(sys.modules)  # what the interpreter's own site files load is not ours
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""

ENGINES = {"asyncpg", "nats", "nkeys", "psutil", "psycopg", "pynvml", "sqlite3", "uvloop"}


def loaded_by(*modules: str) -> set[str]:
    """Top-level modules that importing these, and all below them, brings in."""
    command = [sys.executable, "-c", LOADED, *modules]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(answer.stdout))


def test_the_contracts_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    answer = subprocess.run(
        [tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("core", ["coordinator.core", "agent.core"])
def test_a_core_loads_no_engine_and_no_event_loop(core: str) -> None:
    assert not loaded_by(core) & (ENGINES | {"asyncio", "textual", "sql"})


@pytest.mark.parametrize(
    "module", ["bus.values", "bus.spec", "bus.messages", "bus.api", "bus.subjects", "bus.units"]
)
def test_the_wire_format_loads_no_event_loop(module: str) -> None:
    assert not loaded_by(module) & (ENGINES | {"asyncio"})


def test_the_command_loads_neither_textual_nor_numpy() -> None:
    loaded = loaded_by("tui.cli", "tui.view", "tui.client", "tui.up", "bus.connection")
    assert not loaded & {"textual", "numpy", "sql", "coordinator", "agent"}


def test_a_list_loads_no_more_than_it_takes_to_ask() -> None:
    """Each of these takes longer to import than a request to be answered."""
    program = (
        "import sys; sys.argv = ['corral', 'jobs']; from tests.unit.tui.command import connection\n"
        "from bus.api import Jobs; from bus.client import Client; import bus.connection\n"
        "Client.connect = connection(lambda request: Jobs(jobs=[])); from tui.__main__ import main; main()\n"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in answer.stdout.split()}
    assert {"bus", "nats"} <= loaded
    assert not loaded & {"cryptography", "numpy", "textual", "psutil", "tomllib"}


def test_help_loads_no_event_loop_and_no_bus() -> None:
    program = "import sys; from tui.cli.dispatch import run; run(['--help']); print('asyncio' in sys.modules)"
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.splitlines()[-1] == "False"
