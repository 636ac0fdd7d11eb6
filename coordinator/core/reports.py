"""What agents report: attempts that started, ended, or came back untouched.

A report counts only if its attempt is live, on that node, with that fence; whatever else arrives (late,
twice, from a node that lost its lease) changes nothing, is acknowledged, and the agent is told to forget.
"""

from __future__ import annotations

from typing import assert_never

from bus.values import (
    AttemptRef,
    AttemptState,
    Ended,
    Outcome,
    Returned,
    Started,
    TaskState,
)
from coordinator.core.blame import check_node, note_loss, poison, poison_event
from coordinator.core.changes import (
    end_attempt,
    enqueue,
    hold,
    move,
    record_attempt,
    release,
    unpark,
)
from coordinator.core.effects import AnswerReport, Effect
from coordinator.core.events import TasksReported
from coordinator.core.gangs import end_rank, lose_rank, start_rank
from coordinator.core.gathering import was_held
from coordinator.core.groups import on_task_over
from coordinator.core.learning import note_experience
from coordinator.core.model import Attempt, Cluster, Node
from coordinator.core.pausing import on_late_start
from coordinator.core.refusals import (
    FELL_SILENT,
    LEASE_RAN_OUT,
    choose_line,
    note_refusal,
    refusal_of,
    told,
    tried_anew,
)
from coordinator.core.retrying import may_retry, schedule_retry, starts_again
from coordinator.core.scheduler.prefill import note_ends

_AFTER_RUNNING = frozenset({TaskState.COMPLETED, TaskState.TIMEOUT})
_LOSSES = frozenset({Outcome.LEASE_EXPIRED, Outcome.LOST, Outcome.NOT_STARTED})
_ENDINGS = frozenset({Outcome.EXITED, Outcome.SIGNALED, Outcome.CANCELLED})


def on_reported(out: list[Effect], cluster: Cluster, event: TasksReported, *, now_s: float) -> None:
    """Apply a batch in its order; the answer goes out after the commit."""
    node = cluster.nodes.get(event.node)
    drop: list[AttemptRef] = []
    ends = 0
    # a start whose end is in the same batch says nothing that the end does not say
    ended = {report.attempt for report in event.events if isinstance(report, Ended) and _is_verdict(report)}
    for report in event.events:
        attempt = node.attempts.get(report.attempt) if node is not None else None
        if node is None or attempt is None:
            drop.append(report.attempt)
            continue
        match report:
            case Started() if report.attempt in ended:
                attempt.confirmed_at = now_s
            case Started():
                _on_started(out, cluster, node, attempt, now_s=now_s)
            case Ended():
                ends += 1
                _on_ended(out, cluster, attempt, report, now_s=now_s)
                promote(out, cluster, node)
            case Returned():
                _on_returned(out, cluster, attempt, now_s=now_s)
            case _:
                assert_never(report)
    if node is not None and ends:
        note_ends(node, ends, now_s)
    if event.reply:
        out.append(AnswerReport(reply=event.reply, sequence=event.sequence, drop=tuple(drop)))


def _is_verdict(report: Ended) -> bool:
    """Whether the attempt ended by what it did, rather than by what was done to it."""
    return report.outcome not in _LOSSES and report.started_at is not None


def _on_started(out: list[Effect], cluster: Cluster, node: Node, attempt: Attempt, *, now_s: float) -> None:
    if attempt.state is AttemptState.RUNNING:
        return
    if attempt.task.ranks is not None:
        start_rank(out, cluster, attempt, started_s=now_s, now_s=now_s)
        return
    if not attempt.holding:
        make_room(out, cluster, node, attempt)
    attempt.state = AttemptState.RUNNING
    attempt.started_at = now_s
    attempt.confirmed_at = attempt.confirmed_at or now_s  # what runs has surely arrived
    record_attempt(out, cluster, attempt)
    move(out, cluster, attempt.task, TaskState.RUNNING, now_s=now_s)
    on_late_start(out, attempt)


def make_room(out: list[Effect], cluster: Cluster, node: Node, attempt: Attempt) -> None:
    """A waiting attempt started: the agent chose another order than `promote` did.

    Attempts that were promoted and have not started give their places back until it fits. Those with GPUs
    keep them from their assignment to their end: nobody else is told to use one meanwhile.
    """
    for other in reversed(list(node.attempts.values())):
        if attempt.requested.fits(node.free):
            break
        waits = other.holding and other.state is AttemptState.ASSIGNED and not other.gpus
        if waits and other is not attempt and other.task.ranks is None:
            release(cluster, other)
            record_attempt(out, cluster, other)
    if attempt.requested.fits(node.free):
        hold(cluster, attempt)
    else:  # it runs, whatever the books say: show the node as full, never as more than full
        node.capacity = node.capacity + attempt.requested
        hold(cluster, attempt)


