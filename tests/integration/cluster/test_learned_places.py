"""`scheduler.rank = learned` on a real cluster whose GPUs are shared: let in by the gate, and asked why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.client import Client
from bus.scheduling import SchedulerTest
from coordinator.core.scheduler import kept, places
from coordinator.core.scheduler.after_state import START
from coordinator.core.scheduler.exploring import EPSILON_FIRST
from coordinator.core.scheduler.learner import Learner
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer
from tests.integration.cluster.test_learning import replayed

NODES = {"n1": (32, 32), "n2": (64, 16), "n3": (24, 8), "n4": (16, 16)}
"""Processors and GPUs: of the first a few are out of reach where tasks want many processors."""

MIX = (
    (8, {"cpu": "2"}),
    (5, {"cpu": "500m", "gpu": 0.6}),
    (4, {"cpu": "500m", "gpu": 0.4}),
    (3, {"cpu": "500m", "gpu": 0.3}),
    (4, {"cpu": "500m", "gpu": 1}),
    (2, {"cpu": "1", "gpu": 4}),
)
"""So many of each: no two shares but 0.6 and 0.4 fill a GPU."""

TIMES = 3


@pytest.fixture(scope="module")
def shared(
    cluster_folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[LiveCluster]:
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    live.settings = 'rank = "learned"\n'
    try:
        live.start(
            {
                name: ["--cpu", str(cpu), "--memory", "64GiB", "--gpu-driver", f"sim:{gpus}xA100-40"]
                for name, (cpu, gpus) in NODES.items()
            }
        )
        yield live
    finally:
        live.stop()


async def submit(client: Client, resources: dict[str, object], *, command: str = "true") -> int:
    """A job of one task; its number."""
    asked = {"memory": "16MiB", **resources}
    return (await client.submit(command=command.split(), resources=asked, grace=0.1)).number


@pytest.mark.contract("S0.62")
async def test_learned_values_rank_nodes_once_they_passed(shared: LiveCluster) -> None:
    cluster = shared
    async with cluster.client("alice") as alice, cluster.client("adam") as adam:
        planted = Learner()
        planted.place_by(places.write(-START, [(500, 16, 1, 500)]), gpus=72)
        brought = await adam.import_learned(kept.dump(planted))
        assert brought.rank == "best_fit", "weights that nobody judged here do not act"

        numbers = [await submit(alice, resources) for times, resources in MIX for _ in range(TIMES * times)]
        for number in numbers:
            await alice.wait(number)
        assert (await alice.why(f"{numbers[-1]}.0")).rank == "best_fit"

        await adam.train(SchedulerTest(policies=["fcfs", "sjf"]))
        status = await replayed(cluster, adam)
        judged = status.evidence["placement"]
        assert (judged["policy"], judged["windows"]) == ("after_state", 16), judged
        assert judged["log_ratio"] < 0.0 and judged["t"] <= -2.0
        assert status.rank == "learned" and status.epsilon == pytest.approx(EPSILON_FIRST, rel=0.01)

        async def told() -> bool:
            events = (await adam.events()).events
            found = [each for each in events if each.kind == "scheduler_placement"]
            return bool(found) and found[0].details["evidence"] == judged

        await cluster.until(told, "that learned values rank nodes is an event with its evidence")

        sleep = "sleep 600"
        first = await submit(alice, {"cpu": "500m", "gpu": 0.6}, command=sleep)
        second = await submit(alice, {"cpu": "500m", "gpu": 0.4}, command=sleep)
        for number in (first, second):

            async def placed(task: str = f"{number}.0") -> bool:
                return (await alice.task(task)).node is not None

            await cluster.until(placed, f"{number} is placed")
            why = await alice.why(f"{number}.0")
            assert why.rank == "learned" and why.epsilon == pytest.approx(status.epsilon, rel=0.01)
            scores = {each.node: each.score for each in why.candidates if each.score is not None}
            (chosen,) = [each.node for each in why.candidates if each.chosen]
            assert why.explored or scores[chosen] == min(scores.values())
            assert all(each.features for each in why.candidates if each.chosen), "what its value is made of"
        taken = {name: (await alice.node(name)).gpu_taken for name in NODES}
        assert sum(sum(each.values()) for each in taken.values()) == 1000

        assert (await adam.scheduler_mode("off")).rank == "best_fit"
        third = await submit(alice, {"cpu": "500m", "gpu": 0.3})
        await alice.wait(third)
        why = await alice.why(f"{third}.0")
        assert (why.rank, why.epsilon) == ("best_fit", 0.0)
        assert (await adam.scheduler_mode("on")).rank == "learned"

        cluster.kill("coordinator")
        cluster.start_coordinator()
        await cluster.settle()
        assert (await adam.scheduler()).rank == "learned"
        assert {name: (await alice.node(name)).gpu_taken for name in NODES} == taken
        assert (await adam.verify()).violations == []
