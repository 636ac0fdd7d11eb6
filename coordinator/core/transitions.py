"""The life of a task, as a table.

Two rules. A state may be left only along an edge of this table. Whoever moves a task names every
state it passes through, so that the history (and the database's trigger, which checks each adjacent
pair again) sees the whole path even where one commit spans several steps.

`completed` and `cancelled` have no way out: done is done. A loss (a dead node, a task handed back)
leaves through `reassigned` and is charged to nobody; a failure leaves through `retrying` and costs a
retry; a timeout may be retried only where the job asks for it, which the machine decides.
"""

from __future__ import annotations

from itertools import pairwise

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


_A = NodeAdmin

NODE_TRANSITIONS: dict[NodeAdmin, frozenset[NodeAdmin]] = {
    _A.ACTIVE: frozenset({_A.DRAINING, _A.INACTIVE, _A.MAINTENANCE, _A.FAILED}),
    _A.DRAINING: frozenset({_A.ACTIVE, _A.INACTIVE, _A.MAINTENANCE, _A.FAILED}),
    _A.INACTIVE: frozenset({_A.ACTIVE, _A.DRAINING, _A.MAINTENANCE, _A.FAILED}),
    _A.MAINTENANCE: frozenset({_A.ACTIVE, _A.INACTIVE, _A.FAILED}),
    _A.FAILED: frozenset({_A.ACTIVE, _A.DRAINING, _A.INACTIVE, _A.MAINTENANCE}),
}
"""What a node may be made. Out of maintenance it comes empty: there is nothing to drain."""


class IllegalTransition(AssertionError):
    """A bug of ours: the machine tried to move a task along an edge that does not exist."""


def check_path(path: tuple[TaskState, ...]) -> None:
    """Raise IllegalTransition unless every adjacent pair of `path` is an edge of the table."""
    for before, after in pairwise(path):
        if after not in TASK_TRANSITIONS[before]:
            raise IllegalTransition(f"Invalid status transition: {before} -> {after}")
