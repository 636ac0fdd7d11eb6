"""The roles that an agent announces are those that are true."""

from __future__ import annotations

import pytest

from agent.roles import roles_of
from bus.values import Capability, NodeKind

WORKS, BROKEN = Capability(level=1.0, verified=True), Capability(level=0.0, verified=False)


@pytest.mark.parametrize(
    ("kind", "capabilities", "runs_commands", "roles"),
    [
        (NodeKind.COMPUTE, {"wordcount": WORKS}, True, ("tool_executor", "observation", "analysis")),
        (NodeKind.COMPUTE, {"wordcount": BROKEN}, True, ("tool_executor", "observation")),
        (NodeKind.GPU, {"data_processing": WORKS, "container": WORKS}, False, ("observation",)),
        (NodeKind.STORAGE, {"text_analysis": WORKS}, False, ("observation", "analysis", "storage")),
        (NodeKind.CONTROL, {"wordcount": WORKS}, True, ("observation",)),
    ],
)
def test_what_is_true_is_announced(
    kind: NodeKind, capabilities: dict[str, Capability], runs_commands: bool, roles: tuple[str, ...]
) -> None:
    assert roles_of(kind, capabilities, runs_commands=runs_commands) == roles
