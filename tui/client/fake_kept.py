"""What the cluster that never was keeps: the built-in tools, checkpoints of tasks."""

from __future__ import annotations

import time

from bus.builtin import BUILT_IN, BuiltIn
from bus.checkpoints import Checkpoint, CheckpointKind, Checkpoints
from bus.errors import ApiError
from bus.networks import NetworkType, TopologyEntries, TopologyEntry
from bus.refusal import quote, refusal
from bus.registry import (
    ToolEntries,
    ToolEntry,
    ToolSearch,
    ToolStats,
    ToolStatsQuery,
    ToolUse,
    Worker,
    Workers,
)
from tui.client.fake_world import World

RENDER = ToolEntry(
    name="blender",
    version="4.2.0",
    current=True,
    description="Renders frames of a scene",
    category="processing",
    type="tool",
    enabled=True,
    tags=["video", "render"],
    command=["blender", "-b", "{input.scene}", "-f", "{input.frame}"],
    input_schema={
        "type": "object",
        "properties": {
            "scene": {"type": "string", "minLength": 1, "description": "a file on the node"},
            "frame": {"type": "integer", "minimum": 1, "maximum": 9_999},
            "engine": {"enum": ["cycles", "eevee"], "default": "cycles"},
            "samples": {"type": "integer", "minimum": 1},
            "transparent": {"type": "boolean"},
            "layers": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["scene", "frame"],
        "additionalProperties": False,
    },
    nodes=["n-0000", "n-0003", "n-0006"],
    versions=["4.2.0", "4.1.0"],
)
"""As somebody registered it."""


class FakeKept:
    """What `Source` asks of tools and checkpoints."""

    world: World

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    async def registered_tools(self, query: ToolSearch | None = None) -> ToolEntries:
        """The built-in ones, and one of somebody's own that takes all kinds of values."""
        self._check("registered_tools")
        asked = query or ToolSearch()
        return ToolEntries(
            tools=[
                entry
                for entry in (RENDER, *map(_built_in, BUILT_IN))
                if asked.tag in ("", *entry.tags)
                and asked.category in ("", entry.category)
                and asked.text.casefold() in f"{entry.name} {entry.description}".casefold()
            ]
        )

    async def tool(self, tool: str) -> ToolEntry:
        """Raises ApiError for one that is not registered."""
        self._check("tool")
        if tool == RENDER.name:
            return RENDER
        found = next((each for each in BUILT_IN if each.name == tool), None)
        if found is None:
            raise ApiError(refusal("E_TYPE_UNKNOWN", "no such tool", field="/tool", got=quote(tool)))
        return _built_in(found)

    async def tool_stats(self, query: ToolStatsQuery | None = None) -> ToolUse:
        """Of one tool: a thousand calls, a few of which failed."""
        self._check("tool_stats")
        entry = await self.tool(query.tool if query is not None else "wordcount")
        use = ToolStats(
            tool=f"{entry.name}@{entry.version}",
            calls=1_024,
            completed=1_021,
            failed=3,
            cancelled=0,
            live=2,
            p50_s=0.42,
            p95_s=1.7,
            output_bytes=48_128,
        )
        return ToolUse(tools=[use])

    async def workers(self) -> Workers:
        """Each runs all that is built in; podman hands over no GPUs where there are none."""
        self._check("workers")
        return Workers(
            workers=[
                Worker(
                    id=node.name, node=node.name, types=["DataAgent", "CodeAgent"], status="active",
                    version=node.version, load=node.load, running=node.running,
                    capacity_cpu_millis=node.capacity.cpu_millis, seen_s=node.last_heartbeat_s or 0.0,
                    roles=["analysis", "execution"],
                    capabilities={each.type: 1.0 for each in BUILT_IN}
                    | {"container": 1.0, "container_gpus": float(node.capacity.gpus > 0)},
                    faults={} if node.capacity.gpus else {"container_gpus": "podman: no GPUs were found"},
                )
                for node in self.world.nodes
            ]
        )  # fmt: skip

    async def checkpoints(self, target: str = "", *, limit: int = 100, cursor: str = "") -> Checkpoints:
        """Of tasks that train, one every hundred steps; the newest has no copy yet."""
        self._check("checkpoints")
        number, _, _ = target.partition(".")
        if not number.isdigit() or self.world.job(int(number)).kind != "ai_training":
            return Checkpoints(checkpoints=[])
        now_s = time.time()
        return Checkpoints(
            checkpoints=[
                Checkpoint(
                    id=f"0198c2f4-0000-7000-8000-{step:012}", task=target, attempt=1, step=step,
                    kind=CheckpointKind.REGULAR, path=f"step-{step}", complete=True, size=step * 48_000,
                    files=3, digest="", ranks=1, world_size=1, replicas=1, copies=copies,
                    durable=copies > 1, chosen=False, at=now_s - age_s, metrics={"loss": loss},
                    nodes=["n-0000", "n-0001"][:copies],
                )
                for step, copies, age_s, loss in ((300, 1, 12, 0.31), (200, 2, 95, 0.42), (100, 2, 180, 0.77))
            ]
        )  # fmt: skip

    async def topologies(self, *, declared: bool = False) -> TopologyEntries:
        """One that was declared, with a card that does not agree with it, and one that is guessed."""
        self._check("topologies")
        nodes = [node.name for node in self.world.nodes]
        if not nodes:
            return TopologyEntries(topologies=[])
        lab = TopologyEntry(
            name="lab", subnet="10.0.0.0/16", declared=True, type=NetworkType.ETHERNET, bandwidth_mbps=25_000,
            latency_ms=0.1, mtu=9_000, nodes=nodes, interfaces=len(nodes), created_by="olga",
            notes=["n-0007 eth0: MTU 1500, declared 9000"],
        )  # fmt: skip
        guessed = TopologyEntry(
            name="172.16.4.0/24", subnet="172.16.4.0/24", declared=False, nodes=nodes[:2], interfaces=2
        )
        return TopologyEntries(topologies=[lab] if declared else [lab, guessed])


def _built_in(tool: BuiltIn) -> ToolEntry:
    return ToolEntry(
        name=tool.name,
        version=tool.version,
        current=True,
        description=tool.description,
        category=tool.category,
        type=tool.type,
        enabled=True,
        tags=list(tool.tags),
        built_in=True,
        input_schema=tool.input,
        output_schema=tool.output,
        nodes=["n-0000", "n-0001", "n-0002"],
        versions=[tool.version],
    )
