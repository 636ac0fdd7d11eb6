"""A policy that looks ahead on a real cluster: let in by the gate, asked why, put in shadow, driven out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.api import Why
from bus.client import Client
from bus.layout import Layout
from bus.scheduling import SchedulerTest
from coordinator.core.scheduler.policies import POLICIES, Kind
from tests.fixtures_cluster import LiveCluster
from tests.fixtures_nats import NatsServer
from tests.integration.cluster.test_learning import LONG_FIRST, replayed

ROLLOUT = next(each.name for each in POLICIES.values() if each.kind is Kind.ROLLOUT and each.futures)
PLANTED = "predicted long"
PLANT = f"""
from coordinator.core.scheduler.policies import BASE_RULES, POLICIES, Kind, Policy

BASE_RULES["long"] = lambda run_s, nodes, weight: -run_s
POLICIES[{PLANTED!r}] = Policy(name={PLANTED!r}, kind=Kind.PREDICTED, rules=("long",))
"""
"""An order that lets the longest go first, in every process of the coordinator."""

MINUTES = (60, 5, 30, 1, 15)
"""Walltimes in order of arrival; a task runs for so many hundredths of a second."""


@pytest.fixture(scope="module")
def one_by_one(
    cluster_folder: Path, nats_server: NatsServer, coordinator_dsn: str, postgres_dsn: str
) -> Iterator[LiveCluster]:
    """One node that holds one of our tasks at a time."""
    live = LiveCluster(cluster_folder, nats_server, coordinator_dsn, postgres_dsn)
    live.settings = "deterministic = true\n"
    modules = cluster_folder / "modules"
    modules.mkdir(mode=0o755)
    (modules / "sitecustomize.py").write_text(PLANT)
    live.modules = str(modules)
    try:
        live.start({"n1": ["--cpu", "2"]})
        yield live
    finally:
        live.stop()


async def run_behind_another(cluster: LiveCluster, client: Client) -> list[Why]:
    """All wait while another has the node; then they run one by one. Why each, in order of their starts."""
    before = (await client.submit(command=["sleep", "600"], timeout="2h", resources={"cpu": "2"})).number

    async def runs() -> bool:
        return (await client.task(f"{before}.0")).started_at is not None

    await cluster.until(runs, "the first one runs")
    numbers = []
    for minutes in MINUTES:
        submitted = await client.submit(
            command=["sleep", f"{minutes / 100}"], timeout=f"{minutes}m", resources={"cpu": "2"}
        )
        numbers.append(submitted.number)
    await client.cancel(str(before))
    for number in numbers:
        await client.wait(number)
    started = [((await client.task(f"{number}.0")).started_at or 0.0, number) for number in numbers]
    return [await client.why(f"{number}.0") for _, number in sorted(started)]


def corral(cluster: LiveCluster, *words: str) -> str:
    """What the command prints for an admin."""
    done = subprocess.run(
        [sys.executable, "-m", "tui", *words],
        env={
            **os.environ,
            "PYTHONPATH": os.getcwd(),
            "CORRAL_NATS_URL": cluster.nats.url,
            "CORRAL_NATS_CREDENTIALS": str(Layout(cluster.folder).credentials("adam")),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60.0,
    )
    return done.stdout


def first_minutes(whys: list[Why]) -> list[int]:
    """The walltimes in order of start: jobs were numbered in the order of `MINUTES`."""
    jobs = [int(why.task.partition(".")[0]) for why in whys]
    return [MINUTES[job - min(jobs)] for job in jobs]


@pytest.mark.contract("S0.62")
async def test_a_rollout_orders_tasks_by_its_values(one_by_one: LiveCluster) -> None:
    cluster = one_by_one
    async with cluster.client("olga") as olga, cluster.client("alice") as alice:
        await olga.train(SchedulerTest(policies=["fcfs", ROLLOUT], swf=LONG_FIRST.encode()))
        status = await replayed(cluster, olga)
        assert (status.policy, status.acts) == (ROLLOUT, ROLLOUT), status.test
        assert status.evidence["log_ratio"] < 0.0 and status.evidence["t"] <= -2.0 and status.epsilon == 0.0

        whys = await run_behind_another(cluster, alice)
        assert first_minutes(whys) == sorted(MINUTES)
        *chosen, last = whys
        for place, why in enumerate(chosen):
            assert (why.policy, why.explored, why.epsilon) == (ROLLOUT, False, 0.0)
            assert why.values.keys() <= {each.task for each in whys[place:]} and len(why.values) > 1
            assert why.task == min(why.values, key=why.values.__getitem__)
            assert why.rule in POLICIES[ROLLOUT].rules
        assert not last.values, "nobody was left to choose from"
        text = corral(cluster, "why", whys[0].task)
        assert f"chosen by  {ROLLOUT}" in text and "Q-values   " + whys[0].task in text

        assert (await olga.scheduler_mode("shadow")).acts == "fcfs"
        beside = await run_behind_another(cluster, alice)
        assert first_minutes(beside) == list(MINUTES), "in order of arrival"
        shortest = beside[MINUTES.index(min(MINUTES))].task
        for why in beside:
            assert (why.order, why.policy, why.values) == ("fcfs", "", {})
        assert beside[0].would == shortest != beside[0].task
        text = corral(cluster, "why", beside[0].task)
        assert "chosen by  fcfs" in text and f"shadow     would have chosen {shortest}" in text
        assert (await olga.scheduler_mode("on")).acts == ROLLOUT


@pytest.mark.contract("S0.62")
async def test_a_planted_bad_order_is_kept_out(one_by_one: LiveCluster) -> None:
    cluster = one_by_one
    async with cluster.client("olga") as olga, cluster.client("alice") as alice:
        acted = (await olga.scheduler()).policy or "fcfs (static)"
        await olga.train(SchedulerTest(policies=["fcfs", "sjf", PLANTED], swf=LONG_FIRST.encode()))
        status = await replayed(cluster, olga)
        assert (status.policy, status.acts) == ("sjf", "sjf"), "the best static rule, and neither of them"
        evidence = status.evidence
        assert (evidence["policy"], evidence["static"]) == (PLANTED, "sjf")
        assert evidence["log_ratio"] > 0.0 and evidence["windows"] >= 16

        whys = await run_behind_another(cluster, alice)
        assert {(why.order, why.policy) for why in whys} == {("sjf", "")}
        assert first_minutes(whys) == sorted(MINUTES)

        assert (await olga.scheduler_mode("shadow")).acts == "fcfs"
        beside = await run_behind_another(cluster, alice)
        assert first_minutes(beside) == list(MINUTES)
        assert beside[0].would == beside[MINUTES.index(min(MINUTES))].task, "by sjf, which watches now"
        await olga.scheduler_mode("on")

        text = corral(cluster, "scheduler", "status")
        assert "none passed the gate; sjf is the best static rule" in text
        assert f"{PLANTED} against sjf: +" in text

        async def told() -> bool:
            events = corral(cluster, "events", "--filter", "kind=scheduler_policy")
            return f"sjf orders tasks instead of {acted}" in events

        await cluster.until(told, "the event is there")
        found = [each for each in (await olga.events()).events if each.kind == "scheduler_policy"]
        assert found[0].details["evidence"]["policy"] == PLANTED
        assert found[0].details["evidence"]["log_ratio"] == evidence["log_ratio"]
