"""Learned placements see the cluster as its ledgers say, and can rank its nodes for a task."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given

from bus.values import GpuInfo, Resources
from coordinator.core.model import Node
from coordinator.core.scheduler.after_state import START, AfterState
from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpus import ABSENT, WHOLE, Request
from coordinator.core.scheduler.live_gpus import live_pool, request_of
from tests.unit.coordinator.conftest import INVENTORY, World
from tests.unit.coordinator.test_pool import pools


@pytest.mark.parametrize(
    ("resources", "request_"),
    [
        (Resources(1000, 1024), Request(1000, 1024)),
        (Resources(1000, 1024, 2), Request(1000, 1024, 2, WHOLE)),
        (Resources(1000, 1024, gpu_milli=250), Request(1000, 1024, 1, 250)),
    ],
)
def test_what_a_task_asks_for(resources: Resources, request_: Request) -> None:
    assert request_of(resources) == request_
    assert request_.total_milli == resources.gpu_millis


@given(pools().filter(bool))
def test_what_is_free_is_what_ledgers_leave(nodes: list[Node]) -> None:
    pool = live_pool(nodes)
    for row, node in enumerate(nodes):
        offered = [max(node.free_milli(gpu.uuid), 0) for gpu in node.offered_gpus]
        assert pool.gpus[row].tolist() == offered + [ABSENT] * (pool.gpus.shape[1] - len(offered))
        assert (pool.cpu[row], pool.memory[row]) == (
            max(node.free.cpu_millis, 0),
            max(node.free.mem_mib, 0),
        )
        assert pool.whole.gpus[row] == len(offered) and pool.nodes[row].name == node.name


def test_half_a_gpu_goes_where_a_half_is_left() -> None:
    world = World()
    for name in ("n1", "n2"):
        gpus = tuple(GpuInfo(uuid=f"{name}-{place}", model="T4", mem_mib=16) for place in range(2))
        world.register(
            name,
            capacity=Resources(8000, 65_536, 2),
            inventory=msgspec.structs.replace(INVENTORY, gpus=gpus),
        )
    nodes = list(world.cluster.nodes.values())
    half = Resources(1000, 1024, gpu_milli=500)
    nodes[1].give(half, ("n2-1",))
    typical = Typical(
        [request_of(each) for each in (half, Resources(1000, 1024, 1), Resources(1000, 1024, 2))]
    )
    found = AfterState(typical, START).gains(live_pool(nodes), request_of(half), np.arange(2))
    assert found.score[1] > max(found.score[0], 0) and found.gpu[1] == 1
