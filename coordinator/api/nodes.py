"""Nodes and the cluster's summary, out of the loop's memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from bus import api, requests
from bus.errors import ApiError
from bus.fields import NODE_FIELDS
from bus.filter import Order
from bus.refusal import quote, refusal
from bus.values import NodeAdmin, NodeHealth, NodeName, Resources
from coordinator.api.listing import understand
from coordinator.api.node_list import page
from coordinator.api.tags import nodes_tag
from coordinator.clock import Clock
from coordinator.core.amounts import RESOURCES, amount_of
from coordinator.loop import Loop
from coordinator.shown import node_shown
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
        assert isinstance(request, requests.NodeList)
        now_s = self._clock.now_s()
        listing = understand(request, user, NODE_FIELDS, Order("name"), now_s=now_s)
        await self._loop.barrier()
        nodes = self._loop.cluster.nodes.values()
        found = page((node_shown(node, now_s=listing.now_s) for node in nodes), listing)
        found.tag = nodes_tag(found)
        return api.Nodes(nodes=[], tag=found.tag, unchanged=True) if found.tag == request.known else found

    async def show(self, user: UserRow, request: Struct) -> Struct:
        """`node.show`."""
        assert isinstance(request, requests.NodeQuery)
        await self._loop.barrier()
        node = self._loop.cluster.nodes.get(NodeName(request.node))
        if node is None:
            raise ApiError(refusal("E_NOT_FOUND", "no such node", field="/node", got=quote(request.node)))
        shown = node_shown(node, now_s=self._clock.now_s())
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
            if node.health is not NodeHealth.UNREACHABLE and node.admin is NodeAdmin.ACTIVE
        ]
        capacity = sum((node.capacity for node in active), Resources())
        allocated = sum((node.allocated for node in active), Resources())
        shares = [(amount_of(allocated, name), amount_of(capacity, name)) for name in RESOURCES]
        return api.Cluster(
            total_nodes=len(cluster.nodes),
            active_nodes=len(active),
            jobs=dict(states),
            tasks=dict(tasks),
            capacity=capacity,
            allocated=allocated,
            live_jobs=len(cluster.jobs),
            load=max(held / most if most else 0.0 for held, most in shares),
            epoch=self._epoch,
            started_at=self._started_at,
            version=self._version,
            timeseries=self._timeseries,
            rejected=self._unreadable() + cluster.unknown_senders,
            brake="" if cluster.brake is None else cluster.brake.reason,
        )
