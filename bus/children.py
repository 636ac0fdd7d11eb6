"""Tasks that wait for the jobs they submitted: what their agent asks, and what it hears. Pure.

A task asks in a file, and its agent asks the coordinator once a second until all those jobs are over. Nobody
remembers that a task waits: whoever was restarted is asked again.
"""

from __future__ import annotations

from msgspec import Struct

from bus.values import AttemptRef, JobState

WAITING_AT_ONCE_MAX = 1_000
"""Attempts in one question."""

CHILDREN_TOLD_MAX = 1_000
"""Children in one answer, and of one task."""

TEXT_MAX = 100
"""Characters of a name, or of a reason."""

NOT_RANK_0 = "only rank 0 of a gang submits jobs and waits for them"
"""What another rank is told."""


class ChildrenAsked(Struct, kw_only=True, tag="children"):
    """An agent asks for the children of its attempts that wait for them."""

    node: str
    attempts: tuple[AttemptRef, ...]


class ChildEnd(Struct, kw_only=True):
    """How a child ended. `job` 0: the submission was refused, and `reason` says why.

    `key` is the `dedupe_key` that the task gave it; "": it gave none.
    """

    job: int
    name: str = ""
    key: str = ""
    state: JobState | None = None
    tasks: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    exit_code: int | None = None
    reason: str = ""


class ChildrenOf(Struct, kw_only=True):
    """`live`: so many are not over. `ended` has them all once none is; None: not yet, or not in this answer.

    `stale`: the attempt does not count any more.
    """

    attempt: AttemptRef
    live: int = 0
    ended: tuple[ChildEnd, ...] | None = None
    stale: bool = False


class ChildrenReply(Struct, kw_only=True, tag="children_ok"):
    """In the order of the question; what it has no more room for is left out."""

    found: tuple[ChildrenOf, ...]
