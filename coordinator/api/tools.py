"""`tool.*`, `type.*` and `worker.list`: the registry's desk. Who may is asked before (`bus.registry`)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from bus import templates
from bus.builtin import BUILT_IN
from bus.errors import ApiError
from bus.refusal import quote, refusal
from bus.registry import (
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
    Worker,
    Workers,
)
from bus.setting_kinds import CAPABILITY
from bus.units import UnitError, parse_cpu_millis, parse_duration_s, parse_size_mib
from bus.values import NodeHealth, NodeName
from coordinator.clock import Clock
from coordinator.core.checks import is_plain
from coordinator.core.effects import Fault
from coordinator.core.model import Node
from coordinator.core.tools import TOOLS
from coordinator.loop import Loop
from coordinator.registry import SEMVER, Registry, version_key
from coordinator.replies import fault_error
from coordinator.schemas import schema_faults
from coordinator.store.rows import UserRow
from coordinator.store.tools import ToolRow, ToolStore, TypeUse

CATEGORIES = ("analysis", "processing", "validation", "storage")
AGENT_TYPES = {
    "NLPAgent": ("text_analysis", "text_generation", "translation"),
    "CodeAgent": ("code_analysis", "code_generation", "code_optimization"),
    "DataAgent": ("data_processing", "data_analysis", "data_visualization"),
    "ResearchAgent": ("research", "summarization"),
    "OrchestratorAgent": ("multi_step", "pipeline"),
}
DESCRIPTION_MAX = 2_000
REASON_MAX = 200
TAGS_MAX = 32
WORDS_MAX = 256
COMMAND_BYTES_MAX = 16 * 1024
KEYS_MAX = 32

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_TAG = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")
_TYPE = re.compile(r"[a-z0-9_]{3,50}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ToolDesk:
    """The handlers; `registry` is what submissions are resolved by."""

    def __init__(self, loop: Loop, registry: Registry, store: ToolStore, clock: Clock) -> None:
        self._loop = loop
        self._registry = registry
        self._store = store
        self._clock = clock
        self.handlers = {
            "tool.add": self.add,
            "tool.list": self.list,
            "tool.show": self.show,
            "tool.tag": self.tag,
            "tool.enable": self.enable,
            "tool.disable": self.disable,
            "tool.remove": self.remove,
            "tool.stats": self.stats,
            "type.list": self.types,
            "type.add": self.add_type,
            "worker.list": self.workers,
        }

    async def start(self) -> None:
        """What the database has, with the built-in tools among it. Raises StoreUnavailable."""
        await self._store.ensure(BUILT_IN)
        await self._store.refresh_types()
        await self._read()

    async def close(self) -> None:
        await self._store.close()

    async def _read(self) -> None:
        tools, types = await self._store.tools(), await self._store.types()
        self._registry.put(tools, types)

    async def add(self, user: UserRow, request: Struct) -> ToolEntry:
        """`tool.add`: raises ApiError with all that is wrong."""
        assert isinstance(request, ToolAdd)
        await self._loop.barrier()
        faults = list(self._tool_faults(request))
        if faults:
            raise ApiError(fault_error(faults))
        versions = self._registry.versions(request.name)
        if any(row.version == request.version for row in versions):
            raise ApiError(
                refusal(
                    "E_NAME_CLASH",
                    f"{request.name}@{request.version} is registered, and versions are never changed",
                    field="/version",
                    got=quote(request.version),
                    hint=f"the highest is {versions[0].version}: choose a higher one",
                )
            )
        newer = all(version_key(request.version) > version_key(row.version) for row in versions)
        await self._store.add(request, current=newer, by=user.name)
        await self._read()
        return self._entry(f"{request.name}@{request.version}")

    async def list(self, user: UserRow, request: Struct) -> ToolEntries:
        """`tool.list`."""
        assert isinstance(request, ToolSearch)
        await self._loop.barrier()
        shown = [
            self._registry.entry(row)
            for row in self._registry.every()
            if (row.current or request.versions) and _chosen(row, request)
        ]
        return ToolEntries(tools=[each for each in shown if each.enabled or not request.active])

    async def show(self, user: UserRow, request: Struct) -> ToolEntry:
        """`tool.show`."""
        assert isinstance(request, ToolQuery)
        await self._loop.barrier()
        return self._entry(request.tool)

    async def tag(self, user: UserRow, request: Struct) -> ToolEntry:
        """`tool.tag`."""
        assert isinstance(request, ToolTag)
        row = self._find(request.tool)
        for field, tags in (("/add", request.add), ("/remove", request.remove)):
            _raise(_tag_faults(tags, field))
        if len({*row.tags, *request.add} - set(request.remove)) > TAGS_MAX:
            raise ApiError(
                refusal("E_TOO_MANY", "too many tags", field="/add", expected=f"at most {TAGS_MAX}")
            )
        await self._store.tag(row.name, add=request.add, remove=request.remove, by=user.name)
        await self._read()
        return self._entry(request.tool)

    async def enable(self, user: UserRow, request: Struct) -> ToolEntry:
        """`tool.enable`: what a rule disabled stays so until its node takes work again."""
        return await self._steer(user, request, enabled=True)

    async def disable(self, user: UserRow, request: Struct) -> ToolEntry:
        """`tool.disable`."""
        return await self._steer(user, request, enabled=False)

    async def _steer(self, user: UserRow, request: Struct, *, enabled: bool) -> ToolEntry:
        assert isinstance(request, ToolSteer)
        row = self._find(request.tool)
        if len(request.reason) > REASON_MAX or not is_plain(request.reason):
            expected = f"at most {REASON_MAX} visible characters"
            raise ApiError(refusal("E_VALUE", field="/reason", got=quote(request.reason), expected=expected))
        await self._store.steer(row, enabled=enabled, reason=request.reason, by=user.name)
        await self._read()
        return self._entry(row.reference)

    async def remove(self, user: UserRow, request: Struct) -> ToolEntry:
        """`tool.remove`: what it was. Built-in tools can only be disabled."""
        assert isinstance(request, ToolQuery)
        row = self._find(request.tool)
        if row.built_in:
            message, hint = f"{row.name} is built in", f"corral tool disable {row.name}"
            raise ApiError(refusal("E_CONFLICT", message, field="/tool", hint=hint))
        others = [each for each in self._registry.versions(row.name) if each.version != row.version]
        now = self._registry.find(row.name)
        successor = now if now is not None and now.version != row.version else next(iter(others), None)
        told = self._registry.entry(row)
        await self._store.remove(row, successor=successor.version if successor else "", by=user.name)
        await self._read()
        return told

    async def stats(self, user: UserRow, request: Struct) -> ToolUse:
        """`tool.stats`: of everybody's calls."""
        assert isinstance(request, ToolStatsQuery)
        if not 1.0 <= request.window_s <= 366 * 86_400.0:
            got = quote(request.window_s)
            raise ApiError(refusal("E_RANGE", field="/window_s", got=got, expected="1 second to 366 days"))
        if request.tool:
            self._find(request.tool)
        await self._loop.barrier()
        return ToolUse(tools=await self._store.use(request.tool, request.window_s))

    async def types(self, user: UserRow, request: Struct) -> TypeEntries:
        """`type.list`."""
        assert isinstance(request, TypeList)
        await self._loop.barrier()
        if request.name and request.name not in self._registry.types:
            raise ApiError(refusal("E_NOT_FOUND", f"no task type {request.name[:80]!r}", field="/name"))
        await self._store.refresh_types()
        await self._read()
        use = await self._store.type_use()
        return TypeEntries(
            types=[
                self._type(name, use.get(name)) for name in self._registry.types if request.name in ("", name)
            ]
        )

    async def add_type(self, user: UserRow, request: Struct) -> TypeEntry:
        """`type.add`: raises ApiError with all that is wrong."""
        assert isinstance(request, TypeAdd)
        _raise(list(self._type_faults(request)))
        if request.name in self._registry.types:
            message = f"there is a task type {request.name}"
            raise ApiError(refusal("E_NAME_CLASH", message, field="/name", got=quote(request.name)))
        await self._store.add_type(request, by=user.name)
        await self._read()
        return self._type(request.name, None)

    async def workers(self, user: UserRow, request: Struct) -> Workers:
        """`worker.list`: the agents out of memory."""
        await self._loop.barrier()
        now_s = self._clock.now_s()
        nodes = sorted(self._loop.cluster.nodes.items())
        return Workers(workers=[_worker(node, now_s=now_s) for _, node in nodes])

    def _entry(self, text: str) -> ToolEntry:
        row = self._find(text)
        told = self._registry.entry(row)
        told.nodes = self._registry.able(row)
        told.versions = [each.version for each in self._registry.versions(row.name)]
        return told

    def _find(self, text: str) -> ToolRow:
        row = self._registry.find(text)
        if row is None:
            near = self._registry.near(text.partition("@")[0])
            hint = f"did you mean {near}?" if near else "corral tool ls shows what there is"
            raise ApiError(refusal("E_NOT_FOUND", f"no tool {text[:80]!r}", field="/tool", hint=hint))
        return row

    def _type(self, name: str, use: TypeUse | None) -> TypeEntry:
        row = self._registry.types[name]
        return TypeEntry(
            name=row.name,
            description=row.description,
            agent_type=row.agent_type,
            standard=row.standard,
            avg_complexity=row.avg_complexity,
            avg_duration_s=row.avg_duration_s,
            required_input=list(row.required_input),
            input_schema=row.input_schema,
            tools=[each.name for each in self._registry.every() if each.current and each.runs.type == name],
            calls=use.completed + use.failed if use is not None else 0,
            failed=use.failed if use is not None else 0,
            seen_s=use.seen_s if use is not None else None,
        )

    def _tool_faults(self, tool: ToolAdd) -> Iterator[Fault]:
        if _NAME.fullmatch(tool.name) is None:
            expected = "1–100 of a–z, 0–9, _ and -, the first a letter or digit"
            yield Fault(code="E_NAME", field="/name", got=quote(tool.name), expected=expected)
        if tool.name in TOOLS:
            yield Fault(code="E_NAME_CLASH", message="a built-in tool has that name", field="/name")
        if SEMVER.fullmatch(tool.version) is None or len(tool.version) > 64:
            expected = "a semantic version, such as 1.0.0 or 2.1.0-rc.1"
            yield Fault(code="E_VALUE", field="/version", got=quote(tool.version), expected=expected)
        if tool.category not in CATEGORIES:
            expected = f"one of {', '.join(CATEGORIES)}"
            yield Fault(code="E_ENUM", field="/category", got=quote(tool.category), expected=expected)
        if len(tool.description) > DESCRIPTION_MAX or not is_plain(tool.description):
            expected = f"at most {DESCRIPTION_MAX} visible characters"
            yield Fault(code="E_VALUE", field="/description", got=quote(tool.description), expected=expected)
        if tool.type not in self._registry.types:
            hint = "corral type ls shows what there is; corral type add makes one"
            yield Fault(code="E_TYPE_UNKNOWN", field="/type", got=quote(tool.type), hint=hint)
        if tool.node is not None and NodeName(tool.node) not in self._loop.cluster.nodes:
            yield Fault(code="E_NOT_FOUND", message="no such node", field="/node", got=quote(tool.node))
        if tool.capability is not None and CAPABILITY.fullmatch(tool.capability) is None:
            expected = "2–50 of a–z, 0–9 and _"
            yield Fault(code="E_VALUE", field="/capability", got=quote(tool.capability), expected=expected)
        yield from _tag_faults(tool.tags, "/tags")
        yield from _command_faults(tool)
        yield from _amount_faults(tool)
        for field, schema in (("/input_schema", tool.input_schema), ("/output_schema", tool.output_schema)):
            if schema is not None:
                yield from schema_faults(schema, field)

    def _type_faults(self, kind: TypeAdd) -> Iterator[Fault]:
        if _TYPE.fullmatch(kind.name) is None:
            yield Fault(code="E_TYPE_NAME", field="/name", got=quote(kind.name), expected="3–50 of [a-z0-9_]")
        if (
            not kind.description.strip()
            or len(kind.description) > DESCRIPTION_MAX
            or not is_plain(kind.description)
        ):
            expected = f"1–{DESCRIPTION_MAX} visible characters"
            yield Fault(code="E_VALUE", field="/description", got=quote(kind.description), expected=expected)
        if kind.agent_type not in ("NodeAgent", *AGENT_TYPES):
            expected = f"one of NodeAgent, {', '.join(AGENT_TYPES)}"
            yield Fault(code="E_ENUM", field="/agent_type", got=quote(kind.agent_type), expected=expected)
        if len(kind.required_input) > KEYS_MAX or any(
            not key or len(key) > 100 for key in kind.required_input
        ):
            expected = f"at most {KEYS_MAX} keys of 1–100 characters"
            yield Fault(code="E_VALUE", field="/required_input", expected=expected)
        if kind.input_schema is not None:
            yield from schema_faults(kind.input_schema, "/input_schema")


