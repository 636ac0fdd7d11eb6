"""What would start next: the first of the line, each with the forecast of its start and the likeliest node.

    start of a turn  quantiles over futures (`scheduler.forecast`);  node  the one it got in most of them

Taken from the cluster in the loop and holds copies, so that it can be played anywhere.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from msgspec import Struct

from bus.values import NodeName, TaskRef, UserName
from coordinator.core.foresight import FORECAST_STEPS
from coordinator.core.model import Cluster
from coordinator.core.scheduler.coming import Coming
from coordinator.core.scheduler.forecast import Forecast, foresee_each, ratios
from coordinator.core.scheduler.forward import NOBODY, Scene, Times
from coordinator.core.scheduler.ground import Ground, ground_of
from coordinator.core.scheduler.order import in_force
from coordinator.core.scheduler.scene import coming_of, in_line, newcomers, scene_of


class Waiter(NamedTuple):
    """An entry of the line: the first task of it to start, and how many there are."""

    task: TaskRef
    owner: UserName
    tasks: int


class Played(NamedTuple):
    """When an entry starts, as played; None: not as far as that went."""

    waiter: Waiter
    forecast: Forecast | None
    node: NodeName | None


class Turns(Struct, frozen=True, kw_only=True):
    """The question. `tasks`: all that are in line."""

    order: str
    tasks: int
    waiters: tuple[Waiter, ...]
    scene: Scene
    names: tuple[NodeName, ...]
    ratios: Times
    coming: Coming

    def answer(self) -> list[Played]:
        """By the middle of their starts, what is not foreseen last. Takes its time."""
        entries = range(len(self.waiters))
        found = foresee_each(self.scene, entries, self.ratios, steps=FORECAST_STEPS, coming=self.coming)
        turns = [
            Played(waiter, forecast, self._likeliest(rows))
            for waiter, (forecast, rows) in zip(self.waiters, found, strict=True)
        ]
        known = [turn for turn in turns if turn.forecast is not None]
        return [*sorted(known, key=_start), *(turn for turn in turns if turn.forecast is None)]

    def _likeliest(self, rows: list[int]) -> NodeName | None:
        counted = Counter(row for row in rows if row != NOBODY)
        return self.names[counted.most_common(1)[0][0]] if counted else None


def turns_of(cluster: Cluster, *, limit: int, now_s: float, ground: Ground | None = None) -> Turns:
    """Of the first `limit` in the order in force."""
    lines = in_line(cluster)
    latest = newcomers(cluster, now_s=now_s)
    ground = ground or ground_of(cluster, list(cluster.nodes.values()))
    return Turns(
        order=in_force(cluster).name,
        tasks=sum(line.count for line in lines),
        waiters=tuple(Waiter(line.first, line.group.job.owner, line.count) for line in lines[:limit]),
        scene=scene_of(cluster, ground, lines, now_s=now_s, latest=latest),
        names=tuple(node.name for node in ground.nodes),
        ratios=ratios(cluster.planner.predictor),
        coming=coming_of(cluster, lines, latest, now_s=now_s),
    )


def _start(turn: Played) -> float:
    assert turn.forecast is not None
    return turn.forecast.start_s
