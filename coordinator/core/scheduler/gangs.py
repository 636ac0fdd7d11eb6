"""Where all ranks of a gang fit at once; or how many of them do, and what is in the way of the others.

    seats(node) = max k : k requests fit into what is free there, GPUs too;  at most `ranks_per_node`

A gang goes onto nodes that share one value of its topology where one has seats for all ranks: the one with
the fewest left over, so that larger gangs find the others. Else it is spread over values, the widest first,
and says so. Within a value nodes come by their seats, so that few are used, and then by their rank in
force: what was learned chooses among nodes that are as good for the gang. Ranks of a node are neighbours.

Nothing is held while it does not fit. Its place is reserved like that of any blocked head (`bookings`),
as pieces; and where no walltime tells when there will be room, as many nodes are kept as could hold it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from bus.values import GPU_MILLI, Gang, NodeHealth, NodeName, Resources
from coordinator.core.model import Cluster, Node, Shape
from coordinator.core.networks import SUBNET, preferred
from coordinator.core.releases import RANKS
from coordinator.core.scheduler.affinity import scoring, slots
from coordinator.core.scheduler.bookings import Bookings
from coordinator.core.scheduler.explain import Explanation, Gathered
from coordinator.core.scheduler.feasible import (
    QUARANTINED,
    avoided,
    closed,
    gpus_of,
    gpus_wanted,
    mismatches,
    traits_of,
)
from coordinator.core.scheduler.order import static_order
from coordinator.core.scheduler.values import Values, rank_in_force


class Seats(NamedTuple):
    """So many ranks may go onto `node`."""

    node: Node
    number: int
    value: str  # of the topology


class Placed(Struct, frozen=True):
    """All ranks, each with its node, in the order of the ranks."""

    seats: tuple[Node, ...]
    gathered: Gathered


def place_gang(
    cluster: Cluster,
    shape: Shape,
    kept: Container[NodeName],
    bookings: Bookings,
    *,
    values: Values | None,
    end_s: float,
) -> Placed | None:
    """The best places for all ranks now; None: they do not all fit. Nodes in `kept` are somebody else's.

    `values`: what ranks nodes, where it was learned. `end_s`: when the gang is over at the latest.
    """
    gang = shape.gang
    assert gang is not None
    topology = preferred(cluster, gang)
    found = []
    for node in cluster.nodes.values():
        if node.name not in kept and (number := _free_seats(node, shape, bookings, end_s=end_s)):
            found.append(Seats(node, number, topology_value(node, topology)))
    chosen = _choose(found, gang)
    if chosen is None:
        return None
    score = scoring(cluster, shape, values)
    turn = {value: place for place, value in enumerate(_by_width(chosen))}

    def place(each: Seats) -> tuple[int, bool, int, float, NodeName]:
        doubtful = each.node.health is not NodeHealth.HEALTHY
        rank = score(each.node, shape.resources)
        return turn[each.value], doubtful, -each.number, rank, each.node.name

    chosen.sort(key=place)
    seats: list[Node] = []
    for each in chosen:
        seats += [each.node] * min(each.number, gang.size - len(seats))
    return Placed(tuple(seats), _gathered(gang, topology, seats, found))


def _free_seats(node: Node, shape: Shape, bookings: Bookings, *, end_s: float) -> int:
    """As of now, beside what is kept for others."""
    number = _room(node, shape)
    while number and bookings.holds(node.name):
        if bookings.limit_s(node, _times(shape.resources, number)) >= end_s:
            break
        number -= 1
    return number


def _room(node: Node, shape: Shape) -> int:
    """As of now, whoever else it is kept for. Who waits on a node would start in a place held for a rank."""
    if closed(node) or node.waiting or mismatches(node, shape) or avoided(node, shape):
        return 0
    return min(slots(shape.resources, node.free), _gpu_seats(node, shape), _most(shape))


def _gpu_seats(node: Node, shape: Shape) -> int:
    """How many ranks get the GPUs that they ask for, whichever these are."""
    wanted = gpus_wanted(shape)
    if not wanted:
        return _most(shape)
    milli = shape.resources.gpu_milli or GPU_MILLI
    free = [
        node.free_milli(gpu.uuid)
        for gpu, kind in zip(node.offered_gpus, gpus_of(node), strict=True)
        if kind.suits(shape)
    ]
    if wanted > 1:
        return sum(each >= milli for each in free) // wanted
    return sum(each // milli for each in free)


def _most(shape: Shape) -> int:
    assert shape.gang is not None
    return shape.gang.ranks_per_node or shape.gang.size


def _times(request: Resources, number: int) -> Resources:
    return sum([request] * number, Resources())


def topology_value(node: Node, topology: str) -> str:
    """What `node` has of it; "" where it has none."""
    if topology == SUBNET:
        return node.network
    return node.labels.get(topology, "") if topology else ""


def _choose(found: Sequence[Seats], gang: Gang) -> list[Seats] | None:
    """Those of the value that has enough, and the fewest; all, where none has; None: all are too few."""
    if sum(each.number for each in found) < gang.size:
        return None
    values = _by_width(found)
    enough = [value for value, number in values.items() if number >= gang.size]
    named = [value for value in enough if value] or enough
    if not named:
        return list(found)
    best = min(named, key=lambda value: (values[value], value))
    return [each for each in found if each.value == best]


def _by_width(found: Iterable[Seats]) -> dict[str, int]:
    """Value of the topology -> seats, the widest first; what has no value comes last."""
    values: dict[str, int] = {}
    for each in found:
        values[each.value] = values.get(each.value, 0) + each.number
    return dict(sorted(values.items(), key=lambda item: (not item[0], -item[1], item[0])))


def _gathered(gang: Gang, topology: str, seats: Sequence[Node], found: Sequence[Seats]) -> Gathered:
    nodes = {node.name: seats.count(node) for node in dict.fromkeys(seats)}
    values = dict.fromkeys(topology_value(node, topology) for node in dict.fromkeys(seats))
    spread = ""
    if topology and len(values) > 1:
        widest, number = next(iter(_by_width(found).items()))
        where = f"the widest is {widest} with {number}" if widest else "no node that fits has it"
        spread = f"no {topology} has {gang.size} places: {where}"
    return Gathered(ranks=gang.size, nodes=nodes, topology=topology, values=tuple(values), spread=spread)


def explained(cluster: Cluster, placed: Placed, base: Explanation) -> Explanation:
    """What the gang keeps of its decision: `base` has who chose it, and beside whom."""
    return Explanation(
        order=static_order(cluster),
        rank=rank_in_force(cluster),
        nodes=len(cluster.nodes),
        feasible=len(placed.gathered.nodes),
        class_=base.class_,
        policy=base.policy,
        rule=base.rule,
        q=base.q,
        would=base.would,
        backfill=base.backfill,
        gang=placed.gathered,
    )


def seats_now(cluster: Cluster, shape: Shape) -> dict[str, int]:
    """Value of the topology -> how many ranks fit there now, whoever else they are kept for."""
    assert shape.gang is not None
    topology = preferred(cluster, shape.gang)
    found = [
        Seats(node, _room(node, shape), topology_value(node, topology)) for node in cluster.nodes.values()
    ]
    return _by_width(each for each in found if each.number)


def seats_ever(nodes: Iterable[Node], shape: Shape, *, released: bool = False) -> int:
    """How many ranks the nodes could hold at once if nothing else ran, up or down.

    `released`: as if none of their GPUs were quarantined, nor any of their agents of an earlier release.
    """
    number = 0
    for node in nodes:
        out = traits_of(node).out if released else ()
        passing = (*((QUARANTINED,) if out else ()), *((RANKS,) if released else ()))
        if not [word for word in mismatches(node, shape) if word not in passing]:
            gpus = len([kind for kind in gpus_of(node) + out if kind.suits(shape)])
            by_gpus = _most(shape)
            if wanted := gpus_wanted(shape):
                each = GPU_MILLI // (shape.resources.gpu_milli or GPU_MILLI)
                by_gpus = gpus // wanted if wanted > 1 else gpus * each
            capacity = node.capacity + Resources(gpus=len(out))
            number += min(slots(shape.resources, capacity), by_gpus, _most(shape))
    return number


def nodes_to_keep(cluster: Cluster, shape: Shape, kept: Container[NodeName]) -> list[Node]:
    """As few nodes as could hold all ranks once they are empty, those that have the most free first.

    One value of the topology where one is wide enough, which stays the same while it drains.
    """
    gang = shape.gang
    assert gang is not None
    topology = preferred(cluster, gang)
    able = [
        Seats(node, number, topology_value(node, topology))
        for node in cluster.nodes.values()
        if node.takes_work and node.name not in kept and (number := seats_ever([node], shape))
    ]
    chosen = _choose(able, gang)
    if chosen is None:
        return []
    chosen.sort(key=lambda each: (-slots(shape.resources, each.node.free), -each.number, each.node.name))
    nodes: list[Node] = []
    number = 0
    for each in chosen:
        if number < gang.size:
            nodes.append(each.node)
            number += each.number
    return nodes
