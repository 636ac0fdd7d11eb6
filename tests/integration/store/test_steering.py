"""What people steer is in the database as it is in memory: the core's own batches, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from bus.spec import Constraints, TaskSpec
from bus.values import NodeAdmin, NodeName, Outcome, Role, UserName
from coordinator.core.effects import AnswerChanged, Refuse
from coordinator.core.events import RetryAsked
from coordinator.core.fair_share import restore_account
from coordinator.core.learning import restore_learned
from coordinator.core.model import Cluster
from coordinator.core.rebuild import restore_attempt, restore_job, restore_node
from coordinator.core.transitions import NODE_TRANSITIONS
from coordinator.store.over import Over
from coordinator.store.rows import Batch
from tests.integration.store.conftest import Leader
from tests.store_rows import ALICE
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence
from tests.unit.coordinator.mirror import Mirror


class Batches(Mirror):
    """Keeps what has still to be written."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Batch] = []

    def write(self, batch: Batch) -> None:
        super().write(batch)
        if not batch.empty:
            self.waiting.append(batch)


class StoredWorld(World):
    """A world whose batches go to a database."""

    def __init__(self, leader: Leader, *, first_job: int, learned_before: int) -> None:
        super().__init__()
        self.leader = leader
        self.number = first_job - 1
        self.learned_before = self.cluster.planner.sequence = learned_before
        self.mirror: Batches = Batches()

    @classmethod
    async def after(cls, leader: Leader, database: asyncpg.Connection) -> StoredWorld:
        """Its jobs and what it learns are numbered on from what the database has of other tests."""
        first = await database.fetchval("select coalesce(max(number), 0) + 1 from corral.jobs")
        learned = await database.fetchval("select coalesce(max(sequence), 0) from corral.learning_notes")
        return cls(leader, first_job=first, learned_before=learned)

    async def commit(self) -> None:
        for batch in self.mirror.waiting:
            batch.number = next(self.leader.numbers)
            await self.leader.store.commit(batch)
        self.mirror.waiting.clear()

    async def loaded(self) -> Cluster:
        """A new leader's memory of what this world has."""
        snapshot = await self.leader.store.load()
        cluster = Cluster()
        for node in snapshot.nodes:
            if node.name in self.cluster.nodes:
                restore_node(cluster, node, now_s=self.now_s)
        for live in snapshot.jobs:
            if live.job.number in self.cluster.jobs:
                rows = [row for row in snapshot.tasks if row.task.job == live.job.number]
                restore_job(cluster, live.job, live.change, rows)
        for attempt in snapshot.attempts:
            if attempt.attempt.job in cluster.jobs:
                restore_attempt(cluster, attempt)
        for account in snapshot.accounts:
            if account.owner in self.cluster.shares.accounts:
                restore_account(cluster, account)
        cluster.planner.sequence = self.learned_before
        restore_learned(cluster, None, snapshot.notes)
        return cluster


@pytest.fixture
async def stored(leader: Leader, database: asyncpg.Connection) -> StoredWorld:
    return await StoredWorld.after(leader, database)


@pytest.fixture
async def over(coordinator_dsn: str) -> AsyncIterator[Over]:
    reader = Over(coordinator_dsn)
    yield reader
    await reader.close()


async def audit(database: asyncpg.Connection, thing: str) -> list[tuple[str, str]]:
    rows = await database.fetch("select actor, action from corral.audit where object = $1 order by id", thing)
    return [tuple(row) for row in rows]


async def test_a_hold_is_kept_and_audited(stored: StoredWorld, database: asyncpg.Connection) -> None:
    stored.register("hold-1", node_id=uuid4())
    job = stored.submit(command=["true"], array="0-9")
    stored.schedule()
    stored.hold(job)
    await stored.commit()
    row = await database.fetchrow(
        "select held, held_by, held_at is not null as at, state from corral.jobs where number = $1", job
    )
    assert tuple(row) == (True, "alice", True, "scheduled")
    assert essence(await stored.loaded()) == essence(stored.cluster)
    stored.hold(job)
    stored.hold(job, held=False)
    await stored.commit()
    row = await database.fetchrow("select held, held_by, held_at from corral.jobs where number = $1", job)
    assert tuple(row) == (False, "", None)
    assert await audit(database, str(job)) == [("alice", "job.hold"), ("alice", "job.release")]
    assert essence(await stored.loaded()) == essence(stored.cluster)


