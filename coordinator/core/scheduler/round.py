"""One scheduling round: feasible × order × rank.

Tasks wait in one line per shape, so a round decides for shapes, not for tasks: the line whose head
comes first in the order gets the best-ranked feasible node, again and again, until no line's head fits
anywhere. `decide` is a generator: the caller applies each decision before it asks for the next, so
every decision sees the books as the one before left them.

Where the policy in force looks ahead, it chooses among the first of a class (`choosing`). Who is blocked may
get a place reserved (`bookings`), and whoever comes after in the order, or is in a class below, goes past as
long as that delays nothing reserved. Where no walltime tells when there will be room, a head that has waited
`reserve_after_s` gets the node that comes nearest to it kept free of other shapes: nobody starves. At last
some are assigned ahead of free places (`prefill`).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from bus.values import AttemptState, NodeHealth, NodeName, Resources
from coordinator.core.model import Cluster, Node, Shape, Waiting
from coordinator.core.scheduler.affinity import Affinity, scoring
from coordinator.core.scheduler.after_state import MARGIN
from coordinator.core.scheduler.bookings import Bookings, until_s
from coordinator.core.scheduler.choosing import LINES_MAX, Chooser, Learned
from coordinator.core.scheduler.explain import Backfilled, Explanation, Seen
from coordinator.core.scheduler.feasible import avoided, busy, fits_now, obstacles
from coordinator.core.scheduler.gangs import Placed, explained, nodes_to_keep, place_gang
from coordinator.core.scheduler.order import aged, rekey, static_order
from coordinator.core.scheduler.pool import Mask, Pool, pool_of
from coordinator.core.scheduler.preempt import room_coming
from coordinator.core.scheduler.prefill import prefill
from coordinator.core.scheduler.rank import left_over
from coordinator.core.scheduler.values import Values, acting, epsilon, rank_in_force

BACKFILL_MAX = 64
"""Tasks of a line that are looked at for one that is short enough to go past."""

_REJECTED_SHOWN = 16
_CANDIDATES_SHOWN = 4
_TRIED_MAX = 64


class Decision(Struct, frozen=True):
    """The next task of `shape` goes to `node`; `waiting`: ahead of a free place."""

    shape: Shape
    node: Node
    waiting: bool
    explanation: Explanation
    gpus: tuple[str, ...] = ()  # those it is to get; empty: as `feasible.find_gpus` says
    seats: tuple[Node, ...] = ()  # of a gang: the node of each rank


def decide(cluster: Cluster, now_s: float, *, reserved: dict[NodeName, Shape]) -> Iterator[Decision]:
    """The decisions of one round, in order; apply each before asking for the next.

    `reserved` grows by the nodes that are kept free for heads which have waited too long.
    """
    cluster.blocked.clear()
    cluster.bookings.clear()
    rekey(cluster, now_s=now_s)
    heads: list[_Head] = []
    for position, (shape, line) in enumerate(list(cluster.lines.items())):
        head = line.head()
        if head is None:
            del cluster.lines[shape]
        else:
            heads.append((head, position, shape))
    if heads:  # the nodes are not looked at for nothing, after each batch
        yield from _Round(cluster, heads, reserved, now_s=now_s).decisions()


_Head = tuple[Waiting, int, Shape]
_BOOKED_ONLY = -1
"""Instead of the position of a line: an entry of one that is blocked, which may only get a place reserved."""


class _Turn(NamedTuple):
    """Who is to be placed next: an entry of a line at its index."""

    shape: Shape
    at: int
    waiting: Waiting
    learned: Learned


class _Round:
    """What one round knows. A shape is taken from `_open` once nothing of it can be placed any more."""

    def __init__(
        self, cluster: Cluster, heads: list[_Head], reserved: dict[NodeName, Shape], *, now_s: float
    ) -> None:
        self._cluster = cluster
        self._now_s = now_s
        self._reserved = reserved
        self._heads = heads
        heapq.heapify(heads)
        self._open = {shape for _, _, shape in heads}
        self._blocked: list[Shape] = []
        self._pool = pool_of(cluster)
        self._bookings = Bookings(cluster, self._pool, now_s=now_s)
        self._chooser = Chooser(cluster, now_s=now_s)
        self._committed: set[tuple[int, int]] = set()  # classes in which a chosen task is blocked
        self._candidates: dict[Shape, Candidates] = {}
        self._booked: set[int] = set()  # sequences of the heads that have bookings
        self._kept: Backfilled | None = None  # for whom the first node is kept free

    def decisions(self) -> Iterator[Decision]:
        while (turn := self._next()) is not None:
            if turn.shape.gang is not None:
                yield from self._gather(turn)
                continue
            found = self._place(turn)
            if found is None:
                self._block(turn)
                continue
            node, turn = found
            line = self._cluster.lines[turn.shape]
            if turn.at:
                line.promote(turn.at)
            group, end_s = turn.waiting.group, until_s(turn.waiting.group, self._now_s)
            gpus = self._candidates[turn.shape].gpus(node)
            yield Decision(turn.shape, node, False, self._explanation(turn, node, end_s), gpus)
            if turn.at:
                line.settle(turn.waiting)
            self._pool.refresh(node)
            self._candidates[turn.shape].note_placed(node)
            self._bookings.note_placed(node, turn.shape.resources, end_s)
            self._chooser.note_placed(group)
        kept = self._reserved.keys() | self._cluster.booked.keys() | gathering_on(self._cluster)
        for ahead in prefill(self._cluster, self._blocked, kept, now_s=self._now_s):
            yield Decision(ahead.shape, ahead.node, True, ahead.explanation)

    def _gather(self, turn: _Turn) -> Iterator[Decision]:
        """All ranks of a gang, or none; behind a booking the first in its line that is over in time."""
        cluster, shape = self._cluster, turn.shape
        rule = acting(cluster)
        values = None if rule is None else Values(rule, self._pool, shape)
        fits = self._pool.fits(shape).any()
        found = self._places_of(turn, values) if fits else None
        if found is None:
            self._block(turn)
            return
        placed, at, waiting = found
        end_s = until_s(waiting.group, self._now_s)
        line = cluster.lines[shape]
        if at:
            line.promote(at)
        backfill = self._bookings.passed(end_s) or self._kept
        learned = turn.learned
        base = Explanation(
            class_=aged(0, self._now_s, ageing_s=cluster.limits.ageing_s) - waiting.aged,
            policy="" if learned.would else learned.policy,
            rule="" if learned.would else learned.rule,
            q=learned.q,
            would=learned.would,
            backfill=backfill,
        )
        explanation = explained(cluster, placed, base)
        yield Decision(shape, placed.seats[0], False, explanation, seats=placed.seats)
        if at:
            line.settle(waiting)
        for node in dict.fromkeys(placed.seats):
            self._pool.refresh(node)
            number = placed.seats.count(node)
            self._bookings.note_placed(node, sum([shape.resources] * number, Resources()), end_s)
        self._chooser.note_placed(waiting.group)

    def _places_of(self, turn: _Turn, values: Values | None) -> tuple[Placed, int, Waiting] | None:
        """For the gang whose turn it is; else for one behind it that is over in time for what is reserved."""
        cluster, shape = self._cluster, turn.shape
        longest_s = math.inf
        for at, waiting in ((turn.at, turn.waiting), *cluster.lines[shape].first(BACKFILL_MAX)):
            end_s = until_s(waiting.group, self._now_s)
            if end_s < longest_s or at == turn.at:
                placed = place_gang(
                    cluster, shape, self._reserved, self._bookings, values=values, end_s=end_s
                )
                if placed is not None:
                    return placed, at, waiting
                longest_s = min(longest_s, end_s)
        return None

    def _next(self) -> _Turn | None:
        """Who comes first by the keys, or whom the policy chose of that one's class."""
        while self._heads:
            known, position, shape = self._heads[0]
            if shape not in self._open:
                heapq.heappop(self._heads)
                if position == _BOOKED_ONLY:
                    self._book_more(shape, known)
                continue
            head = self._cluster.lines[shape].head()
            if head is None:
                heapq.heappop(self._heads)
            elif head is not known:
                heapq.heapreplace(self._heads, (head, position, shape))
            else:
                return self._chosen(shape, head)
        return None

    def _chosen(self, shape: Shape, head: Waiting) -> _Turn:
        rank = (head.aged, head.priority)
        if rank in self._committed:
            return _Turn(shape, 0, head, self._chooser.keyed)
        same = (each[2] for each in self._heads if each[2] in self._open and each[0][:2] == rank)
        lines = ((each, self._cluster.lines[each]) for each in islice(same, LINES_MAX))
        chosen, learned = self._chooser.choose(lines)
        if chosen is None:
            return _Turn(shape, 0, head, learned)
        return _Turn(*chosen, learned)

    def _place(self, turn: _Turn) -> tuple[Node, _Turn] | None:
        """The best node for it; else for the first in its line that is over in time for what is reserved."""
        shape = turn.shape
        options = self._candidates.get(shape)
        if options is None:
            if not self._pool.fits(shape).any():
                return None  # most lines are blocked in most rounds
            options = self._candidates[shape] = Candidates(
                self._cluster, self._pool, shape, now_s=self._now_s
            )
        node = options.best(self._reserved, self._bookings, end_s=until_s(turn.waiting.group, self._now_s))
        if node is not None:
            return options.tried(node, turn.waiting, self._reserved, self._bookings), turn
        limit_s = options.limit_s(self._bookings)
        for index, waiting in self._cluster.lines[shape].first(BACKFILL_MAX) if limit_s > self._now_s else ():
            end_s = until_s(waiting.group, self._now_s)
            node = options.best(self._reserved, self._bookings, end_s=end_s) if end_s <= limit_s else None
            if node is not None:
                return node, _Turn(shape, index, waiting, self._chooser.keyed)
        return None

    def _block(self, turn: _Turn) -> None:
        """Nothing of its shape fits anywhere any more: it may get a place reserved, and the others go on."""
        shape, head = turn.shape, turn.waiting
        self._open.discard(shape)
        self._blocked.append(shape)
        self._committed.add((head.aged, head.priority))
        _note_blocked(self._cluster, self._pool, shape, self._reserved)
        waited_s = self._now_s - head.since_s
        able = self._pool.able(shape)
        if waited_s >= self._cluster.limits.preempt_after_s and shape.gang is None:
            coming = room_coming(self._cluster, shape)
            if coming is not None:
                self._bookings.leave(able)
                self._keep(coming, turn)
                return
        kept = self._reserved.keys() | {each.node for each in self._cluster.yielding.values()}
        if kept:
            able &= ~self._pool.rows(kept)
        if self._bookings.book(shape, able, task=str(head.entry.next_task), **_pieces(shape)):
            self._booked.add(head.sequence)
            self._go_on_booking(turn)
            return
        self._bookings.leave(able)
        if waited_s >= self._cluster.limits.reserve_after_s:
            self._keep_nearest(turn, able & ~self._pool.rows(self._cluster.booked))

    def _go_on_booking(self, turn: _Turn) -> None:
        """Who waits behind it in its line comes before the heads of other lines, too."""
        for _, waiting in self._cluster.lines[turn.shape].first(self._bookings.wanted):
            heapq.heappush(self._heads, (waiting, _BOOKED_ONLY, turn.shape))

    def _book_more(self, shape: Shape, waiting: Waiting) -> None:
        """For all tasks of an entry of a blocked line, less the one that was booked already."""
        tasks = waiting.entry.startable - (waiting.sequence in self._booked)
        able = self._pool.able(shape) & ~self._pool.rows(self._reserved)
        for _ in range(min(tasks, self._bookings.wanted)):
            if not self._bookings.book(shape, able, task=str(waiting.entry.next_task), **_pieces(shape)):
                self._bookings.leave(able)
                break

    def _keep_nearest(self, turn: _Turn, able: Mask) -> None:
        """Nothing tells when a place will be free: the node that comes nearest is kept for it.

        For a gang, all nodes that it needs.
        """
        if turn.shape.gang is not None:
            taken = self._reserved.keys() | self._cluster.booked.keys()
            for node in nodes_to_keep(self._cluster, turn.shape, taken):
                self._keep(node, turn)
            return
        nearest = self._pool.roomiest(turn.shape, able)
        if nearest is not None:
            self._keep(nearest, turn)

    def _keep(self, node: Node, turn: _Turn) -> None:
        self._reserved[node.name] = turn.shape
        if self._kept is None:
            self._kept = Backfilled(behind=str(turn.waiting.entry.next_task), node=node.name)

    def _explanation(self, turn: _Turn, node: Node, end_s: float) -> Explanation:
        """Why `turn` got `node`. Decisions that are explained alike share one object."""
        backfill = self._bookings.passed(end_s) or self._kept
        return self._candidates[turn.shape].explanation(node, turn.waiting.aged, turn.learned, backfill)


