"""A whole cluster of three agents, started by the command itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
TIMEOUT_S = 90


class Corral:
    """The `corral` command over one data folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.environment = {**os.environ, "CORRAL_DATA": str(data), "PYTHONPATH": str(ROOT)}
        self.environment["CORRAL_AGENT_CONTAINERS"] = "none"  # they are tried elsewhere

    def __call__(self, *arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "tui", *arguments],
            cwd="/", env=self.environment, input=input, capture_output=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tui", *arguments],
            cwd="/", env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def ok(self, *arguments: str) -> str:
        """Its stdout; it must exit with 0."""
        done = self(*arguments)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def document(self, verb: str, *arguments: str) -> Any:
        """Its answer as JSON."""
        return json.loads(self.ok(verb, "-o", "json", *arguments))

    def processes(self) -> dict[str, dict[str, Any]]:
        """What `status` says of each process; it may be in any state."""
        document = json.loads(self("status", "-o", "json").stdout)
        return {process["name"]: process for process in document["processes"]}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that servers under accounts of their own can pass through (pytest's are closed)."""
    with tempfile.TemporaryDirectory(prefix="corral-up-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def corral(folder: Path) -> Iterator[Corral]:
    command = Corral(folder / "data")
    command.ok("up", "--detach", "--agents", "3")
    try:
        yield command
    finally:
        command("down")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children hear SIGINT, which a shell's background jobs are started to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
