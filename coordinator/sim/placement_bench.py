"""Placements judged on recorded GPU clusters, as FGD's evaluation does (Weng et al., ATC'23)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct

from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpu_rules import GPU_RULES
from coordinator.core.scheduler.gpus import GpuPool
from coordinator.sim.filling import fill
from coordinator.sim.judging import Progress, check_known
from coordinator.sim.openb import arrivals, read_nodes, read_pods

ANY_OF_BEST = ("random",)
"""Policies that have no fixed order among equals."""


class PlacementBench(Struct, frozen=True, kw_only=True, tag="placement"):
    """`seeds`: how many shuffles of the pods each policy gets."""

    nodes: str
    pods: str
    policies: tuple[str, ...] = tuple(GPU_RULES)
    seeds: int = 10


class PlacementResult(Struct, frozen=True, kw_only=True):
    """Of one policy. `values`: GPUs given away, in percent of all, for each seed; higher is better."""

    trace: str
    nodes: int
    gpus: int
    pods: int
    policy: str
    mean_gpu_allocation: float
    values: tuple[float, ...]
    refused: tuple[int, ...]
    ms_per_decision: float


def judge_placements(settings: PlacementBench, progress: Progress) -> Iterator[PlacementResult]:
    """One result after the other; `progress` hears runs done, and in all.

    Raises TraceError, UnknownPolicy, OSError.
    """
    check_known(settings.policies, GPU_RULES)
    nodes, pods = read_nodes(Path(settings.nodes)), read_pods(Path(settings.pods))
    typical = Typical(pods)
    total = len(settings.policies) * settings.seeds
    for number, policy in enumerate(settings.policies):
        runs, seconds, decisions = [], 0.0, 0
        for seed in range(settings.seeds):
            rng = np.random.default_rng(seed)
            pool = GpuPool(nodes)
            coming = list(arrivals(pods, pool.capacity, rng))
            begin = time.perf_counter()
            runs.append(
                fill(
                    pool,
                    coming,
                    GPU_RULES[policy],
                    typical=typical,
                    rng=rng,
                    any_of_best=policy in ANY_OF_BEST,
                )
            )
            seconds, decisions = seconds + time.perf_counter() - begin, decisions + len(coming)
            progress(number * settings.seeds + seed + 1, total)
        yield PlacementResult(
            trace=Path(settings.pods).name.removesuffix(".gz").removesuffix(".csv"),
            nodes=len(nodes),
            gpus=sum(node.gpus for node in nodes),
            pods=len(pods),
            policy=policy,
            mean_gpu_allocation=sum(run.allocation for run in runs) / len(runs),
            values=tuple(run.allocation for run in runs),
            refused=tuple(run.refused for run in runs),
            ms_per_decision=seconds / decisions * 1000,
        )
