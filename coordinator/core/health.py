"""What silence means: nodes are degraded, then unreachable; their leases end, their work is given out again.

The lease runs from the moment the renewing answer went out (`lease_from_s`). An agent that gets no
answer ends its attempts before `kill_after_s` by its own clock, counted from when it *sent* the
heartbeat that was answered last; so at `lease_s` by ours nothing of it runs any more, and only then is the
work given out again. A task marked `idempotent` does not wait for that, and one that is to `run_on` is never
given out again: its node ends it, or says that it is gone. Who cancels it meanwhile ends it in the books at
once, and its node is told when it comes back; a requeue waits for the node's word, for what runs there unseen
must not run twice.

A degraded node is the last choice for new work, and none while its next heartbeat is overdue: to wait for it
would take as long as to wait for another.
"""

from __future__ import annotations

from bus.units import counted
from bus.values import AttemptState, NodeHealth, OnDisconnect
from coordinator.core.brake import check_brake
from coordinator.core.changes import node_event, node_row
from coordinator.core.effects import Effect
from coordinator.core.model import Attempt, Cluster, Node
from coordinator.core.placing import retract
from coordinator.core.reports import lose
from coordinator.core.scheduler.pool import pool_of
from coordinator.core.suspicion import DEGRADED_FROM, HEALTHY_BELOW, evidence, fell, heard, proven, silence

_DEAF_S = 1.0
"""So long between two ticks, or half a heartbeat's interval where that is longer, and what we have not heard
is our own doing: only promised numbers count."""


def has_beaten(out: list[Effect], cluster: Cluster, node: Node, *, now_s: float) -> None:
    """The node is there: its lease runs from now."""
    heard(node.watch, now_s - node.last_beat_s, interval_s=cluster.limits.heartbeat_interval_s)
    node.lease_from_s = node.last_beat_s = now_s
    cluster.dirty = cluster.dirty or node.overdue or node.declined  # it takes work again
    node.overdue = node.lease_ended = node.left = node.declined = False
    if node.health is NodeHealth.UNREACHABLE:
        node.watch.in_order = max(node.watch.in_order, 1)
    _judge(out, cluster, node, 0.0, now_s=now_s)


def has_left(out: list[Effect], cluster: Cluster, node: Node, *, now_s: float) -> None:
    """Its agent was stopped in good order: no reason to doubt the node, and none to wait for a heartbeat."""
    node.left = node.overdue = True
    node.suspicion = 1.0
    _set_health(out, cluster, node, NodeHealth.UNREACHABLE, "its agent was stopped", now_s=now_s)


