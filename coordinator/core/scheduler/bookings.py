"""Places reserved for heads that are blocked: when and where they fit at the latest, and who may pass.

    start = min t : Σ min(⌊free(node, t) / request⌋, per node) ≥ pieces

What runs ends by its walltime and the grace after it; what gave none is taken never to end. Until `start`,
and beside what is kept then, others go past (EASY: Lifka, JSSPP'95; with more heads than the first reserved
it is conservative: Mu'alem & Feitelson, TPDS'01):

    passes(task, node)  ⇔  its end ≤ start  or  its request ≤ spare(node, start)

so nothing delays what was reserved, and looked at anew in each round it only comes sooner. Amounts are added
up by node: of which GPUs they are the parts is not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bus.values import NodeName, Resources
from coordinator.core.model import Attempt, Booking, Cluster, Group, Node, Shape
from coordinator.core.scheduler.explain import Backfilled
from coordinator.core.scheduler.policies import Backfill
from coordinator.core.scheduler.pool import RESOURCES, Mask, Pool, amounts

RESERVED_MAX = {Backfill.OFF: 0, Backfill.EASY: 1, Backfill.CONSERVATIVE: 16}
"""Heads with a reservation, first come first."""


class Ends(NamedTuple):
    """Who gives back what, when, and where: rows of the pool, in no order."""

    rows: NDArray[np.intp]
    at_s: NDArray[np.float64]
    given: NDArray[np.int64]


class _Kept(Struct):
    """A booking as one of its nodes sees it: what others may have there from its start on."""

    booking: Booking
    spare: Resources


def until_s(group: Group, now_s: float) -> float:
    """When a task of `group` is over at the latest, if it starts now."""
    settings = group.settings
    return math.inf if settings.timeout_s is None else now_s + settings.timeout_s + settings.grace_s


class Bookings:
    """Those of one round, the first come first served."""

    def __init__(self, cluster: Cluster, pool: Pool, *, now_s: float) -> None:
        self._cluster = cluster
        self._pool = pool
        self._now_s = now_s
        self._most = RESERVED_MAX[cluster.backfill]
        self._kept: dict[NodeName, list[_Kept]] = {}
        self._ends: Ends | None = None
        self._left: Mask = np.zeros(len(pool.nodes), dtype=np.bool_)
        self._later: list[tuple[int, float, tuple[int, ...]]] = []
        self.made = cluster.bookings

    @property
    def wanted(self) -> int:
        """How many more there may be."""
        return self._most - len(self.made) if self._cluster.timed else 0

    def holds(self, name: NodeName) -> bool:
        """Whether anything of the node is kept for somebody."""
        return name in self._kept

    def limit_s(self, node: Node, request: Resources) -> float:
        """By when who takes `request` there now must be over; ∞ where it fits beside all that is kept."""
        starts = (
            each.booking.start_s for each in self._kept.get(node.name, ()) if not request.fits(each.spare)
        )
        return min(starts, default=math.inf)

    def note_placed(self, node: Node, request: Resources, end_s: float) -> None:
        """A task got a place that lasts till `end_s`: so much less is spare for who comes after."""
        for kept in self._kept.get(node.name, ()):
            if end_s > kept.booking.start_s:
                kept.spare -= request
        row = self._pool.row(node.name)
        if self._ends is not None and row is not None and end_s < math.inf:
            self._later.append((row, end_s, amounts(request)))

    def book(self, shape: Shape, able: Mask, *, task: str, pieces: int = 1, per_node: int = 1) -> bool:
        """Reserve the first place and time for `pieces` on the `able` nodes; whether there is one."""
        if self.wanted <= 0:
            return False
        free = self._pool.free - self._claimed()
        request = np.array(amounts(shape.resources))
        found = earliest(free, able & ~self._left, self._look(), request, pieces=pieces, per_node=per_node)
        if found is None:
            return False
        start_s, rows = found
        places = tuple((self._pool.nodes[row].name, number) for row, number in rows)
        booking = Booking(shape, task, max(start_s, self._now_s), places)
        self.made.append(booking)
        for row, number in rows:
            self._keep(booking, self._pool.nodes[row], number)
        return True

    def leave(self, able: Mask) -> None:
        """A head that may start on any of these has no booking: it goes first there, whenever that is."""
        self._left |= able

    def passed(self, end_s: float) -> Backfilled | None:
        """What a task went past that is over by `end_s`, if anything is reserved."""
        if not self.made:
            return None
        first = self.made[0]
        return Backfilled(
            behind=first.task,
            node=first.places[0][0] if len(first.places) == 1 else None,
            reserved_s=first.start_s,
            until_s=end_s if end_s < math.inf else None,
        )

    def _keep(self, booking: Booking, node: Node, pieces: int) -> None:
        """Spare is what is free once all has ended that does by then, less what is kept before or now."""
        wanted = sum([booking.shape.resources] * pieces, Resources())
        others = self._kept.setdefault(node.name, [])
        spare = node.free - wanted
        for attempt in node.attempts.values():
            if not attempt.holding:
                spare -= attempt.requested
            elif _end_s(attempt, self._now_s) <= booking.start_s:
                spare += attempt.requested
        for other in others:
            if other.booking.start_s <= booking.start_s:
                spare -= _wanted(other.booking, node)
            else:
                other.spare -= wanted
        others.append(_Kept(booking, spare))

    def _claimed(self) -> NDArray[np.int64]:
        """What nobody holds, and is yet not free for a further booking: others, and who waits on a node."""
        claimed = np.zeros_like(self._pool.free)
        for booking in self.made:
            for name, pieces in booking.places:
                row = self._pool.row(name)
                claimed[row] += np.array(amounts(booking.shape.resources)) * pieces
        for row, node in enumerate(self._pool.nodes):
            if node.waiting:
                for attempt in node.attempts.values():
                    if not attempt.holding:
                        claimed[row] += amounts(attempt.requested)
        return claimed

    def _look(self) -> Ends:
        """What ends by its walltime, with what was placed since the first look."""
        if self._ends is None:
            self._ends = ends_of(self._cluster.timed.values(), self._pool, now_s=self._now_s)
        if self._later:
            more = _table(self._later)
            self._later = []
            self._ends = Ends(*(np.concatenate(pair) for pair in zip(self._ends, more, strict=True)))
        return self._ends


def _end_s(attempt: Attempt, now_s: float) -> float:
    """When it is over at the latest; one that has not started yet starts now."""
    started_s = now_s if attempt.started_at is None else attempt.started_at
    return max(until_s(attempt.task.group, started_s), now_s)


def ends_of(timed: Iterable[Attempt], pool: Pool, *, now_s: float) -> Ends:
    """Of those that hold a place, which have walltimes: 50,000 of them are looked at in each round.

    So only what differs within a group is asked of each one.
    """
    groups: dict[Group, int] = {}
    of_group, rows, started = [], [], []
    for attempt in timed:
        if attempt.holding and (row := pool.row(attempt.node)) is not None:
            of_group.append(groups.setdefault(attempt.task.group, len(groups)))
            rows.append(row)
            started.append(attempt.started_at)
    began_s = np.array(started, dtype=np.float64)  # None is NaN
    began_s[np.isnan(began_s)] = now_s
    walltimes = [(each.settings.timeout_s, each.settings.grace_s) for each in groups]
    timeout_s, grace_s = np.array(walltimes, dtype=np.float64).reshape(-1, 2)[of_group].T
    given = np.array([amounts(each.settings.resources) for each in groups], dtype=np.int64)
    return Ends(
        np.array(rows, dtype=np.intp),
        np.maximum(began_s + timeout_s + grace_s, now_s),
        given.reshape(-1, len(RESOURCES))[of_group],
    )


def _wanted(booking: Booking, node: Node) -> Resources:
    pieces = dict(booking.places).get(node.name, 0)
    return sum([booking.shape.resources] * pieces, Resources())


def _table(found: Iterable[tuple[int, float, tuple[int, ...]]]) -> Ends:
    rows, at_s, given = [], [], []
    for row, end_s, each in found:
        rows.append(row)
        at_s.append(end_s)
        given.append(each)
    columns = len(amounts(Resources()))
    return Ends(
        np.array(rows, dtype=np.intp),
        np.array(at_s, dtype=np.float64),
        np.array(given, dtype=np.int64).reshape(-1, columns),
    )


def earliest(
    free: NDArray[np.int64],
    able: Mask,
    ends: Ends,
    request: NDArray[np.int64],
    *,
    pieces: int,
    per_node: int,
) -> tuple[float, list[tuple[int, int]]] | None:
    """When `pieces` fit at once, at most `per_node` on each of the `able` rows, and how many where.

    −∞: they fit already; None: the ends that are known of do not make enough room.
    """
    here = able[ends.rows]
    by_row = np.lexsort((ends.at_s[here], ends.rows[here]))
    rows, at_s, given = ends.rows[here][by_row], ends.at_s[here][by_row], ends.given[here][by_row]
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = rows[1:] != rows[:-1]
    added = given.cumsum(axis=0)
    before = (added - given)[first]
    then = free[rows] + added - before[first.cumsum() - 1]
    fit = _pieces(then, request, per_node)
    fit_now = np.where(able, _pieces(free, request, per_node), 0)
    gained = fit - np.where(first, fit_now[rows], fit[np.arange(len(fit)) - 1])
    by_time = np.argsort(at_s, kind="stable")
    total = np.concatenate(([0], gained[by_time].cumsum())) + fit_now.sum()
    enough = np.flatnonzero(total >= pieces)
    if not enough.size:
        return None
    start_s = at_s[by_time[enough[0] - 1]] if enough[0] else -math.inf
    there = fit_now
    passed = at_s <= start_s
    np.maximum.at(there, rows[passed], fit[passed])
    return float(start_s), _chosen(there, pieces)


def _pieces(free: NDArray[np.int64], request: NDArray[np.int64], per_node: int) -> NDArray[np.int64]:
    asked = request > 0
    each = (free[:, asked] // request[asked]).min(axis=1, initial=per_node)
    found: NDArray[np.int64] = np.maximum(each, 0)
    return found


def _chosen(there: NDArray[np.int64], pieces: int) -> list[tuple[int, int]]:
    """On as few nodes as can be; the pool's order decides among equals."""
    found = []
    rows = iter(np.argsort(-there, kind="stable").tolist())
    while pieces:
        row = next(rows)
        number = min(int(there[row]), pieces)
        found.append((row, number))
        pieces -= number
    return found
