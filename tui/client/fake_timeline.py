"""What ran where on the fake cluster, and what its machines have: the same each time it is asked."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bus.api import Node, Nodes, Token, Tokens
from bus.equipment import Device, DeviceKind, DeviceQuery, Devices, Tool, ToolKind, Tools
from bus.errors import ApiError, Error
from bus.gpus import Gpu
from bus.housekeeping import Connection, Connections
from bus.timeline import (
    NodeSpan,
    PlacedAttempt,
    PlannedStart,
    SpanKind,
    Stretch,
    Timeline,
    TimelineQuery,
    WaitingShape,
)
from bus.values import NodeAdmin, NodeHealth, Resources, Role
from tui.client.fake_tags import unless_known

if TYPE_CHECKING:
    from tui.client.fake_world import World

JOB_SHARE = 20
LANES_MOST = 3
PERIOD_S = 1_800.0
"""The history repeats itself, so that any window has some."""


class FakeTimeline:
    """A part of the fake cluster: `timeline`, `devices` and `tools`."""

    world: World
    gpus_of: Callable[[Node], list[Gpu]]
    role: Role

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    async def nodes(
        self, *, filter: str = "", sort: str = "", limit: int = 10_000, cursor: str = ""
    ) -> Nodes:
        raise NotImplementedError

    async def timeline(self, query: TimelineQuery) -> Timeline:
        """Up to three lanes a node, with a night that queued nothing and one that had only big tasks."""
        self._check("timeline")
        names = set(query.nodes)
        chosen = (await self.nodes(filter=query.filter)).nodes
        nodes = [node for node in chosen if not names or node.name in names]
        now_s = time.time()
        attempts: list[PlacedAttempt] = []
        spans: list[NodeSpan] = []
        for node in nodes:
            spans += _spans(node, query, now_s)
            kept = node.health is NodeHealth.UNREACHABLE or node.admin is not NodeAdmin.ACTIVE
            attempts += _attempts(node, query, now_s, until=now_s - 1_500.0 if kept else now_s)
        if query.job is not None:
            attempts = _of_job(attempts, int(query.job))
        attempts.sort(key=lambda each: (each.start, each.node))
        return Timeline(
            since=query.since,
            until=query.until,
            attempts=attempts[: query.limit],
            truncated=len(attempts) > query.limit,
            spans=spans,
            shapes=[
                WaitingShape(resources=Resources(2_000, 4_096), stretches=_every(query, 0.0, 200.0)),
                WaitingShape(resources=Resources(2_000, 4_096, 16), stretches=_every(query, 500.0, 1_300.0)),
            ],
            needing=_every(query, 1_300.0, 1_500.0),
            planned=[
                PlannedStart(node=node.name, start=now_s + 90.0, resources=Resources(8_000), task="399.0")
                for node in nodes[4:5]
            ],
            capacity={node.name: node.capacity for node in nodes},
        )

    async def devices(self, query: DeviceQuery | None = None) -> Devices:
        """Two disks and two cards a node, and its GPUs."""
        self._check("devices")
        asked = query or DeviceQuery()
        nodes = (await self.nodes(filter=asked.filter)).nodes
        found = [
            device
            for node in nodes
            for device in (*_devices(node), *map(_gpu, self.gpus_of(node)))
            if device.kind is asked.kind
            or (asked.kind is None and (asked.gpus or device.kind is not DeviceKind.GPU))
        ]
        start = int(asked.cursor or 0)
        page, end = found[start : start + asked.limit], start + asked.limit
        answer = Devices(
            devices=page, next=str(end) if end < len(found) else "", total=len(found),
            nodes=len({each.node for each in found}), total_mib=sum(each.total_mib for each in found),
            free_mib=sum(each.free_mib for each in found),
            down=sum(each.status == "down" and bool(each.address) for each in found),
            quarantined=sum(each.status == "quarantined" for each in found),
        )  # fmt: skip
        return unless_known(answer, asked.known)

    async def tools(self, *, known: str = "") -> Tools:
        """A few of each kind."""
        self._check("tools")
        every, some = self.world.nodes, [node for node in self.world.nodes if node.capacity.gpus]
        if not every:
            return Tools(tools=[])
        answer = Tools(
            tools=[
                _tool("NVIDIA H100 80GB", ToolKind.GPU, some),
                _tool("cgroup", ToolKind.ISOLATION, every, "v2"),
                _tool("podman", ToolKind.RUNTIME, every[::2], "4.9.3"),
                _tool("blender", ToolKind.TOOL, every[::3], tasks=12),
                _tool("wordcount", ToolKind.TOOL, every, tasks=3),
            ]
        )
        return unless_known(answer, known)

    async def tokens(self) -> Tokens:
        """One that waits and one that was used, for admins."""
        self._admins("tokens")
        now_s = time.time()
        return Tokens(
            tokens=[
                Token(id="8f3a91c2d4e5b607", kind="node", name="n-1000", role=None,
                      created_at=now_s - 600,
                      expires_at=now_s + 3_000, created_by="demo"),
                Token(id="1b7c44de90aa3f12", kind="user", name="ann", role=Role.USER,
                      created_at=now_s - 90_000,
                      expires_at=now_s - 86_000, used_at=now_s - 89_000, created_by="demo"),
            ]
        )  # fmt: skip

    async def connections(self) -> Connections:
        """A coordinator, a console and the agents of a few nodes, for admins."""
        self._admins("connections")
        now_s = time.time()
        programs = [("coordinator", "coordinator", "coordinator"), ("demo", "user", "corral console")]
        programs += [(node.name, "node", f"agent {node.name}") for node in self.world.nodes[:20]]
        return Connections(
            connections=[
                Connection(name=name, peer=peer, program=program, address=f"10.0.0.{place + 1}:4222",
                           since=now_s - 86_400 + place, idle_s=float(place % 3),
                           round_trip_ms=0.4 + place / 10,
                           subscriptions=5, bytes_in=10_000 * place, bytes_out=20_000 * place)
                for place, (name, peer, program) in enumerate(programs)
            ],
            total=len(programs),
        )  # fmt: skip

    def _admins(self, operation: str) -> None:
        self._check(operation)
        if self.role is not Role.ADMIN:
            raise ApiError(
                Error(
                    code="E_FORBIDDEN", message=f"demo may not ask {operation}", expected="admin", status=403
                )
            )


def _tool(name: str, kind: ToolKind, nodes: list[Node], version: str = "", *, tasks: int = 0) -> Tool:
    ready = sum(node.admin is NodeAdmin.ACTIVE for node in nodes)
    versions = [version] if version else []
    examples = [node.name for node in nodes[:5]]
    return Tool(
        name=name, kind=kind, nodes=len(nodes), ready=ready, versions=versions, examples=examples, tasks=tasks
    )


def _gpu(gpu: Gpu) -> Device:
    return Device(
        node=gpu.node, kind=DeviceKind.GPU, name=str(gpu.index), about=gpu.model, status=gpu.state, gpu=gpu
    )


def _devices(node: Node) -> list[Device]:
    half = random.Random(node.name).random()
    return [
        Device(node=node.name, kind=DeviceKind.DISK, name="/", about="ext4", total_mib=100_000,
               free_mib=round(100_000 * half)),
        Device(node=node.name, kind=DeviceKind.DISK, name="/scratch", about="xfs", total_mib=2_000_000,
               free_mib=round(2_000_000 * (1 - half))),
        Device(node=node.name, kind=DeviceKind.INTERFACE, name="eth0", about="data", status="up",
               address=f"10.0.{int(node.name[2:] or 0) // 250}.{int(node.name[2:] or 0) % 250 + 1}",
               driver="mlx5_core", speed_mbps=25_000, network="lab", mtu=9000, duplex="full", link="physical",
               firmware="22.39.2048", pci_slot="0000:3b:00.0", numa_node=0, carries_bus=True, needed=True),
        Device(node=node.name, kind=DeviceKind.INTERFACE, name="ib0", about="cluster",
               status="down" if half < 0.03 else "up", speed_mbps=0 if half < 0.03 else 200_000,
               driver="mlx5_core", mtu=65_520, duplex="full", link="infiniband", pci_slot="0000:5e:00.0",
               numa_node=1),
    ]  # fmt: skip


def _every(query: TimelineQuery, start_s: float, end_s: float) -> list[Stretch]:
    """The same part of each period."""
    first, last = int(query.since // PERIOD_S) - 1, int(query.until // PERIOD_S)
    return [
        Stretch(start=period * PERIOD_S + start_s, end=period * PERIOD_S + end_s)
        for period in range(first, last + 1)
    ]


def _spans(node: Node, query: TimelineQuery, now_s: float) -> list[NodeSpan]:
    start = max(query.since, now_s - 1_500.0)
    if node.health is NodeHealth.UNREACHABLE:
        return [NodeSpan(node=node.name, kind=SpanKind.UNREACHABLE, start=start, message="no heartbeat")]
    if node.admin is NodeAdmin.DRAINING:
        return [NodeSpan(node=node.name, kind=SpanKind.DRAINED, start=start, message=node.reason)]
    if node.admin is NodeAdmin.MAINTENANCE:
        return [NodeSpan(node=node.name, kind=SpanKind.MAINTENANCE, start=start, message=node.reason)]
    return []


def _attempts(node: Node, query: TimelineQuery, now_s: float, *, until: float) -> list[PlacedAttempt]:
    """Of each period a few, one after the other in up to three lanes."""
    found = []
    for period in range(int(query.since // PERIOD_S) - 1, int(min(query.until, until) // PERIOD_S) + 1):
        chance = random.Random(f"{node.name}{period}")
        for _ in range(chance.randrange(LANES_MOST + 1)):
            at = period * PERIOD_S + chance.random() * 300.0
            for _ in range(chance.randrange(1, 4)):
                end = at + 30.0 + chance.random() * 400.0
                if at < until and at < query.until and end > query.since:
                    found.append(_attempt(node, chance, at, end, now_s=now_s, until=until))
                at = end + chance.random() * 60.0
    return found


def _of_job(attempts: list[PlacedAttempt], job: int) -> list[PlacedAttempt]:
    """A twentieth of all is said to be of the job that is asked about: so there is something to see."""
    some = [each for each in attempts if (each.job or 0) % JOB_SHARE == job % JOB_SHARE]
    return [replace(each, job=job, task=f"{job}.{index}") for index, each in enumerate(some)]


def _attempt(
    node: Node, chance: random.Random, start: float, end: float, *, now_s: float, until: float
) -> PlacedAttempt:
    live = end > now_s and until == now_s
    end = min(end, until)
    state = "running" if live else chance.choices(("completed", "failed", "lost"), (90, 8, 2))[0]
    job = chance.randrange(1, 401)
    return PlacedAttempt(
        node=node.name, start=start, started_at=start + min(4.0, (end - start) / 2),
        end=None if live else end,
        resources=Resources(chance.choice((2_000, 4_000, 8_000)), 4_096), task=f"{job}.0", job=job,
        name="train", user=chance.choice(("ann", "bob", "chen")), fence=1, state=state,
        exit_code=None if live else int(state == "failed"),
    )  # fmt: skip
