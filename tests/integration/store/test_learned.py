"""What was learned is in rows as it was in memory, to the bit; what nobody needs any more goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from coordinator.core.effects import Effect, LearnedState, LearningNotes
from coordinator.core.learning import experiences, keep_notes, read_notes, restore_learned, snapshot
from coordinator.core.model import Cluster
from coordinator.core.scheduler.after_state import START
from coordinator.core.scheduler.kept import digest
from coordinator.core.scheduler.learner import Action, Experience, Situation
from coordinator.core.scheduler.places import write
from coordinator.core.scheduler.planner import Asked
from coordinator.store import learned
from coordinator.store.learned import Learned, Ran
from coordinator.store.telemetry import TelemetryStore
from tests.integration.store.conftest import Leader
from tests.store_rows import T0

OLDER = """
insert into corral.learning_experiences (id, policy_version, state, action, reward, next_state, done)
select '00000000-0000-7000-8000-000000000000', policy_version, state, jsonb_set(action, '{job,0}', '1.5'),
    reward, next_state, done
from corral.learning_experiences limit 1
"""


@pytest.fixture
async def rows(coordinator_dsn: str) -> AsyncIterator[Learned]:
    reader = Learned(coordinator_dsn)
    yield reader
    await reader.close()


@pytest.fixture
async def cluster(leader: Leader, database: asyncpg.Connection) -> Cluster:
    """One that has what the database has of other tests."""
    known = Cluster()
    found = await leader.store.load()
    restore_learned(known, found.learned, found.notes)
    return known


def ended(number: int) -> Experience:
    """A task that ran for thirds of seconds: numbers that no decimal writes exactly."""
    job = Asked(
        at_s=T0 + number / 3, user=f"user{number % 2}", width=number + 1, nodes=1, requested_s=100 / 3
    )
    return Experience(
        task=uuid4(),
        at_s=T0 + 1 + number,
        before=Situation(queue=number, load=0.1, mix=1 / 3, width=0.0),
        action=Action(node="n1", order="fcfs", policy="", rule="fcfs", explored=False, epsilon=0.05),
        reward=-1.0 - number / 7,
        after=Situation(queue=0, load=0.0, mix=1 / 3, width=0.0),
        over=False,
        priority=0.0,
        job=job,
        run_s=number + 1 / 3,
    )


def learn(cluster: Cluster, *numbers: int) -> LearningNotes:
    """Jobs come and end; the notes of it."""
    for number in numbers:
        cluster.planner.note_arrival(ended(number).job)
        cluster.planner.note(ended(number))
    out: list[Effect] = []
    keep_notes(out, cluster, now_s=T0)
    (notes,) = (effect for effect in out if isinstance(effect, LearningNotes))
    return notes


def keep(cluster: Cluster, reason: str) -> LearnedState:
    return snapshot(cluster, reason, now_s=T0)


async def kept_notes(database: asyncpg.Connection) -> list[int]:
    found = await database.fetch("select sequence from corral.learning_notes order by sequence")
    return [row["sequence"] for row in found]


@pytest.mark.contract("S0.49", "S0.50", "S0.51", "S0.52", "S0.53", "S0.54")
@pytest.mark.parametrize("weights", [b"", write(START, [(1000, 64, 1, 500)])], ids=["none", "some"])
async def test_the_next_leader_has_the_newest_snapshot_and_the_notes_since(
    leader: Leader, cluster: Cluster, rows: Learned, weights: bytes
) -> None:
    cluster.planner.weights = weights
    cluster.planner.table.values["busy"] = {"sjf": -1 / 3}
    await leader.commit(notes=[learn(cluster, 1, 2)], states=[keep(cluster, "an older one")])
    cluster.policy, cluster.evidence = "rollout", {"mean": -1 / 3, "t": -2.5}
    state = keep(cluster, "policy rollout")
    before = learn(cluster, 3)
    await leader.commit(notes=[before])
    await leader.commit(states=[state])
    found = await leader.store.load()
    assert (found.learned, found.notes) == (state, (before,))
    since = learn(cluster, 4, 5)
    await leader.commit(notes=[since])
    found = await leader.store.load()
    assert (found.learned, found.notes) == (state, (before, since))
    again = Cluster()
    restore_learned(again, found.learned, found.notes)
    assert digest(again.planner) == digest(cluster.planner)
    newest, older = await rows.states(2)
    assert (newest.reason, newest.policy, newest.evidence) == (state.reason, "rollout", state.evidence)
    assert (older.reason, newest.number > older.number) == ("an older one", True)
    assert await rows.state(newest.number) == state
    assert await rows.state(newest.number + 1) is None


async def test_a_snapshot_of_somebody_else_is_none_of_ours(
    leader: Leader, cluster: Cluster, database: asyncpg.Connection
) -> None:
    state = keep(cluster, "ours")
    await leader.commit(states=[state])
    await database.execute("insert into corral.ai_state (q_table, epsilon) values ('{}', 0.5)")
    assert (await leader.store.load()).learned == state


async def test_notes_go_once_two_snapshots_have_them(
    leader: Leader, cluster: Cluster, rows: Learned, database: asyncpg.Connection
) -> None:
    epoch = await database.fetchval("select epoch from corral.leadership")
    lasts = []
    for number in range(3):
        notes = learn(cluster, number)
        lasts.append(notes.last)
        await leader.commit(notes=[notes], states=[keep(cluster, "hour")])
    before = await kept_notes(database)
    await rows.prune(epoch=epoch - 1)
    assert await kept_notes(database) == before, "who leads no more deletes nothing"
    await rows.prune(epoch=epoch)
    assert await kept_notes(database) == lasts[2:]


async def test_old_snapshots_go_but_for_those_that_say_why_something_changed(
    leader: Leader,
    cluster: Cluster,
    rows: Learned,
    database: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    epoch = await database.fetchval("select epoch from corral.leadership")
    monkeypatch.setattr(learned, "KEEP_STATES", 2)
    for reason in ("mode off", "old", "newer", "newest"):
        await leader.commit(states=[keep(cluster, reason)])
    await rows.prune(epoch=epoch - 1)
    assert "old" in [each.reason for each in await rows.states(4)]
    await rows.prune(epoch=epoch)
    assert [each.reason for each in await rows.states(3)] == ["newest", "newer", "mode off"]


@pytest.mark.contract("S4.4")
async def test_experiences_are_the_history_that_orders_are_replayed_on(
    cluster: Cluster, rows: Learned, database: asyncpg.Connection, coordinator_dsn: str
) -> None:
    notes = learn(cluster, 2, 0, 1)
    records = experiences(read_notes(notes), notes.last)
    numbers = [each.sequence for each in records]
    assert await rows.missing(numbers, since_s=T0) == set(numbers)
    telemetry = await TelemetryStore.connect(coordinator_dsn)
    try:
        await telemetry.write(records[1:])
    finally:
        await telemetry.close()
    assert await rows.missing(numbers, since_s=T0) == {numbers[0]}
    assert await rows.history(10) == [
        Ran(job.at_s, number + 1 / 3, job.requested_s, job.user, job.width, job.nodes)
        for number in (0, 1)
        for job in [ended(number).job]
    ]
    await database.execute(OLDER)
    assert [ran.submitted_s for ran in await rows.history(3)] == [1.5, ended(0).job.at_s, ended(1).job.at_s]
    assert [ran.submitted_s for ran in await rows.history(2)] == [ended(0).job.at_s, ended(1).job.at_s]
