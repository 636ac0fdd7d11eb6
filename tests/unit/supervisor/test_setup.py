"""Ports and the number of agents are remembered; names of machines and people become legal."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.values import is_name
from coordinator.supervisor.services import agent_names, share_of_machine
from coordinator.supervisor.setup import Setup, SetupError, choose_ports, legal_name, load, save


def test_nothing_remembered_is_the_default(tmp_path: Path) -> None:
    assert load(tmp_path / "setup.json") == Setup()


def test_what_was_chosen_is_remembered_and_kept(tmp_path: Path) -> None:
    chosen = choose_ports(Setup(agents=3), data=tmp_path)
    save(tmp_path / "setup.json", chosen)
    assert load(tmp_path / "setup.json") == chosen
    assert chosen.agents == 3
    assert choose_ports(chosen, data=tmp_path) == chosen


def test_a_taken_port_that_was_remembered_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SetupError, match=f"port {port}.*NATS.*setup.json.*another program"):
            choose_ports(Setup(nats_port=port), data=tmp_path)


def test_a_taken_port_that_was_not_remembered_is_passed_over(tmp_path: Path) -> None:
    first = choose_ports(Setup(), data=tmp_path).nats_port
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        assert choose_ports(Setup(), data=tmp_path).nats_port != first


@pytest.mark.parametrize("text", ["{", '{"agents": "many"}', '{"agent": 1}'])
def test_a_damaged_setup_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "setup.json").write_text(text)
    with pytest.raises(SetupError, match=r"setup\.json"):
        load(tmp_path / "setup.json")


@given(st.text(max_size=100))
def test_every_name_becomes_legal(text: str) -> None:
    assert is_name(legal_name(text, otherwise="node"))


@given(st.text(max_size=100), st.integers(0, 64))
def test_agents_of_one_machine_have_legal_names_of_their_own(host: str, agents: int) -> None:
    names = agent_names(legal_name(host, otherwise="node"), agents)
    assert len(set(names)) == agents
    assert all(is_name(name) and is_name(f"agent-{name[:57]}") for name in names)


def test_agents_together_offer_the_machine_once() -> None:
    cores = len(os.sched_getaffinity(0))
    assert share_of_machine(1) is None
    for agents in range(2, 9):
        share = share_of_machine(agents)
        assert share is not None
        assert share.cpu_millis >= 1000
        assert agents > cores or share.cpu_millis * agents <= cores * 1000
        assert share.mem_mib * agents <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
