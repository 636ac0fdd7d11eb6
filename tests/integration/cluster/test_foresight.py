"""Asked of a living cluster: when a task will start, why it went where it did, and what a change would do."""

from __future__ import annotations

import time

from bus.requests import WhatIf
from bus.upcoming import Turn
from bus.values import NodeAdmin, TaskState
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


async def test_a_drain_and_the_line_are_foretold_task_by_task(cluster: LiveCluster) -> None:
    async with cluster.client() as client:
        (node,) = [each for each in (await client.nodes()).nodes if each.labels.get("zone") == "a"]
        whole = {
            "resources": {"cpu": node.capacity.cpu_millis},
            "timeout": 600.0,
            "command": ["sleep", "500"],
        }
        there = {"constraints": {"labels": {"zone": "a"}}}
        runs, waits = [(await client.submit(**whole, **there)).number for _ in range(2)]

        async def started() -> bool:
            return (await client.task(f"{runs}.0")).state is TaskState.RUNNING

        async def turns() -> list[Turn]:
            return [turn for turn in (await client.upcoming()).turns if turn.task == f"{waits}.0"]

        async def in_line() -> bool:
            return bool(await turns())

        try:
            await cluster.until(started, "the first one runs")
            await cluster.until(in_line, "the other one is in line, and not ahead on the node")
            (turn,) = await turns()
            assert turn.node == node.name and turn.starts_at is not None
            assert turn.starts_at > time.time(), "the node is taken"
            stays = await client.what_if(WhatIf(drain=[node.name]))
            (row,) = [row for row in stays.displaced if row.task == f"{runs}.0"]
            assert not row.goes and row.running and row.ends_at is not None
            goes = await client.what_if(WhatIf(drain=[node.name], deadline_s=0.0))
            (row,) = [row for row in goes.displaced if row.task == f"{runs}.0"]
            assert (
                row.goes and row.goes_to is None and "admin:draining" in [each.code for each in row.blockers]
            )
            anywhere = await client.what_if(WhatIf(drain=[node.name], deadline_s=0.0, add=1, like=node.name))
            (row,) = [row for row in anywhere.displaced if row.task == f"{runs}.0"]
            assert row.goes_to == f"{node.name}+1" and row.delay_s is not None
            assert (await client.node(node.name)).admin is NodeAdmin.ACTIVE, "nothing was changed"
        finally:
            for number in (runs, waits):
                await client.cancel(number)
