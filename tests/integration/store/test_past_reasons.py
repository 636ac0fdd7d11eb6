"""Why, and who had used what, at a moment: held against what was told while it was the present."""

from __future__ import annotations

from typing import Any

import pytest

from bus.values import AttemptRef, Ended, Outcome, Started
from tests.integration.store.test_past import coordinator, keep_events, recorded
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, until

KEPT = ("task", "node", "attempt", "order", "rank", "decided_at", "rule", "values", "candidates")
NOT_OF_NOW = {"fair share", "reservations", "priority", "capacity", "labels"}


async def why(shell: Shell, target: object, *, at: float | None = None, user: str = "adam") -> dict[str, Any]:
    operation, more = ("task.why", {}) if at is None else ("past.why", {"at": at})
    answer: dict[str, Any] = await shell.ask(user, operation, target=str(target), **more)
    return answer


def codes(told: dict[str, Any]) -> list[str]:
    return [each["code"] for each in told["blockers"]]


async def run(shell: Shell, agent: FakeAgent, task: str, *, sequence: int) -> float:
    """It starts once it was placed; when that was."""
    attempt = AttemptRef(*map(int, task.split(".")), 1)
    await until(lambda: any(attempt in node.attempts for node in shell.cluster.nodes.values()))
    now_s = shell.clock.now_s()
    await agent.report(Started(attempt=attempt, started_at=now_s, pid=1), sequence=sequence)
    return now_s


async def end(shell: Shell, agent: FakeAgent, task: str, *, began_s: float, sequence: int) -> None:
    job, index = map(int, task.split("."))
    await agent.report(
        Ended(
            attempt=AttemptRef(job, index, 1), outcome=Outcome.EXITED, exit_code=0, started_at=began_s,
            ended_at=shell.clock.now_s(),
        ),
        sequence=sequence,
    )  # fmt: skip


async def test_what_was_placed_is_explained_as_it_was_then(coordinator_dsn: str) -> None:
    async with coordinator(coordinator_dsn) as (shell, _):
        agent = await shell.agent()
        number = await shell.submit()
        began_s = await run(shell, agent, f"{number}.0", sequence=1)
        then, at_s = await why(shell, number), shell.clock.now_s()
        await end(shell, agent, f"{number}.0", began_s=began_s, sequence=2)
        assert "completed" in (await why(shell, number))["summary"]
        past = await why(shell, f"{number}.0", at=at_s)
        assert past["state"] == "running" and " runs on n1" in past["summary"]
        assert {name: past.get(name) for name in KEPT} == {name: then.get(name) for name in KEPT}
        assert past == await why(shell, number, at=at_s)


async def test_what_waited_is_told_as_far_as_it_is_kept(coordinator_dsn: str) -> None:
    """Of the full node, of who was before it, of the hold: each from its moment on, and not before."""
    async with coordinator(coordinator_dsn) as (shell, telemetry):
        agent = await shell.agent("full")
        wish = {"resources": {"cpu": "2"}, "constraints": {"nodes": ["full"]}}
        first = await shell.submit(**wish)
        began_s = await run(shell, agent, f"{first}.0", sequence=1)
        second, third = [await shell.submit("bob", **wish) for _ in range(2)]
        now, full_s = await why(shell, third), shell.clock.now_s()
        await shell.ask("adam", "job.hold", job=str(third))
        held_s = shell.clock.now_s()
        await shell.ask("adam", "job.release", job=str(third))
        await end(shell, agent, f"{first}.0", began_s=began_s, sequence=2)
        await keep_events(shell, telemetry)

        full = await why(shell, third, at=full_s)
        assert (full["task"], full["state"], full["ahead"]) == (f"{third}.0", "queued", now["ahead"])
        assert codes(full) == codes(now) and {"busy:cpu_millis", "line"} <= {*codes(now)}
        assert not any(each.get("remedy") for each in full["blockers"])
        others = {name: ["node"] for name in shell.cluster.nodes if name != "full"}
        assert {each["node"]: each["obstacles"] for each in full["candidates"]} == {
            "full": ["busy:cpu_millis"]
        } | others
        assert full["waiting_s"] == pytest.approx(now["waiting_s"], abs=1.0)
        assert {*full["unknown"]} == NOT_OF_NOW and full.get("forecast") is None
        assert (await why(shell, second, at=full_s))["ahead"] == full["ahead"] - 1
        held = await why(shell, third, at=held_s)
        assert codes(held)[0] == "held" and held.get("ahead") is None
        assert "held" in held["summary"]