def promote(out: list[Effect], cluster: Cluster, node: Node) -> None:
    """Give freed places to the attempts that wait on the node, in the order in which they came."""
    if not node.waiting:
        return
    for attempt in node.attempts.values():
        if attempt.holding or attempt.cancelling:
            continue
        if not attempt.requested.fits(node.free):
            break
        hold(cluster, attempt)
        record_attempt(out, cluster, attempt)


def _on_rank_ended(
    out: list[Effect], cluster: Cluster, attempt: Attempt, report: Ended, *, now_s: float
) -> None:
    """A rank of a gang ended by what it did, or because the gang was told to."""
    if report.started_at is not None and attempt.state is AttemptState.ASSIGNED:
        start_rank(out, cluster, attempt, started_s=_started_at(attempt, report, now_s), now_s=now_s)
    state, _, message = _verdict(attempt, report)
    if _has_yielded(attempt, report):
        state, message = AttemptState.PREEMPTED, attempt.reason
    end_rank(
        out,
        cluster,
        attempt,
        state,
        now_s=now_s,
        exit_code=report.exit_code,
        signal=report.signal,
        message=message,
        output=report.output,
    )


def _on_ended(out: list[Effect], cluster: Cluster, attempt: Attempt, report: Ended, *, now_s: float) -> None:
    if attempt.task.ranks is not None and report.outcome not in _LOSSES:
        _on_rank_ended(out, cluster, attempt, report, now_s=now_s)
        return
    if report.outcome is Outcome.LOST and was_held(attempt):  # its agent started anew, and holds nothing
        message = report.message or str(report.outcome)
        lose(out, cluster, attempt, AttemptState.RETURNED, now_s=now_s, charged=False, message=message)
        return
    if report.outcome in _LOSSES or _has_yielded(attempt, report):
        ran_out = report.outcome is Outcome.LEASE_EXPIRED
        lose(
            out,
            cluster,
            attempt,
            AttemptState.LOST,
            now_s=now_s,
            charged=not ran_out or attempt.yielding,
            unstarted=report.outcome is Outcome.NOT_STARTED,
            message=LEASE_RAN_OUT if ran_out else report.message or str(report.outcome),
        )
        return
    task, node = attempt.task, attempt.node
    state, task_state, message = _verdict(attempt, report)
    path = [task_state]
    if task.state is TaskState.ASSIGNED and (report.started_at is not None or task_state in _AFTER_RUNNING):
        path.insert(0, TaskState.RUNNING)
        attempt.started_at = _started_at(attempt, report, now_s)
        task.started_at = attempt.started_at
    again = starts_again(task, task_state)
    if again and task_state is TaskState.COMPLETED:
        path[-1] = TaskState.FAILED  # it was to run until it is cancelled
    retry = again or may_retry(task, report, task_state)
    if retry:
        task.retries += not again
        tried_anew(task)
        path.append(TaskState.RETRYING)
    if state is not AttemptState.CANCELLED:
        note_experience(cluster, attempt, now_s=now_s)
    code, signal = report.exit_code, report.signal
    end_attempt(out, cluster, attempt, state, now_s=now_s, exit_code=code, signal=signal, message=message)
    move(
        out,
        cluster,
        task,
        *path,
        now_s=now_s,
        exit_code=code,
        signal=signal,
        message=message,
        output=None if retry else report.output,
    )
    if retry:
        ran_s = now_s - (attempt.started_at or now_s)
        schedule_retry(cluster, task, now_s=now_s, ran_s=ran_s)
    else:
        on_task_over(out, cluster, task, task_state, node=node, message=message, now_s=now_s)
    unpark(cluster, task.group, now_s=now_s)


def _has_yielded(attempt: Attempt, report: Ended) -> bool:
    """Ended because we asked for it: not by having done its work, nor by running out of its own time."""
    return (
        attempt.yielding
        and not attempt.cancelling
        and report.outcome in _ENDINGS
        and (report.outcome is not Outcome.EXITED or report.exit_code != 0)
    )


