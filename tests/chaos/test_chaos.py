"""A real cluster, struck by everything for CHAOS_MINUTES (1 where nothing is said; 10 in a full check)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MINUTES = float(os.environ.get("CHAOS_MINUTES", "1"))
SEED = os.environ.get("CHAOS_SEED", "")
OVERHEAD_S = 420.0
"""Setting up, waiting for the last job, and the judge."""


@pytest.mark.timeout(MINUTES * 60 + OVERHEAD_S + 30)
def test_no_promise_is_broken(request: pytest.FixtureRequest) -> None:
    """In a process of its own: what a run prints says which seed it was, and where its logs are."""
    command = [sys.executable, "-m", "tests.chaos", "--minutes", str(MINUTES)]
    if SEED:
        command += ["--seed", SEED]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=MINUTES * 60 + OVERHEAD_S,
    )
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-20_000:]}"
