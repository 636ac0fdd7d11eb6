"""Nodes, tools, tags and artifacts come in by commands, and work goes to the agents that can do it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.up.conftest import Corral

TAKEN_S = 20.0
"""Within this a file that a task left is an artifact."""

ANALYZER = """
name = "text_analyzer"
version = "1.0.0"
description = "Text analysis"
category = "analysis"
command = ["cat", "{{input}}"]
node = "{node}"

[input_schema]
type = "object"
required = ["text"]
"""


@pytest.fixture(scope="module")
def corral(folder: Path) -> Iterator[Corral]:
    """One agent, of which its operator says what it can."""
    command = Corral(folder / "data")
    command.ok("up", "--detach", "--can", "text_generation", "--can", "translation")
    try:
        yield command
    finally:
        command("down")


@pytest.fixture(scope="module")
def node(corral: Corral) -> str:
    (only,) = corral.document("worker", "ls")
    return str(only["node"])


@pytest.mark.contract("S4.2", "S3.32")
def test_a_started_agent_is_a_node_with_what_it_can(corral: Corral, node: str) -> None:
    (agent,) = corral.document("worker", "ls")
    assert (agent["id"], agent["status"], agent["running"]) == (node, "active", 0)
    assert agent["version"] and agent["capacity_cpu_millis"] > 0 and agent["seen_s"] < 60
    assert {"NLPAgent", "CodeAgent", "DataAgent"} <= set(agent["types"])
    levels = agent["capabilities"]
    assert levels["text_generation"] == levels["translation"] == levels["wordcount"] == 1.0
    assert node in corral.ok("nodes", "-o", "name").split()


@pytest.mark.contract("S3.33", "S3.34")
def test_a_tool_and_its_tag(corral: Corral, node: str, folder: Path) -> None:
    file = folder / "analyzer.toml"
    file.write_text(ANALYZER.format(node=node))
    corral.ok("tool", "add", str(file))
    corral.ok("tool", "tag", "text_analyzer", "nlp")
    assert "text_analyzer@1.0.0" in corral.ok("tool", "ls", "--tag", "nlp", "-o", "name").split()
    assert corral("tool", "add", str(file)).returncode == 2, "a version is added once"
    assert corral("tool", "call", "text_analyzer", "--input", '{"a": 1}').returncode == 2
    corral.ok("tool", "call", "text_analyzer", "--input", '{"text": "a"}')


@pytest.mark.contract("S3.34")
def test_an_artifact_of_a_person(corral: Corral, folder: Path) -> None:
    file = folder / "analysis_result.json"
    file.write_bytes(b"x" * 2048)
    corral.ok("artifact", "put", str(file))
    shown = corral.document("artifact", "show", "analysis_result.json")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (shown["size"], shown["pointer"]) == (2048, f"corral://{sha256}")


@pytest.mark.contract("S4.6")
def test_a_call_goes_to_an_agent_that_can(corral: Corral) -> None:
    for capability in ("text_generation", "sorcery"):
        corral.ok("tool", "add", f"by_{capability}", "--capability", capability, "--", "true")
    corral.ok("tool", "call", "by_text_generation")
    corral.ok("tool", "call", "by_sorcery", "--no-wait")
    assert "corral up --can sorcery" in corral.ok("why", "@last")
    corral.ok("cancel", "@last")


def test_a_plot_is_an_artifact_of_its_tool(corral: Corral, folder: Path) -> None:
    answer = json.loads(corral.ok("tool", "call", "data_visualization", "--input", '{"data": [3, 1, 2]}'))
    deadline = time.monotonic() + TAKEN_S
    while (told := corral.document("artifact", "ls", "@last")["artifacts"]) == []:
        assert time.monotonic() < deadline
    (plot,) = told
    assert (plot["name"], plot["size"], plot["sha256"]) == ("plot.svg", answer["bytes"], answer["sha256"])
    corral.ok("artifact", "get", plot["id"], "--to", str(folder / "plot.svg"))
    assert (folder / "plot.svg").read_text() == answer["svg"]
    (use,) = corral.document("tool", "stats", "data_visualization")
    assert (use["artifacts"], use["artifact_bytes"]) == (1, answer["bytes"])
