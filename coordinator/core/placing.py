"""Applies the decisions of a scheduling round: attempts begin, and each node gets one message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from bus.values import AttemptRef, AttemptState, NodeAdmin, NodeName
from coordinator.core.changes import begin_attempt
from coordinator.core.effects import Effect, Placement, SendAssign, SendCancel, SendRetract
from coordinator.core.gathering import begin_gang
from coordinator.core.learning import note_unused, situation
from coordinator.core.model import Attempt, Cluster, Group, Shape, Task
from coordinator.core.refusals import settle_refusals
from coordinator.core.scheduler.explain import Sharing
from coordinator.core.scheduler.feasible import find_gpus
from coordinator.core.scheduler.round import decide
from coordinator.core.task_rows import element_input


def on_schedule(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Place what can be placed, if anything changed since the last round."""
    if now_s >= cluster.refusals_due_s:
        settle_refusals(cluster, now_s=now_s)
    if not cluster.dirty:
        return
    cluster.dirty = False
    batches: dict[NodeName, list[Placement]] = {}
    cluster.reserved.clear()
    sharing: Sharing | None = None  # the nodes are not looked at for nothing
    for decision in decide(cluster, now_s, reserved=cluster.reserved):
        sharing = sharing or Sharing(situation(cluster, now_s=now_s))
        task = take(cluster, decision.shape)
        node = decision.node
        if decision.seats:
            kept = sharing.kept(decision.explanation, AttemptRef(*task.ref, task.fence + 1))
            for rank in begin_gang(out, cluster, task, decision.seats, now_s=now_s, explanation=kept):
                batches.setdefault(rank.node, []).append(placement(rank))
            continue
        attempt = begin_attempt(
            out,
            cluster,
            task,
            node,
            waiting=decision.waiting,
            gpus=() if decision.waiting else decision.gpus or find_gpus(node, decision.shape) or (),
            now_s=now_s,
            explanation=sharing.kept(decision.explanation, AttemptRef(*task.ref, task.fence + 1)),
        )
        batches.setdefault(node.name, []).append(placement(attempt))
    note_unused(cluster, now_s=now_s)
    _send(out, cluster, batches)


def _send(out: list[Effect], cluster: Cluster, batches: dict[NodeName, list[Placement]]) -> None:
    """Each to the agent that is known now: another one of the same name must leave it alone."""
    for name, items in batches.items():
        incarnation = cluster.nodes[name].incarnation
        out.append(SendAssign(node=name, placements=tuple(items), incarnation=incarnation))


def take(cluster: Cluster, shape: Shape) -> Task:
    """The task at the head of the line of `shape`."""
    line = cluster.lines[shape]
    head = line.head()
    assert head is not None, "decide() only names shapes that have a head"
    entry = head.entry
    if isinstance(entry, Task):
        line.pop()
        return entry
    task = entry.next_again()
    if task is not None:
        assert entry.again is not None
        entry.again.popleft()
        return task
    return entry.touch()


def placement(attempt: Attempt) -> Placement:
    """What the node must know to run the attempt."""
    task, group = attempt.task, attempt.task.group
    array_index, task_input = _element(group, task.index)
    return Placement(
        attempt=attempt.ref,
        settings=group.settings,
        command=group.command,
        job_id=group.job.id,
        owner=group.job.owner,
        needs=group.needs,
        waiting=not attempt.holding,
        gpus=attempt.gpus,
        array_index=array_index,
        input=task_input,
    )


def _element(group: Group, index: int) -> tuple[int | None, bytes | None]:
    """The array index and the JSON input of one task of a group."""
    own: dict[str, Any] = {}
    array_index = None
    if group.values is not None:
        own = element_input(group, index)
        array_index = own.get("array_index")
    merged = {**(group.input or {}), **own}
    return array_index, msgspec.json.encode(merged) if merged else None


def is_unwanted(cluster: Cluster, attempt: Attempt) -> bool:
    """Assigned and not to start: its job is held or paused, its node drains, its GPU is out, or it yields."""
    return attempt.state is AttemptState.ASSIGNED and (
        attempt.yielding
        or attempt.task.group.job.withheld
        or cluster.nodes[attempt.node].admin is NodeAdmin.DRAINING
        or (bool(attempt.gpus) and not cluster.nodes[attempt.node].quarantined.isdisjoint(attempt.gpus))
    )


def retract(out: list[Effect], attempts: Iterable[Attempt]) -> None:
    """Have nodes give back what they have not started; what has started meanwhile goes on."""
    batches: dict[NodeName, list[AttemptRef]] = {}
    for attempt in attempts:
        if attempt.state is AttemptState.ASSIGNED and not attempt.retracting and not attempt.cancelling:
            attempt.retracting = True
            batches.setdefault(attempt.node, []).append(attempt.ref)
    out.extend(SendRetract(node=name, attempts=tuple(refs)) for name, refs in batches.items())


def send_cancels(out: list[Effect], attempts: Iterable[Attempt]) -> None:
    """Have nodes end attempts: TERM, and KILL after the grace."""
    batches: dict[NodeName, list[AttemptRef]] = {}
    for attempt in attempts:
        batches.setdefault(attempt.node, []).append(attempt.ref)
    out.extend(SendCancel(node=name, attempts=tuple(refs)) for name, refs in batches.items())


def resend(out: list[Effect], cluster: Cluster, attempts: list[Attempt]) -> None:
    """Send assignments again whose arrival is in doubt; agents refuse what they have seen."""
    batches: dict[NodeName, list[Placement]] = {}
    for attempt in attempts:
        wanted = not (attempt.cancelling or is_unwanted(cluster, attempt))
        attempt.unanswered = False
        if attempt.state is AttemptState.ASSIGNED and wanted:
            batches.setdefault(attempt.node, []).append(placement(attempt))
    _send(out, cluster, batches)
