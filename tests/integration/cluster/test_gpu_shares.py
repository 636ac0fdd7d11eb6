"""GPUs from submit to the environment of a process: a model, whole ones, and two tasks that share one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.client import Client
from bus.errors import ApiError
from bus.spec import ResourceSpec
from bus.values import TaskState
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer

SAY = "echo [$CUDA_VISIBLE_DEVICES] [$CORRAL_GPU_SHARE] [$CUDA_MPS_ACTIVE_THREAD_PERCENTAGE]; sleep 300"


@pytest.fixture
def gpus(
    cluster_folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[LiveCluster]:
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    try:
        live.start(
            {
                "big": ["--gpu-driver", "sim:2xA100-40", "--cpu", "8"],
                "old": ["--gpu-driver", "sim:1xT4-16", "--cpu", "8"],
            }
        )
        yield live
    finally:
        live.stop()


async def submit(client: Client, **asked: object) -> str:
    resources = ResourceSpec(cpu="100m", memory="16MiB", **asked)  # type: ignore[arg-type]
    job = await client.submit(command=["sh", "-c", SAY], resources=resources, grace=0.1)
    return f"{job.number}.0"


@pytest.mark.contract("S2.33")
async def test_gpus_are_given_by_model_and_shared(gpus: LiveCluster) -> None:
    async with gpus.client() as alice, gpus.client("olga") as olga:

        async def said(task: str) -> str:
            """What it says of its GPUs, once it runs."""
            found = b""

            async def speaks() -> bool:
                nonlocal found
                found = (await alice.logs(task)).data
                return found.endswith(b"\n")

            await gpus.until(speaks, f"{task} speaks")
            return found.decode().strip()

        half = await submit(alice, gpu=0.5, gpu_type="a100")
        quarter = await submit(alice, gpu="250m", gpu_memory="30GiB")
        whole = await submit(alice, gpu=1, gpu_type="A100")
        none = await submit(alice)
        shared, other = "GPU-sim-big-0", "GPU-sim-big-1"
        assert await said(half) == f"[{shared}] [0.5] [50]"
        assert await said(quarter) == f"[{shared}] [0.25] [25]"
        assert await said(whole) == f"[{other}] [] []"
        assert await said(none) == "[] [] []"

        waits = await submit(alice, gpu=1, gpu_type="a100")

        async def explained() -> bool:  # a node that is late, on a busy machine, is a blocker of its own
            return {"busy:gpus", "gpu_type"} <= {each.code for each in (await alice.why(waits)).blockers}

        await gpus.until(explained, "why it waits")
        node = await alice.node("big")
        assert (node.capacity.gpus, node.allocated.gpu_millis) == (2, 1750)
        assert node.gpu_taken == {shared: 750, other: 1000}
        assert (await alice.task(half)).resources.gpu_millis == 500

        async def listed() -> bool:
            found = await alice.nodes(filter="free_gpus>=0.25 free_gpus<1")
            return [each.name for each in found.nodes] == ["big"]

        await gpus.until(listed, "the node with a part of a GPU is found")

        with pytest.raises(ApiError) as refused:
            await submit(alice, gpu=3, gpu_type="h100")
        assert refused.value.error.code == "E_UNSATISFIABLE"

        gpus.kill("coordinator")
        gpus.start_coordinator()
        await gpus.settle()
        assert (await alice.node("big")).gpu_taken == {shared: 750, other: 1000}

        async def agrees() -> bool:  # agents tell a new leader what they hold one after the other
            return (await olga.verify()).violations == []

        await gpus.until(agrees, "what is held is what was given out")
        await alice.cancel(whole.split(".")[0])
        assert await said(waits) == f"[{other}] [] []"

        async def runs() -> bool:
            return (await alice.task(waits)).state is TaskState.RUNNING

        await gpus.until(runs, "it runs in the place of the cancelled one")
        await gpus.until(agrees, "what is held is what was given out, again")
