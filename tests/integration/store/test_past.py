"""The past says what lists said while it was the present: of a recorded history, moment by moment."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from bus.messages import Assign
from bus.values import AttemptRef, Ended, NodeName, Outcome, Role, Started, Usage, UserName
from coordinator.clock import Clock
from coordinator.config import Config
from coordinator.core.effects import EventRecord, UsageRecord
from coordinator.serve import rebuild
from coordinator.store import past as past_store
from coordinator.store.events import Events
from coordinator.store.learned import Learned
from coordinator.store.lists import Lists
from coordinator.store.over import Over
from coordinator.store.past import Past
from coordinator.store.reads import Reads
from coordinator.store.relational import RelationalStore
from coordinator.store.task_lists import TaskLists
from coordinator.store.telemetry import TelemetryStore
from tests.unit.coordinator.fake_agent import FakeAgent
from tests.unit.coordinator.shell import Shell, serving

STEPS = 24
STEPS_FEW = 12
SEEDS = (1, 2)
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
OF_EVERY_TASK = (*OF_TASKS, "count", "user", "name")
OF_NODES = ("name", "health", "admin", "allocated", "running", "waiting")
OF_SCHEDULERS = ("mode", "policy", "order", "acts", "epsilon", "digest", "evidence", "snapshots")
OF_CLUSTERS = ("total_nodes", "active_nodes", "jobs", "tasks", "capacity", "allocated", "live_jobs")


class Told(NamedTuple):
    """What the lists said."""

    jobs: list[dict[str, Any]]
    tasks: dict[int, list[dict[str, Any]]]
    every_task: list[dict[str, Any]]
    nodes: list[dict[str, Any]]
    cluster: dict[str, Any]


class Moment(NamedTuple):
    """What they said at `at_s`."""

    at_s: float
    told: Told


@asynccontextmanager
async def coordinator(dsn: str) -> AsyncIterator[tuple[Shell, TelemetryStore]]:
    """One on the real database."""
    store = await RelationalStore.connect(dsn)
    telemetry = await TelemetryStore.connect(dsn)
    stores = {
        "reads": Reads(dsn), "lists": Lists(dsn), "events": Events(dsn), "over": Over(dsn), "past": Past(dsn),
        "task_lists": TaskLists(dsn), "learned": Learned(dsn),
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


def only(rows: list[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in names} for row in rows]


async def told(shell: Shell, at_s: float | None = None) -> Told:
    """By the lists of now, or of a moment."""
    more = {} if at_s is None else {"at": at_s}
    jobs, tasks, nodes, cluster = (
        ("job.list", "task.list", "node.list", "cluster.status")
        if at_s is None
        else ("past.jobs", "past.tasks", "past.nodes", "past.cluster")
    )
    found = only((await shell.ask("adam", jobs, limit=1_000, **more))["jobs"], TOLD)
    for job in found:
        if job["ended_at"] is None:
            job["exit_code"] = None  # a live job has that of its first failure, the past only that of its end
    return Told(
        found,
        {job["number"]: await all_tasks(shell, job["number"], **more) for job in found},
        only((await shell.ask("adam", tasks, limit=1_000, **more))["tasks"], OF_EVERY_TASK),
        only((await shell.ask("adam", nodes, **more))["nodes"], OF_NODES),
        only([await shell.ask("adam", cluster, **more)], OF_CLUSTERS)[0],
    )


async def in_pages(shell: Shell, *, at: float) -> list[dict[str, Any]]:
    """The tasks of all jobs, in pages of two: an array and its first element may stand on either side."""
    rows, cursor = [], ""
    while True:
        answer = await shell.ask("adam", "past.tasks", at=at, limit=2, cursor=cursor)
        rows += only(answer["tasks"], OF_EVERY_TASK)
        if not (cursor := answer["next"]):
            return rows


async def told_now(shell: Shell, history: History) -> Moment:
    """At a moment around which nothing changes."""
    before = await told(shell)
    while True:
        started = await history.start_promoted()
        at_s = shell.clock.now_s()
        after = await told(shell)
        if before == after and not started:
            return Moment(at_s, after)
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


async def recorded(shell: Shell, telemetry: TelemetryStore, *, seed: int, steps: int = STEPS) -> list[Moment]:
    """Some moments of a history at random, which is over then."""
    history, moments = History(shell, await shell.agent(), seed), []
    for _ in range(steps):
        await history.step()
        moments.append(await told_now(shell, history))
    await keep_events(shell, telemetry)
    return moments


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_moment_is_as_it_was_told_then(coordinator_dsn: str, seed: int) -> None:
    async with coordinator(coordinator_dsn) as (shell, telemetry):
        for moment in await recorded(shell, telemetry, seed=seed):
            then = await told(shell, moment.at_s)
            for part, of_then, of_now in zip(Told._fields, then, moment.told, strict=True):
                assert of_then == of_now, (part, moment.at_s)
        assert await in_pages(shell, at=moment.at_s) == moment.told.every_task


async def test_changes_are_what_lists_of_both_moments_differ_by(coordinator_dsn: str) -> None:
    async with coordinator(coordinator_dsn) as (shell, telemetry):
        moments = await recorded(shell, telemetry, seed=3, steps=STEPS_FEW)
        for user in ("adam", "alice"):
            for first, last in ((0, -1), (STEPS_FEW // 2, -1), (0, STEPS_FEW // 2)):
                await check_changes(shell, user, moments[first], moments[last])


async def test_changes_of_many_jobs_come_in_pages(
    coordinator_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a job at least; nodes and events with the first; and together they are the whole."""
    async with coordinator(coordinator_dsn) as (shell, telemetry):
        moments = await recorded(shell, telemetry, seed=6, steps=STEPS_FEW)
        span = {"since": moments[0].at_s, "until": moments[-1].at_s}
        whole = await shell.ask("adam", "past.changes", **span)
        monkeypatch.setattr(past_store, "MOVED_TASKS", 1)
        pages = [await shell.ask("adam", "past.changes", **span)]
        while pages[-1]["next"]:
            assert len(pages) < 200 and not pages[-1]["exact"]
            pages.append(await shell.ask("adam", "past.changes", before=pages[-1]["next"], **span))
        assert len(pages) > 1 and all(len(page["jobs"]) <= 1 for page in pages)
        assert [job for page in pages for job in page["jobs"]] == whole["jobs"]
        assert (pages[0]["nodes"], pages[0]["happened"]) == (whole["nodes"], whole["happened"])
        assert not any(page["nodes"] or page["happened"] for page in pages[1:])
        answer = await shell.ask("adam", "past.changes", before=-1, **span)
        assert (answer["error"]["code"], answer["error"]["field"]) == ("E_RANGE", "/before")


