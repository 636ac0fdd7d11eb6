"""Who makes room for whom: preemptible work of lower priority, for a head that waits in vain.

Pure, like the round: it names what should end and changes nothing. A head that has waited `preempt_after_s`
without fitting anywhere gets the node on which the least running time would be lost. There the attempts that
lose least go first, and what turns out not to be needed is spared again: take one out of the answer and the
head does not fit. What is ending already counts as room, so nobody asks twice for the same head. Who is so
old that it goes before the head in the line is left alone: it would take the place again that it made.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

from msgspec import Struct

from bus.values import AttemptRef, AttemptState, NodeName
from coordinator.core.model import Attempt, Cluster, Job, Node, Shape, Waiting
from coordinator.core.scheduler.feasible import avoided, find_gpus, fits_now, mismatches, once_ended
from coordinator.core.scheduler.order import standing

HEADS_MAX = 16
"""Heads that are looked at in one go, first come first: bounds its time."""


class Room(Struct, frozen=True):
    """`victims` should end on `node`, for the head of `job`; `lost_s` of running time are lost."""

    node: Node
    victims: tuple[Attempt, ...]
    job: Job
    lost_s: float


def rooms(cluster: Cluster, *, now_s: float) -> Iterator[Room]:
    """For each blocked head that may have it, one after the other; apply each before asking for the next."""
    heads = _heads(cluster, now_s=now_s)
    if not heads:
        return
    survey = _Survey(cluster, now_s=now_s)
    for head, shape in heads:
        able = [node for node in survey.nodes if _may_have(cluster, node, shape)]
        coming = next((node for node in able if fits_now(survey.later(node), shape)), None)
        if coming is None:
            rooms_found = (survey.choose(node, shape, job=head.job) for node in able)
            found = [room for room in rooms_found if room is not None]
            if not found:
                continue
            best = min(found, key=lambda room: (room.lost_s, len(room.victims), room.node.name))
            yield best
            coming = best.node
            survey.free(best)
        survey.claim(coming, shape)


def room_coming(cluster: Cluster, shape: Shape) -> Node | None:
    """A node that is kept for nobody, on which `shape` fits once what makes room there has ended."""
    for name in sorted({attempt.node for attempt in cluster.yielding.values()} - cluster.reserved.keys()):
        node = cluster.nodes[name]
        if _may_take(node, shape) and fits_now(_later(node), shape):
            return node
    return None


def _heads(cluster: Cluster, *, now_s: float) -> list[tuple[Waiting, Shape]]:
    """The heads that the last round could not place, and that have waited long enough; in their order."""
    heads = []
    for shape in cluster.blocked:
        if shape.gang is not None:
            continue  # room on one node would be of no use to it
        line = cluster.lines.get(shape)
        head = line.head() if line is not None else None
        if head is not None and now_s - head.since_s >= cluster.limits.preempt_after_s:
            heads.append((head, shape))
    heads.sort(key=lambda each: each[0].place)
    return heads[:HEADS_MAX]


def _may_have(cluster: Cluster, node: Node, shape: Shape) -> bool:
    """It may take tasks of the shape, and is kept for no other."""
    kept = cluster.reserved.get(node.name, shape), cluster.booked.get(node.name, shape)
    return _may_take(node, shape) and kept == (shape, shape)


def _may_take(node: Node, shape: Shape) -> bool:
    return node.takes_work and not mismatches(node, shape) and not avoided(node, shape)


def _later(node: Node) -> Node:
    """As it will be once all has ended that was told to."""
    return once_ended(node, [each for each in node.attempts.values() if each.holding and _ends(each)])


def _ends(attempt: Attempt) -> bool:
    return attempt.yielding or attempt.cancelling


class _Survey:
    """What ends, and what could be made to end, node by node: looked up once for all heads."""

    def __init__(self, cluster: Cluster, *, now_s: float) -> None:
        self._cluster = cluster
        self._victims: dict[NodeName, list[tuple[float, AttemptRef, Attempt]]] = {}
        self._later: dict[NodeName, Node] = {}
        for each in cluster.preemptible.values():
            if each.holding and not _ends(each):
                victims = self._victims.setdefault(each.node, [])
                victims.append((lost_s(each, now_s), each.ref, each))
        for victims in self._victims.values():
            victims.sort()
        names = self._victims.keys() | {each.node for each in cluster.yielding.values()}
        self.nodes = [cluster.nodes[name] for name in sorted(names)]

    def later(self, node: Node) -> Node:
        """As it will be once all has ended that was told to, and the heads before have their places."""
        if node.name not in self._later:
            self._later[node.name] = _later(node)
        return self._later[node.name]

    def free(self, room: Room) -> None:
        """Its victims end, too."""
        self._later[room.node.name] = once_ended(self.later(room.node), room.victims)

    def claim(self, node: Node, shape: Shape) -> None:
        """A head gets its place there."""
        later = self.later(node)
        later.give(shape.resources, find_gpus(later, shape) or ())

    def choose(self, node: Node, shape: Shape, *, job: Job) -> Room | None:
        """The attempts whose end lets `shape` fit, each of them needed; None: not even all would."""
        taken: list[tuple[float, Attempt]] = []
        later = copy(self.later(node))
        for lost, _, each in self._victims.get(node.name, ()):
            if fits_now(later, shape):
                break
            if gives_way(self._cluster, each, job) and not _ends(each):
                taken.append((lost, each))
                later.take_back(each.requested, each.gpus)
        if not fits_now(later, shape):
            return None
        for pair in reversed(list(taken)):
            spared = copy(later)
            spared.give(pair[1].requested, pair[1].gpus)
            if fits_now(spared, shape):
                taken.remove(pair)
                later = spared
        return Room(node, tuple(each for _, each in taken), job, sum(lost for lost, _ in taken))


def gives_way(cluster: Cluster, attempt: Attempt, job: Job) -> bool:
    """Of lower priority than `job`, and behind it in a line as well."""
    own = attempt.task.group.job
    return own.priority < job.priority and standing(cluster, own) >= standing(cluster, job)


def lost_s(attempt: Attempt, now_s: float) -> float:
    """How long it has run: what its end throws away."""
    if attempt.state is not AttemptState.RUNNING or attempt.started_at is None:
        return 0.0
    return max(now_s - attempt.started_at, 0.0)