async def test_a_job_that_is_over_is_queued_again_out_of_its_rows(
    stored: StoredWorld, over: Over, database: asyncpg.Connection
) -> None:
    """Failed and timed out tasks, though the job asks for no retry of a timeout; the rest stays."""
    stored.register("retry-1", node_id=uuid4())
    job = stored.submit(
        tasks=[
            TaskSpec(name="a", command=["true"], array="0-3", retries=0),
            TaskSpec(name="b", command=["true"], needs=["a"], array="0-4"),
            TaskSpec(name="c", command=["true"], needs=["b"]),
        ]
    )
    ends = [{"exit_code": 0}, {"exit_code": 3}, {"exit_code": None, "outcome": Outcome.TIMEOUT}, {}]
    for placement in [*stored.schedule(), *stored.schedule()]:
        stored.end(placement, "retry-1", **ends[placement.attempt.index])
    for placement in stored.schedule():
        stored.end(placement, "retry-1", **ends[placement.attempt.index])
    await stored.commit()
    assert job not in stored.cluster.jobs
    whole = await over.job(job)
    assert whole is not None
    expected = stored.mirror.over(job)
    assert (whole.change, sorted(whole.ended), whole.ranges) == (
        expected.change,
        sorted(expected.ended),
        expected.ranges,
    )
    failed = await over.failed(job, first=0, limit=10)
    assert [seen.task.index for seen in failed] == [1, 2]
    assert await over.failed(job, first=2, limit=1) == failed[1:]
    stored.retry(job, failed=failed, over=whole)
    await stored.commit()
    assert essence(await stored.loaded()) == essence(stored.cluster)
    history = await database.fetch(
        "select e.old_state, e.new_state, e.asked_by from corral.task_events e where e.task_id = $1"
        " order by version desc, step desc limit 2",
        failed[1].id,
    )
    assert [tuple(row) for row in history] == [
        ("retrying", "queued", None),
        ("timeout", "retrying", "alice"),
    ]
    again = stored.schedule()
    assert [str(placement.attempt) for placement in again] == [f"{job}.1#2", f"{job}.2#2"]
    for placement in again:
        stored.end(placement, "retry-1")
    await stored.commit()
    row = await database.fetchrow(
        "select state, completed, cancelled from corral.jobs where number = $1", job
    )
    assert tuple(row) == ("failed", 4, 6)  # what its failure cancelled stays cancelled
    assert await audit(database, str(job)) == [("alice", "job.retry")]
    assert await database.fetch("select * from corral.ledger_mismatches") == []


async def test_rows_read_before_another_retry_are_refused(stored: StoredWorld, over: Over) -> None:
    stored.register("stale-1", node_id=uuid4())
    job = stored.submit(command=["true"], retries=0)
    (placement,) = stored.schedule()
    stored.end(placement, "stale-1", exit_code=1)
    await stored.commit()
    asked = RetryAsked(
        job=job,
        failed=await over.failed(job, first=0, limit=10),
        over=await over.job(job),
        as_of=stored.cluster.requeues,
        before=0,
        by=UserName(ALICE),
        role=Role.USER,
    )
    assert any(isinstance(tell, AnswerChanged) for tell in stored.happen(asked))
    (refusal,) = stored.happen(asked)
    assert isinstance(refusal, Refuse) and refusal.faults[0].code == "E_CONFLICT"
    await stored.commit()


