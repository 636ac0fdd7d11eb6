"""The wire format is pure: no I/O library is loaded by importing it, so cores and commands may."""

from __future__ import annotations

import subprocess
import sys

import pytest

PURE = ["values", "units", "subjects", "storage", "permissions", "messages", "spec", "api", "codec", "errors"]


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_load_no_io(module: str) -> None:
    program = (
        f"import sys, bus.{module}; "
        "print(*sorted({'asyncio', 'nats', 'nkeys', 'socket', 'ssl'} & sys.modules.keys()))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""


def test_the_client_loads_nats_only_to_connect() -> None:
    program = "import sys, bus.client; print(*(name in sys.modules for name in ('nats', 'numpy', 'textual')))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False"] * 3
