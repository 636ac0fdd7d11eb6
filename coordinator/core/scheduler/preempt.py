"""Who makes room for whom: preemptible work of lower priority, for a head that waits in vain.

Pure, like the round: it names what should end and changes nothing. A head that has waited `preempt_after_s`
without fitting anywhere gets the node on which the least running time would be lost. There the attempts that
lose least go first, and what turns out not to be needed is spared again: take one out of the answer and the
head does not fit. What is ending already counts as room, so nobody asks twice for the same head.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from bus.values import AttemptState, NodeName, Resources
from coordinator.core.model import Attempt, Cluster, Node, Shape, Waiting
from coordinator.core.scheduler.feasible import mismatches

HEADS_MAX = 16
"""Heads that are looked at in one go, first come first: bounds its time."""


class Room(Struct, frozen=True):
    """`victims` should end on `node`, for a head of `priority`; `lost_s` of running time are lost."""

    node: Node
    victims: tuple[Attempt, ...]
    priority: int
    lost_s: float


def rooms(cluster: Cluster, *, now_s: float) -> Iterator[Room]:
    """For each blocked head that may have it, one after the other; apply each before asking for the next."""
    claimed: dict[NodeName, Resources] = {}
    for head, shape in _heads(cluster, now_s=now_s):
        request = shape.resources
        able = _able(cluster, shape)
        places = [(node, _later(node) - claimed.get(node.name, Resources())) for node in able]
        coming = next((node for node, later in places if request.fits(later)), None)
        if coming is None:
            found = [
                room
                for node, later in places
                if (room := _choose(cluster, node, head, request, later, now_s=now_s)) is not None
            ]
            if not found:
                continue
            best = min(found, key=lambda room: (room.lost_s, len(room.victims), room.node.name))
            yield best
            coming = best.node
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
    heads.sort(key=lambda each: each[0][:3])
    return heads[:HEADS_MAX]


def _able(cluster: Cluster, shape: Shape) -> list[Node]:
    """Nodes on which something ends or could be made to, and that are kept for no other shape."""
    names = {attempt.node for attempt in (*cluster.preemptible.values(), *cluster.yielding.values())}
    return [
        cluster.nodes[name]
        for name in sorted(names)
        if _may_take(cluster.nodes[name], shape) and cluster.reserved.get(name, shape) == shape
    ]


def _may_take(node: Node, shape: Shape) -> bool:
    return node.takes_work and not mismatches(node, shape)


def _later(node: Node) -> Resources:
    """What is free on a node once all has ended that was told to."""
    ending = (each.requested for each in node.attempts.values() if each.holding and _ends(each))
    return sum(ending, node.free)


def _ends(attempt: Attempt) -> bool:
    return attempt.yielding or attempt.cancelling


def _choose(
    cluster: Cluster, node: Node, head: Waiting, request: Resources, later: Resources, *, now_s: float
) -> Room | None:
    """The attempts on `node` whose end lets `request` fit, each of them needed; None: not even all would."""
    priority = head.job.priority
    able = [
        each
        for each in cluster.preemptible.values()
        if each.node == node.name
        and each.holding
        and not _ends(each)
        and each.task.group.job.priority < priority
    ]
    able.sort(key=lambda each: (lost_s(each, now_s), each.ref))
    taken: list[Attempt] = []
    for each in able:
        if request.fits(_with(later, taken)):
            break
        taken.append(each)
    if not request.fits(_with(later, taken)):
        return None
    for each in reversed(list(taken)):
        spared = [other for other in taken if other is not each]
        if request.fits(_with(later, spared)):
            taken = spared
    return Room(node, tuple(taken), priority, sum(lost_s(each, now_s) for each in taken))


def _with(free: Resources, attempts: Iterable[Attempt]) -> Resources:
    return sum((each.requested for each in attempts), free)


def lost_s(attempt: Attempt, now_s: float) -> float:
    """How long it has run: what its end throws away."""
    if attempt.state is not AttemptState.RUNNING or attempt.started_at is None:
        return 0.0
    return max(now_s - attempt.started_at, 0.0)
