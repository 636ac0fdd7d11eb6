"""How a gang ends: as one task, by what became of its ranks.

The first rank that ends otherwise than with 0 ends all: the others get TERM, their grace, KILL. When the last
one is over, the task moves, by the first of these that holds:

    somebody cancelled it           cancelled
    all ranks ended with 0          completed
    a rank was lost with its node   queued again with a new fence, charged to nobody; `restart: fail`: failed
    a rank failed, or ran out of time   as a single task would: tried again as a whole, or over
    (given back, made room)         queued again

A lost node comes before a failure, because the ranks that talked to it fail by its loss, and are heard first.
"""

from __future__ import annotations

from bus.values import AttemptRef, AttemptState, Ended, GangRestart, Outcome, TaskState
from coordinator.core.blame import check_node, note_loss, poison, poison_event
from coordinator.core.changes import end_attempt, enqueue, move, record_attempt, unpark
from coordinator.core.effects import Effect
from coordinator.core.gathering import note_started, overdue
from coordinator.core.groups import on_task_over
from coordinator.core.learning import note_experience
from coordinator.core.model import Attempt, Cluster, Ranks, Task
from coordinator.core.pausing import on_late_start
from coordinator.core.ranks import RankEnd
from coordinator.core.refusals import (
    FELL_SILENT,
    LEASE_RAN_OUT,
    choose_line,
    note_refusal,
    refusal_of,
    told,
    tried_anew,
)
from coordinator.core.retrying import may_retry, schedule_retry
from coordinator.core.yielding import yield_attempts

_FAILURES = {AttemptState.FAILED: TaskState.FAILED, AttemptState.TIMEOUT: TaskState.TIMEOUT}
_CANNOT_RUN = {126: Outcome.NOT_EXECUTABLE, 127: Outcome.NOT_FOUND}


def start_rank(
    out: list[Effect], cluster: Cluster, attempt: Attempt, *, started_s: float, now_s: float
) -> None:
    """A rank runs; with the first of them the task does."""
    task = attempt.task
    attempt.state = AttemptState.RUNNING
    attempt.started_at = started_s
    attempt.confirmed_at = attempt.confirmed_at or now_s
    record_attempt(out, cluster, attempt)
    if task.state is TaskState.ASSIGNED:
        move(out, cluster, task, TaskState.RUNNING, now_s=now_s)
    note_started(cluster, task)
    on_late_start(out, attempt)


def end_rank(
    out: list[Effect],
    cluster: Cluster,
    attempt: Attempt,
    state: AttemptState,
    *,
    now_s: float,
    exit_code: int | None = None,
    signal: int | None = None,
    message: str = "",
    output: bytes | None = None,
) -> None:
    """A rank is over. What rank 0 leaves as its output is the task's."""
    task, ranks = attempt.task, attempt.task.ranks
    assert ranks is not None
    if len(ranks.live) == 1 and state in (AttemptState.COMPLETED, *_FAILURES):
        note_experience(cluster, attempt, now_s=now_s)
    end_attempt(
        out, cluster, attempt, state, now_s=now_s, exit_code=exit_code, signal=signal, message=message
    )
    end = RankEnd(
        rank=attempt.ref.rank,
        node=attempt.node,
        state=state,
        at_s=now_s,
        exit_code=exit_code,
        signal=signal,
        message=message,
        cancelling=attempt.cancelling,
    )
    ranks.ends.append(end)
    if output is not None and not end.rank:
        move(out, cluster, task, now_s=now_s, output=output)
    if not ranks.live:
        _conclude(out, cluster, task, ranks, now_s=now_s)
    elif state is not AttemptState.COMPLETED:
        yield_attempts(out, cluster, ranks.in_order, reason=_told(end))


def lose_rank(
    out: list[Effect],
    cluster: Cluster,
    attempt: Attempt,
    state: AttemptState,
    *,
    now_s: float,
    charged: bool,
    unstarted: bool,
    message: str,
) -> None:
    """A rank is gone without a verdict. Several lost with one node are one loss."""
    task, node, ranks = attempt.task, cluster.nodes[attempt.node], attempt.task.ranks
    assert ranks is not None
    noted = any(_counts(end) and end.node == node.name for end in ranks.ends)
    if charged and not attempt.cancelling and not noted:
        note_loss(node, task, unstarted=unstarted, now_s=now_s)
        check_node(out, cluster, node, now_s=now_s)
    refusal = refusal_of(attempt, message, now_s=now_s)
    if charged and not attempt.cancelling and refusal is not None:
        note_refusal(cluster, task, node.name, refusal)
    text = message or (FELL_SILENT if state is AttemptState.LOST else "")
    end_rank(out, cluster, attempt, state, now_s=now_s, message=text)


