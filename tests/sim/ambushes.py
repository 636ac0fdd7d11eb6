"""Strikes at gangs where they gather: a fault or somebody's deed, timed by the gang's own placing.

A barrier lasts a few messages, so that faults drawn over a whole history hardly ever meet one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator.store.rows import Batch
from tests.sim.coordinator import Coordinator
from tests.sim.faults import Faults
from tests.sim.plan import GIVEN_FREE_BY, Ambush, Fault

if TYPE_CHECKING:
    from tests.sim.world import World


class Ambushes:
    """Told of every batch; plans what befalls the gangs that it places."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults
        self._placings = 0
        self._by_placing: dict[int, list[Ambush]] = {}
        for ambush in world.plan.ambushes:
            self._by_placing.setdefault(ambush.placing, []).append(ambush)

    def stepped(self, leader: Coordinator, batch: Batch) -> None:
        """Gangs with a new try in this batch, in its order."""
        tries = [row.attempt for row in batch.attempts if row.new and row.ended_at is None]
        for first in [ref for ref in tries if ref.rank == 0]:
            task = leader.cluster.find_task(first.task)
            if task is None or task.ranks is None:
                continue
            nodes = [each.node for each in task.attempts]
            for ambush in self._by_placing.get(self._placings, ()):
                self._world.timeline.after(ambush.after_s, self._strike, ambush, nodes, first.job)
            self._placings += 1

    def _strike(self, ambush: Ambush, nodes: list[str], job: int) -> None:
        if ambush.fault is not None:
            which = int(nodes[ambush.rank % len(nodes)].removeprefix("n")) if nodes else ambush.rank
            now = self._world.timeline.now
            self._faults.befall(Fault(now, ambush.fault, which, ambush.for_s, ambush.amount))
            return
        self._world.note(f"ambush: {ambush.operation} of {job}")
        self._world.faults[f"gang: {ambush.operation}"] += 1
        self._world.client.do(ambush.operation, job)
        again = GIVEN_FREE_BY.get(ambush.operation)
        if again is not None:
            self._world.timeline.after(ambush.for_s, self._world.client.do, again, job)
