"""What a real cluster learns: known to the bit by the next coordinator, however the last one ended."""

from __future__ import annotations

import json
import pickle
import signal

import asyncpg
import pytest

from bus.api import Scheduler
from bus.client import Client
from bus.errors import ApiError
from bus.scheduling import SchedulerTest
from bus.spec import ResourceSpec
from tests.fixtures_cluster import LiveCluster

TASKS = 60
SMALL = ResourceSpec(cpu="100m", memory="16MiB")

LONG_FIRST = "; MaxProcs: 4\n" + "".join(
    f"{job} {job * 60} -1 {run_s} 4 -1 -1 4 {run_s} -1 1 {job % 3} -1 -1 -1 -1 -1 -1\n"
    for job, run_s in enumerate([600, 5, 5, 60] * 150, start=1)
)
"""A trace on which whoever lets short jobs go first wins."""


async def work(cluster: LiveCluster) -> Scheduler:
    """So many tasks more, run to their ends; what is known then."""
    async with cluster.client("olga") as olga:
        before = (await olga.scheduler()).decisions
        job = await olga.submit(command=["true"], array=f"0-{TASKS - 1}", resources=SMALL)
        await olga.wait(job.number)
        known = await olga.scheduler()
        assert known.decisions == before + TASKS
        return known


async def known(cluster: LiveCluster) -> Scheduler:
    await cluster.settle()
    async with cluster.client("olga") as olga:
        return await olga.scheduler()


@pytest.mark.contract("S0.54", "S0.49")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_restart_knows_what_was_known(cluster: LiveCluster, how: int) -> None:
    before = await work(cluster)
    cluster.kill("coordinator", how)
    cluster.start_coordinator()
    after = await known(cluster)
    assert (after.digest, after.decisions, after.learned) == (before.digest, before.decisions, before.learned)
    assert (after.epsilon, after.reward_avg) == (before.epsilon, before.reward_avg)
    reasons = [each.reason for each in after.snapshots]
    assert ("stop" in reasons) == (how == signal.SIGTERM) or "stop" in [
        each.reason for each in before.snapshots
    ]
    again = await work(cluster)
    assert again.digest != before.digest


@pytest.mark.contract("S0.54")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_restart_knows_what_it_foretold(cluster: LiveCluster, how: int) -> None:
    """Before it and after it one starts that was foretold: the next coordinator knows of both."""
    async with cluster.client("olga") as olga:
        (node,) = [each for each in (await olga.nodes()).nodes if each.labels.get("zone") == "a"]
        whole = {"resources": {"cpu": node.capacity.cpu_millis}, "constraints": {"labels": {"zone": "a"}}}
        first, second, third = [
            (await olga.submit(command=["sleep", "600"], timeout=900, **whole)).number for _ in range(3)
        ]
        before = (await olga.scheduler()).forecasts
        assert before is not None
        for number in (second, third):
            why = await olga.why(number)
            assert why.forecast is not None and why.forecast.told == before.told

        await olga.cancel(first)
        await cluster.until(lambda: told_by(olga, before.told + 1), "the second one has started")
        seen = await olga.scheduler()
    cluster.kill("coordinator", how)
    cluster.start_coordinator()
    after = await known(cluster)
    assert (after.digest, after.forecasts, after.learned) == (seen.digest, seen.forecasts, seen.learned)
    async with cluster.client("olga") as olga:
        await olga.cancel(second)
        await cluster.until(lambda: told_by(olga, before.told + 2), "the third one has started")
        await olga.cancel(third)


async def told_by(client: Client, count: int) -> bool:
    """Whether so many forecasts came out."""
    found = (await client.scheduler()).forecasts
    return found is not None and found.told == count


