"""What a future is played on, whoever waits: the nodes, what runs there, and until when.

It is taken in the loop, once for all scenes of a question. Tasks of one owner, shape and walltime are alike:
what is foretold of them, and what they hold, is looked up once for all of them. A large cluster is taken in
`slices` of its nodes, between which the loop goes on: each node is as it was at one moment, and a task that
moves just then is missed or counted twice, which is nothing beside what is only foretold.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from bus.values import NodeName, Resources
from coordinator.core.model import Cluster, Group, Node, Shape
from coordinator.core.scheduler.asking import asked_of
from coordinator.core.scheduler.forward import Amounts, Times
from coordinator.core.scheduler.pool import Mask, Pool

SLICE = 4_000
"""Tasks and nodes that are looked at at once: some milliseconds."""


class Ground(Struct, frozen=True):
    """Rows are nodes; `rows` to `limits` have a place for each that runs, as in `Scene`."""

    pools: tuple[Pool, ...]
    closed: tuple[int, ...]
    free: Amounts
    rows: NDArray[np.intp]
    held: Amounts
    begun: Times
    ends: Times
    limits: Times

    @property
    def nodes(self) -> list[Node]:
        """By row."""
        return [node for pool in self.pools for node in pool.nodes]

    def able(self, shape: Shape) -> Mask:
        """Where `shape` may run once there is room."""
        found: Mask = np.concatenate([pool.able(shape) for pool in self.pools])
        found[list(self.closed)] = False
        return found

    def changed(self, *, drained: Collection[NodeName], added: Sequence[Node]) -> Ground:
        """The same with nodes that take nothing more, and further ones, empty, behind the others."""
        closed = tuple(row for row, node in enumerate(self.nodes) if node.name in drained)
        if not added:
            return replace(self, closed=self.closed + closed)
        return replace(
            self,
            pools=(*self.pools, Pool(added)),
            closed=self.closed + closed,
            free=np.concatenate((self.free, table([node.free for node in added]))),
        )


def slices(nodes: Sequence[Node]) -> Iterator[Sequence[Node]]:
    """Nodes with about `SLICE` tasks together, at least one node each."""
    begin, tasks = 0, 0
    for end, node in enumerate(nodes, start=1):
        tasks += len(node.attempts) + 1
        if tasks >= SLICE:
            yield nodes[begin:end]
            begin, tasks = end, 0
    if begin < len(nodes):
        yield nodes[begin:]


def joined(parts: Sequence[Ground]) -> Ground:
    """One ground of several, in their order; at least one."""
    sizes = [len(part.free) for part in parts]
    before = np.cumsum([0, *sizes[:-1]])
    return Ground(
        pools=tuple(pool for part in parts for pool in part.pools),
        closed=tuple(int(row + at) for part, at in zip(parts, before, strict=True) for row in part.closed),
        free=np.concatenate([part.free for part in parts]),
        rows=np.concatenate([part.rows + at for part, at in zip(parts, before, strict=True)]),
        held=np.concatenate([part.held for part in parts]),
        begun=np.concatenate([part.begun for part in parts]),
        ends=np.concatenate([part.ends for part in parts]),
        limits=np.concatenate([part.limits for part in parts]),
    )


def ground_of(cluster: Cluster, nodes: Sequence[Node]) -> Ground:
    """As of now. A pass over all that runs, with as little for each as there can be."""
    runs = Runs(cluster)
    known: dict[int, int] = {}  # of groups, by identity, the number of their kind
    numbers: dict[Kind, int] = {}
    kinds: list[Group] = []
    of: list[int] = []
    began: list[float] = []
    counts: list[int] = []
    for node in nodes:
        before = len(of)
        for attempt in node.attempts.values():
            if not attempt.holding:
                continue
            group = attempt.task.group
            number = known.get(id(group))
            if number is None:
                kind = kind_of(group)
                number = known[id(group)] = numbers.setdefault(kind, len(kinds))
                if number == len(kinds):
                    kinds.append(group)
            of.append(number)
            began.append(attempt.started_at or attempt.assigned_at)
        counts.append(len(of) - before)
    each = np.array(of, dtype=np.intp)
    begun = np.array(began, dtype=np.float64)
    return Ground(
        pools=(Pool(nodes),),
        closed=(),
        free=table([node.free for node in nodes]),
        rows=np.repeat(np.arange(len(nodes), dtype=np.intp), counts),
        held=table([group.settings.resources for group in kinds])[each],
        begun=begun,
        ends=begun + np.array([runs.predicted_s(group) for group in kinds], dtype=np.float64)[each],
        limits=begun + np.array([limit_s(group) for group in kinds], dtype=np.float64)[each],
    )


Kind = tuple[str, Shape, float | None, float]


def kind_of(group: Group) -> Kind:
    """All that decides what is foretold of a task of `group` and what it holds."""
    settings = group.settings
    return group.job.owner, group.shape, settings.timeout_s, settings.grace_s


class Runs:
    """Predicted run times; those of one kind are the same."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[Kind, float] = {}

    def predicted_s(self, group: Group) -> float:
        kind = kind_of(group)
        found = self._known.get(kind)
        if found is None:
            asked = asked_of(self._cluster, group, at_s=group.job.submitted_at)
            predictor = self._cluster.planner.predictor
            found = predictor.predict(asked.user, asked.width, asked.requested_s).run_s
            self._known[kind] = found
        return found


def limit_s(group: Group) -> float:
    """The walltime asked for, with the grace to end in; infinite without one."""
    settings = group.settings
    return math.inf if settings.timeout_s is None else settings.timeout_s + settings.grace_s


def table(amounts: Sequence[Resources]) -> Amounts:
    """Rows of numbers that can be added up."""
    rows = [
        (each.cpu_millis, each.mem_mib, each.gpu_millis, each.storage_mib, each.net_mbps) for each in amounts
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 5)
