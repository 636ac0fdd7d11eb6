"""`corral up --standby`: two coordinators, one of which waits; what hangs is seen, replaced, and killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.up.conftest import Corral

WAIT_S = 90.0


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[Corral]:
    command = Corral(folder / "pair")
    command.ok("up", "--detach", "--agents", "1", "--standby")
    try:
        yield command
    finally:
        command("down")


def roles(corral: Corral) -> dict[str, str]:
    return {
        name: process["role"]
        for name, process in corral.processes().items()
        if name.startswith("coordinator") and process["health"] == "healthy"
    }


def test_status_says_who_leads_and_who_stands_by(pair: Corral) -> None:
    until(lambda: roles(pair) == {"coordinator": "leading, epoch 1", "coordinator-2": "standing by"}, "roles")
    table = pair.ok("status")
    assert "leading, epoch 1" in table and "standing by" in table
    assert pair.document("status")["cluster"]["epoch"] == 1


def test_a_stopped_leader_is_replaced_and_then_restarted(pair: Corral) -> None:
    """SIGSTOP: no supervisor hears of an end. The standby leads; the hung one is killed, and stands by."""
    pid = pair.processes()["coordinator"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    until(lambda: roles(pair).get("coordinator-2") == "leading, epoch 2", "the other one leads")
    assert pair.ok("run", "--", "echo", "led") == "led\n"
    until(lambda: "no word of it" in pair.processes()["coordinator"]["message"], "it is seen to hang")
    until(lambda: pair.processes()["coordinator"]["pid"] not in (None, pid), "it is killed")
    print(f"hung coordinator: killed after {time.monotonic() - stopped_s:.1f} s")
    until(lambda: roles(pair) == {"coordinator": "standing by", "coordinator-2": "leading, epoch 2"}, "roles")
    assert pair.processes()["coordinator"]["restarts"] == 1
    assert "hung: no word of it" in (pair.data / "logs" / "supervisor.log").read_text()


def test_a_stopped_nats_server_is_killed_and_comes_back(pair: Corral) -> None:
    pid = pair.processes()["nats"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    until(lambda: pair.processes()["nats"]["pid"] not in (None, pid), "it is killed")
    print(f"hung nats-server: killed after {time.monotonic() - stopped_s:.1f} s")
    until(lambda: pair("run", "--", "echo", "back").stdout == b"back\n", "work goes on")


def test_the_standby_is_remembered_until_told_otherwise(pair: Corral) -> None:
    pair.ok("down")
    pair.ok("up", "--detach")
    assert "coordinator-2" in pair.processes()
    done = pair("up", "--detach", "--no-standby")
    assert b"corral up --no-standby" in done.stderr
    pair.ok("down")
    pair.ok("up", "--detach", "--no-standby")
    assert "coordinator-2" not in pair.processes()
