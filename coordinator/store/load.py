"""What the coordinator's memory is rebuilt from, read in one snapshot of the database."""

from __future__ import annotations

import msgspec
from asyncpg.connection import Connection
from asyncpg.protocol import Record

from bus.gpus import Quarantine
from bus.values import (
    AttemptRef,
    AttemptState,
    Capability,
    Inventory,
    JobKind,
    JobState,
    NodeAdmin,
    NodeHealth,
    NodeKind,
    NodeName,
    Resources,
    Role,
    TaskRef,
    TaskState,
    UserName,
)
from coordinator.core.effects import AccountRow, AttemptChange, JobChange, NewJob, NodeRow
from coordinator.core.events import LossSeen
from coordinator.core.job_ends import ELEMENTS_MAX
from coordinator.core.node import Refusal
from coordinator.core.refusals import LEASE_RAN_OUT, NOT_ITS_WORDS
from coordinator.core.scheduler.explain import Explanation
from coordinator.store import learned
from coordinator.store.composites import of_ledger
from coordinator.store.connection import Session
from coordinator.store.item_lists import item_list
from coordinator.store.job_ends import job_end
from coordinator.store.rows import LiveJob, Snapshot, TaskSeen, UserRow
from sql import queries

_NOTHING = Resources()

_labels = msgspec.json.Decoder(dict[str, str])
_inventory = msgspec.json.Decoder(Inventory)
_state = msgspec.json.Decoder(tuple[float, ...])


async def load(session: Session) -> Snapshot:
    """Everything at one instant. Raises StoreUnavailable."""
    async with (
        session.use() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        return await read(connection)


async def read(connection: Connection[Record]) -> Snapshot:
    """The same within the caller's transaction, whose snapshot it is."""
    jobs, tasks, attempts = queries("jobs"), queries("tasks"), queries("attempts")
    return Snapshot(
        next_number=await connection.fetchval(jobs["next_number"]),
        users=[user_row(row) for row in await connection.fetch(queries("users")["every"])],
        nodes=[_node(row) for row in await connection.fetch(queries("nodes")["every"])],
        jobs=[live_job(row) for row in await connection.fetch(jobs["live"])],
        tasks=[task_seen(row) for row in await connection.fetch(tasks["of_live_jobs"])],
        attempts=[_attempt(row) for row in await connection.fetch(attempts["live"])],
        losses=[
            _loss(row) for row in await connection.fetch(attempts["losses"], LEASE_RAN_OUT, NOT_ITS_WORDS)
        ],
        ended={
            row["number"]: job_end(row)
            for row in await connection.fetch(jobs["ended_before_live"], ELEMENTS_MAX)
        },
        learned=await learned.newest(connection),
        notes=await learned.notes(connection),
        accounts=[_account(row) for row in await connection.fetch(queries("fair_shares")["every"])],
        lists={
            row["sha256"]: item_list(row) for row in await connection.fetch(queries("item_lists")["of_live"])
        },
    )


_quarantines = msgspec.json.Decoder(tuple[Quarantine, ...])
_capabilities = msgspec.json.Decoder(dict[str, Capability])


def user_row(row: Record) -> UserRow:
    return UserRow(row["id"], UserName(row["username"]), Role(row["role"]), row["active"])


def _node(row: Record) -> NodeRow:
    return NodeRow(
        name=NodeName(row["name"]),
        id=row["id"],
        incarnation=row["incarnation"],
        boot_id=row["boot_id"],
        version=row["version"],
        capacity=of_ledger(row["total"]),
        allocated=of_ledger(row["allocated"]),
        inventory=_inventory.decode(row["inventory"]),
        kind=NodeKind(row["kind"]),
        labels=_labels.decode(row["agent_labels"]),
        set_labels=_labels.decode(row["set_labels"]),
        roles=tuple(row["roles"]),
        tools=tuple(row["tools"]),
        capabilities=_capabilities.decode(row["able"]),
        quarantines=_quarantines.decode(row["quarantines"]),
        health=NodeHealth(row["health"]),
        admin=NodeAdmin(row["admin"]),
        registered=False,
        last_heartbeat_at=row["last_heartbeat_at"],
        admin_reason=row["admin_reason"],
        admin_by=row["admin_by"],
        admin_at=row["admin_at"],
        admin_goal=None if row["admin_goal"] is None else NodeAdmin(row["admin_goal"]),
        admin_deadline=row["admin_deadline"],
    )


def live_job(row: Record) -> LiveJob:
    owner = UserName(row["owner"])
    job = NewJob(
        id=row["id"],
        number=row["number"],
        owner=owner,
        name=row["name"],
        kind=JobKind(row["kind"]),
        priority=row["priority"],
        spec=row["spec"].encode(),
        metadata=row["metadata"].encode(),
        dedupe_key=row["dedupe_key"],
        digest=row["digest"],
        tasks=row["total"],
        submitted_at=row["created_at"],
        parent_id=row["parent_id"],
    )
    change = JobChange(
        number=row["number"],
        id=row["id"],
        owner=owner,
        state=JobState(row["state"]),
        pending=row["pending"],
        queued=row["queued"],
        assigned=row["assigned"],
        running=row["running"],
        completed=row["completed"],
        failed=row["failed"],
        cancelled=row["cancelled"],
        cancel_requested=row["cancel_requested"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        exit_code=row["exit_code"],
        reason=row["reason"],
        held_by=row["held_by"],
        held_at=row["held_at"],
        paused_by=row["paused_by"],
        paused_at=row["paused_at"],
        priority=row["priority"],
    )
    return LiveJob(job, change)


def task_seen(row: Record) -> TaskSeen:
    return TaskSeen(
        task=TaskRef(row["number"], row["index"]),
        id=row["id"],
        count=row["count"],
        remaining=row["remaining"],
        state=TaskState(row["state"]),
        version=row["version"],
        node=None if row["node"] is None else NodeName(row["node"]),
        fence=row["fence"],
        retries=row["retries"],
        changed_at=row["changed_at"],
        started_at=row["started_at"],
    )


def _attempt(row: Record) -> AttemptChange:
    requested = Resources(
        row["cpu_millis"], row["mem_mib"], row["gpus"], row["storage_mib"], row["net_mbps"], row["gpu_milli"]
    )
    return AttemptChange(
        attempt=AttemptRef(*TaskRef(row["number"], row["index"]).of_rank(row["rank"]), row["fence"]),
        task_id=row["task_id"],
        node=NodeName(row["node_name"]),
        node_id=row["node_id"],
        new=False,
        state=AttemptState(row["state"]),
        waiting=row["waiting"],
        requested=requested,
        holds=requested if row["holding"] else _NOTHING,
        gpus=tuple(row["gpu_uuids"]),
        assigned_at=row["assigned_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        exit_code=row["exit_code"],
        signal=row["signal"],
        message=row["message"],
        cancelling=row["cancelling"],
        yielding=row["yielding"],
        explanation=Explanation(
            order=row["order"] or "",
            policy=row["policy"] or "",
            rule=row["rule"] or "",
            explored=row["explored"],
            epsilon=row["epsilon"],
            state=_state.decode(row["situation"]),
        ),
    )


def _account(row: Record) -> AccountRow:
    return AccountRow(owner=UserName(row["owner"]), shares=row["shares"], usage=row["usage"], at=row["at"])


def _loss(row: Record) -> LossSeen:
    refusal = None if row["refused_at"] is None else Refusal(row["refused_at"], row["refusal"])
    return LossSeen(
        TaskRef(row["number"], row["index"]), NodeName(row["node_name"]), row["ended_at"], refusal
    )
