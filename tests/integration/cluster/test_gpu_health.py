"""GPUs that fall ill under real agents; the devices are those of a stand-in for NVIDIA's library."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.client import Client
from bus.errors import ApiError
from bus.gpus import Gpu, GpuQuery
from bus.requests import EventList
from bus.spec import ResourceSpec
from bus.values import TaskState
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer

STAND_IN = Path(__file__).parents[2] / "fake_nvml"
WITHIN_S = "1.5"


class Machine:
    """A cluster of one node, and the devices in it."""

    def __init__(self, live: LiveCluster, path: Path) -> None:
        self.live = live
        self._path = path
        self.gpus: dict[str, dict[str, Any]] = {
            uuid: {"uuid": uuid, "model": "NVIDIA H100", "mem_mib": 81_559, "ecc": 0, "used_mib": 600}
            for uuid in ("GPU-a", "GPU-b")
        }
        self.say()

    def say(self, uuid: str = "GPU-a", **changes: Any) -> None:
        """From now on the device says so of itself."""
        self.gpus[uuid] |= changes
        half = self._path.with_suffix(".half")
        half.write_text(json.dumps({"gpus": list(self.gpus.values())}))
        half.rename(self._path)


@pytest.fixture(scope="module")
def machine(
    cluster_folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[Machine]:
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    devices = cluster_folder / "gpus.json"
    found = Machine(live, devices)
    live.agent_modules = str(STAND_IN)
    live.environment = {"FAKE_NVML": str(devices), "FAKE_NVML_FREE_WITHIN_S": WITHIN_S}
    try:
        live.start({"big": ["--gpu-driver", "nvml", "--cpu", "8"]})
        yield found
    finally:
        live.stop()


async def submit(client: Client, **asked: Any) -> str:
    resources = ResourceSpec(cpu="100m", memory="16MiB", **({"gpu": 1} | asked))
    say = "echo $CUDA_VISIBLE_DEVICES; sleep 300"
    return f"{(await client.submit(command=['sh', '-c', say], resources=resources, grace=0.1)).number}.0"


async def runs(client: Client, task: str) -> bool:
    return (await client.task(task)).state is TaskState.RUNNING


async def ill(client: Client) -> list[Gpu]:
    return (await client.gpus(GpuQuery(quarantined=True))).gpus


async def test_an_xid_moves_the_task_and_the_gpu_stays_out_until_it_is_released(machine: Machine) -> None:
    live = machine.live
    async with live.client() as alice, live.client("olga") as olga:
        task = await submit(alice)
        await live.until(lambda: runs(alice, task), "it runs")
        (before,) = [gpu for gpu in (await alice.gpus()).gpus if gpu.state == "taken"]
        machine.say(before.uuid, xids=[79])

        async def moved() -> bool:
            having = [gpu for gpu in (await alice.gpus()).gpus if gpu.tasks]
            return await runs(alice, task) and bool(having) and having[0].uuid != before.uuid

        await live.until(moved, "it runs on the other GPU")
        (out,) = await ill(alice)
        assert (out.uuid, out.kind, out.reason) == (before.uuid, "xid", "XID 79: it has fallen off the bus")
        shown = await alice.task(task)
        first = shown.attempts[0]
        assert (first.state, first.message) == (
            "preempted", f"GPU {out.index} of big is quarantined: {out.reason}"
        )  # fmt: skip
        assert shown.retries == 0, "charged to nobody"

        async def told() -> bool:  # history is written a moment after what it tells of
            found = (await olga.events(EventList(filter="kind=gpu_quarantined"))).events
            return ["1 task queued again" in each.message for each in found] == [True]

        await live.until(told, "the history has it, once")

        live.kill("coordinator")
        live.start_coordinator()
        await live.settle()
        assert [each.uuid for each in await ill(alice)] == [before.uuid]
        live.kill("big")
        live.start_agent("big", "--gpu-driver", "nvml", "--cpu", "8")
        await live.settle()
        assert [each.uuid for each in await ill(alice)] == [before.uuid], "its new agent heard of no XID"
        waits = await submit(alice)
        assert await runs(alice, task) and not await runs(alice, waits)
        with pytest.raises(ApiError) as refused:
            await alice.release_gpu("big", str(out.index))
        assert refused.value.error.code == "E_FORBIDDEN"
        released = await olga.release_gpu("big", str(out.index), reason="driver loaded anew")
        assert released.state in ("free", "taken"), "by whoever waits"
        await live.until(lambda: runs(alice, waits), "it runs on the GPU that was out")
        assert (await olga.verify()).violations == []
        for each in (task, waits):
            await alice.cancel(each.partition(".")[0])


async def test_a_lost_gpu_cannot_be_released_while_it_is_lost(machine: Machine) -> None:
    live = machine.live
    async with live.client() as alice, live.client("olga") as olga:
        machine.say("GPU-b", error="GPU_IS_LOST")

        async def out() -> bool:
            return [gpu.kind for gpu in await ill(alice)] == ["lost"]

        await live.until(out, "it is out")
        with pytest.raises(ApiError) as refused:
            await olga.release_gpu("big", "GPU-b")
        assert refused.value.error.code == "E_QUARANTINED"
        machine.say("GPU-b", error="")

        async def released() -> bool:
            return (await olga.release_gpu("big", "1")).state != "quarantined"

        await live.until(released, "its agent sees that it is back")


async def test_a_gpu_is_given_out_again_only_once_it_is_free(machine: Machine) -> None:
    """A process of nobody's sits on both GPUs, and goes from one after the other."""
    live = machine.live
    stranger = {"pids": {str(os.getpid()): 20_000}, "used_mib": 20_600}
    free: dict[str, Any] = {"pids": {}, "used_mib": 600}
    async with live.client() as alice:
        for uuid in machine.gpus:
            machine.say(uuid, **stranger)
        tasks = [await submit(alice), await submit(alice)]

        async def quarantined() -> bool:
            return [gpu.kind for gpu in await ill(alice)] == ["unclean", "unclean"]

        await live.until(quarantined, "neither became free in time")
        for task in tasks:
            assert not (await alice.logs(task)).data, "nothing was started on a GPU that is not free"
        assert f"process {os.getpid()} is on it" in (await ill(alice))[0].reason
        why = await alice.why(tasks[0])
        assert "gpu_quarantined" in {blocker.code for blocker in why.blockers}
        machine.say("GPU-a", **free)
        await live.until(lambda: runs(alice, tasks[0]), "the first that is free is given out by itself")
        assert [gpu.uuid for gpu in await ill(alice)] == ["GPU-b"]
        machine.say("GPU-b", **free)
        await live.until(lambda: runs(alice, tasks[1]), "and then the other")
        assert await ill(alice) == []
