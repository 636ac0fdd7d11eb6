"""What people are shown of the coordinator's memory."""

from __future__ import annotations

import msgspec

from bus import api
from coordinator.core.effects import JobChange
from coordinator.core.model import Node


def node_shown(node: Node, *, now_s: float) -> api.Node:
    """A node as `node.list` shows it."""
    return api.Node(
        name=node.name,
        id=str(node.id),
        health=node.health,
        admin=node.admin,
        kind=node.kind,
        capacity=node.capacity,
        allocated=node.allocated,
        running=node.holding,
        waiting=node.waiting,
        load=node.load,
        last_heartbeat_s=max(now_s - node.last_beat_s, 0.0),
        labels=node.labels,
        version=node.version,
        reason=admin_reason(node),
        goal=node.admin_goal,
        deadline=node.admin_deadline,
        suspicion=round(node.suspicion, 3),
        usage=node.usage,
        gpu_taken=node.gpu_taken,
        set_labels=node.set_labels,
    )


def admin_reason(node: Node) -> str:
    """Why the node takes no work, and who said so: "new disks (ann)"."""
    if not node.admin_by:
        return node.admin_reason
    return f"{node.admin_reason} ({node.admin_by})" if node.admin_reason else f"by {node.admin_by}"


def counts_shown(job: JobChange) -> api.TaskCounts:
    """How many tasks of a job are in each state, as a commit left them."""
    counts = api.TaskCounts(
        pending=job.pending,
        queued=job.queued,
        assigned=job.assigned,
        running=job.running,
        completed=job.completed,
        failed=job.failed,
        cancelled=job.cancelled,
    )
    counts.total = sum(msgspec.structs.astuple(counts))
    return counts
