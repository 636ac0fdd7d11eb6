"""What `nats kv get` shows: the cluster, its nodes' heartbeats, the waiting line, the state of live jobs.

Caches, written beside the commits and never waited for. Jobs are told here by each commit and put a little
later: a job that changed ten times meanwhile is put once, and one that came and went not at all. A round puts
at most JOBS_A_ROUND of them, so that a flood of jobs costs a bounded share of the coordinator. Where
JetStream lost its memory (a restart), all is put again.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Iterable

from msgspec import Struct

from bus import api
from bus.codec import Codec, encode
from bus.connection import NatsBus
from bus.errors import BusError
from bus.jetstream import count_values, empty_bucket, ensure_buckets, put_many
from bus.storage import Bucket
from bus.values import JobState, NodeAdmin, NodeHealth
from coordinator.core.effects import JobChange
from coordinator.core.model import Cluster, Group, Node, Waiting
from coordinator.shown import counts_shown

log = logging.getLogger(__name__)

ROUND_S = 0.5
JOBS_A_ROUND = 1_000
SLOW_ROUNDS = 10
"""Heartbeats, line and summary are put each so many rounds: every 5 s."""

HEAD_MAX = 100

_OVER = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


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


class Caches:
    """`changed` is told each commit, `run` puts."""

    def __init__(
        self,
        bus: NatsBus,
        cluster: Cluster,
        live: Iterable[JobChange],
        *,
        summary: Callable[[], api.Cluster],
    ) -> None:
        self._bus = bus
        self._cluster = cluster
        self._live = {job.number: job for job in live}
        self._summary = summary
        self._dirty: dict[int, JobChange] = {}
        self._put: set[int] = set()
        self._begun = False

    def changed(self, jobs: Iterable[JobChange]) -> None:
        """A commit stands; its jobs are put with the next rounds."""
        for job in jobs:
            if job.state in _OVER:
                self._live.pop(job.number, None)
            else:
                self._live[job.number] = job
            if job.state in _OVER and job.number not in self._put:
                self._dirty.pop(job.number, None)
            else:
                self._dirty[job.number] = job

    async def run(self) -> None:
        """Until cancelled."""
        for number in itertools.count():
            try:
                if number % SLOW_ROUNDS == 0:
                    await self._put_slow()
                await self._put_jobs()
            except BusError as error:
                self._begun = False
                log.debug("caches not put: %s", error)
            await asyncio.sleep(ROUND_S)

    async def _put_slow(self) -> None:
        # fewer values than were put: JetStream lost its memory, or somebody purged the bucket
        if not self._begun or await count_values(self._bus, Bucket.JOBS) < len(self._put):
            await self._begin_anew()
        beats = [
            (node.name, encode(_heartbeat(node), Codec.JSON))
            for node in self._cluster.nodes.values()
            if node.health is NodeHealth.HEALTHY
        ]
        await put_many(self._bus, Bucket.HEARTBEATS, beats)
        await put_many(self._bus, Bucket.QUEUE, [("state", encode(queue(self._cluster), Codec.JSON))])
        await put_many(self._bus, Bucket.CLUSTER, [("state", encode(self._summary(), Codec.JSON))])

    async def _begin_anew(self) -> None:
        """What an earlier coordinator put may be over, and what we put may be gone."""
        await ensure_buckets(self._bus)
        await empty_bucket(self._bus, Bucket.JOBS)
        self._put.clear()
        self._dirty = dict(self._live)
        self._begun = True

    async def _put_jobs(self) -> None:
        if not self._begun or not self._dirty:
            return
        taken = dict(itertools.islice(self._dirty.items(), JOBS_A_ROUND))
        for number in taken:
            del self._dirty[number]
        values: list[tuple[str, bytes | None]] = []
        for number, job in taken.items():
            if job.state in _OVER:
                self._put.discard(number)
                values.append((_key(job), None))
            else:
                self._put.add(number)
                values.append((_key(job), encode(self._shown(job), Codec.JSON)))
        await put_many(self._bus, Bucket.JOBS, values)

    def _shown(self, change: JobChange) -> LiveJob:
        # its name is in memory unless it is over there already: then the deletion follows
        job = self._cluster.jobs.get(change.number)
        return LiveJob(
            number=change.number,
            id=str(change.id),
            name=job.name if job is not None else "",
            user=change.owner,
            state=change.state,
            held=bool(change.held_by),
            counts=counts_shown(change),
            started_at=change.started_at,
            reason=change.reason,
        )


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


def _heartbeat(node: Node) -> Heartbeat:
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


def _key(job: JobChange) -> str:
    return f"{job.owner}.{job.number}"
