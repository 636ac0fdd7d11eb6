"""Whose fault is a loss: the task's, or the node's? Evidence decides, and it is kept on both sides.

A task that was lost on several nodes kills them, or cannot run on any: it is **poison** and fails, with the
story told. A node that lost several tasks which run well elsewhere is **bad**: it is quarantined (admin
`failed`) until somebody undrains it, and what it did is not held against the tasks. Nothing that our own
connection may have caused is evidence: leases that ran out on a node, and whatever happens under the brake.

A node's crash takes everything with it: losses within one moment are one incident. What a node could not
start counts each time. A group whose tasks were lost on another node as well says nothing about this one, and
nor does a single job, until one of its tasks has shown that it can run: a wrong working folder must not
quarantine a whole cluster, node by node.
"""

from __future__ import annotations

from bus.units import counted
from bus.values import AttemptState, NodeAdmin, NodeHealth, NodeKind, NodeName, TaskRef
from coordinator.core.changes import node_event, node_row
from coordinator.core.effects import Effect, EventRecord
from coordinator.core.model import Cluster, Group, Node, Task
from coordinator.core.node import Loss
from coordinator.core.placing import retract
from coordinator.core.suspicion import accuse

CORRAL = "corral"
"""Who steers a node where nobody did."""

_INCIDENT_S = 10.0
_KEPT_MAX = 16
_WEIGHT = 0.3


def note_loss(node: Node, task: Task, *, unstarted: bool, now_s: float) -> None:
    """Remember that `node` lost the task, or could not start it."""
    task.lost_on += (node.name,)
    if node.health is not NodeHealth.UNREACHABLE:  # silence has been counted already
        accuse(node.watch, _WEIGHT, now_s=now_s)
    note_evidence(node, task, unstarted=unstarted, at_s=now_s)


def note_evidence(node: Node, task: Task, *, unstarted: bool, at_s: float) -> None:
    """What speaks against the node and against the task's group."""
    group = task.group
    group.lost_on = group.lost_on or {}
    group.lost_on[node.name] = at_s
    one_incident = any(at_s - loss.at_s < _INCIDENT_S and not loss.unstarted for loss in node.losses)
    if unstarted or not one_incident:
        node.losses.append(Loss(at_s, task.ref, group, unstarted))
        del node.losses[:-_KEPT_MAX]


def poison(cluster: Cluster, task: Task) -> str:
    """Why the task is to blame for its losses; "" if that is not shown. Quarantined nodes do not count."""
    lost_on = [name for name in task.lost_on if not _is_condemned(cluster, name)]
    nodes = list(dict.fromkeys(lost_on))
    limits = cluster.limits
    if cluster.brake is not None or (len(lost_on) < limits.losses_max and len(nodes) < limits.poison_nodes):
        return ""
    return f"lost {len(lost_on)} times in a row, on {', '.join(nodes)}"


def check_node(out: list[Effect], cluster: Cluster, node: Node, *, now_s: float) -> None:
    """Quarantine the node if it is to blame for its losses.

    Never more than half of those that could work: where most nodes are bad, it is not the nodes.
    """
    if node.admin is not NodeAdmin.ACTIVE or cluster.brake is not None:
        return
    why = _against(cluster, node, now_s=now_s)
    if not why or not _can_be_spared(cluster, node):
        return
    node.losses.clear()
    node.admin, node.admin_reason, node.admin_by, node.admin_at = NodeAdmin.FAILED, why, CORRAL, now_s
    cluster.dirty = True
    out.append(node_row(node, registered=False))
    text = f"node {node.name} is quarantined: {why}; corral undrain {node.name} brings it back"
    out.append(node_event(node, "node_quarantined", "error", text, now_s=now_s))
    retract(out, [each for each in node.attempts.values() if each.state is AttemptState.ASSIGNED])


def _can_be_spared(cluster: Cluster, node: Node) -> bool:
    """Whether without `node` at least as many are left for work as are quarantined then.

    A cordoned node counts: one word brings it back. Who is silent, drained or not for work does not.
    """
    there = [
        other
        for other in cluster.nodes.values()
        if other is not node
        and other.health is not NodeHealth.UNREACHABLE
        and other.kind is not NodeKind.CONTROL
    ]
    left = sum(other.admin in (NodeAdmin.ACTIVE, NodeAdmin.INACTIVE) for other in there)
    return left >= 1 + sum(_is_condemned(cluster, other.name) for other in there)


def _against(cluster: Cluster, node: Node, *, now_s: float) -> str:
    """What the node did, in words; "" if that is not enough."""
    since_s = now_s - cluster.limits.blame_window_s
    losses = [
        loss
        for loss in node.losses
        if loss.at_s >= since_s and not _lost_elsewhere(loss.group, node, since_s=since_s)
    ]
    tasks: dict[TaskRef, bool] = {loss.task: loss.unstarted for loss in losses}
    if len(tasks) < cluster.limits.node_losses_max:
        return ""
    jobs = {ref.job for ref in tasks}
    if len(jobs) < 2 and not any(_runs_well(loss.group, node) for loss in losses):
        return ""
    unstarted = sum(tasks.values())
    minutes = cluster.limits.blame_window_s / 60
    how = [f"lost {counted(len(tasks) - unstarted, 'task')}"] if len(tasks) > unstarted else []
    how += [f"could not start {counted(unstarted, 'task')}"] if unstarted else []
    return f"it {' and '.join(how)} of {counted(len(jobs), 'job')} within {minutes:g} minutes"


def _lost_elsewhere(group: Group, node: Node, *, since_s: float) -> bool:
    return any(at_s >= since_s and name != node.name for name, at_s in (group.lost_on or {}).items())


def _runs_well(group: Group, node: Node) -> bool:
    """Whether a task of the group completed, or runs on another node."""
    tasks = (group.tasks or {}).values()
    return group.completed > 0 or any(
        task.started_at is not None and task.attempt is not None and task.node != node.name for task in tasks
    )


def _is_condemned(cluster: Cluster, name: NodeName) -> bool:
    node = cluster.nodes.get(name)
    return node is not None and node.admin is NodeAdmin.FAILED and node.admin_by == CORRAL


def poison_event(task: Task, node: NodeName, message: str, *, now_s: float) -> EventRecord:
    """The line of the history about a task that fails as poison."""
    job = task.group.job
    return EventRecord(
        at=now_s,
        event_type="task_poison",
        severity="error",
        message=f"task {task.ref}: {message}",
        node=node,
        job_id=job.id,
        user=job.owner,
        details={"task": str(task.ref), "nodes": list(task.lost_on)},
    )