def _on_returned(out: list[Effect], cluster: Cluster, attempt: Attempt, *, now_s: float) -> None:
    """Handed back untouched: nobody's fault, unless its node had every chance to start it.

    Where nobody had asked for it back, the node has no lease (the answer that was to renew it got lost, or is
    late) or its agent leaves. It would give back all that it is given, at once, until it is heard.
    """
    if not attempt.retracting and not cluster.nodes[attempt.node].declined:
        cluster.nodes[attempt.node].declined = cluster.dirty = True
    if not attempt.late:
        lose(out, cluster, attempt, AttemptState.RETURNED, now_s=now_s, charged=False)
        return
    message = f"not started within {cluster.limits.start_within_s(attempt.task.group.settings):g} s"
    lose(out, cluster, attempt, AttemptState.LOST, now_s=now_s, unstarted=True, message=message)


def _started_at(attempt: Attempt, report: Ended, now_s: float) -> float:
    """By our clock: the duration is the agent's, whose clock may have jumped meanwhile."""
    duration_s = report.ended_at - (report.started_at or report.ended_at)
    return min(max(now_s - duration_s, attempt.assigned_at), now_s)


def _verdict(attempt: Attempt, report: Ended) -> tuple[AttemptState, TaskState, str]:
    """How attempt and task end, and what people read about it."""
    match report.outcome:
        case Outcome.EXITED if report.exit_code == 0 and report.fault:
            return AttemptState.FAILED, TaskState.FAILED, report.fault
        case Outcome.EXITED if report.exit_code == 0:
            return AttemptState.COMPLETED, TaskState.COMPLETED, report.message
        case Outcome.TIMEOUT:
            return AttemptState.TIMEOUT, TaskState.TIMEOUT, report.message or "walltime exceeded"
        case Outcome.CANCELLED:
            return (
                AttemptState.CANCELLED,
                TaskState.CANCELLED,
                report.message or attempt.reason or "cancelled",
            )
        case Outcome.SIGNALED:
            message = report.message or f"ended by signal {report.signal}"
        case _:
            message = report.message or f"exit code {report.exit_code}"
    if attempt.cancelling:
        return AttemptState.CANCELLED, TaskState.CANCELLED, attempt.reason or "cancelled"
    return AttemptState.FAILED, TaskState.FAILED, message


def lose(
    out: list[Effect],
    cluster: Cluster,
    attempt: Attempt,
    state: AttemptState,
    *,
    now_s: float,
    charged: bool = True,
    unstarted: bool = False,
    message: str = "",
) -> None:
    """The attempt is gone without a verdict: queue its task again through `reassigned`. Not a retry.

    `charged`: it speaks against task and node, and where there is enough of that, the task fails or the node
    is quarantined. `unstarted`: the node could not start it.
    """
    if attempt.task.ranks is not None:
        lose_rank(
            out, cluster, attempt, state, now_s=now_s, charged=charged, unstarted=unstarted, message=message
        )
        return
    task, node = attempt.task, cluster.nodes[attempt.node]
    cancelling = attempt.cancelling
    if attempt.yielding and charged and not cancelling:
        state, charged, message = AttemptState.PREEMPTED, False, attempt.reason or message
    end_attempt(out, cluster, attempt, state, now_s=now_s, message=message)
    poisoned, refusal = "", None
    if charged and not cancelling:
        note_loss(node, task, unstarted=unstarted, now_s=now_s)
        refusal = refusal_of(attempt, message, now_s=now_s)
        if refusal is not None:
            note_refusal(cluster, task, node.name, refusal)
        check_node(out, cluster, node, now_s=now_s)
        poisoned = poison(cluster, task)
    if cancelling:
        move(out, cluster, task, TaskState.CANCELLED, now_s=now_s, message="cancelled")
        on_task_over(
            out, cluster, task, TaskState.CANCELLED, node=node.name, message="cancelled", now_s=now_s
        )
    elif poisoned:
        poisoned += f": {message or FELL_SILENT}"
        out.append(poison_event(task, node.name, poisoned, now_s=now_s))
        move(out, cluster, task, TaskState.FAILED, now_s=now_s, message=poisoned)
        on_task_over(out, cluster, task, TaskState.FAILED, node=node.name, message=poisoned, now_s=now_s)
    else:
        choose_line(cluster, task, now_s=now_s)
        text = told(task, node.name, message) if refusal is not None else message
        move(out, cluster, task, TaskState.REASSIGNED, TaskState.QUEUED, now_s=now_s, message=text)
        enqueue(cluster, task, now_s=now_s)
    unpark(cluster, task.group, now_s=now_s)