async def test_what_a_node_was_made_outlives_restarts(
    stored: StoredWorld, database: asyncpg.Connection
) -> None:
    stored.register("drain-1", node_id=uuid4())
    stored.steer("drain-1", NodeAdmin.DRAINING, reason="new disks")
    await stored.commit()
    row = await database.fetchrow(
        "select admin, admin_by, admin_at is not null as at from corral.nodes where name = 'drain-1'"
    )
    assert tuple(row) == ("draining", "olga", True)
    loaded = (await stored.loaded()).nodes[NodeName("drain-1")]
    assert (loaded.admin, loaded.admin_by) == (NodeAdmin.DRAINING, "olga")
    stored.register(
        "drain-1", node_id=uuid4(), incarnation="second"
    )  # an agent that comes back is still draining
    await stored.commit()
    assert await database.fetchval("select admin from corral.nodes where name = 'drain-1'") == "draining"
    stored.steer("drain-1", NodeAdmin.ACTIVE)
    await stored.commit()
    assert await audit(database, "drain-1") == [("olga", "node.drain"), ("olga", "node.undrain")]


async def test_pauses_yields_and_deadlines_outlive_restarts(
    stored: StoredWorld, database: asyncpg.Connection
) -> None:
    stored.register("yield-1", node_id=uuid4())
    job = stored.submit(command=["true"], array="0-1", preemptible=True)
    first, second = stored.schedule()
    stored.start(first, "yield-1")
    stored.start(second, "yield-1")
    stored.pause(job, by=ALICE)
    stored.requeue(job, 0, by=ALICE)
    stored.steer("yield-1", NodeAdmin.MAINTENANCE, reason="disks", deadline_s=60.0)
    await stored.commit()
    state = "select state, paused_by, paused_at is not null from corral.jobs where number = $1"
    assert tuple(await database.fetchrow(state, job)) == ("paused", ALICE, True)
    assert essence(await stored.loaded()) == essence(stored.cluster)
    stored.end(first, "yield-1", outcome=Outcome.CANCELLED, exit_code=None)
    stored.now_s += 60.0
    stored.wait(0.0)
    stored.end(second, "yield-1", outcome=Outcome.CANCELLED, exit_code=None)
    await stored.commit()
    assert essence(await stored.loaded()) == essence(stored.cluster)
    kept = "select a.state, a.message from corral.attempts a join corral.tasks t on t.id = a.task_id" \
        " join corral.jobs j on j.id = t.job_id where j.number = $1 order by t.index"  # fmt: skip
    assert [tuple(row) for row in await database.fetch(kept, job)] == [
        ("preempted", f"requeued by {ALICE}"),
        ("preempted", "node yield-1 was drained, and the deadline came"),
    ]
    admin = "select admin, admin_goal, admin_deadline from corral.nodes where name = 'yield-1'"
    assert tuple(await database.fetchrow(admin)) == ("maintenance", None, None)
    assert await database.fetch("select * from corral.ledger_mismatches") == []


@pytest.mark.contract("S2.37")
async def test_the_next_leader_knows_where_a_job_may_and_would_rather_run(
    stored: StoredWorld, database: asyncpg.Connection
) -> None:
    for name, labels in (("wish-1", {"zone": "a"}), ("wish-2", {"zone": "a", "disk": "ssd"})):
        stored.register(name, node_id=uuid4(), labels=labels)
    wishes = Constraints(labels={"zone": "a"}, prefer=["disk=ssd"], placement="spread", topology="zone")
    job = stored.submit(command=["true"], constraints=wishes)
    await stored.commit()
    kept = await database.fetchval("select spec -> 'constraints' from corral.jobs where number = $1", job)
    assert msgspec.json.decode(kept, type=Constraints) == wishes
    stored.cluster = await stored.loaded()
    (placement,) = stored.schedule()
    assert stored.held["wish-2"] == {placement.attempt: placement}


@pytest.mark.contract("S2.11")
async def test_the_database_allows_a_node_the_moves_that_the_core_allows(
    stored: StoredWorld, database: asyncpg.Connection
) -> None:
    for before in NodeAdmin:
        for after in NodeAdmin:
            allowed = await database.fetchval("select corral.admin_may_follow($1, $2)", before, after)
            assert allowed == (after in NODE_TRANSITIONS[before]), (before, after)
    stored.register("moves-1", node_id=uuid4())
    await stored.commit()
    move = "update corral.nodes set admin = $1 where name = 'moves-1'"
    await database.execute(move, "maintenance")
    with pytest.raises(
        asyncpg.CheckViolationError, match="Invalid admin transition: maintenance -> draining"
    ):
        await database.execute(move, "draining")