def _chosen(row: ToolRow, query: ToolSearch) -> bool:
    return (
        (not query.tag or query.tag in row.tags)
        and (not query.category or query.category == row.category)
        and (not query.input_property or query.input_property in _properties(row.input_schema))
        and (not query.output_property or query.output_property in _properties(row.output_schema))
        and query.text.casefold() in f"{row.name} {row.description}".casefold()
    )


def _properties(schema: dict[str, object] | None) -> dict[str, object]:
    found = (schema or {}).get("properties", {})
    return found if isinstance(found, dict) else {}


def _tag_faults(tags: list[str], field: str) -> list[Fault]:
    expected = "1–50 of a–z, 0–9, _ and -, the first a letter or digit"
    faults = [
        Fault(
            code="E_LABEL",
            message="not a tag",
            field=f"{field}/{position}",
            got=quote(tag),
            expected=expected,
        )
        for position, tag in enumerate(tags)
        if _TAG.fullmatch(tag) is None
    ]
    if len(tags) > TAGS_MAX:
        faults.append(
            Fault(code="E_TOO_MANY", message="too many tags", field=field, expected=f"at most {TAGS_MAX}")
        )
    return faults


def _command_faults(tool: ToolAdd) -> Iterator[Fault]:
    if not tool.command or not tool.command[0]:
        hint = 'for example ["/opt/tools/resize", "{input.file}", "{output}"]'
        yield Fault(code="E_COMMAND", field="/command", expected="a program and its words", hint=hint)
    elif (
        len(tool.command) > WORDS_MAX or sum(len(word.encode()) for word in tool.command) > COMMAND_BYTES_MAX
    ):
        expected = f"at most {WORDS_MAX} words and {COMMAND_BYTES_MAX} bytes"
        yield Fault(code="E_TOO_LARGE", field="/command", expected=expected)
    for position, word in enumerate(tool.command):
        if "\0" in word:
            yield Fault(code="E_CHAR", message="NUL not allowed", field=f"/command/{position}")
        for name in templates.unknown(word):
            expected = (
                f"one of {', '.join(f'{{{each}}}' for each in templates.PLACEHOLDERS)} or {{input.KEY}}"
            )
            yield Fault(
                code="E_VALUE",
                message="no such placeholder",
                field=f"/command/{position}",
                got=quote(f"{{{name}}}"),
                expected=expected,
            )
    if tool.command and "{" in tool.command[0] and templates.keys(tool.command[:1]):
        message = "the program itself cannot come out of the input"
        yield Fault(code="E_VALUE", message=message, field="/command/0", got=quote(tool.command[0]))
    if tool.file is not None:
        if _SHA256.fullmatch(tool.file.sha256) is None:
            expected = "64 hexadecimal digits in lower case"
            yield Fault(code="E_HASH", field="/file/sha256", got=quote(tool.file.sha256), expected=expected)
        if not tool.file.path.startswith("/") or ".." in tool.file.path.split("/") or "\0" in tool.file.path:
            expected = "an absolute path without .."
            yield Fault(code="E_PATH", field="/file/path", got=quote(tool.file.path), expected=expected)


