"""Nodes that are left out for a task, because they could not start it: others are to try first.

What a node lacks (an image that it cannot fetch, a copy, a file, room on its disk) it mostly lacks again a
moment later, and five losses are a task's end. So a node that gave a reason for not starting a task gets no
other try of it within `blame_window_s`, as long as a node is left that takes work and could hold it, busy or
not. Where none is left, the node that refused longest ago is the first to be asked again.

Nothing of this is kept but the losses themselves: who is left out follows from them, the nodes and the time.
So it is the same after a restart, and a node that comes back is left out again for the rest of its time. A
task for which somebody is left out is of another shape than its group, and waits in the line of that one.
"""

from __future__ import annotations

import heapq
import math
from collections import deque

from msgspec.structs import replace

from bus.units import format_duration_s
from bus.values import NodeName, Outcome
from coordinator.core.changes import enqueue
from coordinator.core.model import Attempt, Cluster, Refusal, Shape, Task, Waiting
from coordinator.core.scheduler.feasible import mismatches
from coordinator.core.scheduler.gangs import seats_ever
from coordinator.core.scheduler.order import in_force

CAME_BACK_WITHOUT = "its node came back without it"
UNKNOWN_THERE = "its node does not know it"
FELL_SILENT = "its node fell silent"
LEASE_RAN_OUT = "its lease ran out on the node"
"""The message of attempts that are lost to nobody's fault; `attempts.sql` leaves them out, too."""

NOT_ITS_WORDS = ("", str(Outcome.LOST), CAME_BACK_WITHOUT, UNKNOWN_THERE, FELL_SILENT, LEASE_RAN_OUT)
"""Messages of lost attempts by which no node has said why it did not start one."""

_WHY_MAX = 200
_LOOK_S = 1.0
_LOOKED_AT_PER_S = 1_000.0


def refusal_of(attempt: Attempt, message: str, *, now_s: float) -> Refusal | None:
    """What a lost attempt says of its node; None: it began, or nobody knows why it did not."""
    if attempt.started_at is not None or message in NOT_ITS_WORDS:
        return None
    return Refusal(now_s, message)


def note_refusal(cluster: Cluster, task: Task, node: NodeName, refusal: Refusal) -> None:
    """It speaks against the node from now on; `choose_line` obeys, or the next look at all of them."""
    task.refusals = {**(task.refusals or {}), node: refusal}
    cluster.refused[task.ref] = task
    cluster.refusals_due_s = min(cluster.refusals_due_s, refusal.at_s + _LOOK_S)


def tried_anew(task: Task) -> None:
    """It has come to a verdict of its own: what speaks against it, and against nodes, begins anew."""
    task.lost_on, task.refusals, task.own_shape = (), None, None


def forgive(cluster: Cluster, node: NodeName) -> None:
    """Somebody has looked at the node, and gives it work again: what it refused does not count any more."""
    for task in cluster.refused.values():
        if task.refusals and node in task.refusals:
            task.refusals = {name: each for name, each in task.refusals.items() if name != node} or None
            cluster.refusals_due_s = -math.inf


def choose_line(cluster: Cluster, task: Task, *, now_s: float) -> None:
    """Before it comes into line: who is left out for it."""
    task.own_shape = _own_shape(task, left_out(cluster, task, now_s=now_s))


def left_out(
    cluster: Cluster, task: Task, *, now_s: float, known: dict[Shape, bool] | None = None
) -> tuple[NodeName, ...]:
    """The nodes that are to have no other try of the task now, by name.

    `known`: whether there is place for a shape; the same for all tasks of one look.
    """
    without: tuple[NodeName, ...] = ()
    known = {} if known is None else known
    for name in _recent(cluster, task, now_s=now_s):
        more = tuple(sorted((*without, name)))
        shape = replace(task.group.shape, without=more)
        if shape not in known:
            known[shape] = _has_place(cluster, shape)
        if not known[shape]:
            break
        without = more
    return without