async def check_changes(shell: Shell, user: str, before: Moment, after: Moment) -> None:
    (since_s, were), (until_s, are) = before, after
    told = await shell.ask(user, "past.changes", since=since_s, until=until_s)
    assert (told["since"], told["until"], told["exact"]) == (since_s, until_s, True)
    states = {str(job["number"]): job["state"] for job in were.jobs}
    assert [(moved["name"], moved["before"], moved["after"]) for moved in told["jobs"]] == [
        (name, states.get(name, ""), job["state"])
        for job in are.jobs
        if user == "adam" or job["user"] == user
        if states.get(name := str(job["number"]), "") != job["state"]
    ]
    assert [(moved["before"], moved["after"]) for moved in told["nodes"]] == [
        (word(old), word(new))
        for old, new in zip(were.nodes, are.nodes, strict=True)
        if word(old) != word(new)
    ]
    assert told["happened"] == await happened(shell, user, since_s, until_s)


async def test_a_spike_is_what_happened_more_often_and_was_used_more_than_before(
    coordinator_dsn: str,
) -> None:
    async with coordinator(coordinator_dsn) as (shell, telemetry):
        moments = await recorded(shell, telemetry, seed=4, steps=STEPS_FEW)
        since_s, until_s = moments[-3].at_s, moments[-1].at_s
        length_s, node_id = until_s - since_s, shell.cluster.nodes[NodeName("n1")].id
        low, high = Usage(cpu_millis=100, mem_mib=64), Usage(cpu_millis=1_900, mem_mib=64)
        samples = [
            (since_s - length_s / 2, low),
            (since_s - length_s / 3, low),
            (until_s - length_s / 9, high),
        ]
        await telemetry.write([
            UsageRecord(at=at_s, node=NodeName("n1"), node_id=node_id, load=0.0, usage=usage)
            for at_s, usage in samples
        ])  # fmt: skip
        told = await shell.ask("adam", "past.spike", since=since_s, until=until_s)
        now = await happened(shell, "adam", since_s, until_s)
        usual = await happened(shell, "adam", since_s - 6 * length_s, since_s)
        scores = {
            kind: (now.get(kind, 0) - usual.get(kind, 0) / 6) / math.sqrt(usual.get(kind, 0) / 6 + 1)
            for kind in {*now, *usual}
        }
        events = {each["name"]: each["score"] for each in told["standouts"] if each["kind"] == "event"}
        assert events == pytest.approx({kind: score for kind, score in scores.items() if abs(score) >= 2})
        nodes = [each for each in told["standouts"] if each["kind"] == "node" and "cpu" in each["about"]]
        assert [(each["name"], each["value"], each["expected"]) for each in nodes] == [("n1", 1.9, 0.1)]


async def test_the_scheduler_is_as_its_newest_snapshot_of_then_says(coordinator_dsn: str) -> None:
    async with coordinator(coordinator_dsn) as (shell, _):
        moments = []
        for mode in ("shadow", "on", "off"):
            told = await shell.ask("adam", "scheduler.mode", mode=mode)
            moments.append((shell.clock.now_s(), told))
        for at_s, told in moments:
            then = await shell.ask("alice", "past.scheduler", at=at_s)
            assert [then[name] for name in OF_SCHEDULERS] == [told[name] for name in OF_SCHEDULERS]
        answer = await shell.ask("adam", "past.scheduler", at=1.0)
        assert answer["error"]["code"] == "E_NOT_FOUND"


@pytest.mark.parametrize(
    ("operation", "fields", "field"),
    [
        ("past.cluster", {"at": 4e9}, "/at"),
        ("past.tasks", {"at": -1.0}, "/at"),
        ("past.changes", {"since": 20.0, "until": 10.0}, "/since"),
        ("past.spike", {"since": 10.0, "until": 4e9}, "/until"),
    ],
)
async def test_what_is_no_moment_of_the_past_is_refused(
    coordinator_dsn: str, operation: str, fields: dict[str, float], field: str
) -> None:
    async with coordinator(coordinator_dsn) as (shell, _):
        answer = await shell.ask("adam", operation, **fields)
        assert (answer["error"]["code"], answer["error"]["field"]) == ("E_TIME", field)


def word(node: dict[str, Any]) -> str:
    """Health and steering in one."""
    return str(
        node["health"] if node["health"] == "unreachable" or node["admin"] == "active" else node["admin"]
    )


async def happened(shell: Shell, user: str, since_s: float, until_s: float) -> dict[str, int]:
    """How many events of each kind the list has."""
    events = (await shell.ask(user, "event.list", since=since_s, until=until_s, limit=10_000))["events"]
    return dict(Counter(event["kind"] for event in events))
