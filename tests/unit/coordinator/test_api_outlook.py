"""What will be, over the service: forecasts that learn from how they came out, and what-if questions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from bus.codec import Codec
from bus.values import AttemptRef, Ended, Outcome, Started
from coordinator.api import outlook
from coordinator.api.why import Reasons
from coordinator.core import forecasts
from coordinator.core.scheduler import ground
from coordinator.core.scheduler.forecast import TAIL
from coordinator.loop import Overloaded
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, running_shell, until


@pytest.fixture
async def shell() -> AsyncIterator[Shell]:
    async with running_shell() as running:
        yield running


async def one_runs_and_others_wait(
    shell: Shell, agent: FakeAgent, *, others: int
) -> tuple[AttemptRef, list[int]]:
    """Each fills the node for a minute."""
    whole = {"resources": {"cpu": shell.cluster.nodes["n1"].capacity.cpu_millis}, "timeout": 60}
    await shell.submit(**whole)
    await until(lambda: agent.assigned())
    (ref,) = agent.assigned()
    await agent.report(Started(attempt=ref, started_at=time.time(), pid=1))
    return ref, [await shell.submit(**whole) for _ in range(others)]


@pytest.mark.parametrize("codec", Codec)
async def test_who_waits_is_told_when_it_starts(shell: Shell, codec: Codec) -> None:
    agent = await shell.agent()
    _, (first, second) = await one_runs_and_others_wait(shell, agent, others=2)
    now_s = time.time()
    waits = []
    for number in (first, second):
        why = await shell.ask("alice", "task.why", codec=codec, target=str(number))
        forecast = why["forecast"]
        assert forecast["earliest_at"] <= forecast["starts_at"] <= forecast["latest_at"]
        waits.append(forecast["starts_at"] - now_s)
    assert 30.0 < waits[0] < 90.0 < waits[1] < 150.0
    await shell.ask("alice", "job.hold", job=str(second))
    held = await shell.ask("alice", "task.why", codec=codec, target=str(second))
    assert held.get("forecast") is None


async def test_forecasts_that_came_out_are_counted(shell: Shell) -> None:
    """The one that was told to wait a minute starts at once: that was wrong, and the next one says so."""
    agent = await shell.agent()
    ref, (first, second) = await one_runs_and_others_wait(shell, agent, others=2)
    why = await shell.ask("alice", "task.why", target=str(first))
    assert why["forecast"].get("told", 0) == 0
    await agent.report(Ended(attempt=ref, outcome=Outcome.EXITED, ended_at=time.time(), exit_code=0))
    await until(lambda: len(agent.assigned()) == 2)
    await agent.report(Started(attempt=agent.assigned()[-1], started_at=time.time(), pid=2))
    again = await shell.ask("alice", "task.why", target=str(second))
    assert (again["forecast"]["told"], again["forecast"].get("right", 0)) == (1, 0)


async def test_a_plan_tells_start_end_and_effect(shell: Shell) -> None:
    agent = await shell.agent()
    await one_runs_and_others_wait(shell, agent, others=1)
    plan = await shell.ask("alice", "job.plan", command=["true"], timeout=10, priority=9)
    assert plan["forecast"]["ends_at"] > plan["forecast"]["starts_at"] and plan["effect"]["tasks"] == 1
    spec = {"tasks": [{"name": "a", "command": ["true"]}, {"command": ["true"], "needs": ["a"]}]}
    assert (await shell.ask("alice", "job.plan", **spec))["forecast"].get("ends_at") is None


@pytest.mark.parametrize("codec", Codec)
async def test_what_if_shows_others_only_as_means(shell: Shell, codec: Codec) -> None:
    agent = await shell.agent()
    _, (waiting,) = await one_runs_and_others_wait(shell, agent, others=1)
    change: dict[str, Any] = {
        "add": 1,
        "drain": [],
        "order": "sjf",
        "job": {"command": ["true"], "name": "x"},
    }
    before = len(shell.cluster.jobs)
    for user, jobs in (("alice", [waiting]), ("bob", []), ("olga", [waiting])):
        answer = await shell.ask(user, "job.whatif", codec=codec, **change)
        assert answer["change"] == "1 more like n1; order sjf; job x"
        assert [job["job"] for job in answer.get("jobs", [])] == jobs
        assert (answer["effect"]["tasks"], answer["effect"]["earlier"]) == (1, 1)
        assert answer["forecast"]["ends_at"] >= answer["forecast"]["starts_at"]
    assert len(shell.cluster.jobs) == before and list(shell.cluster.nodes) == ["n1"]
    drained = await shell.ask("alice", "job.whatif", codec=codec, drain=["n1"])
    assert (drained["change"], drained["effect"]["stuck_after"]) == ("n1 drained", 1)
    nothing = await shell.ask("alice", "job.whatif", codec=codec)
    assert nothing["change"] == "nothing changed" and nothing.get("forecast") is None


@pytest.mark.parametrize("codec", Codec)
async def test_what_starts_next_is_told_of_ones_own_and_counted_of_others(shell: Shell, codec: Codec) -> None:
    agent = await shell.agent()
    _, (first, second) = await one_runs_and_others_wait(shell, agent, others=2)
    for user, jobs in (("alice", [first, second]), ("rita", []), ("olga", [first, second])):
        answer = await shell.ask(user, "scheduler.plan", codec=codec)
        assert [turn["task"] for turn in answer["turns"]] == [f"{number}.0" for number in jobs]
        assert (answer["tasks"], answer["order"], answer["hidden"]) == (2, "fcfs", 2 - len(jobs))
        for turn in answer["turns"]:
            assert turn["node"] == "n1" and turn["earliest_at"] <= turn["starts_at"] <= turn["latest_at"]
    await shell.ask("olga", "node.cordon", node="n1")
    (turn, _) = (await shell.ask("alice", "scheduler.plan", codec=codec, limit=2))["turns"]
    assert turn.get("starts_at") is None and turn.get("node") is None
    for limit in (0, 501):
        error = (await shell.ask("alice", "scheduler.plan", codec=codec, limit=limit))["error"]
        assert (error["code"], error["field"]) == ("E_RANGE", "/limit")


@pytest.mark.parametrize("codec", Codec)
async def test_a_drain_says_of_each_own_task_where_it_would_go(shell: Shell, codec: Codec) -> None:
    agent = await shell.agent()
    ref, _ = await one_runs_and_others_wait(shell, agent, others=0)
    stays = await shell.ask("alice", "job.whatif", codec=codec, drain=["n1"])
    assert (stays["displacement"]["tasks"], stays["displacement"]["stay"]) == (1, 1)
    change: dict[str, Any] = {"drain": ["n1"], "deadline_s": 10.0, "add": 1}
    for user, tasks in (("alice", [str(ref.task)]), ("bob", []), ("olga", [str(ref.task)])):
        answer = await shell.ask(user, "job.whatif", codec=codec, **change)
        assert answer["change"] == "1 more like n1; n1 drained within 10 s"
        assert (answer["displacement"]["tasks"], answer["displacement"]["go"]) == (1, 1)
        shown = answer.get("displaced", [])
        assert [row["task"] for row in shown] == tasks
        assert all(row["goes_to"] == "n1+1" and row["delay_s"] > 0 for row in shown)
    nowhere = await shell.ask("alice", "job.whatif", codec=codec, drain=["n1"], deadline_s=0)
    assert [each["code"] for each in nowhere["displaced"][0]["blockers"]] == ["admin:draining"]


async def test_a_large_cluster_is_taken_in_slices_and_others_are_answered_in_between(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await shell.agent()
    for name in ("n2", "n3"):
        await shell.agent(name)
    await one_runs_and_others_wait(shell, agent, others=0)
    whole = await shell.ask("alice", "job.whatif", drain=["n1"], deadline_s=10.0)
    monkeypatch.setattr(ground, "SLICE", 1)
    turns, taken = [0], []
    real = outlook.ground_of

    def noted(*cluster_and_nodes: Any) -> ground.Ground:
        taken.append((turns[0], len(cluster_and_nodes[1])))
        return real(*cluster_and_nodes)

    async def meanwhile() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(outlook, "ground_of", noted)
    beside = asyncio.create_task(meanwhile(), name="meanwhile")
    answer = await shell.ask("alice", "job.whatif", drain=["n1"], deadline_s=10.0)
    beside.cancel()
    assert [nodes for _, nodes in taken] == [1, 1, 1]
    assert len({turn for turn, _ in taken}) == 3, "each in a turn of its own"
    assert answer["displacement"]["go"] == whole["displacement"]["go"] == 1
    assert answer["displaced"][0]["goes_to"] in ("n2", "n3")


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"add": -1}, "E_RANGE", "/add"),
        ({"add": 1_001}, "E_RANGE", "/add"),
        ({"add": 1, "like": "n9"}, "E_NOT_FOUND", "/like"),
        ({"drain": ["n1", "n9"]}, "E_NOT_FOUND", "/drain"),
        ({"drain": ["n1"], "deadline_s": -1}, "E_RANGE", "/deadline_s"),
        ({"deadline_s": 10}, "E_CONFLICT", "/deadline_s"),
        ({"order": "best"}, "E_ENUM", "/order"),
        ({"job": {"command": ["true"], "priority": 99}}, "E_RANGE", "/priority"),
    ],
)
async def test_what_cannot_be_is_refused(shell: Shell, change: dict[str, Any], code: str, field: str) -> None:
    await shell.agent()
    error = (await shell.ask("alice", "job.whatif", **change))["error"]
    assert (error["code"], error["field"]) == (code, field)


async def test_without_a_node_none_can_be_like_it(shell: Shell) -> None:
    error = (await shell.ask("alice", "job.whatif", add=1))["error"]
    assert (error["code"], error["field"]) == ("E_NOT_FOUND", "/add")


def reasons_of(shell: Shell) -> Reasons:
    return Reasons(shell.loop, shell.jobs.finder, shell.reads, shell.clock, resolve=shell.jobs.resolve)


@asynccontextmanager
async def foretelling(shell: Shell) -> AsyncIterator[None]:
    """As beside a coordinator."""
    running = asyncio.create_task(reasons_of(shell).run())
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_those_that_nobody_asked_about_are_foretold_too(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One after the other, whatever goes wrong with one of them, and the status says how true they came."""
    monkeypatch.setattr(outlook, "SAMPLE_EVERY_S", 0.0)
    monkeypatch.setattr(outlook, "SAMPLE_SHARE", 1.0)  # else it rests for long after one that took long
    agent = await shell.agent()
    broken = iter([RuntimeError("a bug"), None])

    def sample(*asked: Any) -> Any:
        if (error := next(broken, None)) is not None:
            raise error
        return forecasts.sample(*asked)

    monkeypatch.setattr(outlook, "sample", sample)
    async with foretelling(shell):
        ref, (first, second) = await one_runs_and_others_wait(shell, agent, others=2)
        record = shell.cluster.planner.forecasts
        await until(lambda: record.open.keys() == {f"{first}.0", f"{second}.0"})
    assert "a forecast could not be made" in caplog.text
    status = await shell.ask("rita", "scheduler.status")
    assert (status["forecasts"]["open"], status["forecasts"].get("told", 0)) == (2, 0)
    await agent.report(Ended(attempt=ref, outcome=Outcome.EXITED, ended_at=time.time(), exit_code=0))
    await until(lambda: len(agent.assigned()) == 2)
    await agent.report(Started(attempt=agent.assigned()[-1], started_at=time.time(), pid=2))
    await until(lambda: record.tracker.told == 1)
    found = (await shell.ask("rita", "scheduler.status"))["forecasts"]
    assert (found["open"], found["told"], found["newest"], found.get("newest_right", 0)) == (1, 1, 1, 0)
    assert found["width"] > 0.0 and found.get("share", 0.8) == 1.0 - 2.0 * TAIL


async def test_where_too_much_waits_a_forecast_is_told_and_not_noted(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = await shell.agent()
    _, (first,) = await one_runs_and_others_wait(shell, agent, others=1)

    def post(event: object) -> None:
        raise Overloaded("full")

    monkeypatch.setattr(shell.loop, "post", post)
    why = await shell.ask("alice", "task.why", target=str(first))
    assert why["forecast"]["starts_at"] > time.time() and not shell.cluster.planner.forecasts.open
