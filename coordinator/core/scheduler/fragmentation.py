"""Fragmentation: the free GPU that the tasks to be expected could not use (Weng et al., ATC'23, FGD).

    F_n = Σ_m p_m · f_n(m);  f_n(m) = all free GPU of node n where m could not run there,
                                      else what is free on GPUs that are too full for m

over the typical requests m with their shares p. A placement is as good as the fragmentation it saves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from coordinator.core.scheduler.gpus import Floats, Ints, Mask, Request

SHARE_COVERED = 0.95


class Typical:
    """The most frequent requests for processors and GPUs, up to 95 % of all; `shares` add up to 1.

    As arrays: `cpu`, `gpus`, `wants_gpu`, and of each GPU `levels[level_of]` thousandths.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        counts = Counter(request._replace(mem_mib=0, models=frozenset()) for request in requests)
        found: list[tuple[Request, int]] = []
        covered = 0
        for request, count in sorted(counts.items(), key=lambda pair: _rank(*pair), reverse=True):
            if covered >= SHARE_COVERED * len(requests):
                break
            found.append((request, count))
            covered += count
        self.requests = tuple(request for request, _ in found)
        self.shares: Floats = np.array([count / covered for _, count in found])
        self.cpu: Ints = np.array([request.cpu_millis for request in self.requests])
        self.gpus: Ints = np.array([request.gpus for request in self.requests])
        self.levels, self.level_of = np.unique(
            np.array([request.milli for request in self.requests], dtype=np.int64), return_inverse=True
        )
        self.wants_gpu: Mask = self.levels[self.level_of] > 0

    def unusable(self, gpus: Ints, cpu: Ints) -> Floats:
        """f_n(m) in thousandths of a GPU, shape (rows, typical requests)."""
        there = gpus[:, None, :] >= self.levels[None, :, None]
        low = np.where(there, 0, np.maximum(gpus, 0)[:, None, :]).sum(axis=2)[:, self.level_of]
        total = np.maximum(gpus, 0).sum(axis=1)[:, None]
        runs = (
            (cpu[:, None] >= self.cpu) & (there.sum(axis=2)[:, self.level_of] >= self.gpus) & self.wants_gpu
        )
        found: Floats = np.where(runs, low, total).astype(np.float64)
        return found

    def fragmentation(self, gpus: Ints, cpu: Ints) -> Floats:
        """F_n in thousandths of a GPU, shape (rows,)."""
        found: Floats = self.unusable(gpus, cpu) @ self.shares
        return found


def _rank(request: Request, count: int) -> tuple[int, int, int, int]:
    """Frequent ones first, and of those the large."""
    return count, request.cpu_millis, request.milli, request.gpus
