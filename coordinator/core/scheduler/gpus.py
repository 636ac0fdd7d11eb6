"""Nodes with GPUs that are given away in thousandths, as arrays: where a request fits, and what it leaves.

A request is for one GPU or a part of it (`milli` of 1,000), for several whole ones, or for none. Rows are
nodes, columns their GPUs; a GPU that a node does not have is -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WHOLE = 1000
ABSENT = -1

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Request(NamedTuple):
    """`milli`: of each GPU; `models`: those that will do, empty for any."""

    cpu_millis: int
    mem_mib: int
    gpus: int = 0
    milli: int = 0
    models: frozenset[str] = frozenset()

    @property
    def shares(self) -> bool:
        """Whether a part of one GPU is asked for."""
        return self.gpus == 1 and 0 < self.milli < WHOLE

    @property
    def total_milli(self) -> int:
        return self.gpus * self.milli


class GpuNode(NamedTuple):
    """As it is when nothing runs there."""

    name: str
    cpu_millis: int
    mem_mib: int
    gpus: int
    model: str


class Whole(NamedTuple):
    """Nodes as they are when nothing runs there, shape (rows,) each."""

    cpu: Ints
    memory: Ints
    gpus: Ints

    def of(self, rows: Ints) -> Whole:
        return Whole(self.cpu[rows], self.memory[rows], self.gpus[rows])


class GpuPool:
    """What is free; `take` changes it. All questions may be asked of some rows only."""

    def __init__(self, nodes: Sequence[GpuNode]) -> None:
        width = max(1, *(node.gpus for node in nodes))
        self.nodes = tuple(nodes)
        self.models = tuple(sorted({node.model for node in nodes}))
        self.whole = Whole(
            np.array([node.cpu_millis for node in nodes], dtype=np.int64),
            np.array([node.mem_mib for node in nodes], dtype=np.int64),
            np.array([node.gpus for node in nodes], dtype=np.int64),
        )
        self.cpu, self.memory = self.whole.cpu.copy(), self.whole.memory.copy()
        self.model: Ints = np.array([self.models.index(node.model) for node in nodes], dtype=np.int64)
        self.gpus: Ints = np.array(
            [[WHOLE] * node.gpus + [ABSENT] * (width - node.gpus) for node in nodes], dtype=np.int64
        )
        self.cpu_most = int(self.cpu.max())
        self.gpu_most = int(width * WHOLE)
        self.capacity = sum(node.gpus for node in nodes) * WHOLE

    def free_gpu(self, rows: Ints) -> Ints:
        """Thousandths of a GPU, shape (rows,)."""
        total: Ints = np.maximum(self.gpus[rows], 0).sum(axis=1)
        return total

    def accepted(self, request: Request) -> Mask:
        """By model, shape (models,)."""
        return np.array([not request.models or model in request.models for model in self.models])

    def fits(self, request: Request, rows: Ints) -> Mask:
        """Where it could be placed now."""
        found: Mask = (self.cpu[rows] >= request.cpu_millis) & (self.memory[rows] >= request.mem_mib)
        if request.milli:
            found &= self.accepted(request)[self.model[rows]]
            found &= (self.gpus[rows] >= request.milli).sum(axis=1) >= request.gpus
        return found

    def after(self, request: Request, rows: Ints, gpu: Ints | None = None) -> Ints:
        """The GPUs of `rows` once they have it: a part of `gpu`, or the first whole ones."""
        left = self.gpus[rows].copy()
        if request.shares:
            assert gpu is not None
            left[np.arange(len(rows)), gpu] -= request.milli
        elif request.milli:
            whole = left == WHOLE
            taken = whole & (whole.cumsum(axis=1) <= request.gpus)
            left[taken] -= request.milli
        return left

    def take(self, request: Request, row: int, gpu: int) -> None:
        """`gpu` counts where a part is asked for."""
        rows = np.array([row])
        self.gpus[row] = self.after(request, rows, np.array([gpu]))[0]
        self.cpu[row] -= request.cpu_millis
        self.memory[row] -= request.mem_mib
