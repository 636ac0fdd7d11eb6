"""A run whose test does not end by its time limit is ended, and says where it hung."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALL = """
import time

def test_one():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""
TEARDOWN = """
import time, pytest

@pytest.fixture
def slow():
    yield
    time.sleep(60)

def test_one(slow):
    time.sleep(60)
"""
EXIT = """
import threading, time

def test_one():
    threading.Thread(target=time.sleep, args=(60,)).start()
"""


def run(folder: Path, text: str, *, grace_s: float) -> tuple[int, str]:
    (folder / "test_hangs.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.watchdog", "--timeout=0.2", "-q", "test_hangs.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CORRAL_TESTS_GRACE_S": str(grace_s)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "where"), [(CALL, "in test_one"), (TEARDOWN, "in slow"), (EXIT, "in _shutdown")]
)
def test_a_hang_is_ended_wherever_it_is(tmp_path: Path, text: str, where: str) -> None:
    code, said = run(tmp_path, text, grace_s=0.5)
    assert code == 1 and "Timeout (0:00:0" in said and where in said, said


def test_a_run_that_ends_is_left_alone(tmp_path: Path) -> None:
    code, said = run(tmp_path, "def test_one():\n    pass\n", grace_s=40)
    assert code == 0 and "Timeout" not in said, said
