"""A real cluster, struck by everything for CHAOS_MINUTES (1 where nothing is said; 10 in a full check)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MINUTES = float(os.environ.get("CHAOS_MINUTES", "1"))
SEED = os.environ.get("CHAOS_SEED", "")
OVERHEAD_S = 420.0
"""Setting up, waiting for the last job, and the judge."""

CLEANING_S = 60.0
"""For a run that takes too long: it ends its cluster when it is asked to end."""


@pytest.mark.timeout(MINUTES * 60 + OVERHEAD_S + 2 * CLEANING_S)
def test_no_promise_is_broken(request: pytest.FixtureRequest) -> None:
    """In a process of its own: what a run prints says which seed it was, and where its logs are."""
    command = [sys.executable, "-m", "tests.chaos", "--minutes", str(MINUTES)]
    if SEED:
        command += ["--seed", SEED]
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            report, story = run.communicate(timeout=MINUTES * 60 + OVERHEAD_S)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGTERM)
            report, story = run.communicate(timeout=CLEANING_S)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{report}")
    assert run.returncode == 0, f"{report}\n{story[-20_000:]}"
