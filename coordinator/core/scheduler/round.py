"""One scheduling round: feasible × order × rank.

Tasks wait in one line per shape, so a round decides for shapes, not for tasks: the line whose head
comes first in the order gets the best-ranked feasible node, again and again, until no line's head fits
anywhere. `decide` is a generator: the caller applies each decision before it asks for the next, so
every decision sees the books as the one before left them.

Two refinements. A head that has waited `reserve_after_s` without fitting gets the node that comes
nearest to it kept free of other shapes (no starvation). And where all places are taken, some tasks are
assigned ahead (`waiting`), as many as the node gets through in `prefill_s` at its own pace: a queue of
short tasks never waits for a round trip, a queue of long ones is never committed early.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from itertools import islice

import numpy as np
from msgspec import Struct

from bus.values import NodeHealth, NodeName
from coordinator.core.model import Cluster, Line, Node, Shape, Waiting
from coordinator.core.scheduler.explain import Explanation, Seen
from coordinator.core.scheduler.feasible import busy, fits_now, gpus_wanted, mismatches, obstacles
from coordinator.core.scheduler.order import rekey
from coordinator.core.scheduler.pool import Pool
from coordinator.core.scheduler.preempt import room_coming
from coordinator.core.scheduler.rank import RANKS

_PACE_TAU_S = 0.5
_REJECTED_SHOWN = 16
_CANDIDATES_SHOWN = 4


class Decision(Struct, frozen=True):
    """The next task of `shape` goes to `node`; `waiting`: ahead of a free place."""

    shape: Shape
    node: Node
    waiting: bool
    explanation: Explanation


def decide(cluster: Cluster, now_s: float, *, reserved: dict[NodeName, Shape]) -> Iterator[Decision]:
    """The decisions of one round, in order; apply each before asking for the next.

    `reserved` grows by the nodes that are kept free for heads which have waited too long.
    """
    cluster.blocked.clear()
    rekey(cluster, now_s=now_s)
    heads: list[tuple[Waiting, int, Shape]] = []
    for position, (shape, line) in enumerate(list(cluster.lines.items())):
        head = line.head()
        if head is None:
            del cluster.lines[shape]
        else:
            heads.append((head, position, shape))
    if not heads:
        return  # the nodes are not looked at for nothing, after each batch
    pool = Pool(cluster.nodes.values())
    heapq.heapify(heads)
    candidates: dict[Shape, Candidates] = {}
    blocked: list[Shape] = []
    while heads:
        _, position, shape = heads[0]
        line = cluster.lines[shape]
        options = candidates.get(shape)
        if options is None:
            options = candidates[shape] = Candidates(cluster, pool, shape)
        node = options.best(reserved)
        if node is None:
            heapq.heappop(heads)
            blocked.append(shape)
            _note_blocked(cluster, pool, shape, reserved)
            _reserve(cluster, pool, shape, line, reserved, now_s=now_s)
            continue
        yield Decision(shape, node, False, options.explanation(node))
        pool.refresh(node)
        head = line.head()
        if head is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (head, position, shape))
    yield from _prefill(cluster, blocked, reserved, now_s=now_s)


class Candidates:
    """The feasible nodes of one shape within a round, best first, each with its reasons.

    Degraded ones come last: what they get may have to be given out again.
    """

    def __init__(self, cluster: Cluster, pool: Pool, shape: Shape) -> None:
        self._shape = shape
        self._order = cluster.order
        self._rank = cluster.rank
        self._score = RANKS[cluster.rank]
        self._pool = pool
        self._fits = pool.fits(shape)
        self._rejected: dict[NodeName, tuple[str, ...]] | None = None
        self._passed_over: dict[NodeName, tuple[str, ...]] = {}
        self._explained: dict[NodeName, Explanation] = {}
        able = [pool.nodes[row] for row in np.flatnonzero(self._fits).tolist()]
        self._heap: list[tuple[bool, float, NodeName, Node]] = [
            (node.health is not NodeHealth.HEALTHY, self._score(node, shape.resources), node.name, node)
            for node in able
        ]
        heapq.heapify(self._heap)
        self._feasible = len(self._heap)

    def best(self, reserved: dict[NodeName, Shape]) -> Node | None:
        """The best-ranked node that still fits and is not kept for another shape."""
        while self._heap:
            degraded, score, name, node = self._heap[0]
            if name in reserved:
                heapq.heappop(self._heap)
                self._passed_over[name] = ("reserved",)
            elif not fits_now(node, self._shape):
                heapq.heappop(self._heap)
                self._passed_over[name] = busy(node, self._shape)
            else:
                current = self._score(node, self._shape.resources)
                if current == score:
                    return node
                heapq.heapreplace(self._heap, (degraded, current, name, node))
        return None

    def explanation(self, node: Node) -> Explanation:
        """Why `node`: kept with the attempt. One object per node and round."""
        found = self._explained.get(node.name)
        if found is None:
            top = self._heap[: 2**_CANDIDATES_SHOWN - 1]  # of a heap: the k-th lies above level k
            others = heapq.nsmallest(_CANDIDATES_SHOWN, top, key=lambda entry: entry[:3])
            found = self._explained[node.name] = Explanation(
                order=self._order,
                rank=self._rank,
                feasible=self._feasible,
                candidates=tuple(Seen(each.name, round(score, 4)) for _, score, _, each in others),
                rejected=self._some_rejected(),
            )
        return found

    def _some_rejected(self) -> dict[NodeName, tuple[str, ...]]:
        """What is in the way on a few nodes: first those that never fitted, then those that no longer do."""
        if self._rejected is None:
            rows = np.flatnonzero(~self._fits)[:_REJECTED_SHOWN].tolist()
            nodes = [self._pool.nodes[row] for row in rows]
            self._rejected = {node.name: obstacles(node, self._shape) for node in nodes}
        later = islice(self._passed_over.items(), _REJECTED_SHOWN - len(self._rejected))
        return self._rejected | dict(later)


def _note_blocked(cluster: Cluster, pool: Pool, shape: Shape, reserved: dict[NodeName, Shape]) -> None:
    """Keep why nothing fits, for whoever asks about a waiting task: reason -> number of nodes."""
    counts = pool.obstacles(shape)
    kept = int(pool.fits(shape).sum())  # all that still fits is kept for others
    if kept:
        counts["reserved"] = kept
    cluster.blocked[shape] = {"nodes": len(cluster.nodes), "reasons": counts}


def _reserve(
    cluster: Cluster,
    pool: Pool,
    shape: Shape,
    line: Line,
    reserved: dict[NodeName, Shape],
    *,
    now_s: float,
) -> None:
    """Keep a node for a head that has waited long: the one on which room is made, later the nearest."""
    head = line.head()
    if head is None or now_s - head.since_s < cluster.limits.preempt_after_s:
        return
    coming = room_coming(cluster, shape)
    if coming is not None:
        reserved[coming.name] = shape
        return
    if now_s - head.since_s < cluster.limits.reserve_after_s:
        return
    able = pool.able(shape)
    able[[row for name in reserved if (row := pool.row(name)) is not None]] = False
    nearest = pool.roomiest(shape, able)
    if nearest is not None:
        reserved[nearest.name] = shape


def _prefill(
    cluster: Cluster, blocked: list[Shape], reserved: dict[NodeName, Shape], *, now_s: float
) -> Iterator[Decision]:
    nodes = [
        node
        for node in cluster.nodes.values()
        if node.ends_per_s
        and prefill_room(cluster, node, now_s=now_s) > 0
        and node.takes_work
        and node.name not in reserved
    ]
    for shape in blocked:
        line = cluster.lines.get(shape)
        if line is None or gpus_wanted(shape):
            continue  # which GPUs a task gets is decided when they are free
        for node in nodes:
            if mismatches(node, shape):
                continue
            room = prefill_room(cluster, node, now_s=now_s)
            explanation = Explanation(
                order=cluster.order, rank="prefill", pace_per_s=round(pace(node, now_s), 1)
            )
            while room > 0 and line.head() is not None:
                yield Decision(shape, node, True, explanation)
                room -= 1


def prefill_room(cluster: Cluster, node: Node, *, now_s: float) -> int:
    """How many more tasks may wait on `node` ahead of a free place."""
    limits = cluster.limits
    return min(limits.prefill_max, int(pace(node, now_s) * limits.prefill_s)) - node.waiting


def pace(node: Node, now_s: float) -> float:
    """Attempts that end on `node` per second: an exponentially decayed rate."""
    return node.ends_per_s * math.exp(-max(now_s - node.ends_s, 0.0) / _PACE_TAU_S)


def note_ends(node: Node, ends: int, now_s: float) -> None:
    """Count `ends` attempts that have just ended towards the node's pace."""
    node.ends_per_s = pace(node, now_s) + ends / _PACE_TAU_S
    node.ends_s = now_s
