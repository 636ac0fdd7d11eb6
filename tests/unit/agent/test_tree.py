"""Looking at processes: whose they are, and which one a pid meant."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from agent.guard import tree


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_process_keeps_its_start(child: subprocess.Popen[bytes]) -> None:
    assert tree.start_ticks(child.pid) == tree.start_ticks(child.pid) >= tree.start_ticks(os.getpid()) > 0
    assert tree.start_ticks(2**22 + 1) == 0, "nobody has this pid"


def test_only_the_process_that_was_meant_is_ended(child: subprocess.Popen[bytes]) -> None:
    ticks = tree.start_ticks(child.pid)
    assert tree.end_by_start([(child.pid, ticks + 1), (child.pid, 0)]) == 0
    assert child.poll() is None
    assert tree.end_by_start([(child.pid, ticks)]) == 1
    assert child.wait(20) == -signal.SIGKILL


def test_processes_are_counted_by_session_and_mark(child: subprocess.Popen[bytes]) -> None:
    """A mark without an attempt that runs is a stray."""
    env = {"CORRAL_GUARD": "/nowhere/n1", "CORRAL_TASK_ID": "7.1", "CORRAL_ATTEMPT": "2"}
    marked = subprocess.Popen(["/bin/sleep", "1000"], env=env, start_new_session=True)
    try:
        counted, strays = tree.count("/nowhere/n1", {child.pid: (7, 0, 1)})
        assert (counted, strays) == ({(7, 0, 1): 1}, [marked.pid])
        counted, strays = tree.count("/nowhere/n1", {child.pid: (7, 1, 2)})
        assert (counted, strays) == ({(7, 1, 2): 2}, [])
    finally:
        marked.kill()
        marked.wait()


def test_who_began_a_container_is_nobody_where_its_name_is_none() -> None:
    """The file that names it is not written yet, or is anything: a word that many groups have."""
    for name in ("", "/", "memory", "0" * 64, "g" * 64):
        assert tree.in_group(name) == set()
