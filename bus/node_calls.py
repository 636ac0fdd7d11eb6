"""One method for each operation of `bus.node_log.NODE_OPERATIONS`; part of `bus.calls.Calls`."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

from bus.gpus import Gpu, GpuQuery, Gpus, GpuSteer
from bus.node_log import NodeLog, NodeLogQuery

S = TypeVar("S", bound=Struct)


class NodeCalls:
    """What is in nodes, and what their agents complained of."""

    async def node_log(self, query: NodeLogQuery) -> NodeLog:
        """Warnings and errors of the agent's log, oldest first."""
        return await self._call("node.logs", query, NodeLog)

    async def gpus(self, query: GpuQuery | None = None) -> Gpus:
        """By node and place; see GpuQuery."""
        return await self._call("gpu.list", query or GpuQuery(), Gpus)

    async def quarantine_gpu(self, node: str, gpu: str, *, reason: str = "") -> Gpu:
        """Give it to no new task until it is released; what runs on it goes on."""
        return await self._call("gpu.quarantine", GpuSteer(node=node, gpu=gpu, reason=reason), Gpu)

    async def release_gpu(self, node: str, gpu: str, *, reason: str = "") -> Gpu:
        """Give it out again. Refused (E_QUARANTINED) while its agent sees that the fault lasts."""
        return await self._call("gpu.release", GpuSteer(node=node, gpu=gpu, reason=reason), Gpu)

    async def _call(
        self, operation: str, request: Struct, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        raise NotImplementedError
