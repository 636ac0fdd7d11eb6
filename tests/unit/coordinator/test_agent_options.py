"""What an operator sets for the agents of a machine reaches them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import MIB, Config, parse_arguments
from agent.scrubbing import Scrubs
from bus.setting_files import Files
from bus.settings import load
from coordinator.supervise import agent_options

AGENT = ("--data", "/x", "--name", "n1", "--nats", "nats://h", "--credentials", "/c")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(user=tmp_path / "user.toml", system=tmp_path / "system.toml")


def agent(files: Files, **environment: str) -> Config:
    return parse_arguments([*AGENT, *agent_options(load(environment=environment, files=files))])


def test_what_nobody_sets_is_as_agents_have_it_by_themselves(files: Files) -> None:
    said, alone = agent(files), parse_arguments(AGENT)
    assert (said.copy_bytes_per_s, said.scrubs) == (alone.copy_bytes_per_s, alone.scrubs)


def test_the_pace_of_copies_and_scrubs(files: Files) -> None:
    files.user.write_text("[agent]\ncopy_rate = 0\nscrub_rate = 3\n")
    files.user.chmod(0o600)
    said = agent(files, CORRAL_AGENT_SCRUB_EVERY="2", CORRAL_AGENT_STORE="1GiB")
    assert said.copy_bytes_per_s == 0.0
    assert said.scrubs == Scrubs(every_s=7200.0, bytes_per_s=3.0 * MIB)
    assert said.store_bytes == 1024 * MIB
