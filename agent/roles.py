"""What a node is for, beside its kind. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from bus.builtin import BUILT_IN
from bus.values import Capability, NodeKind

_ANALYSES = tuple(tool.name for tool in BUILT_IN if tool.category == "analysis")


def roles_of(
    kind: NodeKind, capabilities: Mapping[str, Capability], *, runs_commands: bool
) -> tuple[str, ...]:
    """The roles that are true of a node now.

    `observation`: its machine and what runs there is measured, which every agent does. `analysis`: a built-in
    tool of that category works here. `tool_executor`: commands of registered tools run here
    (`runs_commands`: its guard can). `storage`: of that kind. A control node takes no work: it observes.
    """
    if kind is NodeKind.CONTROL:
        return ("observation",)
    works = {name for name, capability in capabilities.items() if capability.verified}
    told = {
        "tool_executor": runs_commands,
        "observation": True,
        "analysis": not works.isdisjoint(_ANALYSES),
        "storage": kind is NodeKind.STORAGE,
    }
    return tuple(role for role, is_true in told.items() if is_true)
