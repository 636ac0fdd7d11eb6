"""What `nats kv get` shows: the cluster, its nodes and their resources, the waiting line, live jobs, logins.

Caches, written beside the commits and never waited for, nor read. Jobs are told here by each commit and put a
little later: a job that changed ten times meanwhile is put once, and one that came and went not at all. A
round puts at most JOBS_A_ROUND of them, and what NODES_A_ROUND nodes have, so that a flood of either costs a
bounded share of the coordinator. Where JetStream lost its memory (a restart, a purge, a deleted bucket), all
is put again.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping

from msgspec import Struct

from bus import api
from bus.codec import Codec, encode
from bus.connection import NatsBus
from bus.errors import BusError
from bus.jetstream import count_values, empty_bucket, ensure_buckets, put_many
from bus.storage import Bucket
from bus.values import JobState, NodeHealth, NodeName
from coordinator import cache_values
from coordinator.cache_values import LeaderLock, Placed, Placements, Session
from coordinator.core.effects import JobChange
from coordinator.core.model import Cluster, Node
from coordinator.store.errors import StoreUnavailable
from coordinator.store.rows import Batch

log = logging.getLogger(__name__)

ROUND_S = 0.5
JOBS_A_ROUND = 1_000
NODES_A_ROUND = 200
NODE_S = 5.0
"""A node's heartbeat, metrics and locks are put no more often; 5,000 nodes take their turns in 12.5 s."""

SLOW_ROUNDS = 10
"""Line, summary, leader and logins are put each so many rounds: every 5 s."""

LOCK_S = 20.0
"""A lock that does not change is put again: it lives for a minute."""

SESSIONS_S = 1.0
"""Nothing else waits longer for a database that does not answer."""

PLACEMENTS_MAX = 100

_OVER = (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)
_Values = list[tuple[str, bytes | None]]


class _NodePut(Struct):
    """What was put of a node: when, its heartbeat's and usage's instants, and its locks."""

    at_s: float = -math.inf
    beat_s: float | None = None
    usage_s: float = 0.0
    locks: dict[str, tuple[bytes, float]] = {}


