"""Placement preferences: which of the feasible nodes a job would rather have. Smaller scores first.

    score = 10⁷ · points + 10³ · place + rank
    points = Σ weights of preferred labels it lacks + Σ weights of avoided jobs that have tasks there
             + Σ weights of content that must be brought there (see `core.contents`)
             + spread: tasks of the job on nodes of its topology's value, or on the node itself
    place  = spread over a topology: tasks of the job on the node
             pack: its place in greedy packing, as of the start of the round

So a wish outweighs any rank, spreading counts a task as much as a wish of weight 1, and packing gives way to
wishes. Greedy packing takes what has tasks of the job already, then the value of the topology and the node
with room for most of its tasks: of equal tasks that takes the fewest nodes. Nodes without the label of a
topology come last. What must not be is no matter of scores: see `feasible`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bus.values import NodeName, Resources
from coordinator.core.model import Cluster, Node, Shape
from coordinator.core.scheduler.rank import RANKS, Score
from coordinator.core.scheduler.values import Values, static_rank
from coordinator.core.scheduler.wishes import Arrangement, Wishes

_POINT, _PLACE = 1e7, 1e3
_NOWHERE = 1e6
"""Points of a node without the label of the topology."""


def scoring(cluster: Cluster, shape: Shape, values: Values | None = None) -> Score:
    """How to score nodes for `shape`: by `values`, or the static rank; behind its wishes if it has any."""
    rank = values or RANKS[static_rank(cluster)]
    return rank if shape.wishes is None else Affinity(shape, shape.wishes, cluster.nodes.values(), rank)


class Affinity:
    """The score of nodes for one shape within a round; tell it of each placement."""

    def __init__(self, shape: Shape, wishes: Wishes, nodes: Iterable[Node], rank: Score) -> None:
        self._wishes = wishes
        self._rank = rank
        self._spread = wishes.arrangement is Arrangement.SPREAD
        self._own: Counter[NodeName] = Counter()
        self._by_value: Counter[str] = Counter()
        self._places: dict[NodeName, int] = {}
        if wishes.arrangement is Arrangement.ANY:
            return
        known = list(nodes)
        for node in known:
            self._add(node, node.jobs.get(wishes.job, 0))
        if wishes.arrangement is Arrangement.PACK:
            self._places = self._packing(known, shape.resources)

    def __call__(self, node: Node, request: Resources) -> float:
        return self.wished(node) + self._rank(node, request)

    def wished(self, node: Node) -> float:
        """The part of the score that is no rank: 0 where all is as the job would have it."""
        wishes = self._wishes
        points = sum(each.weight for each in wishes.prefer if node.labels.get(each.label) != each.value)
        points += sum(each.weight for each in wishes.avoid if each.weight and each.job in node.jobs)
        if wishes.held and wishes.job not in node.jobs:
            points += sum(each.weight for each in wishes.held if node.name not in each.nodes)
        place = self._places.get(node.name, 0)
        if self._spread and wishes.topology:
            points += self._by_value[node.labels.get(wishes.topology, "")]
            place = self._own[node.name]
        elif self._spread:
            points += self._own[node.name]
        if wishes.topology and wishes.topology not in node.labels:
            points += int(_NOWHERE)
        return _POINT * points + _PLACE * place

    def note_placed(self, node: Node) -> None:
        """One more task of the job is on `node`."""
        self._add(node, 1)

    def _add(self, node: Node, tasks: int) -> None:
        if tasks:
            self._own[node.name] += tasks
            self._by_value[node.labels.get(self._wishes.topology, "")] += tasks

    def _packing(self, nodes: list[Node], request: Resources) -> dict[NodeName, int]:
        """Node -> its turn in greedy packing."""
        label = self._wishes.topology
        room = {node.name: slots(request, node.free) for node in nodes}
        value_of = {node.name: node.labels.get(label, "") if label else "" for node in nodes}
        value_room: Counter[str] = Counter()
        for name, value in value_of.items():
            value_room[value] += room[name]

        def turn(node: Node) -> tuple[bool, int, str, bool, int, NodeName]:
            value = value_of[node.name]
            new_value = not self._by_value[value] if label else False
            return new_value, -value_room[value], value, not self._own[node.name], -room[node.name], node.name

        return {node.name: place for place, node in enumerate(sorted(nodes, key=turn))}


def slots(request: Resources, free: Resources) -> int:
    """How many such requests fit into `free`."""
    pairs = (
        (request.cpu_millis, free.cpu_millis),
        (request.mem_mib, free.mem_mib),
        (request.gpu_millis, free.gpu_millis),
        (request.storage_mib, free.storage_mib),
        (request.net_mbps, free.net_mbps),
    )
    return max(min((left // wanted for wanted, left in pairs if wanted), default=1), 0)
