"""The cluster's own nodes and tasks, as learned placements see them (`after_state`).

Which nodes will do is not asked here: types, memory and labels are a matter of `feasible`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bus.values import Resources
from coordinator.core.node import Node
from coordinator.core.scheduler.gpus import WHOLE, GpuNode, GpuPool, Request


def live_pool(nodes: Sequence[Node]) -> GpuPool:
    """Rows in their order; free is what the ledgers leave, on an over-committed node nothing."""
    pool = GpuPool([as_empty(node) for node in nodes])
    for row, node in enumerate(nodes):
        refresh(pool, row, node)
    return pool


def refresh(pool: GpuPool, row: int, node: Node) -> None:
    """What is free there is what its ledger leaves now."""
    pool.cpu[row] = max(node.free.cpu_millis, 0)
    pool.memory[row] = max(node.free.mem_mib, 0)
    for column, gpu in enumerate(node.offered_gpus):
        pool.gpus[row, column] = max(node.free_milli(gpu.uuid), 0)


def request_of(resources: Resources) -> Request:
    """A task's: a share of one GPU, whole ones, or none."""
    if resources.gpu_milli:
        return Request(resources.cpu_millis, resources.mem_mib, 1, resources.gpu_milli)
    milli = WHOLE if resources.gpus else 0
    return Request(resources.cpu_millis, resources.mem_mib, resources.gpus, milli)


def as_empty(node: Node) -> GpuNode:
    """As it is when nothing runs there."""
    gpus = node.offered_gpus
    capacity = node.capacity
    model = gpus[0].model if gpus else ""
    return GpuNode(node.name, capacity.cpu_millis, capacity.mem_mib, len(gpus), model)
