"""The past says what lists said while it was the present: of a recorded history, moment by moment."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bus.messages import Assign
from bus.values import AttemptRef, Ended, NodeName, Outcome, Role, Started, UserName
from coordinator.clock import Clock
from coordinator.config import Config
from coordinator.core.effects import EventRecord
from coordinator.serve import rebuild
from coordinator.store.events import Events
from coordinator.store.lists import Lists
from coordinator.store.over import Over
from coordinator.store.past import Past
from coordinator.store.reads import Reads
from coordinator.store.relational import RelationalStore
from coordinator.store.telemetry import TelemetryStore
from tests.unit.coordinator.shell import FakeAgent, Shell, serving

STEPS = 40
SEEDS = (1, 2, 3)
TOLD = (
    "number",
    "name",
    "user",
    "state",
    "counts",
    "submitted_at",
    "started_at",
    "ended_at",
    "exit_code",
    "held",
)
OF_TASKS = ("job", "index", "state", "node", "fence", "retries", "started_at", "ended_at", "exit_code")
OF_NODES = (
    "name",
    "health",
    "admin",
    "allocated",
    "running",
)  # what is taken back waits in memory for a moment


class Told:
    """What the lists said at `at_s`."""

    def __init__(self, at_s: float, jobs: Any, tasks: dict[int, Any], nodes: Any) -> None:
        self.at_s, self.jobs, self.tasks, self.nodes = at_s, jobs, tasks, nodes


@asynccontextmanager
async def coordinator(dsn: str) -> AsyncIterator[tuple[Shell, TelemetryStore]]:
    """One on the real database."""
    store = await RelationalStore.connect(dsn)
    telemetry = await TelemetryStore.connect(dsn)
    stores = {
        "reads": Reads(dsn), "lists": Lists(dsn), "events": Events(dsn), "over": Over(dsn), "past": Past(dsn)
    }  # fmt: skip
    try:
        for name, role in (("alice", Role.USER), ("bob", Role.USER), ("adam", Role.ADMIN)):
            await store.ensure_user(UserName(name), role)
        await store.lead("test", 10)
        snapshot = await store.load()
        clock = Clock(not_before_s=snapshot.newest_s)
        shell = Shell(
            cluster=rebuild(snapshot, Config(nats_url="", credentials="", dsn=dsn), now_s=clock.now_s()),
            clock=clock, store=store, next_number=snapshot.next_number, **stores,
        )  # fmt: skip
        async with serving(shell):
            yield shell, telemetry
        await keep_events(shell, telemetry)
        await store.resign()
    finally:
        for each in stores.values():
            await each.close()
        await telemetry.close()
        await store.close()


async def keep_events(shell: Shell, telemetry: TelemetryStore) -> None:
    """What a writer of telemetry does all the time."""
    records, shell.records[:] = list(shell.records), []
    await telemetry.write([each for each in records if isinstance(each, EventRecord)])


async def all_tasks(shell: Shell, number: int, **more: Any) -> list[dict[str, Any]]:
    """One by one, ranges taken apart."""
    answer = await shell.ask("adam", f"{'past' if more else 'task'}.{'tasks' if more else 'list'}",
                             job=str(number), limit=1_000, **more)  # fmt: skip
    rows = []
    for row in answer["tasks"]:
        for place in range(row["count"]):
            rows.append({name: row[name] for name in OF_TASKS} | {"index": row["index"] + place})
    return rows


async def told_now(shell: Shell) -> tuple[Any, dict[int, Any], Any]:
    jobs = (await shell.ask("adam", "job.list", limit=1_000))["jobs"]
    tasks = {job["number"]: await all_tasks(shell, job["number"]) for job in jobs}
    nodes = (await shell.ask("adam", "node.list"))["nodes"]
    return (
        [{name: job[name] for name in TOLD} for job in jobs],
        tasks,
        [{name: node[name] for name in OF_NODES} for node in nodes],
    )


async def told(shell: Shell, history: History) -> Told:
    """At a moment around which nothing changes."""
    before = await told_now(shell)
    while True:
        started = await history.start_promoted()
        at_s = shell.clock.now_s()
        after = await told_now(shell)
        if before == after and not started:
            return Told(at_s, *after)
        before = after


class History:
    """Things that people and nodes do, at random."""

    def __init__(self, shell: Shell, agent: FakeAgent, seed: int) -> None:
        self._shell, self._agent, self._random = shell, agent, random.Random(seed)
        self._jobs: list[int] = []
        self._running: dict[AttemptRef, float] = {}
        self._sequence = 0

    async def step(self) -> None:
        match self._random.randrange(10):
            case 0 | 1:
                fields: dict[str, Any] = {"array": "0-5"} if self._random.random() < 0.5 else {}
                self._jobs.append(await self._shell.submit(self._random.choice(("alice", "bob")), **fields))
            case 2 if self._jobs:
                verb = self._random.choice(("hold", "release", "pause", "resume"))
                await self._ask(f"job.{verb}", job=str(self._random.choice(self._jobs)))
            case 3 if self._jobs:
                number = self._random.choice(self._jobs)
                await self._ask("job.retry", target=str(number))
            case 4 if self._jobs and self._random.random() < 0.3:
                await self._ask("job.cancel", target=str(self._random.choice(self._jobs)))
            case 5:
                verb = self._random.choice(("cordon", "drain", "undrain", "undrain"))
                await self._ask(f"node.{verb}", node="n1")
            case _:
                await self._go_on()

    async def _ask(self, operation: str, **fields: Any) -> None:
        await self._shell.ask("adam", operation, **fields)

    async def _go_on(self) -> None:
        """A task starts or ends, as its node says."""
        node = self._shell.cluster.nodes[NodeName("n1")]
        ahead = self._ahead()
        live = [
            each
            for each in node.attempts.values()
            if each.ref in self._agent.assigned() and (each.holding or each.ref not in ahead)
        ]
        if not live:
            return
        attempt = self._random.choice(live).ref
        if attempt in self._running:
            now_s, code = self._shell.clock.now_s(), self._random.choice((0, 0, 1))
            await self._report(
                Ended(
                    attempt=attempt, outcome=Outcome.EXITED, exit_code=code,
                    started_at=self._running[attempt], ended_at=now_s,
                )
            )  # fmt: skip
        else:
            await self._start(attempt)

    async def start_promoted(self) -> bool:
        """As a guard does it at once: what lay ahead of a place starts when it gets one. False: none did."""
        node = self._shell.cluster.nodes[NodeName("n1")]
        ahead = self._ahead() - self._running.keys()
        promoted = [each.ref for each in node.attempts.values() if each.holding and each.ref in ahead]
        for attempt in promoted:
            await self._start(attempt)
        return bool(promoted)

    def _ahead(self) -> set[AttemptRef]:
        assigned = [each for each in self._agent.commands if isinstance(each, Assign)]
        return {item.attempt for command in assigned for item in command.items if item.waiting}

    async def _start(self, attempt: AttemptRef) -> None:
        self._running[attempt] = self._shell.clock.now_s()
        await self._report(Started(attempt=attempt, started_at=self._running[attempt], pid=1))

    async def _report(self, event: Started | Ended) -> None:
        self._sequence += 1
        await self._agent.report(event, sequence=self._sequence)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_moment_is_as_it_was_told_then(coordinator_dsn: str, seed: int) -> None:
    async with coordinator(coordinator_dsn) as (shell, telemetry):
        agent = await shell.agent()
        history, moments = History(shell, agent, seed), []
        for _ in range(STEPS):
            await history.step()
            moments.append(await told(shell, history))
        await keep_events(shell, telemetry)
        for moment in moments:
            jobs = (await shell.ask("adam", "past.jobs", at=moment.at_s, limit=1_000))["jobs"]
            assert [{name: job[name] for name in TOLD} for job in jobs] == moment.jobs
            nodes = (await shell.ask("adam", "past.nodes", at=moment.at_s))["nodes"]
            assert [{name: node[name] for name in OF_NODES} for node in nodes] == moment.nodes
            for number, rows in moment.tasks.items():
                assert await all_tasks(shell, number, at=moment.at_s) == rows
