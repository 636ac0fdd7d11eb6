"""What `corral join` is told of the machine reaches the agent's command line."""

from __future__ import annotations

from pathlib import Path

from agent.config import parse_arguments
from bus.setting_files import Files
from bus.settings import load
from tui.cli.join import agent_options
from tui.cli.parser import build

AGENT = ["--data", "/d", "--name", "n1", "--nats", "nats://h:1", "--credentials", "/c"]


def test_options_become_the_agents(tmp_path: Path) -> None:
    typed = [
        "--label",
        "zone=a",
        "--cpu",
        "2",
        "--net",
        "25Gbit",
        "--interface",
        "eth1=data",
        "--can",
        "text_generation",
        "--can",
        "translation",
    ]
    arguments = build("join").parse_args(["join", "tls://h:1", "token", *typed])
    files = Files(tmp_path / "none", tmp_path / "none")
    flags = {"agent.can": arguments.can, "agent.interfaces": arguments.interface}
    arguments.settings = load(flags, environment={}, files=files)
    config = parse_arguments([*AGENT, *agent_options(arguments)])
    assert config.can == ("text_generation", "translation")
    assert (config.labels, config.declared.cpu_millis) == ({"zone": "a"}, 2000)
    assert (config.declared.net_mbps, config.interfaces) == (25_000, {"eth1": "data"})


def test_capabilities_of_the_settings_count_where_none_is_typed(tmp_path: Path) -> None:
    arguments = build("join").parse_args(["join", "tls://h:1", "token"])
    files = Files(tmp_path / "none", tmp_path / "none")
    arguments.settings = load(environment={"CORRAL_AGENT_CAN": "a1,b2"}, files=files)
    assert parse_arguments([*AGENT, *agent_options(arguments)]).can == ("a1", "b2")
    arguments.settings = load(environment={}, files=files)
    assert agent_options(arguments) == []
