"""The cluster as a scene that can be played forward (`forward`): taken in the loop, played anywhere.

All nodes are rows; those that take no work are allowed to nobody. Of long lines every n-th entry is looked at
and stands for n, so that a scene of a million tasks costs no more than one of `ENTRIES_MAX`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice

import numpy as np
from msgspec import Struct

from bus.units import PRIORITIES
from bus.values import Resources, TaskRef, TaskState, UserName
from coordinator.core.model import Cluster, Group, Shape, Task, Waiting
from coordinator.core.scheduler.asking import UNSAID_S
from coordinator.core.scheduler.coming import Coming, Newcomer, gaps
from coordinator.core.scheduler.forward import Discipline, Entry, Scene
from coordinator.core.scheduler.gpus import WHOLE
from coordinator.core.scheduler.ground import Ground, Runs, limit_s, table
from coordinator.core.scheduler.order import base_rule, began_s, in_force
from coordinator.core.scheduler.places import Wanted
from coordinator.core.scheduler.planner import Asked
from coordinator.core.scheduler.policies import Backfill, Kind, Policy, base_key
from coordinator.core.scheduler.rules import Waits

ENTRIES_MAX = 1_000
SORTED_MAX = 3 * ENTRIES_MAX
JOBS_MAX = 5_000
"""Among so many of the newest jobs a user's newest one is looked for."""

Place = tuple[int, int, float, int]


class InLine(Struct, frozen=True):
    """`count` tasks of a group that wait, and where they stand; `since_s`: since when.

    `at_s`: who comes only then. `entry`: of the waiting line, where it has one.
    """

    group: Group
    place: Place
    count: int
    since_s: float
    at_s: float = -math.inf
    entry: Group | Task | None = None

    @property
    def shape(self) -> Shape:
        return self.entry.shape if isinstance(self.entry, Task) else self.group.shape

    @property
    def first(self) -> TaskRef:
        """Who of them would start first."""
        assert self.entry is not None, "only what stands in the line is asked"
        return self.entry.next_task


