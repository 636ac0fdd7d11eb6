"""The newest jobs of a history replayed once by each order: what each would have cost on just those.

A planner begins with what the jobs before them taught it, as a coordinator does that has run for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from coordinator.core.scheduler.policies import POLICIES
from coordinator.core.scheduler.qlearning import QTable
from coordinator.sim.orders import pick, slowdowns
from coordinator.sim.swf import TraceJob


class Compared(Struct, frozen=True):
    """`costs`: mean bounded slowdown of `jobs` jobs under each policy."""

    jobs: int
    costs: dict[str, float]


def compare(
    jobs: Sequence[TraceJob],
    newest: int,
    *,
    names: Iterable[str],
    nodes: int,
    backfill: bool,
    seed: int,
    table: QTable | None,
    heard: Callable[[], None],
) -> Compared:
    """Of the last `newest` of `jobs`, which are in order of submission; `heard` after every replay."""
    before, window = jobs[:-newest], jobs[-newest:]
    costs = {}
    for name in names:
        order = pick(POLICIES[name], table=table, before=before)
        (costs[name],) = slowdowns(order, [window], nodes, backfill=backfill, seed=seed, heard=heard)
    return Compared(len(window), costs)
