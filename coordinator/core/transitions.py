"""The tables of `bus.lifecycle`, enforced.

Two rules. A state may be left only along an edge of the table. Whoever moves a task names every state it
passes through, so that the history (and the database's trigger, which checks each adjacent pair again) sees
the whole path even where one commit spans several steps.
"""

from __future__ import annotations

from itertools import pairwise

from bus.lifecycle import NODE_TRANSITIONS, TASK_TRANSITIONS
from bus.values import TaskState

__all__ = ["NODE_TRANSITIONS", "TASK_TRANSITIONS", "IllegalTransition", "check_path"]


class IllegalTransition(AssertionError):
    """A bug of ours: the machine tried to move a task along an edge that does not exist."""


def check_path(path: tuple[TaskState, ...]) -> None:
    """Raise IllegalTransition unless every adjacent pair of `path` is an edge of the table."""
    for before, after in pairwise(path):
        if after not in TASK_TRANSITIONS[before]:
            raise IllegalTransition(f"Invalid status transition: {before} -> {after}")
