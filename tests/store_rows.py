"""Rows for tests of the store: small builders with every field that a test does not care about filled in."""

from __future__ import annotations

from itertools import count
from typing import Any
from uuid import UUID, uuid4

from bus.values import (
    AttemptRef,
    AttemptState,
    Inventory,
    JobKind,
    JobState,
    NodeAdmin,
    NodeHealth,
    NodeKind,
    NodeName,
    Resources,
    TaskRef,
    TaskState,
    UserName,
)
from coordinator.core.effects import (
    AttemptChange,
    JobChange,
    NewJob,
    NewTask,
    NodeLedger,
    NodeRow,
    TaskChange,
)

T0 = 1_750_000_000.0
REQUEST = Resources(1000, 64)
NOTHING = Resources()
ALICE = UserName("alice")

_numbers = count(1)


def node(name: str = "n1", **other: Any) -> NodeRow:
    inventory = Inventory(
        hostname=name,
        ip="10.0.0.1",
        architecture="x86_64",
        os_version="Linux",
        kernel_version="6.1",
        cpu_model="any",
        cpu_cores=8,
    )
    fields: dict[str, Any] = {
        "id": uuid4(), "incarnation": "i1", "boot_id": "b1", "version": "0.1.0",
        "capacity": Resources(8000, 16384), "allocated": NOTHING, "inventory": inventory,
        "kind": NodeKind.COMPUTE, "labels": {"zone": "a"},
        "roles": (), "tools": ("wordcount",), "health": NodeHealth.HEALTHY, "admin": NodeAdmin.ACTIVE,
        "registered": True, "last_heartbeat_at": T0,
    }  # fmt: skip
    return NodeRow(name=NodeName(name), **(fields | other))


def ledger(of: NodeRow, allocated: Resources) -> NodeLedger:
    return NodeLedger(name=of.name, id=of.id, allocated=allocated)


def new_job(tasks: int = 1, **other: Any) -> NewJob:
    fields: dict[str, Any] = {
        "id": uuid4(), "number": next(_numbers), "owner": ALICE, "name": "test", "kind": JobKind.BATCH,
        "priority": 5, "spec": b'{"command": ["true"]}', "metadata": b"{}", "dedupe_key": None,
        "digest": b"d" * 32, "submitted_at": T0,
    }  # fmt: skip
    return NewJob(tasks=tasks, **(fields | other))


def job_change(job: NewJob, state: JobState, **other: Any) -> JobChange:
    fields: dict[str, Any] = {
        "pending": 0, "queued": 0, "assigned": 0, "running": 0, "completed": 0, "failed": 0, "cancelled": 0,
        "cancel_requested": False, "started_at": None, "ended_at": None, "exit_code": None, "reason": "",
        "priority": job.priority,
    }  # fmt: skip
    return JobChange(number=job.number, id=job.id, owner=job.owner, state=state, **(fields | other))


def new_task(
    job: NewJob, index: int = 0, *, size: int = 1, range_id: UUID | None = None, parent_id: UUID | None = None
) -> NewTask:
    return NewTask(
        task=TaskRef(job.number, index),
        id=uuid4(),
        job_id=job.id,
        range_id=range_id,
        count=size,
        group="main",
        task_type="shell",
        input=b'{"index": %d}' % index,
        parameters=b"{}",
        priority=5,
        resources=REQUEST,
        max_retries=3,
        created_at=T0,
        parent_id=parent_id,
    )


def change(task: NewTask, version: int, *path: TaskState, **other: Any) -> TaskChange:
    fields: dict[str, Any] = {
        "remaining": task.count, "node": None, "fence": 0, "retries": 0, "started_at": None,
        "completed_at": None, "exit_code": None, "signal": None, "message": "", "output": None,
        "changed_at": T0 + version,
    }  # fmt: skip
    return TaskChange(task=task.task, id=task.id, owner=ALICE, version=version, path=path, **(fields | other))


def attempt(task: NewTask, on: NodeRow, state: AttemptState, **other: Any) -> AttemptChange:
    fence = other.pop("fence", 1)
    live = state in (AttemptState.ASSIGNED, AttemptState.RUNNING)
    fields: dict[str, Any] = {
        "new": False, "waiting": False, "requested": REQUEST, "holds": REQUEST if live else NOTHING,
        "gpus": (), "assigned_at": T0 + 1, "started_at": None, "ended_at": None, "exit_code": None,
        "signal": None, "message": "", "cancelling": False, "yielding": False, "explanation": None,
    }  # fmt: skip
    ref = AttemptRef(task.task.job, task.task.index, fence)
    return AttemptChange(
        attempt=ref, task_id=task.id, node=on.name, node_id=on.id, state=state, **(fields | other)
    )
