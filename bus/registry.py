"""The registry of tools and task types: what is registered, and what is told of it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from bus.requests import Request
from bus.values import Role

Json = dict[str, Any]


class ToolFile(Struct, kw_only=True, forbid_unknown_fields=True):
    """A file of the tool's on every node that runs it; another content is refused (E_HASH)."""

    path: str
    sha256: str


class ToolAdd(Request, kw_only=True):
    """A new version of a tool. What it runs (`command`, see `bus.templates`) is never changed afterwards.

    `type`: the task type of its calls. `node`: the only one it runs on; None: any that can. `capability`:
    what its nodes must have shown that they can. `cpu`, `memory`, `timeout`: of calls that say none.
    """

    name: str
    version: str = "1.0.0"
    description: str = ""
    category: str = "processing"
    tags: list[str] = field(default_factory=list)
    command: list[str]
    type: str = "tool"
    node: str | None = None
    capability: str | None = None
    file: ToolFile | None = None
    input_schema: Json | None = None
    output_schema: Json | None = None
    cpu: int | str | None = None
    memory: int | str | None = None
    timeout: float | str | None = None


class ToolQuery(Request):
    """`tool`: NAME, which is its current version, or NAME@VERSION."""

    tool: str


class ToolSearch(Request, kw_only=True):
    """Current versions by name. `tag`, `category`, `input_property`, `output_property`, `text` narrow it."""

    tag: str = ""
    category: str = ""
    input_property: str = ""
    output_property: str = ""
    text: str = ""  # in the name or the description
    active: bool = False  # only what may be called now
    versions: bool = False  # older ones, too


class ToolTag(Request, kw_only=True):
    """Tags of every version of a tool; what is there already, or already gone, is no fault."""

    tool: str
    add: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)


class ToolSteer(Request, kw_only=True):
    tool: str
    reason: str = ""


class ToolEntry(Struct, kw_only=True):
    """A version of a tool. `disabled_by`: "" while it is enabled; "node" where a rule did it.

    A tool of one node is disabled while that node takes no work, and enabled again with it.
    """

    name: str
    version: str
    current: bool
    description: str
    category: str
    type: str
    enabled: bool
    tags: list[str] = []
    disabled_by: str = ""
    reason: str = ""
    built_in: bool = False
    command: list[str] = []
    node: str | None = None
    capability: str | None = None
    file: ToolFile | None = None
    input_schema: Json | None = None
    output_schema: Json | None = None
    cpu: int | str | None = None
    memory: int | str | None = None
    timeout: float | str | None = None
    created_at: float = 0.0
    created_by: str = ""
    nodes: list[str] = []  # that could run it now, in `tool.show` only
    versions: list[str] = []  # all of them, in `tool.show` only


class ToolEntries(Struct, kw_only=True):
    tools: list[ToolEntry]


class ToolStatsQuery(Request, kw_only=True):
    """Of the tasks that ended within `window_s`; `tool` "": of all tools, by versions."""

    tool: str = ""
    window_s: float = 30 * 86_400.0


class ToolStats(Struct, kw_only=True):
    """Durations in seconds, of those that completed. `calls` are over; `live` are not."""

    tool: str
    calls: int
    completed: int
    failed: int
    cancelled: int
    live: int = 0
    p50_s: float | None = None
    p95_s: float | None = None
    mean_s: float | None = None
    output_bytes: int = 0
    artifacts: int = 0
    artifact_bytes: int = 0
    last_at: float | None = None


class ToolUse(Struct, kw_only=True):
    tools: list[ToolStats]


class TypeAdd(Request, kw_only=True):
    """A task type of the cluster's own. `required_input`: keys that its input must have."""

    name: str
    description: str
    agent_type: str = "NodeAgent"
    required_input: list[str] = field(default_factory=list)
    input_schema: Json | None = None


class TypeEntry(Struct, kw_only=True):
    """`avg_duration_s` is what is expected, `seen_s` the mean of the `calls` in the last 30 days."""

    name: str
    description: str
    agent_type: str
    standard: bool
    avg_complexity: float | None = None
    avg_duration_s: float | None = None
    required_input: list[str] = []
    input_schema: Json | None = None
    tools: list[str] = []
    calls: int = 0
    failed: int = 0
    seen_s: float | None = None


class TypeList(Request, kw_only=True):
    """`name`: only this one."""

    name: str = ""


class TypeEntries(Struct, kw_only=True):
    types: list[TypeEntry]


class Worker(Struct, kw_only=True):
    """An agent: what it can, as its own tests showed. `level` 1: all of them were passed."""

    id: str
    node: str
    types: list[str]
    status: str
    version: str
    load: float
    running: int
    capacity_cpu_millis: int
    seen_s: float
    roles: list[str] = []
    capabilities: dict[str, float] = {}
    faults: dict[str, str] = {}  # why a level is below 1


class Workers(Struct, kw_only=True):
    workers: list[Worker]


class Nothing(Request):
    """Asks for all there is."""


REGISTRY: dict[str, tuple[type[Struct], type[Struct], Role]] = {
    "tool.add": (ToolAdd, ToolEntry, Role.OPERATOR),
    "tool.list": (ToolSearch, ToolEntries, Role.READONLY),
    "tool.show": (ToolQuery, ToolEntry, Role.READONLY),
    "tool.tag": (ToolTag, ToolEntry, Role.OPERATOR),
    "tool.enable": (ToolSteer, ToolEntry, Role.OPERATOR),
    "tool.disable": (ToolSteer, ToolEntry, Role.OPERATOR),
    "tool.remove": (ToolQuery, ToolEntry, Role.OPERATOR),
    "tool.stats": (ToolStatsQuery, ToolUse, Role.READONLY),
    "type.list": (TypeList, TypeEntries, Role.READONLY),
    "type.add": (TypeAdd, TypeEntry, Role.OPERATOR),
    "worker.list": (Nothing, Workers, Role.READONLY),
}
"""Operation -> what is asked, what comes back, who may."""
