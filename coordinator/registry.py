"""The registry of tools in memory: what a name means now, and what a submission takes of it.

A submission is resolved once: its spec is kept with what the versions said, and later changes of the registry
change nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bus import templates
from bus.builtin import BUILT_IN
from bus.called import CalledTool
from bus.errors import ApiError
from bus.item_lists import ItemList
from bus.refusal import quote, refusal
from bus.registry import ToolEntry, ToolFile
from bus.spec import JobSpec, TaskSpec
from bus.values import NodeName
from coordinator.core import checks
from coordinator.core.effects import Fault
from coordinator.core.intake import NO_LISTS
from coordinator.core.model import Cluster, Node
from coordinator.core.task_types import REQUIRED_INPUT
from coordinator.core.tools import TOOLS
from coordinator.replies import fault_error
from coordinator.schemas import input_faults
from coordinator.store.rows import UserRow
from coordinator.store.tools import Runs, ToolRow, TypeRow
from coordinator.volumes import VolumeBook


class Resolved(Struct, frozen=True):
    """A submission with what its words mean now to whom it is.

    `lists`: what its `for_each` points to, by hash.
    """

    spec: JobSpec
    lists: Mapping[str, ItemList] = NO_LISTS


Resolve = Callable[[UserRow, JobSpec], Awaitable[Resolved]]
"""By `coordinator.resolving`. Raises ApiError."""

NEAR_MAX = 1_000
ITEMS_CHECKED_MAX = 10_000

SEMVER = re.compile(
    r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", re.ASCII
)


_FIRST_TYPES = {"tool", *(each.type for each in BUILT_IN)}


class Registry:
    """Versions of tools and task types, as the database has them; the built-in tools before it was asked."""

    def __init__(self, cluster: Cluster, volumes: VolumeBook | None = None) -> None:
        self._cluster = cluster
        self.volumes = volumes or VolumeBook()
        self._tools: dict[str, list[ToolRow]] = {}
        self.types: dict[str, TypeRow] = {}
        self.put([built_in_row(each.name) for each in BUILT_IN], map(_plain_type, sorted(_FIRST_TYPES)))

    def put(self, tools: Iterable[ToolRow], types: Iterable[TypeRow]) -> None:
        """What there is from now on."""
        self._tools = {}
        for row in tools:
            self._tools.setdefault(row.name, []).append(row)
        self.types = {row.name: row for row in types}

    def find(self, text: str) -> ToolRow | None:
        """NAME is the current version, NAME@VERSION that one."""
        name, at, version = text.partition("@")
        rows = self._tools.get(name, ())
        return next((row for row in rows if (row.version == version if at else row.current)), None)

    def versions(self, name: str) -> list[ToolRow]:
        """The highest first."""
        return sorted(self._tools.get(name, ()), key=lambda row: version_key(row.version), reverse=True)

    def every(self) -> Iterator[ToolRow]:
        """By name, each name's highest version first."""
        for name in sorted(self._tools):
            yield from self.versions(name)

    def near(self, text: str) -> str:
        """The name that was probably meant; "" where none is near."""
        near = get_close_matches(text[:80], list(self._tools)[:NEAR_MAX], 1)
        return near[0] if near else ""

    def entry(self, row: ToolRow) -> ToolEntry:
        """As clients are told of it."""
        by, reason = self.disabled(row)
        return ToolEntry(
            name=row.name,
            version=row.version,
            current=row.current,
            description=row.description,
            category=row.category,
            type=row.runs.type,
            enabled=not by,
            tags=list(row.tags),
            disabled_by=by,
            reason=reason,
            built_in=row.built_in,
            command=list(row.runs.command),
            node=row.node,
            capability=row.runs.capability or None,
            file=ToolFile(path=row.runs.file, sha256=row.sha256) if row.runs.file else None,
            input_schema=row.input_schema,
            output_schema=row.output_schema,
            cpu=row.runs.cpu,
            memory=row.runs.memory,
            timeout=row.runs.timeout,
            created_at=row.created_at,
            created_by=row.created_by,
        )

    def disabled(self, row: ToolRow) -> tuple[str, str]:
        """Who disabled it ("node": the rule that follows its node), and why; ("", "") while it is enabled."""
        if not row.enabled:
            return row.status_by or "?", row.status_reason
        node = self._cluster.nodes.get(NodeName(row.node)) if row.node is not None else None
        if node is None or node.takes_work:
            return "", ""
        return "node", f"{node.name}, its only node, {_state(node)}"

    def able(self, row: ToolRow) -> list[str]:
        """The nodes that could run it now, at most ten."""
        return [str(node.name) for node in self.having(row) if node.takes_work][:10]

    def having(self, row: ToolRow) -> Iterator[Node]:
        """The nodes that could run it when they take work, by name."""
        wanted = {"role:tool_executor", *([f"can:{row.runs.capability}"] if row.runs.capability else ())}
        for name, node in sorted(self._cluster.nodes.items()):
            fits = row.name in node.tools if row.built_in else wanted <= node.features
            if fits and row.node in (None, name):
                yield node

    async def resolve(
        self, spec: JobSpec, *, user: str = "", lists: Mapping[str, ItemList] = NO_LISTS
    ) -> JobSpec:
        """`spec` of `user` with what the tools that it calls, and the volumes that it names, are now.

        `lists`: what it points to, by the pointers.
        Raises ApiError with all that is wrong about its tools: E_TYPE_UNKNOWN, E_TOOL_DISABLED, E_INPUT.
        """
        mounted = self.volumes.mounted(spec, user)
        if spec.mounted and spec.mounted != mounted:
            message = "`mounted` is the coordinator's to fill in"
            raise ApiError(refusal("E_FIELD", message, field="/mounted", hint="leave it out"))
        if mounted:
            spec = replace(spec, mounted=mounted)
        entries = list(_entries(spec))
        if not entries and not spec.called:
            return spec
        faults: list[Fault] = []
        called: dict[str, CalledTool] = {}
        for path, task in entries:
            row = self.find(task.tool or "")
            if row is None:
                self._unknown(task, path, faults)
                continue
            by, reason = self.disabled(row)
            if by:
                faults.append(_disabled(row, by, reason, f"{path}/tool"))
                continue
            called[task.tool or ""] = self._called(row)
            faults += await self._checked(task, _items(task, lists), row, path)
            merge = TOOLS.get(row.name) if row.built_in else None
            merging = self.find(merge) if merge and task.for_each is not None else None
            if merging is not None:
                called[merging.name] = self._called(merging)
        if spec.called and spec.called != called:
            message = "`called` says other than the registry: it is the coordinator's to fill in"
            faults.append(Fault(code="E_FIELD", message=message, field="/called", hint="leave it out"))
        if faults:
            raise ApiError(fault_error(faults[: checks.FAULTS_MAX]))
        return replace(spec, called=called)

    async def _checked(self, task: TaskSpec, items: Sequence[str], row: ToolRow, path: str) -> list[Fault]:
        """What the schemas of a tool and of its type say of an input."""
        kind = self.types.get(row.runs.type)
        given: dict[str, Any] = dict(task.input or {})
        missing = [key for key in self._required(row) if key not in given]
        if missing or (task.input == {} and not (row.input_schema or {}).get("required")):
            return []  # told by the core, in words of their own
        if items:
            given["item"] = items[0]
        field = f"{path}/input"
        for schema in (row.input_schema, kind.input_schema if kind is not None else None):
            if schema is not None and (found := await input_faults(schema, given, field)):
                return found
        of_items = (row.input_schema or {}).get("properties", {}).get("item")
        if items and isinstance(of_items, dict):
            # the first was checked with all that is said; of the others only what is their own
            known = (row.input_schema or {}).get("$defs", {})
            schema = {"type": "array", "items": {**of_items}, "$defs": known}
            return await input_faults(schema, items, f"{path}/for_each")
        return []

    def _required(self, row: ToolRow) -> tuple[str, ...]:
        kind = self.types.get(row.runs.type)
        of_type = kind.required_input if kind is not None else ()
        return tuple(dict.fromkeys((*of_type, *sorted(templates.keys(row.runs.command)))))

    def _called(self, row: ToolRow) -> CalledTool:
        runs = row.runs
        return CalledTool(
            version=row.version,
            type=runs.type,
            command=runs.command,
            required=self._required(row),
            file=runs.file,
            sha256=row.sha256 if runs.file else "",
            capability=runs.capability,
            node=row.node or "",
            cpu=runs.cpu,
            memory=runs.memory,
            timeout=runs.timeout,
        )

    def _unknown(self, task: TaskSpec, path: str, faults: list[Fault]) -> None:
        name, at, version = (task.tool or "").partition("@")
        if at and name in self._tools:
            known = ", ".join(row.version for row in self.versions(name)[:10])
            message = f"tool {name} has no version {quote(version)}"
            faults.append(Fault(code="E_TYPE_UNKNOWN", message=message, field=f"{path}/tool", expected=known))
            return
        keys = REQUIRED_INPUT.get(name, ())
        checks.check_what(
            replace(task, command=None), path, tools=list(self._tools), required=keys, faults=faults
        )


