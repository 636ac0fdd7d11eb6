"""On a real database: a page that is called unchanged reads exactly as it was answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from bus.values import Role, UserName
from coordinator.config import Config
from coordinator.serve import rebuild
from coordinator.store.events import Events
from coordinator.store.lists import Lists
from coordinator.store.reads import Reads
from coordinator.store.relational import RelationalStore
from coordinator.store.task_lists import TaskLists
from coordinator.store.tokens import Tokens
from tests.integration.store.test_doors import StillClock
from tests.unit.coordinator.shell import Shell, serving

STEPS = 60
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("job.list", {}),
    ("job.list", {"filter": "state=cancelled", "sort": "-name"}),
    ("job.list", {"limit": 2}),
    ("task.list", {"limit": 3}),
    ("task.list", {"job": "1"}),
    ("task.list", {"job": "2", "filter": "state=cancelled"}),
    ("event.list", {"limit": 5}),
    ("event.list", {"job": "1"}),
    ("user.list", {}),
]


@pytest.fixture
async def shell(coordinator_dsn: str) -> AsyncIterator[Shell]:
    store = await RelationalStore.connect(coordinator_dsn)
    doors = (
        Reads(coordinator_dsn),
        Lists(coordinator_dsn),
        TaskLists(coordinator_dsn),
        Tokens(coordinator_dsn),
        Events(coordinator_dsn),
    )
    reads, lists, task_lists, tokens, events = doors
    try:
        await store.ensure_user(UserName("alice"), Role.USER)
        await store.lead("test", 10)
        snapshot, clock = await store.load(), StillClock()
        config = Config(nats_url="", credentials="", dsn=coordinator_dsn)
        running = Shell(
            cluster=rebuild(snapshot, config, now_s=clock.now_s()),
            clock=clock,
            store=store,
            reads=reads,
            lists=lists,
            task_lists=task_lists,
            tokens=tokens,
            events=events,
            next_number=snapshot.next_number,
        )
        async with serving(running):
            yield running
        await store.resign()
    finally:
        for each in doors:
            await each.close()
        await store.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_unchanged_is_said_of_nothing_that_changed(shell: Shell, seed: int) -> None:
    random, spared = Random(seed), 0
    numbers = [await shell.submit(array="0-9"), await shell.submit(array="0-3")]
    held: dict[int, Any] = {}
    for step in range(STEPS):
        match random.randrange(6):
            case 0:
                numbers.append(await shell.submit(name=f"job-{step}"))
            case 1:
                target = f"{numbers[0]}.{random.randrange(10)}"
                await shell.ask("alice", "job.cancel", target=target)
            case 2:
                job = str(random.choice(numbers))
                await shell.ask("alice", random.choice(["job.hold", "job.release"]), job=job)
        for place, (operation, asked) in enumerate(QUESTIONS):
            request = asked | ({"job": str(numbers[int(asked["job"]) - 1])} if "job" in asked else {})
            known = held[place]["tag"] if place in held else ""
            answer = await shell.ask("alice", operation, **request, known=known)
            fresh = await shell.ask("alice", operation, **request)
            if answer["unchanged"]:
                spared += 1
                assert fresh == held[place], f"seed {seed}, step {step}: {operation} {request}"
            else:
                assert answer == fresh
            held[place] = fresh
    assert STEPS < spared < STEPS * len(QUESTIONS)
