"""Room for all ranks of a gang at once, in a cluster that is played forward (`forward`).

    seats(node) = min(what fits there, `most`);   it starts at the first time at which Σ seats ≥ ranks

While it is blocked and first in line, the nodes that it will start on are kept for it: those with most seats
at the time by which walltimes promise enough of them, less what is left beside the ranks there. Where no
walltimes promise it, those that are nearest to being free. Topologies are left out: they decide where a gang
goes, not when, because a gang that fits into no single value is spread.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Amounts = NDArray[np.int64]
Rows = NDArray[np.intp]
Times = NDArray[np.float64]


class Kept(NamedTuple):
    """Nodes (ascending) that are kept from `from_s` on, and what is left beside on each, a row for each."""

    rows: Rows
    from_s: float
    spare: Amounts


class Wish(Struct, frozen=True):
    """`ranks` that take `request` each, at most `most` on a node, where `allowed` (a flag for each node)."""

    ranks: int
    most: int
    request: Amounts
    allowed: NDArray[np.bool_]

    def seats(self, free: Amounts) -> Amounts:
        """For each node how many ranks fit."""
        wanted = self.request > 0
        room = np.full(len(free), self.most, dtype=np.int64)
        if wanted.any():
            np.minimum(room, (free[:, wanted] // self.request[wanted]).min(axis=1), out=room)
        room[~self.allowed] = 0
        return np.maximum(room, 0)


def reserve(wish: Wish, free: Amounts, rows: Rows, held: Amounts, limits: Times) -> Kept | None:
    """What is kept for a gang that does not fit now; None: not even all nodes together could hold it.

    `rows`, `held`, `limits`: where something runs, what it has, and when it is over by its walltime.
    """
    empty = _freed(free, rows, held)
    if wish.seats(empty).sum() < wish.ranks:
        return None
    times = np.unique(limits[np.isfinite(limits)]).tolist()

    def later(at_s: float) -> Amounts:
        over = limits <= at_s
        return _freed(free, rows[over], held[over])

    found = bisect_left(times, True, key=lambda at_s: bool(wish.seats(later(at_s)).sum() >= wish.ranks))
    if found < len(times):
        then = later(times[found])
        seats = wish.seats(then)
        chosen = np.argsort(-seats, kind="stable")
        taken = _taken(wish, seats[chosen])
        kept, taken = _ascending(chosen, taken)
        return Kept(kept, times[found], then[kept] - taken[:, None] * wish.request)
    short = (np.maximum(wish.request - free, 0) / np.maximum(wish.request, 1)).sum(axis=1)
    seats = wish.seats(empty)
    chosen = np.lexsort((-seats, short))
    kept, _ = _ascending(chosen, _taken(wish, seats[chosen]))
    return Kept(kept, math.inf, np.zeros((len(kept), len(wish.request)), dtype=np.int64))


def _freed(free: Amounts, rows: Rows, held: Amounts) -> Amounts:
    freed = free.copy()
    np.add.at(freed, rows, held)
    return freed


def _taken(wish: Wish, seats: Amounts) -> Amounts:
    """Of seats in their order, how many ranks take of each."""
    taken: Amounts = np.diff(np.minimum(seats.cumsum(), wish.ranks), prepend=0)
    return taken


def _ascending(rows: Rows, taken: Amounts) -> tuple[Rows, Amounts]:
    """Those of which any is taken."""
    rows, taken = rows[taken > 0], taken[taken > 0]
    order = np.argsort(rows)
    return rows[order], taken[order]
