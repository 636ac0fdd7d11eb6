"""The registry of tools and task types in the database. Only the leader writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from asyncpg.protocol import Record
from msgspec import Struct

from bus.builtin import BuiltIn
from bus.registry import Json, ToolAdd, ToolStats, TypeAdd
from coordinator.store.connection import Session
from coordinator.store.json_text import clean, storable
from sql import queries

_SQL = queries("tools")


class Runs(Struct, omit_defaults=True):
    """What a version runs, as its `spec` keeps it."""

    command: tuple[str, ...] = ()
    type: str = "tool"
    capability: str = ""
    file: str = ""
    cpu: int | str | None = None
    memory: int | str | None = None
    timeout: float | str | None = None


class ToolRow(Struct, frozen=True, kw_only=True):
    """A version of a tool, whatever becomes of its node."""

    name: str
    version: str
    current: bool
    description: str
    category: str
    enabled: bool
    runs: Runs
    sha256: str
    input_schema: Json | None
    output_schema: Json | None
    built_in: bool
    node: str | None
    tags: tuple[str, ...]
    created_at: float
    created_by: str
    status_reason: str
    status_by: str

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


class TypeRow(Struct, frozen=True, kw_only=True):
    name: str
    description: str
    agent_type: str
    standard: bool
    avg_complexity: float | None
    avg_duration_s: float | None
    required_input: tuple[str, ...]
    input_schema: Json | None


class TypeUse(Struct, frozen=True):
    completed: int
    failed: int
    seen_s: float | None


class ToolStore:
    """All raise StoreUnavailable when the database is away."""

    def __init__(self, dsn: str) -> None:
        self._session = Session(dsn)

    async def close(self) -> None:
        """Twice is fine."""
        await self._session.close()

    async def ensure(self, tools: Sequence[BuiltIn]) -> None:
        """The built-in tools have their rows; older versions of them stay as history."""
        for each in tools:
            await self._session.execute(
                _SQL["ensure"],
                each.name,
                each.version,
                each.description,
                each.category,
                _json(Runs(type=each.type)),
                _json(each.input),
                _json(each.output),
                list(each.tags),
            )

    async def tools(self) -> list[ToolRow]:
        """All versions, by name and age."""
        return [_tool(row) for row in await self._session.fetch(_SQL["every"])]

    async def types(self) -> list[TypeRow]:
        """The standard ones first."""
        return [_type(row) for row in await self._session.fetch(_SQL["types"])]

    async def add(self, tool: ToolAdd, *, current: bool, by: str) -> None:
        """Raises Disagreement where that version is there already."""
        runs = Runs(
            command=tuple(tool.command),
            type=tool.type,
            capability=tool.capability or "",
            file=tool.file.path if tool.file is not None else "",
            cpu=tool.cpu,
            memory=tool.memory,
            timeout=tool.timeout,
        )
        async with self._session.use() as connection, connection.transaction():
            if current:
                await connection.execute(_SQL["uncurrent"], tool.name)
            await connection.execute(
                _SQL["add"],
                tool.name,
                tool.version,
                current,
                clean(tool.description),
                tool.category,
                _json(runs),
                tool.file.sha256 if tool.file is not None else None,
                None if tool.input_schema is None else _json(tool.input_schema),
                None if tool.output_schema is None else _json(tool.output_schema),
                tool.node,
                by,
                sorted(set(tool.tags)),
            )

    async def tag(self, name: str, *, add: Sequence[str], remove: Sequence[str], by: str) -> None:
        await self._session.execute(_SQL["tag"], name, sorted(set(add)), sorted(set(remove)), by)

    async def steer(self, tool: ToolRow, *, enabled: bool, reason: str, by: str) -> None:
        status = "enabled" if enabled else "disabled"
        await self._session.execute(_SQL["steer"], tool.name, tool.version, status, clean(reason), by)

    async def remove(self, tool: ToolRow, *, successor: str, by: str) -> None:
        """Forget a version; the bare name means `successor` from then on."""
        async with self._session.use() as connection, connection.transaction():
            await connection.execute(_SQL["remove"], tool.name, tool.version, by)
            await connection.execute(_SQL["promote"], tool.name, successor)

    async def add_type(self, kind: TypeAdd, *, by: str) -> None:
        """Raises Disagreement where the name is taken."""
        schema = None if kind.input_schema is None else _json(kind.input_schema)
        await self._session.execute(
            _SQL["add_type"],
            kind.name,
            clean(kind.description),
            kind.agent_type,
            kind.required_input,
            schema,
            by,
        )

    async def use(self, tool: str, window_s: float) -> list[ToolStats]:
        """How the calls of the last `window_s` went, by tool and version."""
        rows = await self._session.fetch(_SQL["use"], window_s, tool)
        return [msgspec.convert(dict(row), ToolStats) for row in rows]

    async def type_use(self) -> dict[str, TypeUse]:
        """Of the last 30 days."""
        rows = await self._session.fetch(_SQL["type_use"])
        return {
            row["name"]: TypeUse(
                row["completed"], row["failed"], None if row["seen_s"] is None else float(row["seen_s"])
            )
            for row in rows
        }

    async def refresh_types(self) -> None:
        """Averages of the cluster's own types, out of what ran."""
        await self._session.execute(_SQL["refresh_types"])


def _json(value: object) -> str:
    return storable(msgspec.json.encode(value))


def _decoded(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _tool(row: Record) -> ToolRow:
    return ToolRow(
        name=row["name"],
        version=row["version"],
        current=row["current"],
        description=row["description"] or "",
        category=row["category"],
        enabled=row["status"] == "enabled",
        runs=msgspec.json.decode(row["spec"], type=Runs),
        sha256=row["sha256"] or "",
        input_schema=_decoded(row["input_schema"]),
        output_schema=_decoded(row["output_schema"]),
        built_in=row["built_in"],
        node=row["node"],
        tags=tuple(row["tags"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        status_reason=row["status_reason"],
        status_by=row["status_by"],
    )


def _type(row: Record) -> TypeRow:
    return TypeRow(
        name=row["name"],
        description=row["description"],
        agent_type=row["agent_type"],
        standard=row["standard"],
        avg_complexity=row["avg_complexity"],
        avg_duration_s=row["avg_duration_s"],
        required_input=tuple(row["required_input"]),
        input_schema=_decoded(row["input_schema"]),
    )
