"""One method for each operation of the registry (`bus.registry.REGISTRY`); part of `bus.calls.Calls`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec import Struct

from bus.registry import (
    Nothing,
    ToolAdd,
    ToolEntries,
    ToolEntry,
    ToolQuery,
    ToolSearch,
    ToolStatsQuery,
    ToolSteer,
    ToolTag,
    ToolUse,
    TypeAdd,
    TypeEntries,
    TypeEntry,
    TypeList,
    Workers,
)

S = TypeVar("S", bound=Struct)


class RegistryCalls:
    """Tools, task types and the agents that can run them."""

    async def add_tool(self, tool: ToolAdd) -> ToolEntry:
        """Register a version of a tool; it is never changed afterwards."""
        return await self._call("tool.add", tool, ToolEntry)

    async def registered_tools(self, query: ToolSearch | None = None) -> ToolEntries:
        """By name; see ToolSearch."""
        return await self._call("tool.list", query or ToolSearch(), ToolEntries)

    async def tool(self, tool: str) -> ToolEntry:
        """NAME or NAME@VERSION."""
        return await self._call("tool.show", ToolQuery(tool=tool), ToolEntry)

    async def tag_tool(self, tool: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> ToolEntry:
        """Doing it twice changes nothing."""
        return await self._call("tool.tag", ToolTag(tool=tool, add=list(add), remove=list(remove)), ToolEntry)

    async def enable_tool(self, tool: str, *, reason: str = "") -> ToolEntry:
        return await self._call("tool.enable", ToolSteer(tool=tool, reason=reason), ToolEntry)

    async def disable_tool(self, tool: str, *, reason: str = "") -> ToolEntry:
        """It refuses calls until somebody enables it."""
        return await self._call("tool.disable", ToolSteer(tool=tool, reason=reason), ToolEntry)

    async def remove_tool(self, tool: str) -> ToolEntry:
        """Forget a version; jobs that call it already go on."""
        return await self._call("tool.remove", ToolQuery(tool=tool), ToolEntry)

    async def tool_stats(self, query: ToolStatsQuery | None = None) -> ToolUse:
        """Calls, how they ended, how long they took."""
        return await self._call("tool.stats", query or ToolStatsQuery(), ToolUse)

    async def task_types(self, name: str = "") -> TypeEntries:
        """All task types, or one."""
        return await self._call("type.list", TypeList(name=name), TypeEntries)

    async def add_type(self, kind: TypeAdd) -> TypeEntry:
        """Register a task type of the cluster's own."""
        return await self._call("type.add", kind, TypeEntry)

    async def workers(self) -> Workers:
        """The agents, and what they can."""
        return await self._call("worker.list", Nothing(), Workers)

    async def _call(
        self, operation: str, request: Struct, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        raise NotImplementedError
