"""Nodes and the cluster's summary, out of the loop's memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from bus import api, requests
from bus.api import Error
from bus.errors import ApiError
from bus.values import NodeAdmin, NodeHealth, NodeName, Resources
from coordinator.clock import Clock
from coordinator.core.model import Node
from coordinator.loop import Loop
from coordinator.store.rows import UserRow


class Nodes:
    """The handlers of `node.*` and `cluster.status`."""

    def __init__(
        self,
        loop: Loop,
        clock: Clock,
        *,
        epoch: int,
        version: str,
        timeseries: str,
        unreadable: Callable[[], int],
    ) -> None:
        self._unreadable = unreadable
        self._loop = loop
        self._clock = clock
        self._epoch = epoch
        self._version = version
        self._timeseries = timeseries
        self._started_at = clock.now_s()

    async def list(self, user: UserRow, request: Struct) -> Struct:
        """`node.list`."""
        await self._loop.barrier()
        nodes = self._loop.cluster.nodes
        return api.Nodes(nodes=[self._shown(nodes[name]) for name in sorted(nodes)])

    async def show(self, user: UserRow, request: Struct) -> Struct:
        """`node.show`."""
        assert isinstance(request, requests.NodeQuery)
        await self._loop.barrier()
        node = self._loop.cluster.nodes.get(NodeName(request.node))
        if node is None:
            raise ApiError(
                Error(code="E_NOT_FOUND", message=f"no node {request.node[:80]!r}", field="/node", status=404)
            )
        shown = self._shown(node)
        shown.inventory = node.inventory
        return shown

    async def cluster(self, user: UserRow, request: Struct) -> Struct:
        """`cluster.status`."""
        await self._loop.barrier()
        return self.summary()

    def summary(self) -> api.Cluster:
        """The cluster in a few numbers; live jobs only."""
        cluster = self._loop.cluster
        states = Counter(str(job.state) for job in cluster.jobs.values())
        tasks: Counter[str] = Counter()
        for job in cluster.jobs.values():
            for name in ("pending", "queued", "assigned", "running", "completed", "failed", "cancelled"):
                tasks[name] += getattr(job, name)
        active = [
            node
            for node in cluster.nodes.values()
            if node.health is NodeHealth.HEALTHY and node.admin is NodeAdmin.ACTIVE
        ]
        return api.Cluster(
            total_nodes=len(cluster.nodes),
            active_nodes=len(active),
            jobs=dict(states),
            tasks=dict(tasks),
            capacity=sum((node.capacity for node in active), Resources()),
            allocated=sum((node.allocated for node in active), Resources()),
            epoch=self._epoch,
            started_at=self._started_at,
            version=self._version,
            timeseries=self._timeseries,
            rejected=self._unreadable() + cluster.unknown_senders,
        )

    def _shown(self, node: Node) -> api.Node:
        return api.Node(
            name=node.name,
            id=str(node.id),
            health=node.health,
            admin=node.admin,
            kind=node.kind,
            capacity=node.capacity,
            allocated=node.allocated,
            running=node.holding,
            waiting=node.waiting,
            load=node.load,
            last_heartbeat_s=max(self._clock.now_s() - node.last_beat_s, 0.0),
            labels=node.labels,
            version=node.version,
            usage=node.usage,
        )
