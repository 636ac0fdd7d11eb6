"""What a task's settings take from the registered tool that it calls.

The registry itself is no part of the core: a spec brings along what its tools said when it was submitted.
"""

from __future__ import annotations

from msgspec.structs import replace

from bus.builtin import BUILT_IN
from bus.called import CalledTool
from bus.refusal import quote
from bus.spec import ResourceSpec, TaskSpec
from bus.values import TaskSettings
from coordinator.core.effects import Fault
from coordinator.core.task_types import REQUIRED_INPUT

TOOLS: dict[str, str | None] = {each.name: each.merge for each in BUILT_IN}
"""The built-in tools, each with the tool that merges its results where it has one."""

TOOL_TYPES = {each.name: each.type for each in BUILT_IN}

TOOL_EXECUTOR = "tool_executor"
"""The role of nodes whose agents fill in templates and check files."""


def built_in(tool: str) -> str:
    """The name of a built-in tool without its version; "" of any other."""
    name = tool.partition("@")[0]
    return name if name in TOOLS else ""


def required_keys(task: TaskSpec, called: CalledTool | None) -> tuple[str, ...]:
    """The keys that the task's input must have, whatever else is wrong."""
    if called is not None:
        return called.required
    return REQUIRED_INPUT.get(task.tool or "", ())


def default_resources(called: CalledTool | None, usual: ResourceSpec) -> ResourceSpec:
    """What a call has that asks for nothing itself."""
    if called is None or (called.cpu is None and called.memory is None):
        return usual
    cpu = usual.cpu if called.cpu is None else called.cpu
    return replace(usual, cpu=cpu, memory=usual.memory if called.memory is None else called.memory)


def bound(
    settings: TaskSettings, tool: str | None, called: CalledTool | None, *, path: str, faults: list[Fault]
) -> TaskSettings:
    """`settings` as those of a call of `tool`; a pin that the job's own constraints rule out is a fault."""
    if tool is None:
        return settings
    if called is None:
        return replace(settings, tool=tool, task_type=TOOL_TYPES.get(tool, "shell"))
    reference = f"{tool.partition('@')[0]}@{called.version}"
    if not called.command:
        return replace(settings, tool=built_in(tool) or tool, task_type=called.type, called=reference)
    if called.node and settings.nodes and called.node not in settings.nodes:
        faults.append(
            Fault(
                code="E_CONSTRAINT",
                message=f"tool {reference} runs on {called.node} only",
                field="/constraints/nodes",
                got=quote(", ".join(settings.nodes)),
                hint=f"leave the constraint of {path or 'the job'} out",
            )
        )
    features = [f"role:{TOOL_EXECUTOR}"]
    if called.capability:
        features.append(f"can:{called.capability}")
    return replace(
        settings,
        task_type=called.type,
        called=reference,
        template=True,
        file=called.file,
        sha256=called.sha256,
        nodes=(called.node,) if called.node else settings.nodes,
        features=(*settings.features, *features),
    )
