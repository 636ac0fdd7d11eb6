"""Gauges of the cluster: levels out of memory, counts of what was committed since the sample before."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from bus.series import METRICS, SeriesKind
from bus.values import JobState, Resources, Usage
from coordinator.core.effects import GaugeRecord, Record
from coordinator.gauges import Gauges, levels
from coordinator.store.rows import Batch
from tests.store_rows import job_change, new_job
from tests.unit.coordinator.shell import running_shell


def by_name(records: list[Record]) -> dict[str, float]:
    return {each.name: each.value for each in records if isinstance(each, GaugeRecord)}


async def test_levels_are_what_memory_holds() -> None:
    async with running_shell() as shell:
        await shell.agent("n1", capacity=Resources(2000, 4096))
        assert levels_of(shell)["gpu_held"] is None, "what nobody has is not held"
        await shell.submit("alice", array="0-4", resources={"cpu": "1", "memory": "1G"})
        await shell.loop.barrier()
        found = levels_of(shell)
        assert (found["cpu_held"], found["memory_held"]) == (100.0, 50.0)
        assert found["queue_depth"] == 3.0 and found["nodes_healthy"] == 1.0
        assert found["wait"] == found["wait_max"] and 0.0 <= (found["wait"] or 0.0) < 60.0
        node = shell.cluster.nodes["n1"]  # type: ignore[index]
        assert found["cpu_used"] is None, "it has not said"
        node.usage, node.usage_s = Usage(cpu_millis=500, mem_mib=1024), shell.clock.now_s()
        assert levels_of(shell)["cpu_used"] == 25.0
        node.usage_s -= 3600.0
        assert levels_of(shell)["cpu_used"] is None, "what it said an hour ago is not what it uses"


def levels_of(shell: object) -> dict[str, float | None]:
    found = dict(levels(shell.cluster, now_s=shell.clock.now_s()))  # type: ignore[attr-defined]
    assert found.keys() <= METRICS[SeriesKind.CLUSTER].keys()
    return {name: found.get(name) for name in METRICS[SeriesKind.CLUSTER]}


async def test_counts_are_of_what_happened_since_the_sample_before() -> None:
    async with running_shell() as shell:
        records: list[Record] = []
        old = job_change(new_job(tasks=9), JobState.RUNNING, completed=4)
        gauges = Gauges(shell.loop, shell.clock, [old], record=records.extend)
        job = new_job(tasks=5, number=old.number + 1)
        running = job_change(job, JobState.RUNNING, completed=2, failed=1)
        gauges.changed(Batch(number=1, new_jobs=[job], job_changes=[running]))
        gauges.changed(Batch(number=2, job_changes=[replace(old, completed=6)]))
        gauges.sample()
        found = by_name(records)
        assert (found["submitted"], found["completed"], found["failed"]) == (5.0, 4.0, 1.0)
        over = replace(running, completed=4, failed=1, state=JobState.FAILED)
        gauges.changed(Batch(number=3, job_changes=[over]))
        back = replace(over, failed=0, completed=4, state=JobState.RUNNING)
        gauges.changed(Batch(number=4, job_changes=[back]))  # retried: what it had is no news
        gauges.sample()
        found = by_name(records)
        assert (found["submitted"], found["completed"], found["failed"]) == (0.0, 2.0, 0.0)


async def test_what_tasks_came_to_is_of_those_that_ended_since_the_sample_before() -> None:
    async with running_shell() as shell:
        records: list[Record] = []
        learner = shell.cluster.planner
        learner.rewards.extend([-9.0, -1.0])
        learner.reward_total, learner.decisions = -10.0, 2
        gauges = Gauges(shell.loop, shell.clock, [], record=records.extend)
        gauges.sample()
        found = by_name(records)
        assert "reward" not in found and found["reward_mean"] == -5.0
        learner.rewards.extend([-2.0, -4.0])
        learner.reward_total, learner.decisions = -16.0, 4
        gauges.sample()
        found = by_name(records)
        assert (found["reward"], found["td_error"], found["reward_mean"]) == (-3.0, 1.0, -4.0)


async def test_what_was_learned_is_told_with_how_sure_it_is() -> None:
    async with running_shell() as shell:
        assert levels_of(shell)["policy_cost"] is None and levels_of(shell)["forecasts_right"] is None
        assert levels_of(shell)["epsilon"] == 100.0 * shell.cluster.planner.epsilon
        shell.cluster.evidence = {"log_ratio": math.log(0.9), "t": -2.0}
        shell.cluster.planner.forecasts.tracker.newest = [True, True, True, False]
        found = levels_of(shell)
        assert found["policy_cost"] == pytest.approx(90.0) and found["forecasts_right"] == 75.0
        assert found["policy_cost_high"] == pytest.approx(100.0), "two standard errors reach the static rule"
        assert found["policy_cost_low"] == pytest.approx(81.0)
        shell.cluster.evidence = {"log_ratio": 1e6, "t": 3.0}
        assert math.isfinite(levels_of(shell)["policy_cost"] or math.inf)
