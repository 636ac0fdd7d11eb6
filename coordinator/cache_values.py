"""What the key-value buckets hold, made out of memory: pure.

Nothing here is ever read back by a coordinator: leases, fences and rows decide. Locks above all are only
shown: deleting one gives nothing away.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator

from msgspec import Struct

from bus import api
from bus.values import GPU_MILLI, JobState, NodeAdmin, NodeHealth, Resources
from coordinator.core.effects import AttemptChange, JobChange
from coordinator.core.model import Cluster, Group, Node, Waiting
from coordinator.core.scheduler.explain import Explanation
from coordinator.shown import counts_shown

HEAD_MAX = 100
HOLDERS_MAX = 32
"""Tasks named in one lock; `tasks` counts them all."""


class LiveJob(Struct, kw_only=True):
    """In `corral_jobs` under `<user>.<number>`, until the job is over."""

    number: int
    id: str
    name: str
    user: str
    state: JobState
    held: bool
    counts: api.TaskCounts
    started_at: float | None
    reason: str


class Heartbeat(Struct, kw_only=True):
    """In `corral_heartbeats` under the node's name, for 30 s."""

    node: str
    at: float
    health: NodeHealth
    admin: NodeAdmin
    load: float
    running: int
    waiting: int
    version: str


class QueueEntry(Struct, kw_only=True):
    """Tasks that wait together: `count` of `job`, from `first` on."""

    job: int
    user: str
    first: int
    count: int
    priority: int
    since: float


class Queue(Struct, kw_only=True):
    """In `corral_queue` under `state`: how many tasks wait, and who is first in line."""

    waiting: int
    head: list[QueueEntry]


class Metric(Struct, kw_only=True):
    """In `corral_metrics` under `<node>.<type>`, for 5 minutes. `of`: how much of it the node has."""

    node: str
    type: str
    at: float
    value: float
    unit: str
    of: float | None = None


class Lock(Struct, kw_only=True):
    """In `corral_locks` under `resource.<node>.<type>`, for 60 s: what is taken, and by which tasks."""

    node: str
    type: str
    held: float
    of: float
    unit: str
    tasks: int
    by: list[str]


class LeaderLock(Struct, kw_only=True):
    """In `corral_locks` under `leader`, for 60 s."""

    holder: str
    epoch: int
    since: float


class Placed(Struct, kw_only=True):
    """A decision: where an attempt went, against how many, and by which rule."""

    attempt: str
    user: str
    node: str
    at: float
    ahead: bool  # of a free place: it waits on the node
    feasible: int | None
    rank: str


class Placements(Struct, kw_only=True):
    """In `corral_queue` under `placements`: the newest decisions, the last one at the end."""

    decided: int  # since this coordinator leads
    newest: list[Placed]


class Session(Struct, kw_only=True):
    """In `corral_sessions` under the hash of its key, for 24 h: a login, or a machine's admission."""

    name: str
    kind: str
    token: str
    since: float


_RESOURCES = {
    "cpu_millis": ("cpu", "millicores"),
    "mem_mib": ("memory", "MiB"),
    "gpus": ("gpu", "GPUs"),
    "storage_mib": ("storage", "MiB"),
    "net_mbps": ("network", "Mbit/s"),
}
_METRICS = {
    "cpu_millis": ("cpu", "millicores"),
    "mem_mib": ("memory", "MiB"),
    "gpus": ("gpu", "GPUs"),
    "gpu_mem_mib": ("gpu_memory", "MiB"),
    "storage_mib": ("storage", "MiB"),
    "net_rx_mbps": ("net_rx", "Mbit/s"),
    "net_tx_mbps": ("net_tx", "Mbit/s"),
    "disk_read_mbps": ("disk_read", "Mbit/s"),
    "disk_write_mbps": ("disk_write", "Mbit/s"),
    "temperature_c": ("temperature", "°C"),
    "gpu_temperature_c": ("gpu_temperature", "°C"),
}


def live_job(change: JobChange, name: str) -> LiveJob:
    """A job by its newest row."""
    return LiveJob(
        number=change.number,
        id=str(change.id),
        name=name,
        user=change.owner,
        state=change.state,
        held=bool(change.held_by),
        counts=counts_shown(change),
        started_at=change.started_at,
        reason=change.reason,
    )


def metrics(node: Node) -> Iterator[tuple[str, Metric]]:
    """What the node used when it last said so; nothing where that cannot be measured there."""
    if node.usage is None:
        return
    for field, (kind, unit) in _METRICS.items():
        value = getattr(node.usage, field)
        if value is not None:
            most = getattr(node.declared, field, None)
            metric = Metric(node=node.name, type=kind, at=node.usage_s, value=value, unit=unit, of=most)
            yield f"{node.name}.{kind}", metric


def locks(node: Node) -> Iterator[tuple[str, Lock]]:
    """Every resource of which something is taken."""
    holding = [attempt for attempt in node.attempts.values() if attempt.holding]
    for field, (kind, unit) in _RESOURCES.items():
        held = _amount(node.allocated, field)
        if held:
            by = [attempt.ref for attempt in holding if _amount(attempt.requested, field)]
            lock = Lock(
                node=node.name,
                type=kind,
                held=held,
                of=_amount(node.capacity, field),
                unit=unit,
                tasks=len(by),
                by=[str(ref) for ref in heapq.nsmallest(HOLDERS_MAX, by)],
            )
            yield f"resource.{node.name}.{kind}", lock


def _amount(amounts: Resources, field: str) -> float:
    """In the unit of `_RESOURCES`; of GPUs parts as well."""
    if field == "gpus":
        return amounts.gpus + amounts.gpu_milli / GPU_MILLI if amounts.gpu_milli else amounts.gpus
    amount: int = getattr(amounts, field)
    return amount


def placed(change: AttemptChange, owner: str) -> Placed:
    """A new attempt as the decision that made it."""
    explanation = change.explanation or Explanation()
    return Placed(
        attempt=str(change.attempt),
        user=owner,
        node=change.node,
        at=change.assigned_at,
        ahead=change.waiting,
        feasible=explanation.feasible or None,
        rank=explanation.rank,
    )


def session_key(credential: str) -> str:
    """Not the key itself: whoever reads the bucket learns nothing that opens anything."""
    return hashlib.sha256(credential.encode()).hexdigest()[:32]


def queue(cluster: Cluster) -> Queue:
    """The waiting line in a few lines of text."""
    entries = (entry for line in cluster.lines.values() for entry in line.entries)
    head = heapq.nsmallest(HEAD_MAX, entries)
    return Queue(
        waiting=sum(job.queued for job in cluster.jobs.values()),
        head=[entry for waiting in head if (entry := _entry(waiting)) is not None],
    )


def _entry(waiting: Waiting) -> QueueEntry | None:
    """None: it no longer waits, and the line has not noticed yet."""
    task = waiting.entry
    group = task if isinstance(task, Group) else task.group
    first, count = (task.cursor, task.untouched) if isinstance(task, Group) else (task.index, 1)
    if count == 0:
        return None
    return QueueEntry(
        job=group.job.number,
        user=group.job.owner,
        first=first,
        count=count,
        priority=group.job.priority,
        since=waiting.since_s,
    )


def heartbeat(node: Node) -> Heartbeat:
    """When and how the node was last heard."""
    return Heartbeat(
        node=node.name,
        at=node.last_beat_s,
        health=node.health,
        admin=node.admin,
        load=node.load,
        running=node.holding,
        waiting=node.waiting,
        version=node.version,
    )
