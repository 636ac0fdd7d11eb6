"""The lives of tasks and nodes, as tables: what the coordinator enforces and `corral schema states` prints.

`completed` and `cancelled` have no way out: done is done. A loss (a dead node, a task handed back or
preempted) leaves through `reassigned` and is charged to nobody; a failure leaves through `retrying` and costs
a retry; a timeout may be retried only where the job asks for it, which the coordinator decides.
"""

from __future__ import annotations

from collections.abc import Mapping

from bus.values import NodeAdmin, TaskState

_S = TaskState

TASK_TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    _S.PENDING: frozenset({_S.QUEUED, _S.CANCELLED}),
    _S.QUEUED: frozenset({_S.ASSIGNED, _S.CANCELLED}),
    _S.ASSIGNED: frozenset({_S.RUNNING, _S.FAILED, _S.REASSIGNED, _S.CANCELLED}),
    _S.RUNNING: frozenset({_S.COMPLETED, _S.FAILED, _S.TIMEOUT, _S.REASSIGNED, _S.CANCELLED}),
    _S.FAILED: frozenset({_S.RETRYING, _S.CANCELLED}),
    _S.TIMEOUT: frozenset({_S.RETRYING}),
    _S.RETRYING: frozenset({_S.QUEUED, _S.CANCELLED}),
    _S.REASSIGNED: frozenset({_S.QUEUED, _S.CANCELLED}),
    _S.COMPLETED: frozenset(),
    _S.CANCELLED: frozenset(),
}

TASK_MEANINGS: Mapping[TaskState, str] = {
    _S.PENDING: "waits for other tasks or jobs",
    _S.QUEUED: "waits for a place",
    _S.ASSIGNED: "was given to a node",
    _S.RUNNING: "its process runs, or stands still while its job is paused",
    _S.COMPLETED: "ended with 0; final",
    _S.FAILED: "ended otherwise, or was lost too often",
    _S.TIMEOUT: "its walltime ran out",
    _S.CANCELLED: "somebody asked, or what it needs cannot be met any more; final",
    _S.RETRYING: "failed, and waits out its backoff",
    _S.REASSIGNED: "lost, handed back or preempted; charged to nobody",
}

_A = NodeAdmin

NODE_TRANSITIONS: dict[NodeAdmin, frozenset[NodeAdmin]] = {
    _A.ACTIVE: frozenset({_A.DRAINING, _A.INACTIVE, _A.MAINTENANCE, _A.FAILED}),
    _A.DRAINING: frozenset({_A.ACTIVE, _A.INACTIVE, _A.MAINTENANCE, _A.FAILED}),
    _A.INACTIVE: frozenset({_A.ACTIVE, _A.DRAINING, _A.MAINTENANCE, _A.FAILED}),
    _A.MAINTENANCE: frozenset({_A.ACTIVE, _A.INACTIVE, _A.FAILED}),
    _A.FAILED: frozenset({_A.ACTIVE, _A.DRAINING, _A.INACTIVE, _A.MAINTENANCE}),
}
"""What a node may be made. Out of maintenance it comes empty: there is nothing to drain."""

NODE_MEANINGS: Mapping[NodeAdmin, str] = {
    _A.ACTIVE: "takes work",
    _A.DRAINING: "takes none; what runs there ends, or is queued again at the deadline",
    _A.INACTIVE: "cordoned: takes none, and keeps what it has",
    _A.MAINTENANCE: "empty, and taken out by people",
    _A.FAILED: "quarantined: takes none after losing several tasks",
}