def in_line(cluster: Cluster, *, before: Place | None = None) -> list[InLine]:
    """Who waits, in the order in force, or only who goes before a place; at most `ENTRIES_MAX`.

    Of more than `SORTED_MAX` in all lines every n-th of each is sorted at all.
    """
    thinned = max(-(-sum(len(line.entries) for line in cluster.lines.values()) // SORTED_MAX), 1)
    entries = [
        waiting
        for line in cluster.lines.values()
        for waiting in line.entries[(thinned - 1) // 2 :: thinned]
        if (before is None or waiting.place < before) and waiting.wants_place
    ]
    entries.sort()
    stride = max(-(-len(entries) // ENTRIES_MAX), 1)
    counts = thinned * stride
    return [
        InLine(each.group, each.place, counts * each.entry.startable, each.since_s, entry=each.entry)
        for each in entries[(stride - 1) // 2 :: stride]
    ]


def own_entry(cluster: Cluster, group: Group, index: int) -> tuple[Waiting, int] | None:
    """The entry that stands for task `index` of `group`, and how many go before that; None: in no line."""
    task = group.find_task(index)
    if task is not None and task.state is not TaskState.QUEUED:
        return None
    entry = group if task is None or (group.limit and task.own_shape is None) else task
    line = cluster.lines.get(entry.shape)
    own = next((each for each in (line.entries if line is not None else ()) if each.entry is entry), None)
    if own is None:
        return None
    again = list(group.again or ())
    if task is None:
        skipped = sum(each < index for each in group.skipped or ())
        return own, index - group.cursor - skipped + len(again)
    return own, again.index(task) if entry is group else 0


class Latest(Struct, frozen=True):
    """A task that came lately, and how one like it would stand: its class but for its age, and its key."""

    asked: Asked
    shape: Shape
    standing: int
    priority: int
    key: float


def newcomers(cluster: Cluster, *, now_s: float, policy: Policy | None = None) -> list[Latest]:
    """The latest arrivals; none while the learner does not know what they asked for.

    Of what they asked for only amounts are known: they may run wherever those fit. Their priority is that of
    their owner's newest job.
    """
    learner = cluster.planner
    force = policy or in_force(cluster)
    count = min(len(learner.recent), len(learner.requests))
    recent, requests = list(learner.recent), list(learner.requests)
    priorities: dict[UserName, int] = {}
    for job in islice(reversed(cluster.jobs.values()), JOBS_MAX):
        priorities.setdefault(job.owner, job.priority)
    found = []
    for asked, wanted in zip(recent[len(recent) - count :], requests[len(requests) - count :], strict=True):
        owner = UserName(asked.user)
        priority = priorities.get(owner, PRIORITIES["normal"])
        standing = cluster.shares.level(owner) - priority
        key = _key_of_newcomer(cluster, force, asked, now_s=now_s)
        found.append(Latest(asked, _shape(wanted), standing, priority, key))
    return found


def _key_of_newcomer(cluster: Cluster, policy: Policy, asked: Asked, *, now_s: float) -> float:
    """Of a task that comes now, as `order.key_of` has it of those that wait."""
    rule = base_rule(policy)
    if rule == "fcfs":
        return 0.0
    run_s, weight = cluster.planner.predictor.predict(asked.user, asked.width, asked.requested_s)
    if policy.kind is Kind.STATIC:
        run_s = math.inf if asked.requested_s == UNSAID_S else asked.requested_s
    came = Waits(run_s, asked.width, now_s - began_s(cluster))
    return base_key(rule, came, nodes=asked.nodes, weight=weight)


def coming_of(
    cluster: Cluster, entries: Sequence[InLine], latest: Sequence[Latest], *, now_s: float
) -> Coming:
    """Who may come to the scene of `entries` that was made with `latest` too."""
    lines = _lines(entries, latest)
    between = gaps([each.asked.at_s for each in latest], now_s=now_s)
    predictor = cluster.planner.predictor
    found = []
    for gap_s, each in zip(between, latest, strict=True):
        asked = each.asked
        run_s = predictor.predict(asked.user, asked.width, asked.requested_s).run_s
        limit_s = math.inf if asked.requested_s == UNSAID_S else asked.requested_s
        entry = Entry(lines[each.shape], 1, run_s, limit_s)
        found.append(Newcomer(gap_s, each.standing, each.priority, each.key, entry))
    return Coming(tuple(each.place for each in entries), tuple(found), cluster.limits.ageing_s)


def scene_of(
    cluster: Cluster,
    ground: Ground,
    entries: Sequence[InLine],
    *,
    now_s: float,
    latest: Sequence[Latest] = (),
) -> Scene:
    """`entries` on `ground`, in the order in which they are to go.

    `latest` have lines too, and nobody in them.
    """
    runs = Runs(cluster)
    lines = _lines(entries, latest)
    found = tuple(
        Entry(
            lines[each.shape],
            each.count,
            runs.predicted_s(each.group),
            limit_s(each.group),
            each.at_s,
            *_ranks(each.shape),
        )
        for each in entries
    )
    return Scene(
        now_s=now_s,
        free=ground.free,
        rows=ground.rows,
        held=ground.held,
        begun=ground.begun,
        ends=ground.ends,
        limits=ground.limits,
        requests=table([shape.resources for shape in lines]),
        allowed=np.array([ground.able(shape) for shape in lines], dtype=np.bool_).reshape(
            len(lines), len(ground.free)
        ),
        entries=found,
        discipline=Discipline.FREE if cluster.backfill is Backfill.OFF else Discipline.EASY,
    )


def _ranks(shape: Shape) -> tuple[int, int]:
    """How many places a task takes at once, and at most on one node."""
    gang = shape.gang
    return (1, 1) if gang is None else (gang.size, gang.ranks_per_node or gang.size)


def _lines(entries: Sequence[InLine], latest: Sequence[Latest]) -> dict[Shape, int]:
    """A number for each shape."""
    shapes = dict.fromkeys([*(each.shape for each in entries), *(each.shape for each in latest)])
    return {shape: number for number, shape in enumerate(shapes)}


def _shape(wanted: Wanted) -> Shape:
    cpu_millis, mem_mib, gpus, milli = wanted
    whole, shared = (0, milli) if 0 < milli < WHOLE else (gpus, 0)
    return Shape(Resources(cpu_millis, mem_mib, gpus=whole, gpu_milli=shared), (), (), None)
