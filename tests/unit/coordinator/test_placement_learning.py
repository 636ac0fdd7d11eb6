"""Weights for placements: learned on other arrivals than the tested, used only where the gate lets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coordinator.core.scheduler.after_state import START
from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpus import Floats, GpuNode, Request
from coordinator.core.scheduler.node_features import NAMES
from coordinator.sim import placement_training
from coordinator.sim.placement_bench import LEARNED, PlacementBench, PlacementResult, judge_placements
from coordinator.sim.placement_gate import ACTING, gate
from coordinator.sim.placement_training import ROUNDS, Trained, train

NODES = [GpuNode(f"a{i}", 96_000, 400_000, 8, "A") for i in range(6)]
NODES += [GpuNode(f"b{i}", 32_000, 400_000, 4, "B") for i in range(6)]

LEAN = [
    *[Request(3000, 1000, 1, 800)] * 30,
    *[Request(11_000, 1000, 1, 1000)] * 40,
    *[Request(4000, 1000, 1, 1000)] * 20,
    *[Request(16_000, 1000)] * 15,
    *[Request(8000, 1000, 1, 450)] * 20,
    Request(60_000, 1000, 8, 1000),
]
"""Processors run out before GPUs do, where the wrong ones come together."""

SEVERAL = [
    *[Request(1000, 1000, 1, 300)] * 30,
    *[Request(2000, 1000, 2, 1000)] * 30,
    *[Request(1000, 1000, 4, 1000)] * 10,
    *[Request(4000, 1000, 1, 500)] * 20,
]


def trained(pods: list[Request], seed: int) -> Trained:
    return train(NODES, pods, Typical(pods), rng=np.random.default_rng(seed), heard=lambda: None)


@pytest.fixture(scope="module")
def lean() -> Floats:
    return np.array(trained(LEAN, 1).weights)


def judged(pods: list[Request], weights: Floats) -> tuple[str, float]:
    verdict = gate(NODES, pods, Typical(pods), weights, rng=np.random.default_rng(9))
    assert verdict.static == "fgd" and verdict.evidence.windows >= 16
    return verdict.policy, verdict.evidence.log_ratio


def test_what_was_learned_beats_the_best_static_rule(lean: Floats) -> None:
    policy, log_ratio = judged(LEAN, lean)
    assert policy == ACTING and log_ratio < -0.05, "of what FGD leaves unused, 5 % and more are used"


def test_the_gate_keeps_out_what_was_planted() -> None:
    """Weights that like fragmentation."""
    policy, log_ratio = judged(LEAN, -START)
    assert policy == "" and log_ratio > 0


def test_the_gate_keeps_out_what_was_learned_from_other_work() -> None:
    """What does well where several GPUs are wanted together collapses where processors run out."""
    several = np.array(trained(SEVERAL, 1).weights)
    policy, log_ratio = judged(SEVERAL, several)
    assert policy == ACTING and log_ratio < 0
    policy, log_ratio = judged(LEAN, several)
    assert policy == "" and log_ratio > 0.1


def test_the_same_seed_learns_the_same(lean: Floats) -> None:
    again = trained(LEAN, 1)
    assert again.weights == tuple(lean.tolist())
    assert len(again.rounds) == ROUNDS
    best = [max(each.acting, each.elite, each.explained) for each in again.rounds]
    assert best == sorted(best), "nothing acts that was worse on the kept arrivals"


def test_some_nodes_stand_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement_training, "NODES_MAX", 4)
    some = placement_training.some_of(NODES)
    assert len(some) == 4 and [node.model for node in some].count("A") == 2


def trace(folder: Path, pods: list[Request]) -> tuple[str, str]:
    lines = ["sn,cpu_milli,memory_mib,gpu,model", *(",".join(map(str, node)) for node in NODES)]
    (folder / "nodes.csv").write_text("\n".join(lines) + "\n")
    lines = ["name,cpu_milli,memory_mib,num_gpu,gpu_milli"]
    lines += [f"p,{pod.cpu_millis},{pod.mem_mib},{pod.gpus},{pod.milli}" for pod in pods]
    (folder / "pods.csv").write_text("\n".join(lines) + "\n")
    return str(folder / "nodes.csv"), str(folder / "pods.csv")


def bench(folder: Path, pods: list[Request], rng_seed: int) -> tuple[PlacementResult, PlacementResult]:
    nodes, file = trace(folder, pods)
    said: list[tuple[int, int]] = []
    settings = PlacementBench(nodes=nodes, pods=file, policies=("fgd", LEARNED), seeds=4, rng_seed=rng_seed)
    fgd, learned = judge_placements(settings, lambda done, total: said.append((done, total)))
    assert said == [(done, 8 + ROUNDS) for done in range(1, 9 + ROUNDS)]
    return fgd, learned


def test_the_bench_shows_who_acted_and_why(tmp_path: Path) -> None:
    fgd, learned = bench(tmp_path, LEAN, 5)
    assert learned.acted == ACTING and learned.training_seed == 5
    assert learned.evidence is not None and learned.evidence.t <= -2
    assert learned.mean_gpu_allocation > fgd.mean_gpu_allocation
    assert learned.std_gpu_allocation > 0 and learned.training_seconds
    assert learned.weights is not None and tuple(learned.weights) == NAMES
    assert learned.rounds is not None and learned.rounds[0].acting < learned.rounds[-1].acting
    assert (fgd.acted, fgd.evidence, fgd.weights, fgd.training_seconds) == (None, None, None, None)


def test_where_nothing_is_won_the_static_rule_places(tmp_path: Path) -> None:
    """Requests that are all alike fit anywhere as well as elsewhere."""
    fgd, learned = bench(tmp_path, [Request(1000, 1000, 1, 1000)] * 10, 1)
    assert learned.acted != ACTING and learned.evidence is not None
    assert learned.evidence.log_ratio >= 0
    assert learned.mean_gpu_allocation == fgd.mean_gpu_allocation