class Caches:
    """`changed` is told each commit, `run` puts."""

    def __init__(
        self,
        bus: NatsBus,
        cluster: Cluster,
        live: Iterable[JobChange],
        *,
        holder: str,
        summary: Callable[[], api.Cluster],
        sessions: Callable[[], Awaitable[Mapping[str, Session]]],
    ) -> None:
        self._bus = bus
        self._cluster = cluster
        self._live = {job.number: job for job in live}
        self._holder = holder
        self._summary = summary
        self._sessions = sessions
        self._dirty: dict[int, JobChange] = {}
        self._put: set[int] = set()
        self._nodes: dict[NodeName, _NodePut] = {}
        self._sessions_put: dict[str, Session] = {}
        self._newest: deque[Placed] = deque(maxlen=PLACEMENTS_MAX)
        self._decided = 0
        self._decided_put = -1
        self._begun = False

    def changed(self, batch: Batch) -> None:
        """A commit stands; its jobs are put with the next rounds."""
        for job in batch.job_changes:
            if job.state in _OVER:
                self._live.pop(job.number, None)
            else:
                self._live[job.number] = job
            if job.state in _OVER and job.number not in self._put:
                self._dirty.pop(job.number, None)
            else:
                self._dirty[job.number] = job
        for attempt in batch.attempts:
            if attempt.new:
                its_job = self._live.get(attempt.attempt.job)
                owner = "" if its_job is None else its_job.owner
                self._decided += 1
                self._newest.append(cache_values.placed(attempt, owner))

    async def run(self) -> None:
        """Until cancelled."""
        for number in itertools.count():
            try:
                if number % SLOW_ROUNDS == 0 or not self._begun:
                    await self._put_slow()
                await self._put_nodes()
                await self._put_placements()
                await self._put_jobs()
            except BusError as error:
                self._begun = False
                log.debug("caches not put: %s", error)
            await asyncio.sleep(ROUND_S)

    async def _put_slow(self) -> None:
        if not self._begun or await self._has_lost():
            await self._begin_anew()
        summary = self._summary()
        line = cache_values.queue(self._cluster)
        leader = LeaderLock(holder=self._holder, epoch=summary.epoch, since=summary.started_at)
        await put_many(self._bus, Bucket.QUEUE, [("state", encode(line, Codec.JSON))])
        await put_many(self._bus, Bucket.CLUSTER, [("state", encode(summary, Codec.JSON))])
        await put_many(self._bus, Bucket.LOCKS, [("leader", encode(leader, Codec.JSON))])
        await self._put_sessions()

    async def _has_lost(self) -> bool:
        """Fewer values than were put: JetStream lost its memory, or somebody purged the bucket."""
        locks = sum(len(node.locks) for node in self._nodes.values())
        expected = {
            Bucket.JOBS: len(self._put),
            Bucket.SESSIONS: len(self._sessions_put),
            Bucket.QUEUE: int(self._decided_put >= 0),
            Bucket.LOCKS: locks,
        }
        return any([await count_values(self._bus, bucket) < least for bucket, least in expected.items()])

    async def _begin_anew(self) -> None:
        """What an earlier coordinator put may be over, and what we put may be gone."""
        await ensure_buckets(self._bus)
        for bucket in (Bucket.JOBS, Bucket.SESSIONS, Bucket.LOCKS):
            await empty_bucket(self._bus, bucket)
        self._put.clear()
        self._nodes.clear()
        self._sessions_put.clear()
        self._decided_put = -1
        self._dirty = dict(self._live)
        self._begun = True

    async def _put_jobs(self) -> None:
        if not self._dirty:
            return
        taken = dict(itertools.islice(self._dirty.items(), JOBS_A_ROUND))
        for number in taken:
            del self._dirty[number]
        values: _Values = []
        for number, change in taken.items():
            key = f"{change.owner}.{number}"
            if change.state in _OVER:
                self._put.discard(number)
                values.append((key, None))
            else:
                # its name is in memory unless it is over there already: then the deletion follows
                job = self._cluster.jobs.get(number)
                shown = cache_values.live_job(change, job.name if job is not None else "")
                self._put.add(number)
                values.append((key, encode(shown, Codec.JSON)))
        await put_many(self._bus, Bucket.JOBS, values)

    async def _put_nodes(self) -> None:
        """Those whose turn it is: the ones put longest ago."""
        now_s = asyncio.get_running_loop().time()
        turns = ((self._nodes.setdefault(name, _NodePut()), name) for name in self._cluster.nodes)
        due = [(kept.at_s, name) for kept, name in turns if now_s - kept.at_s >= NODE_S]
        beats: _Values = []
        metrics: _Values = []
        locks: _Values = []
        for _, name in heapq.nsmallest(NODES_A_ROUND, due):
            kept, node = self._nodes[name], self._cluster.nodes[name]
            kept.at_s = now_s
            beats += _beat(kept, node)
            if node.usage_s > kept.usage_s:
                kept.usage_s = node.usage_s
                metrics += [(key, encode(value, Codec.JSON)) for key, value in cache_values.metrics(node)]
            locks += _locks(kept, node, now_s)
        await put_many(self._bus, Bucket.HEARTBEATS, beats)
        await put_many(self._bus, Bucket.METRICS, metrics)
        await put_many(self._bus, Bucket.LOCKS, locks)

    async def _put_placements(self) -> None:
        if self._decided != self._decided_put:
            self._decided_put = self._decided
            shown = Placements(decided=self._decided, newest=list(self._newest))
            await put_many(self._bus, Bucket.QUEUE, [("placements", encode(shown, Codec.JSON))])

    async def _put_sessions(self) -> None:
        try:
            async with asyncio.timeout(SESSIONS_S):
                sessions = await self._sessions()
        except (StoreUnavailable, TimeoutError) as error:
            log.debug("logins not put: %s", error)
            return
        gone: _Values = [(key, None) for key in self._sessions_put if key not in sessions]
        new: _Values = [
            (key, encode(session, Codec.JSON))
            for key, session in sessions.items()
            if self._sessions_put.get(key) != session
        ]
        self._sessions_put = dict(sessions)
        await put_many(self._bus, Bucket.SESSIONS, gone + new)


def _beat(kept: _NodePut, node: Node) -> _Values:
    """A heartbeat that was not put yet; a node that fell silent has none."""
    if node.health is NodeHealth.UNREACHABLE:
        gone = kept.beat_s is not None
        kept.beat_s = None
        return [(node.name, None)] if gone else []
    if kept.beat_s == node.last_beat_s:
        return []
    kept.beat_s = node.last_beat_s
    return [(node.name, encode(cache_values.heartbeat(node), Codec.JSON))]


def _locks(kept: _NodePut, node: Node, now_s: float) -> _Values:
    """Locks that changed, that were given back, and that would soon expire."""
    found = {key: encode(lock, Codec.JSON) for key, lock in cache_values.locks(node)}
    values: _Values = [(key, None) for key in kept.locks if key not in found]
    standing: dict[str, tuple[bytes, float]] = {}
    for key, value in found.items():
        before, put_s = kept.locks.get(key, (b"", -math.inf))
        if value == before and now_s - put_s < LOCK_S:
            standing[key] = (before, put_s)
        else:
            standing[key] = (value, now_s)
            values.append((key, value))
    kept.locks = standing
    return values