def check_barriers(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Take back gangs whose ranks have waited too long for each other."""
    for task, event in overdue(cluster, now_s=now_s):
        out.append(event)
        yield_attempts(out, cluster, task.attempts, reason="not all ranks started in time")


def _conclude(out: list[Effect], cluster: Cluster, task: Task, ranks: Ranks, *, now_s: float) -> None:
    """All ranks are over."""
    task.ranks = None
    cluster.gathering.pop(task.ref, None)
    gang = task.group.settings.gang
    assert gang is not None
    ends = sorted(ranks.ends, key=lambda end: (end.at_s, end.rank))
    lost = next((end for end in ends if end.state is AttemptState.LOST), None)
    failed = next((end for end in ends if end.state in _FAILURES), None)
    poisoned = poison(cluster, task) if lost is not None else ""
    if any(_was_cancelled(end) for end in ends):
        _over(out, cluster, task, TaskState.CANCELLED, ends[-1], message="cancelled", now_s=now_s)
    elif all(end.state is AttemptState.COMPLETED for end in ends):
        last = ends[-1]
        _over(out, cluster, task, TaskState.COMPLETED, last, message=last.message, now_s=now_s)
    elif lost is not None and poisoned:
        message = f"{poisoned}: {lost.message}"
        out.append(poison_event(task, lost.node, message, now_s=now_s))
        _over(out, cluster, task, TaskState.FAILED, lost, message=message, now_s=now_s)
    elif lost is not None and gang.restart is GangRestart.FAIL:
        _over(out, cluster, task, TaskState.FAILED, lost, message=_told(lost), now_s=now_s)
    elif lost is None and failed is not None:
        _fail(out, cluster, task, failed, now_s=now_s)
    else:
        first = lost or next(end for end in ends if end.state is not AttemptState.COMPLETED)
        message = _told(first) if lost is not None else first.message
        choose_line(cluster, task, now_s=now_s)
        if lost is not None and lost.node in (task.refusals or ()):
            message = told(task, lost.node, message)
        move(out, cluster, task, TaskState.REASSIGNED, TaskState.QUEUED, now_s=now_s, message=message)
        enqueue(cluster, task, now_s=now_s)
    unpark(cluster, task.group, now_s=now_s)


def _fail(out: list[Effect], cluster: Cluster, task: Task, end: RankEnd, *, now_s: float) -> None:
    """By a rank that failed or ran out of time: tried again as a whole, or over."""
    state, message = _FAILURES[end.state], _told(end)
    if not may_retry(task, _as_ended(task, end), state):
        _over(out, cluster, task, state, end, message=message, now_s=now_s)
        return
    task.retries += 1
    tried_anew(task)
    path = (*_path(task, state), TaskState.RETRYING)
    code, signal = end.exit_code, end.signal
    move(out, cluster, task, *path, now_s=now_s, exit_code=code, signal=signal, message=message)
    schedule_retry(cluster, task, now_s=now_s)


def _over(
    out: list[Effect],
    cluster: Cluster,
    task: Task,
    state: TaskState,
    end: RankEnd,
    *,
    message: str,
    now_s: float,
) -> None:
    code, signal = end.exit_code, end.signal
    move(out, cluster, task, *_path(task, state), now_s=now_s, exit_code=code, signal=signal, message=message)
    on_task_over(out, cluster, task, state, node=end.node, message=message, now_s=now_s)


def _path(task: Task, state: TaskState) -> tuple[TaskState, ...]:
    ran = state in (TaskState.COMPLETED, TaskState.TIMEOUT) and task.state is TaskState.ASSIGNED
    return (TaskState.RUNNING, state) if ran else (state,)


def _told(end: RankEnd) -> str:
    """For people, with the rank."""
    return f"rank {end.rank} on {end.node}: {end.message or end.state}"


def _was_cancelled(end: RankEnd) -> bool:
    return end.state is AttemptState.CANCELLED or (end.cancelling and end.state is not AttemptState.COMPLETED)


def _counts(end: RankEnd) -> bool:
    """Whether it was held against its node, as `attempts.sql` sees it."""
    return end.state is AttemptState.LOST and end.message != LEASE_RAN_OUT


def _as_ended(task: Task, end: RankEnd) -> Ended:
    """As its agent told it, as far as the books know: a code of a shell's own counts as what it says."""
    outcome = _CANNOT_RUN.get(end.exit_code or 0, Outcome.EXITED)
    return Ended(
        attempt=AttemptRef(*task.ref.of_rank(end.rank), task.fence),
        outcome=outcome,
        ended_at=end.at_s,
        exit_code=end.exit_code,
        signal=end.signal,
    )
