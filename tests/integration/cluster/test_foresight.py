"""Asked of a living cluster: when a task will start, why it went where it did, and what a change would do."""

from __future__ import annotations

from bus.requests import WhatIf
from tests.fixtures_cluster import LiveCluster

RUN_S = 2.0


async def test_what_is_foretold_comes_and_is_explained_afterwards(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        (node,) = [each for each in (await client.nodes()).nodes if each.labels.get("zone") == "a"]
        whole = {
            "resources": {"cpu": node.capacity.cpu_millis},
            "constraints": {"labels": {"zone": "a"}},
            "timeout": RUN_S,
        }
        command = ["sleep", str(RUN_S / 2)]
        jobs = [(await client.submit(command=command, **whole)).number for _ in range(3)]
        why = await client.why(jobs[-1])
        assert why.forecast is not None and why.ahead is not None
        after = await client.what_if(WhatIf(add=2, like=node.name))
        assert after.effect.wait_after_s < after.effect.wait_before_s
        drained = await client.what_if(WhatIf(drain=[node.name]))
        assert drained.effect.stuck_after == drained.effect.tasks > 0
        await client.wait(jobs[-1])
        task = await client.task(f"{jobs[-1]}.0")
        started_at = task.attempts[-1].started_at
        assert started_at is not None
        print(f"foretold {why.forecast.starts_at:.1f}, started {started_at:.1f}")
        # walltimes are the only thing known of these jobs, and they took half of them
        assert started_at < why.forecast.latest_at + RUN_S
        placed = await client.why(jobs[-1])
        assert placed.node == node.name and placed.order == "fcfs"
        assert [each.node for each in placed.candidates if each.chosen] == [node.name]


async def test_tasks_of_an_array_that_share_a_decision_are_all_explained(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        number = (await client.submit(command=["true"], array="0-19", resources={"cpu": 1})).number
        await client.wait(number)
        for index in (0, 7, 19):
            why = await client.why(f"{number}.{index}")
            assert why.node and why.rank and any(each.chosen for each in why.candidates), why