@pytest.mark.contract("S4.4", "S4.63")
async def test_every_decision_is_an_experience(cluster: LiveCluster) -> None:
    decisions = (await work(cluster)).decisions
    database = await asyncpg.connect(cluster.owner_dsn)
    try:

        async def all_written() -> bool:
            return decisions == await database.fetchval(
                "select count(distinct sequence) from corral.learning_experiences where sequence is not null"
            )

        await cluster.until(all_written, "every experience is written")
        row = await database.fetchrow(
            "select state, action, reward, next_state, done, policy_version, priority, task_id in "
            "(select id from corral.tasks) as known from corral.learning_experiences order by id desc limit 1"
        )
        assert row["known"] and row["reward"] <= -1.0 and row["priority"] >= 0.0
        assert row["done"] or row["next_state"] is not None
        assert json.loads(row["state"]).keys() == {"queue", "load", "mix", "width"}
        assert json.loads(row["action"])["job"][1] == "olga"
        depth = "select count(*) from corral.cluster_metrics where name = 'queue_depth'"
        assert await database.fetchval(depth) > 0
    finally:
        await database.close()


@pytest.mark.contract("S0.62", "S0.50")
async def test_the_gate_replays_and_tells(cluster: LiveCluster) -> None:
    async with cluster.client("olga") as olga, cluster.client("adam") as adam:
        first = await olga.replay(SchedulerTest(policies=["fcfs", "sjf"]))
        assert first.test is not None and not first.test.adopts
        with pytest.raises(ApiError) as caught:
            await olga.train(SchedulerTest())
        assert caught.value.error.code == "E_TOO_OFTEN"
        shown = await replayed(cluster, olga)
        assert shown.test is not None and shown.test.costs.keys() == {"fcfs", "sjf"}, shown.test
        assert not shown.policy, "only shown"
        count = len(shown.snapshots)
        await olga.train(SchedulerTest(policies=["fcfs", "sjf"], seed=2, swf=LONG_FIRST.encode()))
        trained = await replayed(cluster, olga)
        assert trained.test is not None and trained.test.source == "swf"
        assert trained.policy == "sjf" and trained.evidence["static"] == "sjf" and trained.acts == "sjf"
        assert len(trained.snapshots) == count + 1 and trained.digest != shown.digest
        assert trained.snapshots[0].digest == trained.digest

        async def told() -> bool:
            events = (await adam.events()).events
            found = [each for each in events if each.kind == "scheduler_policy"]
            return bool(found) and found[0].details["evidence"]["windows"] >= 16

        await cluster.until(told, "the verdict is an event with its evidence")


@pytest.mark.contract("S0.51", "S0.53")
async def test_out_and_in(cluster: LiveCluster) -> None:
    async with cluster.client("olga") as olga, cluster.client("adam") as adam:
        document = (await olga.export_learned()).document
        before = await olga.scheduler()
        assert json.loads(document)["digest"] == before.digest
        numbered = (await olga.export_learned(before.snapshots[-1].number)).document
        assert json.loads(numbered)["digest"] == before.snapshots[-1].digest
        await work(cluster)
        with pytest.raises(ApiError) as caught:
            await olga.import_learned(document)
        assert caught.value.error.code == "E_FORBIDDEN"
        for bad, code in ((pickle.dumps([1]), "E_PICKLE"), (b'{"learner": {}}', "E_LEARNED")):
            with pytest.raises(ApiError) as caught:
                await adam.import_learned(bad)
            assert caught.value.error.code == code
        brought = await adam.import_learned(document)
        assert brought.decisions == before.decisions and brought.reward_avg == before.reward_avg
        mode = await olga.scheduler_mode("shadow")
        assert mode.mode == "shadow" and mode.acts == mode.order
    cluster.kill("coordinator")
    cluster.start_coordinator()
    after = await known(cluster)
    assert (after.mode, after.digest) == ("shadow", mode.digest)


async def replayed(cluster: LiveCluster, client: Client) -> Scheduler:
    """When the replay under way is over."""

    async def over() -> bool:
        test = (await client.scheduler()).test
        return test is not None and test.ended_at is not None

    await cluster.until(over, "the replay is over", wait_s=120.0)

    found = await client.scheduler()
    assert found.test is not None and not found.test.error, found.test
    return found
