"""Who makes room for whom: preemptible work of lower priority, for a head that waits in vain.

Pure, like the round: it names what should end and changes nothing. A head that has waited `preempt_after_s`
without fitting anywhere gets the node on which the least running time would be lost. There the attempts that
lose least go first, and what turns out not to be needed is spared again: take one out of the answer and the
head does not fit. What is ending already counts as room, so nobody asks twice for the same head. Who is so
old that it goes before the head in the line is left alone: it would take the place again that it made.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from bus.values import AttemptRef, AttemptState, NodeName, Resources
from coordinator.core.model import Attempt, Cluster, Job, Node, Shape, Waiting
from coordinator.core.scheduler.feasible import mismatches
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
    claimed: dict[NodeName, Resources] = {}
    for head, shape in heads:
        request = shape.resources
        able = [node for node in survey.nodes if _may_have(cluster, node, shape)]
        places = [(node, survey.later(node) - claimed.get(node.name, Resources())) for node in able]
        coming = next((node for node, later in places if request.fits(later)), None)
        if coming is None:
            found = [
                room
                for node, later in places
                if (room := survey.choose(node, request, later, job=head.job)) is not None
            ]
            if not found:
                continue
            best = min(found, key=lambda room: (room.lost_s, len(room.victims), room.node.name))
            yield best
            coming = best.node
            survey.forget(coming)
        claimed[coming.name] = claimed.get(coming.name, Resources()) + request


def room_coming(cluster: Cluster, shape: Shape) -> Node | None:
    """A node that is kept for nobody, on which `shape` fits once what makes room there has ended."""
    for name in sorted({attempt.node for attempt in cluster.yielding.values()} - cluster.reserved.keys()):
        node = cluster.nodes[name]
        if _may_take(node, shape) and shape.resources.fits(_later(node)):
            return node
    return None


def _heads(cluster: Cluster, *, now_s: float) -> list[tuple[Waiting, Shape]]:
    """The heads that the last round could not place, and that have waited long enough; in their order."""
    heads = []
    for shape in cluster.blocked:
        line = cluster.lines.get(shape)
        head = line.head() if line is not None else None
        if head is not None and now_s - head.since_s >= cluster.limits.preempt_after_s:
            heads.append((head, shape))
    heads.sort(key=lambda each: each[0].place)
    return heads[:HEADS_MAX]


def _may_have(cluster: Cluster, node: Node, shape: Shape) -> bool:
    """It may take tasks of the shape, and is kept for no other."""
    return _may_take(node, shape) and cluster.reserved.get(node.name, shape) == shape


def _may_take(node: Node, shape: Shape) -> bool:
    return node.takes_work and not mismatches(node, shape)


def _later(node: Node) -> Resources:
    """What is free on a node once all has ended that was told to."""
    ending = (each.requested for each in node.attempts.values() if each.holding and _ends(each))
    return sum(ending, node.free)


def _ends(attempt: Attempt) -> bool:
    return attempt.yielding or attempt.cancelling


class _Survey:
    """What ends, and what could be made to end, node by node: looked up once for all heads."""

    def __init__(self, cluster: Cluster, *, now_s: float) -> None:
        self._cluster = cluster
        self._victims: dict[NodeName, list[tuple[float, AttemptRef, Attempt]]] = {}
        self._later: dict[NodeName, Resources] = {}
        for each in cluster.preemptible.values():
            if each.holding and not _ends(each):
                victims = self._victims.setdefault(each.node, [])
                victims.append((lost_s(each, now_s), each.ref, each))
        for victims in self._victims.values():
            victims.sort()
        names = self._victims.keys() | {each.node for each in cluster.yielding.values()}
        self.nodes = [cluster.nodes[name] for name in sorted(names)]

    def later(self, node: Node) -> Resources:
        """What is free on the node once all has ended that was told to."""
        if node.name not in self._later:
            self._later[node.name] = _later(node)
        return self._later[node.name]

    def forget(self, node: Node) -> None:
        """More ends there now."""
        del self._later[node.name]

    def choose(self, node: Node, request: Resources, later: Resources, *, job: Job) -> Room | None:
        """The attempts whose end lets `request` fit, each of them needed; None: not even all would."""
        taken: list[tuple[float, Attempt]] = []
        free = later
        for lost, _, each in self._victims.get(node.name, ()):
            if request.fits(free):
                break
            if gives_way(self._cluster, each, job) and not _ends(each):
                taken.append((lost, each))
                free += each.requested
        if not request.fits(free):
            return None
        for pair in reversed(list(taken)):
            if request.fits(free - pair[1].requested):
                taken.remove(pair)
                free -= pair[1].requested
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
