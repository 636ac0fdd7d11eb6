"""What the fake cluster would start next: its waiting jobs, the older first, each on a node of its own."""

from __future__ import annotations

import time

from bus.upcoming import Turn, Upcoming
from tui.client.fake_world import World

PACE_S = 40.0
FORESEEN = 150


class FakeUpcoming:
    """A part of FakeCluster."""

    world: World

    def _check(self, operation: str) -> None:
        raise NotImplementedError

    async def upcoming(self, limit: int = 50) -> Upcoming:
        self._check("upcoming")
        now_s = time.time()
        waiting = [job for job in self.world.jobs if job.counts.queued and not job.held]
        turns = []
        for place, job in enumerate(waiting[:limit]):
            first = job.counts.total - job.counts.queued - job.counts.pending
            turn = Turn(task=f"{job.number}.{max(0, first)}", user=job.user, tasks=job.counts.queued)
            if place < FORESEEN:
                wait_s = place * PACE_S
                turn.node = self.world.nodes[(job.number * 7) % len(self.world.nodes)].name
                turn.starts_at = now_s + wait_s
                turn.earliest_at, turn.latest_at = now_s + 0.6 * wait_s, now_s + 1.7 * wait_s
            turns.append(turn)
        tasks = sum(job.counts.queued for job in waiting)
        return Upcoming(order="rollout", tasks=tasks, turns=turns, told=912, right=741)