def settle_refusals(cluster: Cluster, *, now_s: float) -> None:
    """Put those into other lines for whom others are left out than when they came into line.

    The more there are, the less often: a thousand of them cost some milliseconds.
    """
    moved: list[tuple[Task, Shape | None]] = []
    known: dict[Shape, bool] = {}
    for ref, task in list(cluster.refused.items()):
        is_over = cluster.find_task(ref) is not task
        if is_over or not (task.own_shape or _recent(cluster, task, now_s=now_s)):
            del cluster.refused[ref]
        elif task.waits:
            own = _own_shape(task, left_out(cluster, task, now_s=now_s, known=known))
            if own != task.own_shape:
                moved.append((task, own))
    _move(cluster, moved, now_s=now_s)
    count = len(cluster.refused)
    cluster.refusals_due_s = now_s + _LOOK_S + count / _LOOKED_AT_PER_S if count else math.inf


def told(task: Task, node: NodeName, message: str) -> str:
    """`message`, by which the node did not start it, with what follows from it."""
    if node in task.shape.without:
        return f"{message}; {node} is left out of its next try"
    return f"{message}; no other node could take it, so {node} may have it again"


def stories(cluster: Cluster, task: Task, *, now_s: float) -> list[str]:
    """What nodes said lately that could not start it, and what followed: for people."""
    refusals = task.refusals or {}
    found = []
    for name in _recent(cluster, task, now_s=now_s):
        ago = format_duration_s(now_s - refusals[name].at_s)
        said = f"{name} could not start it {ago} ago ({refusals[name].why[:_WHY_MAX]})"
        left = name in task.shape.without
        found.append(f"{said}, and is left out" if left else f"{said}, and no other node could take it")
    return found


def lasting(cluster: Cluster, task: Task, *, now_s: float) -> float:
    """In how many seconds the first node is not left out any more, if it is not by then."""
    ages = [now_s - each.at_s for name, each in (task.refusals or {}).items() if name in task.shape.without]
    return max(cluster.limits.blame_window_s - max(ages, default=0.0), 0.0)


def _recent(cluster: Cluster, task: Task, *, now_s: float) -> list[NodeName]:
    """Who refused it within the time that counts, the newest first."""
    if not task.refusals:
        return []
    since_s = now_s - cluster.limits.blame_window_s
    found = sorted((-each.at_s, name) for name, each in task.refusals.items() if each.at_s > since_s)
    return [name for _, name in found]


def _own_shape(task: Task, without: tuple[NodeName, ...]) -> Shape | None:
    return replace(task.group.shape, without=without) if without else None


def _has_place(cluster: Cluster, shape: Shape) -> bool:
    """Whether nodes that take work could hold it, whoever is there now."""
    able = (node for node in cluster.nodes.values() if node.takes_work and not node.overdue)
    if shape.gang is not None:
        return seats_ever(able, shape) >= shape.gang.size
    return any(not mismatches(node, shape) for node in able)


def _move(cluster: Cluster, moved: list[tuple[Task, Shape | None]], *, now_s: float) -> None:
    """Each into its line, at the place that it had; of a limited group behind those that are in it."""
    moving = {id(task) for task, _ in moved}
    entries: dict[int, Waiting] = {}
    for shape in {task.shape for task, _ in moved} & cluster.lines.keys():
        line = cluster.lines[shape]
        entries |= {id(each.entry): each for each in line.entries if id(each.entry) in moving}
        line.entries = [each for each in line.entries if id(each.entry) not in moving]
        heapq.heapify(line.entries)
    for group in {id(task.group): task.group for task, _ in moved if task.group.again}.values():
        group.again = deque(task for task in group.again or () if id(task) not in moving)
    for task, own in moved:
        task.own_shape = own
        entry = entries.get(id(task))
        if entry is not None and not task.group.limit:
            policy = in_force(cluster)
            cluster.line_of(task.shape, keyed_by=policy.name, now_s=now_s).push(entry)
        elif entry is not None or task.group.limit:
            task.in_line = False
            enqueue(cluster, task, now_s=now_s)
    cluster.dirty = cluster.dirty or bool(moved)