def _pieces(shape: Shape) -> dict[str, int]:
    """How many pieces a head needs at once, and how many of them may be on one node."""
    gang = shape.gang
    return {} if gang is None else {"pieces": gang.size, "per_node": gang.ranks_per_node or gang.size}


_Ranked = tuple[bool, float, NodeName, Node]
_Reasons = tuple[NodeName, int, str, str, Backfilled | None]


class Candidates:
    """The feasible nodes of one shape within a round, best first, each with its reasons.

    Degraded ones come last: what they get may have to be given out again.
    """

    def __init__(self, cluster: Cluster, pool: Pool, shape: Shape, *, now_s: float) -> None:
        self._shape = shape
        self._now_s = now_s
        self._today = aged(0, now_s, ageing_s=cluster.limits.ageing_s)
        self._order = static_order(cluster)
        rule = acting(cluster)
        self._values = None if rule is None else Values(rule, pool, shape)
        self._rank = rank_in_force(cluster)
        self._epsilon = epsilon(cluster) if self._values and shape.wishes is None else 0.0
        self._explored = False
        self._score = scoring(cluster, shape, self._values)
        self._pool = pool
        self._fits = pool.fits(shape)
        self._rejected: dict[NodeName, tuple[str, ...]] | None = None
        self._passed_over: dict[NodeName, tuple[str, ...]] = {}
        self._explained: dict[_Reasons, Explanation] = {}
        self._featured: dict[NodeName, tuple[Resources, dict[str, float]]] = {}  # as long as nothing came
        self._shared: list[_Ranked] = []  # those of which something is kept for others
        able = [pool.nodes[row] for row in np.flatnonzero(self._fits).tolist()]
        self._heap: list[_Ranked] = [
            (node.health is not NodeHealth.HEALTHY, self._score(node, shape.resources), node.name, node)
            for node in able
        ]
        heapq.heapify(self._heap)
        self._feasible = len(self._heap)

    def best(self, reserved: dict[NodeName, Shape], bookings: Bookings, *, end_s: float) -> Node | None:
        """The best-ranked node that still fits and is kept for nobody, or not so long as till `end_s`."""
        free = self._best_free(reserved, bookings)
        shared = [entry for entry in self._booked(bookings) if entry[0] >= end_s]
        found = min((entry[1:] for entry in shared), default=None)
        if found is not None and (free is None or found < free):
            return found[-1]
        return None if free is None else free[-1]

    def tried(
        self, best: Node, waiting: Waiting, reserved: dict[NodeName, Shape], bookings: Bookings
    ) -> Node:
        """`best`, or with ε any other free node that is worth nearly as much."""
        self._explored = False
        task = waiting.entry.next_task
        rng = np.random.default_rng((task.job, task.index)) if self._epsilon else None
        if rng is None or rng.random() >= self._epsilon:
            return best
        worst = self._score(best, self._shape.resources) + MARGIN
        near = [
            node
            for degraded, _, name, node in sorted(self._heap[:_TRIED_MAX], key=lambda entry: entry[:3])
            if not (degraded or name in reserved or bookings.holds(name))
            and fits_now(node, self._shape)
            and self._score(node, self._shape.resources) <= worst
        ]
        chosen = near[int(rng.integers(len(near)))] if near else best
        self._explored = chosen is not best
        return chosen

    def gpus(self, node: Node) -> tuple[str, ...]:
        """Which it is to get there, if values say."""
        return () if self._values is None else self._values.gpus(node)

    def limit_s(self, bookings: Bookings) -> float:
        """By when a task must be over to have a place beside what is kept for others; −∞: there is none."""
        return max((entry[0] for entry in self._booked(bookings)), default=-math.inf)

    def _best_free(self, reserved: dict[NodeName, Shape], bookings: Bookings) -> _Ranked | None:
        while self._heap:
            degraded, score, name, node = self._heap[0]
            if name in reserved:
                heapq.heappop(self._heap)
                self._passed_over[name] = ("reserved",)
            elif bookings.holds(name):
                self._shared.append(heapq.heappop(self._heap))
            elif not fits_now(node, self._shape):
                heapq.heappop(self._heap)
                self._passed_over[name] = (*avoided(node, self._shape), *busy(node, self._shape))
            else:
                current = self._score(node, self._shape.resources)
                if current == score:
                    return self._heap[0]
                heapq.heapreplace(self._heap, (degraded, current, name, node))
        return None

    def _booked(self, bookings: Bookings) -> Iterator[tuple[float, bool, float, NodeName, Node]]:
        """Nodes on which it fits now and something is kept for others: each with when it must be over."""
        for degraded, _, name, node in self._shared:
            if fits_now(node, self._shape):
                limit_s = bookings.limit_s(node, self._shape.resources)
                yield limit_s, degraded, self._score(node, self._shape.resources), name, node

    def note_placed(self, node: Node) -> None:
        """A task of the shape went there: where the next would rather be may be elsewhere."""
        if isinstance(self._score, Affinity):
            self._score.note_placed(node)

    def explanation(self, node: Node, age: int, learned: Learned, backfill: Backfilled | None) -> Explanation:
        """Why `node`: kept with the attempt. One object for all that share the reasons in this round."""
        if learned.q or self._explored:
            return self._explain(node, age, learned, backfill)
        key = (node.name, age, learned.rule, learned.would, backfill)
        found = self._explained.get(key)
        if found is None:
            found = self._explained[key] = self._explain(node, age, learned, backfill)
        return found

    def _explain(self, node: Node, age: int, learned: Learned, backfill: Backfilled | None) -> Explanation:
        top = self._heap[: 2**_CANDIDATES_SHOWN - 1]  # of a heap: the k-th lies above level k
        others = heapq.nsmallest(_CANDIDATES_SHOWN, top, key=lambda entry: entry[:3])
        return Explanation(
            order=self._order,
            rank=self._rank,
            nodes=len(self._pool.nodes),
            feasible=self._feasible - len(self._passed_over),
            candidates=self._seen(node, [(each, score) for _, score, _, each in others]),
            rejected=self._some_rejected(),
            class_=self._today - age,
            policy="" if learned.would else learned.policy,
            rule="" if learned.would else learned.rule,
            q=learned.q,
            would=learned.would,
            explored=self._explored,
            epsilon=self._epsilon,
            backfill=backfill,
            usage_age_s=None if node.usage is None else round(max(self._now_s - node.usage_s, 0.0), 1),
        )

    def _seen(self, chosen: Node, best: list[tuple[Node, float]]) -> tuple[Seen, ...]:
        """The best; where others are tried, also who was chosen."""
        if self._explored and all(node is not chosen for node, _ in best):
            best = [*best, (chosen, self._score(chosen, self._shape.resources))]
        return tuple(Seen(node.name, round(score, 4), self._features(node)) for node, score in best)

    def _features(self, node: Node) -> dict[str, float]:
        kept = self._featured.get(node.name)
        if kept is None or kept[0] is not node.allocated:
            shape, values = self._shape, self._values
            found = left_over(node, shape.resources) if values is None else values.features(node)
            kept = self._featured[node.name] = node.allocated, found
        if isinstance(self._score, Affinity):
            return {**kept[1], "wishes": self._score.wished(node)}
        return kept[1]

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
    kept = int(np.count_nonzero(pool.fits(shape)))  # all that still fits is kept for others
    if kept:
        counts = counts | {"reserved": kept}
    cluster.blocked[shape] = {"nodes": len(cluster.nodes), "reasons": counts}


def gathering_on(cluster: Cluster) -> set[NodeName]:
    """Nodes with ranks that their guards do not know yet: who waited there would start in their place."""
    tasks = cluster.gathering.values()
    return {each.node for task in tasks for each in task.attempts if each.state is AttemptState.ASSIGNED}
