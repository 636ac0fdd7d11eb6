"""Preemptible work makes room for work of higher priority (`scheduler.preempt` says which)."""

from __future__ import annotations

from msgspec.structs import replace

from coordinator.core.changes import node_event
from coordinator.core.effects import Effect, EventRecord
from coordinator.core.model import Attempt, Cluster
from coordinator.core.placing import retract
from coordinator.core.scheduler.preempt import Room, gives_way, lost_s, rooms
from coordinator.core.yielding import yield_attempts


def preempt(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """After a round, at most once between two ticks: who was blocked and waited long gets room made."""
    if not (cluster.preempt_due and cluster.preemptible):
        return
    cluster.preempt_due = False
    for room in rooms(cluster, now_s=now_s):
        reason = f"made room for work of priority {room.job.priority}"
        for victim in yield_attempts(out, cluster, room.victims, reason=reason):
            out.append(_event(cluster, victim, room, now_s=now_s))
        # who waits there for the very place that is being made would be promoted to it
        waiting = [each for each in room.node.attempts.values() if not each.holding]
        retract(out, [each for each in waiting if gives_way(cluster, each, room.job)])


def _event(cluster: Cluster, victim: Attempt, room: Room, *, now_s: float) -> EventRecord:
    """For its owner, who may not know whose work came first: only its priority is told."""
    job = victim.task.group.job
    lost = lost_s(victim, now_s)
    text = f"task {victim.ref.task} on {room.node.name} makes room for work of priority {room.job.priority}"
    record = node_event(
        room.node,
        "task_preempted",
        "warning",
        f"{text}; {lost:.0f} s of running are lost" if lost >= 1.0 else text,
        now_s=now_s,
        user=job.owner,
        details={"priority": room.job.priority, "own_priority": job.priority, "lost_s": round(lost, 3)},
    )
    return replace(record, job_id=job.id)
