"""What people are shown of the coordinator's memory."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bus import api
from bus.gpus import Gpu
from bus.values import GPU_MILLI, GpuInfo, UserName
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
        reason="; ".join(filter(None, (admin_reason(node), node.trouble))),
        goal=node.admin_goal,
        deadline=node.admin_deadline,
        suspicion=round(node.suspicion, 3),
        usage=node.usage,
        gpu_taken=node.gpu_taken,
        set_labels=node.set_labels,
        quarantines=[each for each in node.quarantines.values() if each.holds],
    )


def gpus_shown(node: Node, *, viewer: UserName | None = None) -> Iterator[Gpu]:
    """Its GPUs in order, then those that its agent does not find any more; with tasks of `viewer` alone."""
    found = {gpu.uuid for gpu in node.inventory.gpus}
    for index, gpu in enumerate(node.inventory.gpus):
        yield _gpu(node, gpu, index=index, viewer=viewer)
    for uuid in sorted(node.quarantined - found):
        yield _gpu(node, GpuInfo(uuid=uuid, model="", mem_mib=0), index=None, viewer=viewer)


def gpu_shown(node: Node, uuid: str) -> Gpu:
    """One of them, as whoever may steer it sees it; also one that has just gone."""
    gone = GpuInfo(uuid=uuid, model="", mem_mib=0)
    return next((gpu for gpu in gpus_shown(node) if gpu.uuid == uuid), _gpu(node, gone, index=None))


def _gpu(node: Node, gpu: GpuInfo, *, index: int | None, viewer: UserName | None = None) -> Gpu:
    taken, held = node.gpu_taken.get(gpu.uuid, 0), node.quarantines.get(gpu.uuid)
    shown = Gpu(
        node=node.name,
        index=index,
        uuid=gpu.uuid,
        model=gpu.model,
        mem_mib=gpu.mem_mib,
        state="free" if not taken else "taken" if taken >= GPU_MILLI else "shared",
        taken_milli=taken,
        shareable=gpu.shareable,
        tasks=sorted(
            str(attempt.ref.task)
            for attempt in node.attempts.values()
            if gpu.uuid in attempt.gpus and viewer in (None, attempt.task.group.job.owner)
        ),
    )
    if held is not None and held.holds:
        shown.state, shown.kind, shown.reason = "quarantined", held.kind, held.reason
        shown.since, shown.by = held.at, held.by
    elif not (gpu.healthy and gpu.offered) or index is None:
        shown.state = "not offered"
    return shown


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
