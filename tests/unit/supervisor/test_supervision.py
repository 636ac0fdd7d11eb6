"""The status file is read whole or not at all, and a pid is trusted only with its start time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.supervision import (
    Phase,
    ProcessIdentity,
    ProcessStatus,
    SupervisorStatus,
    boot_id,
    end_leftovers,
    end_process,
    identify,
    read_status,
    write_status,
)

DEAF = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
POLITE = "import time; print(flush=True); time.sleep(60)"


@pytest.fixture
def spawned() -> Iterator[list[subprocess.Popen[bytes]]]:
    children: list[subprocess.Popen[bytes]] = []
    yield children
    for child in children:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def spawn(children: list[subprocess.Popen[bytes]], program: str) -> subprocess.Popen[bytes]:
    """A child that has come as far as its first line."""
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    children.append(child)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def status(*processes: ProcessStatus) -> SupervisorStatus:
    me = identify(os.getpid())
    assert me is not None
    return SupervisorStatus(
        identity=me, phase=Phase.RUNNING, data="/d", agents=1, started_at=1.0, updated_at=2.0,
        processes=list(processes),
    )  # fmt: skip


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.json"
    written = status(ProcessStatus(name="nats", identity=identify(os.getpid()), address="127.0.0.1:4222"))
    write_status(path, written)
    assert read_status(path) == written
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["supervisor.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b"\xff\xfe"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "supervisor.json"
    assert read_status(path) is None
    path.write_bytes(content)
    assert read_status(path) is None


def test_the_same_pid_of_another_time_or_boot_is_not_alive() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert me.alive
    assert not ProcessIdentity(me.pid, me.started_ticks - 1, me.boot_id).alive
    assert not ProcessIdentity(me.pid, me.started_ticks, "another boot").alive


def test_a_zombie_is_nobody(spawned: list[subprocess.Popen[bytes]]) -> None:
    child = spawn(spawned, POLITE)
    child.kill()
    deadline = time.monotonic() + 10
    while identify(child.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert identify(child.pid) is None


def test_a_deaf_process_is_killed_after_the_bound(spawned: list[subprocess.Popen[bytes]]) -> None:
    child = spawn(spawned, DEAF)
    identity = identify(child.pid)
    assert identity is not None
    assert end_process(identity, signal.SIGTERM, timeout_s=0.05)
    assert child.wait(10) == -signal.SIGKILL


def test_leftovers_end_the_last_started_first_and_strangers_are_spared(
    spawned: list[subprocess.Popen[bytes]],
) -> None:
    children = [spawn(spawned, POLITE) for _ in range(3)]
    identities = [identify(child.pid) for child in children]
    stranger = ProcessIdentity(children[2].pid, 1, boot_id())
    names = end_leftovers(
        status(
            ProcessStatus(name="first", identity=identities[0], stop_signal=signal.SIGINT),
            ProcessStatus(name="second", identity=identities[1]),
            ProcessStatus(name="reused pid", identity=stranger),
            ProcessStatus(name="stopped"),
        )
    )
    assert names == ["second", "first"]
    assert children[1].wait(10) == -signal.SIGTERM
    assert children[0].wait(10) != 0
    assert children[2].poll() is None