def check_silence(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Judge every node by how long it has been silent; end the leases that have run out."""
    deaf = now_s - cluster.ticked_s > max(_DEAF_S, cluster.limits.heartbeat_interval_s / 2)
    cluster.ticked_s = now_s
    check_brake(out, cluster, now_s=now_s)
    for node in cluster.nodes.values():
        if node.health is not NodeHealth.UNREACHABLE:
            _listen(out, cluster, node, deaf=deaf, now_s=now_s)
        elif node.attempts:
            _replace(out, cluster, node, now_s - node.lease_from_s, now_s=now_s)


def _listen(out: list[Effect], cluster: Cluster, node: Node, *, deaf: bool, now_s: float) -> None:
    silent_s = now_s - node.last_beat_s
    interval_s, gone_s = cluster.limits.heartbeat_interval_s, cluster.limits.unreachable_after_s
    if silent_s >= gone_s:
        if node.health is NodeHealth.HEALTHY:
            fell(node.watch, now_s=now_s)
        _set_health(out, cluster, node, NodeHealth.UNREACHABLE, f"silent for {silent_s:.1f} s", now_s=now_s)
        node.suspicion, node.overdue = 1.0, True
        _replace(out, cluster, node, gone_s, now_s=now_s)  # after a pause of ours, not yet the whole lease
    elif not deaf and (silent_s > interval_s or node.suspicion):
        quiet = silence(node.watch, silent_s, interval_s=interval_s, gone_s=gone_s)
        if quiet >= DEGRADED_FROM and not node.overdue:
            node.overdue, node.watch.in_order = True, 0
        _judge(out, cluster, node, quiet, now_s=now_s)


def _judge(out: list[Effect], cluster: Cluster, node: Node, quiet: float, *, now_s: float) -> None:
    """Between healthy and degraded; a node that was unreachable has just beaten."""
    against = evidence(node.watch, now_s=now_s)
    node.suspicion = min(max(quiet + against, DEGRADED_FROM if node.trouble else 0.0), 0.99)
    match node.health:
        case NodeHealth.HEALTHY if node.suspicion >= DEGRADED_FROM:
            why = node.trouble or "too much went wrong there"
            if node.overdue:
                why = f"no heartbeat for {now_s - node.last_beat_s:.1f} s"
            fell(node.watch, now_s=now_s)
            _set_health(out, cluster, node, NodeHealth.DEGRADED, why, now_s=now_s)
        case NodeHealth.DEGRADED | NodeHealth.UNREACHABLE if not node.overdue:
            if node.suspicion < HEALTHY_BELOW and proven(node.watch, now_s=now_s):
                _set_health(out, cluster, node, NodeHealth.HEALTHY, now_s=now_s)
            elif node.health is NodeHealth.UNREACHABLE:
                _set_health(out, cluster, node, NodeHealth.DEGRADED, "back, and not trusted yet", now_s=now_s)


def _set_health(
    out: list[Effect], cluster: Cluster, node: Node, health: NodeHealth, why: str = "", *, now_s: float
) -> None:
    before, node.health = node.health, health
    cluster.dirty = True
    out.append(node_row(node, registered=False))
    severity = "info" if health is NodeHealth.HEALTHY else "warning"
    text = f"node {node.name}: {before} -> {health}" + (f": {why}" if why else "")
    kind = "node_back" if health is NodeHealth.HEALTHY else f"node_{health}"
    out.append(node_event(node, kind, severity, text, now_s=now_s))


def _replace(out: list[Effect], cluster: Cluster, node: Node, unrenewed_s: float, *, now_s: float) -> None:
    """Give out again what may be; the first time after the lease's end, say so."""
    if cluster.brake is not None:
        return
    ended = unrenewed_s >= cluster.limits.lease_s
    early = unrenewed_s >= cluster.limits.unreachable_after_s
    gone = [
        each for each in node.attempts.values() if _is_replaced(each, lease_ended=ended, idempotent=early)
    ]
    for attempt in gone:
        lose(out, cluster, attempt, AttemptState.LOST, now_s=now_s)
    if not ended or node.lease_ended:
        return
    node.lease_ended = True
    if gone:
        text = f"{counted(len(gone), 'attempt')} of {node.name} lost: its lease ended"
        out.append(node_event(node, "attempts_lost", "warning", text, now_s=now_s))
    if node.attempts:
        kept = counted(len(node.attempts), "attempt")
        text = f"{kept} of {node.name} may run on there, as asked for: not replaced"
        out.append(node_event(node, "attempts_kept", "warning", text, now_s=now_s))


def _is_replaced(attempt: Attempt, *, lease_ended: bool, idempotent: bool) -> bool:
    """A cancelled task is never placed again, so that its end in the books cannot make it run twice."""
    settings = attempt.task.group.settings
    if settings.on_disconnect is OnDisconnect.RUN_ON:
        return lease_ended and attempt.cancelling
    return lease_ended or (idempotent and settings.idempotent)


def is_stuck(cluster: Cluster, node: Node, attempt: Attempt, *, now_s: float) -> bool:
    """Whether the node of an assigned attempt, as it says itself, has had it and a place for it for too long.

    While others wait there as well, the node may have chosen another order than we know of; and what is
    paused stands still by right.
    """
    able = attempt.holding and not node.waiting
    if not able or attempt.cancelling or attempt.task.group.job.paused_by is not None:
        attempt.idle_s = None
        return False
    if attempt.idle_s is None:
        attempt.idle_s = now_s
    return now_s - attempt.idle_s >= cluster.limits.start_within_s(attempt.task.group.settings)


def check_starts(out: list[Effect], cluster: Cluster, *, now_s: float) -> None:
    """Take back what waits on a node while another place is free, or far longer than its pace promised.

    What has a node holds no place in the line: nobody would be preempted for it, and no node kept free.
    """
    limits = cluster.limits
    waiting = [
        attempt
        for node in cluster.nodes.values()
        if node.waiting
        for attempt in node.attempts.values()
        if not attempt.holding and now_s - attempt.assigned_at >= limits.retract_after_s
    ]
    if not waiting:
        return
    pool = pool_of(cluster)
    free = {shape: pool.fits(shape) for shape in {attempt.task.shape for attempt in waiting}}
    places = {shape: int(mask.sum()) for shape, mask in free.items()}
    stale = [
        attempt
        for attempt in waiting
        if now_s - attempt.assigned_at >= limits.waiting_max_s
        or places[shape := attempt.task.shape] > int(free[shape][pool.row(attempt.node)])
    ]
    retract(out, stale)
