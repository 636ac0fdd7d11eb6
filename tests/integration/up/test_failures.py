"""What cannot start says why in one line, and leaves nothing running."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bus.supervision import read_status
from tests.integration.up.conftest import ROOT, TIMEOUT_S, Corral


@pytest.fixture
def fresh(folder: Path, request: pytest.FixtureRequest) -> Corral:
    """A command over a folder that was never started."""
    return Corral(folder / request.node.name)


def test_status_down_and_jobs_where_nothing_ever_ran(fresh: Corral) -> None:
    assert fresh("status").returncode == 69
    assert fresh("down").returncode == 0
    done = fresh("jobs")
    assert done.returncode == 4
    assert b"corral up" in done.stderr


def test_a_file_in_the_folders_place(fresh: Corral) -> None:
    fresh.data.write_text("not a folder")
    done = fresh("up", "--detach")
    assert done.returncode == 78
    assert done.stderr.decode().startswith(f"error[E_DATA]: cannot use the data folder {fresh.data}: ")


def test_a_remembered_port_that_another_program_took(fresh: Corral) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        fresh.data.mkdir()
        (fresh.data / "setup.json").write_text(json.dumps({"agents": 0, "nats_port": port}))
        done = fresh("up", "--detach")
    assert done.returncode == 78
    assert f"port {port}, remembered for NATS".encode() in done.stderr
    assert b"Traceback" not in done.stderr
    status = read_status(fresh.data / "supervisor.json")
    assert status is not None
    assert not status.identity.alive


def test_a_folder_that_is_no_database(fresh: Corral) -> None:
    (fresh.data / "postgres").mkdir(parents=True)
    fresh.data.chmod(0o755)
    (fresh.data / "postgres" / "thesis.txt").write_text("keep me")
    done = fresh("up", "--detach", "--agents", "0")
    assert done.returncode == 69
    assert b"postgresql does not start" in done.stderr
    assert b"postgresql.log" in done.stderr
    assert (fresh.data / "postgres" / "thesis.txt").read_text() == "keep me"


def test_a_folder_has_one_supervisor(corral: Corral) -> None:
    command = [sys.executable, "-m", "coordinator", "supervise", str(corral.data)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=TIMEOUT_S)
    assert done.returncode == 6
    assert b"another supervisor runs" in done.stderr


def test_two_at_once_start_one_cluster_in_a_folder_of_any_name(folder: Path) -> None:
    corral = Corral(folder / 'my "data" ข้อมูล 😀')
    both = [corral.start("up", "--detach") for _ in range(2)]
    try:
        words = [child.communicate(timeout=TIMEOUT_S)[1].decode() for child in both]
        assert [child.returncode for child in both] == [0, 0], words
        assert corral.ok("run", "--", "echo", "สวัสดี") == "สวัสดี\n"
    finally:
        corral("down")


def test_up_waits_for_a_down_and_goes_on_with_its_tasks(fresh: Corral) -> None:
    fresh.ok("up", "--detach", "--agents", "1")
    try:
        child = fresh.start("run", "--", "sh", "-c", "echo started; sleep 600")
        assert child.stdout is not None
        assert child.stdout.readline() == b"started\n"
        down = fresh.start("down")
        assert down.stderr is not None
        assert b"still running: corral up" in down.stderr.readline()
        fresh.ok("up", "--detach")
        down.communicate(timeout=TIMEOUT_S)
        assert down.returncode == 0
        task = fresh.document("tasks", "1")["tasks"][0]
        assert (task["state"], task["retries"], task["fence"]) == ("running", 0, 1)
        fresh.ok("cancel", "1")
        child.communicate(timeout=TIMEOUT_S)
    finally:
        fresh("down")