def version_key(version: str) -> tuple[object, ...]:
    """The order of semantic versions: a pre-release comes before its release; after + nothing counts."""
    core, dash, before = version.partition("+")[0].partition("-")
    numbers = tuple(int(part) for part in core.split("."))
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in before.split("."))
    return (*numbers, 0 if dash else 1, parts)


def _items(task: TaskSpec, lists: Mapping[str, ItemList]) -> Sequence[str]:
    """The first of what its elements stand for."""
    if isinstance(task.for_each, str):
        listed = lists.get(task.for_each)
        return listed.first(ITEMS_CHECKED_MAX) if listed is not None else ()
    return (task.for_each or ())[:ITEMS_CHECKED_MAX]


def _entries(spec: JobSpec) -> Iterator[tuple[str, TaskSpec]]:
    """What calls a tool, and where it stands."""
    if spec.tasks is None and spec.tool is not None:
        yield "", TaskSpec(tool=spec.tool, input=spec.input, for_each=spec.for_each, command=spec.command)
    for position, task in enumerate(spec.tasks or ()):
        if task.tool is not None:
            yield f"/tasks/{position}", task


def _disabled(row: ToolRow, by: str, reason: str, field: str) -> Fault:
    why = f": {reason}" if reason else ""
    message = (
        f"tool {row.reference} is disabled{why}" if by == "node" else f"{by} disabled {row.reference}{why}"
    )
    hint = "when its node takes work again" if by == "node" else f"corral tool enable {row.reference}"
    return Fault(code="E_TOOL_DISABLED", message=message, field=field, hint=hint, status=409)


def _state(node: Node) -> str:
    if node.kind == "control":
        return "takes no work"
    return f"is {node.admin}" if node.admin != "active" else f"is {node.health}"


def built_in_row(name: str) -> ToolRow:
    """A built-in tool as it is before the database was asked."""
    tool = next(each for each in BUILT_IN if each.name == name)
    return ToolRow(
        name=tool.name,
        version=tool.version,
        current=True,
        description=tool.description,
        category=tool.category,
        enabled=True,
        runs=Runs(type=tool.type),
        sha256="",
        input_schema=tool.input,
        output_schema=tool.output,
        built_in=True,
        node=None,
        tags=tool.tags,
        created_at=0.0,
        created_by="",
        status_reason="",
        status_by="",
    )


def _plain_type(name: str) -> TypeRow:
    return TypeRow(
        name=name,
        description="",
        agent_type="NodeAgent",
        standard=False,
        avg_complexity=None,
        avg_duration_s=None,
        required_input=REQUIRED_INPUT.get(name, ()),
        input_schema=None,
    )
