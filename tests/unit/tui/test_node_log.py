"""`corral node logs`: what it asks for and what it shows."""

from __future__ import annotations

import pytest
from msgspec import Struct

from bus.node_log import NodeLine, NodeLog, NodeLogQuery
from tests.unit.tui.command import Corral

LINES = [
    NodeLine(at=1_000.0, severity="warning", text="agent.session: a heartbeat\x1b[2J was late"),
    NodeLine(at=1_001.0, severity="error", text="agent.spool: the disk is full"),
]


@pytest.fixture
def nodes(corral: Corral) -> Corral:
    def answer(request: Struct) -> Struct | None:
        return NodeLog(node="n1", lines=LINES, more=True) if isinstance(request, NodeLogQuery) else None

    corral.answer = answer
    return corral


def test_lines_are_shown_oldest_first_and_drive_no_terminal(nodes: Corral) -> None:
    code, said, noted = nodes("node", "logs", "n1", "--errors", "--limit", "2")
    assert nodes.asked == [NodeLogQuery(node="n1", severity="error", limit=2)]
    assert code == 0 and "\x1b" not in said and "--limit or --until" in noted
    head, first, second = said.splitlines()
    assert head.split() == ["WHEN", "SEVERITY", "LINE"]
    assert "heartbeat" in first and second.split()[-5:] == ["agent.spool:", "the", "disk", "is", "full"]


def test_scripts_get_a_line_each(nodes: Corral) -> None:
    _, said, _ = nodes("nodelogs", "n1", "-o", "jsonl")
    assert [line.count("severity") for line in said.splitlines()] == [1, 1]