def _amount_faults(tool: ToolAdd) -> Iterator[Fault]:
    readers = (("cpu", parse_cpu_millis), ("memory", parse_size_mib), ("timeout", parse_duration_s))
    for name, read in readers:
        value = getattr(tool, name)
        if value is None:
            continue
        try:
            read(value)
        except UnitError as error:
            yield Fault(code=error.code, field=f"/{name}", got=quote(error.got), expected=error.expected)


def _worker(node: Node, *, now_s: float) -> Worker:
    able = {name for name, each in node.capabilities.items() if each.verified}
    return Worker(
        id=str(node.name),
        node=str(node.name),
        types=[kind for kind, names in AGENT_TYPES.items() if able.intersection(names)],
        status="inactive" if node.health is NodeHealth.UNREACHABLE else "active",
        version=node.version,
        load=node.load,
        running=node.holding,
        capacity_cpu_millis=node.capacity.cpu_millis,
        seen_s=max(now_s - node.last_beat_s, 0.0),
        roles=list(node.roles),
        capabilities={name: each.level for name, each in sorted(node.capabilities.items())},
        faults={name: each.fault for name, each in sorted(node.capabilities.items()) if each.fault},
    )


def _raise(faults: list[Fault]) -> None:
    if faults:
        raise ApiError(fault_error(faults))
