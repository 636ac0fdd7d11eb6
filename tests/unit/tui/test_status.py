"""`status`: what runs on this machine, and the cluster where it can be reached."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from msgspec import Struct

from bus.api import Cluster
from bus.errors import CredentialsError, Disconnected
from bus.layout import Layout
from bus.supervision import (
    Phase,
    ProcessHealth,
    ProcessStatus,
    SupervisorStatus,
    identify,
    write_status,
)
from bus.values import Resources
from tests.unit.tui.command import Corral

CLUSTER = Cluster(
    total_nodes=3,
    active_nodes=2,
    jobs={"pending": 1, "running": 2},
    tasks={"queued": 12_345, "running": 1},
    capacity=Resources(cpu_millis=8000, mem_mib=4096, gpus=2),
    allocated=Resources(cpu_millis=500, mem_mib=64, gpus=1),
    epoch=1,
    started_at=0.0,
    version="0.1.0",
    timeseries="community",
)


def answer(request: Struct) -> Struct:
    return CLUSTER


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CORRAL_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def supervised(data: Path, *, phase: Phase = Phase.RUNNING, node: str = "", health: str = "healthy") -> None:
    """As if this very test were the supervisor of one process."""
    identity = identify(os.getpid())
    assert identity is not None
    one = ProcessStatus(name="agent-n1", health=ProcessHealth(health), identity=identity, log="")
    layout = Layout(data)
    layout.supervisor.parent.mkdir(parents=True, exist_ok=True)
    write_status(
        layout.supervisor,
        SupervisorStatus(
            identity=identity, phase=phase, data=str(data), agents=1, started_at=0.0, updated_at=0.0,
            url="tls://h:4222", node=node, processes=[one],
        ),
    )  # fmt: skip


def test_both_are_shown(corral: Corral, data: Path) -> None:
    supervised(data)
    corral.answer = answer
    code, out, err = corral("status")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"Corral in {data}: running"
    facts = dict(line.split(None, 1) for line in out.split("\n\n")[1].splitlines())
    assert facts["nodes"] == "2 of 3 nodes active"
    assert facts["jobs"] == "1 pending, 2 running"
    assert facts["tasks"] == "12.3k queued, 1 running"
    assert facts["allocated"] == "0.5/8 cores, 64M/4.0G memory, 1/2 GPUs"
    assert "community" in facts["kept"]


def test_each_form(corral: Corral, data: Path) -> None:
    supervised(data)
    corral.answer = answer
    document = json.loads(corral("status", "-o", "json")[1])
    assert document["cluster"]["active_nodes"] == 2
    assert [process["name"] for process in document["processes"]] == ["supervisor", "agent-n1"]
    lines = corral("status", "-o", "jsonl")[1].splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["supervisor", "agent-n1"]
    assert corral("status", "-o", "name")[1] == "supervisor\nagent-n1\n"


def test_a_login_needs_no_processes(corral: Corral, data: Path) -> None:
    corral.answer = answer
    code, out, err = corral("status")
    assert (code, err) == (0, "")
    assert out.startswith("nodes ") and "PROCESS" not in out


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def connect(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr("bus.client.Client.connect", connect)


def test_without_either_the_way_to_begin_is_told(
    corral: Corral, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, CredentialsError("E_AUTH", "no credentials"))
    code, out, err = corral("status")
    assert (code, out) == (69, "")
    assert f"error[E_UNAVAILABLE]: nothing runs in {data}" in err and "corral up" in err


def test_a_login_to_a_cluster_that_is_away_says_so(
    corral: Corral, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, Disconnected("nobody at tls://h:4222"))
    code, _, err = corral("status")
    assert code == 69 and "nobody at tls://h:4222" in err


def test_processes_are_shown_where_the_cluster_is_silent(
    corral: Corral, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervised(data)
    raising(monkeypatch, Disconnected("nobody"))
    code, out, err = corral("status")
    assert code == 69 and "agent-n1" in out
    assert err == "the cluster does not answer: nobody\n"


def test_a_joined_machine_is_well_without_a_login(
    corral: Corral, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervised(data, node="n1")
    raising(monkeypatch, CredentialsError("E_AUTH", "no credentials"))
    code, out, err = corral("status")
    assert (code, err) == (0, "") and "agent-n1" in out


@pytest.mark.parametrize(
    ("phase", "health"), [(Phase.STOPPED, "stopped"), (Phase.RUNNING, "backoff"), (Phase.STARTING, "healthy")]
)
def test_what_is_not_well_ends_with_69(corral: Corral, data: Path, phase: Phase, health: str) -> None:
    supervised(data, phase=phase, health=health)
    corral.answer = answer
    assert corral("status")[0] == 69
