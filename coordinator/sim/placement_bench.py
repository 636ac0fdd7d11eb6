"""Placements judged on recorded GPU clusters, as FGD's evaluation does (Weng et al., ATC'23)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from coordinator.core.scheduler.after_state import AfterState
from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gate import Evidence, Verdict
from coordinator.core.scheduler.gpu_rules import GPU_RULES, GpuRule
from coordinator.core.scheduler.gpus import GpuNode, GpuPool, Request
from coordinator.core.scheduler.node_features import NAMES
from coordinator.sim.filling import fill
from coordinator.sim.judging import Progress, check_known
from coordinator.sim.openb import arrivals, read_nodes, read_pods
from coordinator.sim.placement_gate import ANY_OF_BEST, gate
from coordinator.sim.placement_training import ROUNDS, Round, Trained, train

LEARNED = "learned"
"""Weights learned from other arrivals than the tested ones, or the best static rule: as the gate says."""


class PlacementBench(Struct, frozen=True, kw_only=True, tag="placement"):
    """`seeds`: how many shuffles of the pods each policy gets; `rng_seed`: of the learned one's training."""

    nodes: str
    pods: str
    policies: tuple[str, ...] = tuple(GPU_RULES)
    seeds: int = 10
    rng_seed: int = 1


class PlacementResult(Struct, frozen=True, kw_only=True):
    """Of one policy. `values`: GPUs given away, in percent of all, for each seed; higher is better.

    Of `learned` also which rule acted, why, with which weights, how they came about, and in what time.
    """

    trace: str
    nodes: int
    gpus: int
    pods: int
    policy: str
    mean_gpu_allocation: float
    values: tuple[float, ...]
    refused: tuple[int, ...]
    ms_per_decision: float
    std_gpu_allocation: float = 0.0
    training_seed: int | None = None
    training_seconds: float | None = None
    acted: str | None = None
    evidence: Evidence | None = None
    weights: dict[str, float] | None = None
    rounds: tuple[Round, ...] | None = None


class Choice(NamedTuple):
    """`rule`: the one that acts."""

    rule: GpuRule
    verdict: Verdict
    learned: Trained
    seconds: float


def judge_placements(settings: PlacementBench, progress: Progress) -> Iterator[PlacementResult]:
    """One result after the other; `progress` hears runs done, and in all.

    Raises TraceError, UnknownPolicy, OSError.
    """
    check_known(settings.policies, (*GPU_RULES, LEARNED))
    nodes, pods = read_nodes(Path(settings.nodes)), read_pods(Path(settings.pods))
    typical = Typical(pods)
    total = len(settings.policies) * settings.seeds
    if LEARNED in settings.policies:
        total += ROUNDS
    done = 0

    def heard() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    for policy in settings.policies:
        trained = _trained(settings, nodes, pods, typical, heard) if policy == LEARNED else None
        rule = GPU_RULES[policy] if trained is None else trained.rule
        runs, seconds, decisions = [], 0.0, 0
        for seed in range(settings.seeds):
            rng = np.random.default_rng(seed)
            pool = GpuPool(nodes)
            coming = list(arrivals(pods, pool.capacity, rng))
            begin = time.perf_counter()
            runs.append(
                fill(pool, coming, rule, typical=typical, rng=rng, epsilon=float(policy in ANY_OF_BEST))
            )
            seconds, decisions = seconds + time.perf_counter() - begin, decisions + len(coming)
            heard()
        values = [run.allocation for run in runs]
        yield PlacementResult(
            trace=Path(settings.pods).name.removesuffix(".gz").removesuffix(".csv"),
            nodes=len(nodes),
            gpus=sum(node.gpus for node in nodes),
            pods=len(pods),
            policy=policy,
            mean_gpu_allocation=fmean(values),
            std_gpu_allocation=pstdev(values),
            values=tuple(values),
            refused=tuple(run.refused for run in runs),
            ms_per_decision=seconds / max(decisions, 1) * 1000,  # a pod may ask for more than ever arrives
            **_about(settings, trained),
        )


def _trained(
    settings: PlacementBench,
    nodes: Sequence[GpuNode],
    pods: Sequence[Request],
    typical: Typical,
    heard: Callable[[], None],
) -> Choice:
    """On arrivals drawn from another stream than any that is tested: those have one number for a seed."""
    begin = time.perf_counter()
    training, judging = np.random.default_rng([settings.rng_seed, 0]).spawn(2)
    learned = train(nodes, pods, typical, rng=training, heard=heard)
    weights = np.array(learned.weights)
    verdict = gate(nodes, pods, typical, weights, rng=judging)
    rule = AfterState(typical, weights) if verdict.policy else GPU_RULES[verdict.static]
    return Choice(rule, verdict, learned, time.perf_counter() - begin)


def _about(settings: PlacementBench, trained: Choice | None) -> dict[str, Any]:
    if trained is None:
        return {}
    return {
        "training_seed": settings.rng_seed,
        "training_seconds": trained.seconds,
        "acted": trained.verdict.policy or trained.verdict.static,
        "evidence": trained.verdict.evidence,
        "weights": dict(zip(NAMES, trained.learned.weights, strict=True)),
        "rounds": trained.learned.rounds,
    }