async def test_needs_and_limits_of_then_are_told(coordinator_dsn: str) -> None:
    async with coordinator(coordinator_dsn) as (shell, _):
        agent = await shell.agent("limited")
        array = await shell.submit(array="0-3%1", constraints={"nodes": ["limited"]})
        later = await shell.submit(after=[str(array)])
        at_s = shell.clock.now_s()
        await run(shell, agent, f"{array}.0", sequence=1)
        told = await why(shell, f"{array}.1", at=at_s)
        assert "array_limit" in codes(told) and "1 of its tasks were live" in told["summary"]
        waits = await why(shell, later, at=at_s)
        assert (waits["state"], codes(waits)[0]) == ("pending", "after")
        assert f"runs after {array}: it was scheduled, 0 of 4 tasks completed" in waits["summary"]


async def test_before_it_was_there_and_for_strangers_there_is_no_answer(coordinator_dsn: str) -> None:
    async with coordinator(coordinator_dsn) as (shell, _):
        before_s = shell.clock.now_s() - 60.0
        number = await shell.submit("alice")
        answer = await why(shell, number, at=before_s)
        assert (answer["error"]["code"], answer["error"]["field"]) == ("E_NOT_FOUND", "/at")
        answer = await why(shell, number, at=shell.clock.now_s(), user="bob")
        assert (answer["error"]["code"], answer["error"]["field"]) == ("E_NOT_FOUND", "/target")
        answer = await why(shell, number, at=4e9)
        assert (answer["error"]["code"], answer["error"]["field"]) == ("E_TIME", "/at")


@pytest.mark.parametrize("seed", [5])
async def test_at_every_moment_why_knows_every_task(coordinator_dsn: str, seed: int) -> None:
    """Of a history at random: state and node are those that were listed then."""
    async with coordinator(coordinator_dsn) as (shell, telemetry):
        for moment in await recorded(shell, telemetry, seed=seed, steps=12):
            for rows in moment.told.tasks.values():
                for row in rows[:3]:
                    told = await why(shell, f"{row['job']}.{row['index']}", at=moment.at_s)
                    assert told["state"] == row["state"]
                    if row["state"] in ("assigned", "running"):
                        assert told["node"] == row["node"]


async def test_usage_of_then_is_what_the_books_said(coordinator_dsn: str) -> None:
    """Half of the cluster for so long, less what has decayed: as the settling counts it, within a minute."""
    async with coordinator(coordinator_dsn) as (shell, telemetry):
        agent = await shell.agent("used")
        number = await shell.submit("bob", constraints={"nodes": ["used"]})
        await run(shell, agent, f"{number}.0", sequence=1)
        began_s, half_life_s = shell.clock.now_s(), shell.cluster.shares.half_life_s
        cpu_millis = sum(node.capacity.cpu_millis for node in shell.cluster.nodes.values())
        await keep_events(shell, telemetry)
        at_s = began_s + 1.0
        while shell.clock.now_s() < at_s:
            await shell.loop.barrier()
        told = await shell.ask("adam", "past.users", at=at_s)
        users = {each["name"]: each for each in told["users"]}
        bob = users["bob"]
        assert half_life_s > 3600, "nothing to speak of decays within this test"
        assert bob["standing"]["usage_s"] == pytest.approx(1000 / cpu_millis, rel=0.2)
        assert (bob["running"], bob["jobs"] >= 1, bob["seen_at"] <= at_s) == (1, True, True)
        competing = [each["standing"]["used"] for each in told["users"] if each["jobs"]]
        assert sum(competing) == pytest.approx(1.0)
        assert {"role", "shares"} <= {*told["unknown"]}
        own = await shell.ask("alice", "past.users", at=at_s)
        assert [each["name"] for each in own["users"]] == ["alice"]
        early = await shell.ask("adam", "past.users", at=1.0)
        assert early["users"] == []
