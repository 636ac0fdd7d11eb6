"""Questions about what will be: when a task starts, and what a change would do to all that waits.

    before, after = the same cluster played forward twice, the second time with the change
    slowdown of a task = max(1, (waited + will wait + run) / max(run, 10 s))

A question is taken from the cluster in the loop and holds copies, so that it can be answered anywhere. What
is compared is played once, on the middle of how predictions came out: what differs is the change alone.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from bus.api import Affected, Displaced, Displacement, Effect
from bus.values import NodeAdmin, NodeHealth, NodeName, Resources, UserName
from coordinator.core.displacement import Held, leaving, told, with_blockers
from coordinator.core.model import Cluster, Group, Job, Node
from coordinator.core.scheduler.coming import Coming
from coordinator.core.scheduler.forecast import Forecast, foresee, middle_future, ratios
from coordinator.core.scheduler.forward import Future, Scene, Times
from coordinator.core.scheduler.ground import Ground, ground_of
from coordinator.core.scheduler.order import in_force, key_of, standing
from coordinator.core.scheduler.policies import Policy
from coordinator.core.scheduler.predict import BOUND_S
from coordinator.core.scheduler.scene import (
    InLine,
    coming_of,
    in_line,
    newcomers,
    own_entry,
    scene_of,
)

STEPS = 6_000
"""Placements and ends that are played for one side of a comparison."""

FORECAST_STEPS = 12_000
"""The same for all futures of a forecast together, arrivals included."""

AFFECTED_MAX = 20

NOTICED_S, NOTICED_SHARE = 1.0, 0.01
"""What starts at another time by less than either did not change."""


class Question(Struct, frozen=True):
    """When `entries` of a scene start: the last of them, or with `first` the first one."""

    scene: Scene
    entries: tuple[int, ...]
    ratios: Times
    coming: Coming
    first: bool = False

    def answer(self) -> Forecast | None:
        """Takes its time; None: it is not to be told."""
        return foresee(
            self.scene,
            self.entries,
            self.ratios,
            steps=FORECAST_STEPS,
            first=self.first,
            coming=self.coming,
        )


def of_task(
    cluster: Cluster, group: Group, index: int, *, now_s: float, ground: Ground | None = None
) -> Question | None:
    """When task `index` of `group` starts; None if something else than places keeps it.

    `ground`: the nodes and what runs on them, where that was taken before; so in the questions below.
    """
    found = own_entry(cluster, group, index)
    if found is None:
        return None
    own, before = found
    if group.limit and before >= group.limit - group.live:
        return None  # the model knows of no limits
    lines = [each for each in in_line(cluster) if each.group is not group or each.place != own.place]
    place = bisect_left(lines, own.place, key=_place)
    lines.insert(place, InLine(group, own.place, before + 1, own.since_s, entry=own.entry))
    latest = newcomers(cluster, now_s=now_s)
    ground = ground or ground_of(cluster, list(cluster.nodes.values()))
    scene = scene_of(cluster, ground, lines, now_s=now_s, latest=latest)
    coming = coming_of(cluster, lines, latest, now_s=now_s)
    return Question(scene, (place,), ratios(cluster.planner.predictor), coming)


def _place(line: InLine) -> tuple[int, int, float, int]:
    return line.place


class Change(Struct, frozen=True, kw_only=True):
    """What is asked about: `add` empty nodes like `like`, `drain`ed ones, another order, one more job.

    `deadline_s`: what still runs on drained nodes has to go then; None: never.
    """

    add: int = 0
    like: Node | None = None
    drain: frozenset[NodeName] = frozenset()
    deadline_s: float | None = None
    policy: Policy | None = None
    job: Job | None = None


class Comparison(Struct, frozen=True):
    """The cluster without the change and with it; `asked`: the entries of the job in `after`.

    `held`: by nodes that would be drained; `names`: of the nodes of `after`.
    """

    before: Scene
    after: Scene
    lines_before: tuple[InLine, ...]
    lines_after: tuple[InLine, ...]
    asked: tuple[int, ...]
    ratios: Times
    coming: Coming
    names: tuple[NodeName, ...] = ()
    held: Held = Held()

    def forecast(self) -> Forecast | None:
        """Of the job that was asked about: its first start and its last end."""
        if not self.asked:
            return None
        return Question(self.after, self.asked, self.ratios, self.coming, first=True).answer()

    def played(self) -> Future:
        """With the change. Takes its time."""
        return middle_future(self.after, self.ratios, steps=STEPS)

    def displaced(self, will: Future, viewer: UserName | None) -> tuple[Displacement, list[Displaced]]:
        """Where what drained nodes hold would go; each task of `viewer` (None: of everybody)."""
        places = _places(self.lines_after)
        return told(self.held, will, self.names, places, viewer=viewer, now_s=self.after.now_s)

    def judge(self, viewer: UserName | None, will: Future | None = None) -> tuple[Effect, list[Affected]]:
        """The effect on all, and the most affected jobs of `viewer` (None: of everybody)."""
        moved = list(self._moved(will or self.played()))
        jobs: dict[int, list[_Moved]] = {}
        for each in moved:
            if viewer is None or each.line.group.job.owner == viewer:
                jobs.setdefault(each.line.group.job.number, []).append(each)
        rows = [_affected(each) for each in jobs.values()]
        rows.sort(key=lambda row: (-_shift(row), row.job))
        return _effect(moved, self.before.now_s), rows[:AFFECTED_MAX]

    def _moved(self, will: Future) -> Iterator[_Moved]:
        was = middle_future(self.before, self.ratios, steps=STEPS).starts
        asked = set(self.asked)
        later = {
            (line.group.job.number, line.place[-1]): will.starts[place].mean_s
            for place, line in enumerate(self.lines_after)
            if place not in asked
        }
        for line, start, entry in zip(self.lines_before, was, self.before.entries, strict=True):
            key = (line.group.job.number, line.place[-1])
            yield _Moved(line, entry.run_s, start.mean_s, later[key])


def compared(cluster: Cluster, change: Change, *, now_s: float, ground: Ground | None = None) -> Comparison:
    """The question what `change` would do."""
    ground = ground or ground_of(cluster, list(cluster.nodes.values()))
    nodes = ground.nodes
    changed_nodes = _changed_nodes(nodes, change)
    lines = in_line(cluster)
    changed = list(lines)
    policy = change.policy or in_force(cluster)
    known = ratios(cluster.planner.predictor)
    if change.policy is not None:
        changed = [_keyed(cluster, each, change.policy, now_s=now_s) for each in lines]
    if change.job is not None:
        changed += _lines_of(cluster, change.job, policy, now_s=now_s)
    held = leaving(
        cluster,
        change.drain,
        policy,
        deadline_s=change.deadline_s,
        known=known,
        sequence=cluster.sequence + 1 + (len(change.job.groups) if change.job is not None else 0),
        now_s=now_s,
    )
    changed += (each.line for each in held.tasks if each.line is not None)
    changed.sort(key=_place)
    latest = newcomers(cluster, now_s=now_s, policy=change.policy)
    other = ground.changed(drained=change.drain, added=changed_nodes[len(nodes) :])
    after = scene_of(cluster, other, changed, now_s=now_s, latest=latest)
    places = _places(changed)
    return Comparison(
        scene_of(cluster, ground, lines, now_s=now_s),
        after,
        tuple(lines),
        tuple(changed),
        tuple(place for place, each in enumerate(changed) if each.group.job is change.job),
        known,
        coming_of(cluster, changed, latest, now_s=now_s),
        tuple(node.name for node in changed_nodes),
        with_blockers(cluster, held, after=after, nodes=changed_nodes, places=places),
    )


def _places(lines: Sequence[InLine]) -> dict[int, int]:
    """Of entries, by their sequence."""
    return {each.place[-1]: place for place, each in enumerate(lines)}


def _keyed(cluster: Cluster, line: InLine, policy: Policy, *, now_s: float) -> InLine:
    """Where the same tasks would stand under another order."""
    age, priority, _, sequence = line.place
    key = key_of(cluster, policy, line.group, now_s=now_s)
    return InLine(line.group, (age, priority, key, sequence), line.count, line.since_s, entry=line.entry)


def _lines_of(cluster: Cluster, job: Job, policy: Policy, *, now_s: float) -> Iterator[InLine]:
    """Where the groups of a job would stand that would be in line at once."""
    for number, group in enumerate(job.groups):
        if group.wants_place:
            key = key_of(cluster, policy, group, now_s=now_s)
            place = (standing(cluster, job), -job.priority, key, cluster.sequence + 1 + number)
            yield InLine(group, place, group.untouched, now_s)


def _changed_nodes(nodes: Sequence[Node], change: Change) -> list[Node]:
    found = [_drained(node) if node.name in change.drain else node for node in nodes]
    if change.like is not None:
        found += (_empty(change.like, number) for number in range(change.add))
    return found


def _drained(node: Node) -> Node:
    """What runs there goes on; nothing more comes."""
    drained = copy.copy(node)
    drained.admin = NodeAdmin.DRAINING
    return drained


def _empty(like: Node, number: int) -> Node:
    """A node like another one, ready to take work."""
    node = copy.copy(like)
    node.name = NodeName(f"{like.name}+{number + 1}")
    node.health, node.admin, node.overdue = NodeHealth.HEALTHY, NodeAdmin.ACTIVE, False
    node.attempts, node.allocated, node.holding = {}, Resources(), 0
    return node


class _Moved(NamedTuple):
    """When an entry would start on average; infinite: not as things stand."""

    line: InLine
    run_s: float
    before_s: float
    after_s: float

    @property
    def tasks(self) -> int:
        return self.line.count

    def slowdown(self, start_s: float) -> float:
        wait_s = max(start_s - self.line.since_s, 0.0)
        return max(1.0, (wait_s + self.run_s) / max(self.run_s, BOUND_S))


def _effect(moved: Sequence[_Moved], now_s: float) -> Effect:
    both = [each for each in moved if math.isfinite(each.before_s) and math.isfinite(each.after_s)]
    weight = max(sum(each.tasks for each in both), 1)
    noticed = [each for each in moved if _is_noticed(each, now_s)]
    return Effect(
        tasks=sum(each.tasks for each in moved),
        wait_before_s=sum(each.tasks * (each.before_s - now_s) for each in both) / weight,
        wait_after_s=sum(each.tasks * (each.after_s - now_s) for each in both) / weight,
        slowdown_before=sum(each.tasks * each.slowdown(each.before_s) for each in both) / weight,
        slowdown_after=sum(each.tasks * each.slowdown(each.after_s) for each in both) / weight,
        earlier=sum(each.tasks for each in noticed if each.after_s < each.before_s),
        later=sum(each.tasks for each in noticed if each.after_s > each.before_s),
        stuck_before=sum(each.tasks for each in moved if each.before_s == math.inf),
        stuck_after=sum(each.tasks for each in moved if each.after_s == math.inf),
    )


def _is_noticed(moved: _Moved, now_s: float) -> bool:
    if math.inf in (moved.before_s, moved.after_s):
        return moved.before_s != moved.after_s
    least_s = max(NOTICED_S, NOTICED_SHARE * (moved.before_s - now_s))
    return abs(moved.after_s - moved.before_s) > least_s


def _affected(moved: Sequence[_Moved]) -> Affected:
    """One job, by the first of its tasks to start and the mean of their slowdowns."""
    job, tasks = moved[0].line.group.job, sum(each.tasks for each in moved)
    found = Affected(job=job.number, user=job.owner, tasks=tasks)
    if all(math.isfinite(each.before_s) for each in moved):
        found.starts_before = min(each.before_s for each in moved)
        found.slowdown_before = sum(each.tasks * each.slowdown(each.before_s) for each in moved) / tasks
    if all(math.isfinite(each.after_s) for each in moved):
        found.starts_after = min(each.after_s for each in moved)
        found.slowdown_after = sum(each.tasks * each.slowdown(each.after_s) for each in moved) / tasks
    return found


def _shift(row: Affected) -> float:
    if row.starts_before is None or row.starts_after is None:
        return 0.0 if row.starts_before is row.starts_after else math.inf
    return abs(row.starts_after - row.starts_before)
