"""Learned values rank the cluster's own nodes while the gate lets them, and learn on from what is unused."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np
import pytest

from bus.spec import Constraints, ResourceSpec
from bus.values import GpuInfo, Resources, UserName
from coordinator.core import why
from coordinator.core.effects import AttemptChange, EventRecord, LearnedState
from coordinator.core.events import LearnedBrought, PolicyChosen
from coordinator.core.learning import note_unused
from coordinator.core.scheduler import kept, places
from coordinator.core.scheduler.after_state import MARGIN, START
from coordinator.core.scheduler.explain import Explanation
from coordinator.core.scheduler.gpus import GpuNode
from coordinator.core.scheduler.learner import Arrival, Learner, Unused
from coordinator.core.scheduler.live_gpus import live_pool
from coordinator.core.scheduler.planner import Asked
from coordinator.core.scheduler.policies import Mode
from coordinator.core.scheduler.pool import pool_of
from coordinator.core.scheduler.values import LEARNED, LOOK_S, rank_in_force
from coordinator.sim.placement_tuning import Placed, Places, place
from tests.unit.coordinator.conftest import INVENTORY, World
from tests.unit.coordinator.essence import essence

HALF = ResourceSpec(cpu=100, memory=64, gpu=0.5)
WHOLE = ResourceSpec(cpu=100, memory=64, gpu=1)
REQUESTS = [(100, 64, 1, 500), (100, 64, 1, 500), (100, 64, 1, 1000), (100, 64, 2, 1000)]
WEIGHTS = places.write(START, REQUESTS)


def cluster_of(*gpus: int, model: str = "T4") -> World:
    """Nodes n1, n2, … with so many GPUs each, ranked by learned values."""
    world = World()
    world.cluster.rank = LEARNED
    for number, count in enumerate(gpus, start=1):
        infos = tuple(
            GpuInfo(uuid=f"n{number}-{i}", model=model, mem_mib=16, shareable=True) for i in range(count)
        )
        world.register(
            f"n{number}",
            capacity=Resources(8000, 65_536, count),
            inventory=msgspec.structs.replace(INVENTORY, gpus=infos),
        )
    world.happen(PolicyChosen(policy="", evidence={}, weights=WEIGHTS))
    world.cluster.planner.decisions = 0
    return world


def exploit(world: World) -> World:
    """Exploring is what `test_what_is_tried_…` is about."""
    world.cluster.deterministic = True
    return world


def decided(world: World) -> list[Explanation]:
    changes = (each for each in world.effects if isinstance(each, AttemptChange))
    return [each.explanation for each in changes if each.explanation is not None]


def test_a_half_joins_the_half_that_is_taken() -> None:
    world = exploit(cluster_of(2, 2))
    world.submit(command=["true"], resources=WHOLE, constraints=Constraints(nodes=["n2"]))
    world.submit(command=["true"], resources=HALF, constraints=Constraints(nodes=["n2"]))
    world.schedule()
    world.submit(command=["true"], resources=HALF)
    (placement,) = world.schedule()
    assert placement.attempt.job == 3 and world.held["n2"] and not world.held.get("n1")
    (explanation,) = decided(world)
    assert (explanation.rank, explanation.explored, explanation.epsilon) == (LEARNED, False, 0.0)
    best, other = explanation.candidates
    assert (best.node, other.node) == ("n2", "n1") and best.score < other.score
    for each in explanation.candidates:
        assert each.features and sum(each.features.values()) == pytest.approx(each.score, abs=0.05)


def test_within_a_round_values_follow_what_was_placed() -> None:
    world = exploit(cluster_of(2, 2))
    world.submit(command=["true"], resources=HALF, array="0-3")
    placed = world.schedule()
    assert len(placed) == 4 and sorted(map(len, world.held.values())) == [4]
    assert sorted(each.gpus for each in placed) == sorted(
        [each.gpus for each in placed[:1]] * 2 + [each.gpus for each in placed[-1:]] * 2
    )


def test_the_gpu_is_chosen_by_value_too() -> None:
    """What is nearly empty by its ledger may be worth more than what is nearly full."""
    world = exploit(cluster_of(2))
    world.submit(command=["true"], resources=HALF)
    (first,) = world.schedule()
    world.submit(command=["true"], resources=HALF)
    (second,) = world.schedule()
    assert first.gpus == second.gpus and len(first.gpus) == 1


def test_a_gpu_of_another_kind_is_not_given() -> None:
    world = exploit(cluster_of(0))
    kinds = tuple(
        GpuInfo(uuid=uuid, model=model, mem_mib=16, shareable=True)
        for uuid, model in (("x", "T4"), ("y", "A100"))
    )
    world.register(
        "n2", capacity=Resources(8000, 65_536, 2), inventory=msgspec.structs.replace(INVENTORY, gpus=kinds)
    )
    spec = ResourceSpec(cpu=100, memory=64, gpu=0.5, gpu_type="A100")
    world.submit(command=["true"], resources=spec)
    (placement,) = world.schedule()
    assert placement.gpus == ("y",)


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW])
def test_only_in_mode_on(mode: Mode) -> None:
    world = cluster_of(1)
    assert rank_in_force(world.cluster) == LEARNED
    world.cluster.mode = mode
    world.submit(command=["true"], resources=HALF)
    world.schedule()
    assert decided(world)[0].rank == "best_fit"
    world.cluster.mode = Mode.ON
    world.cluster.rank = "worst_fit"
    assert rank_in_force(world.cluster) == "worst_fit"


def test_a_verdict_is_told_kept_and_taken_back() -> None:
    world = cluster_of(1)
    rebuilt = world.rebuilt()
    assert rebuilt.planner.weights == WEIGHTS
    assert kept.digest(rebuilt.planner) == kept.digest(world.cluster.planner)
    begun = world.cluster.planner.explained
    world.happen(PolicyChosen(policy="", evidence={}, weights=WEIGHTS))
    assert world.cluster.planner.explained is begun
    assert [type(each) for each in world.effects] == [LearnedState], "nobody is told, the evidence is kept"
    world.happen(PolicyChosen(policy="", evidence={}, weights=places.write(2 * START, REQUESTS)))
    assert [type(each) for each in world.effects] == [LearnedState], "the same acts, by other numbers"
    world.happen(PolicyChosen(policy="", evidence={"placement": {"t": 0.5}}, weights=b""))
    (told,) = [each for each in world.effects if isinstance(each, EventRecord)]
    assert told.message == "learned values rank nodes no more" and told.details == {"evidence": {"t": 0.5}}
    assert world.cluster.planner.explained is None and rank_in_force(world.cluster) == "best_fit"


def test_what_is_tried_is_nearly_as_good_and_the_same_again() -> None:
    runs = []
    for _ in range(2):
        world = cluster_of(*[1] * 8)
        explained = []
        for _ in range(100):
            world.submit(command=["true"], resources=WHOLE)
            (placement,) = world.schedule()
            (found,) = decided(world)
            explained.append(found)
            (node,) = [name for name, held in world.held.items() if held]
            world.end(placement, node)
        runs.append(explained)
    assert runs[0] == runs[1]
    tried = [each for each in runs[0] if each.explored]
    assert 1 <= len(tried) < len(runs[0]) and all(each.epsilon > 0 for each in runs[0])
    for each in tried:
        scores = [seen.score for seen in each.candidates]
        assert scores[-1] <= min(scores) + MARGIN


def test_a_wish_is_not_explored_away() -> None:
    world = cluster_of(*[1] * 8)
    wish = Constraints(prefer=["rack=a"])
    for _ in range(40):
        world.submit(command=["true"], resources=WHOLE, constraints=wish)
        (placement,) = world.schedule()
        assert not decided(world)[0].explored and decided(world)[0].epsilon == 0.0
        (node,) = [name for name, held in world.held.items() if held]
        world.end(placement, node)


def test_where_somebody_waits_what_is_free_is_unused() -> None:
    world = cluster_of(2, 1)
    world.submit(command=["true"], resources=HALF)
    world.schedule()  # a first look: nothing to compare with
    explained = world.cluster.planner.explained
    assert explained is not None and explained.usual is None
    for _ in range(3):
        world.now_s += LOOK_S
        for _ in range(2):  # the second comes within the minute
            world.submit(command=["true"], resources=ResourceSpec(cpu=100, memory=64, gpu=2))
            world.schedule()
    assert explained.usual is not None and explained.usual[-1] == pytest.approx(0.5 / 3)
    assert world.cluster.planner.sequence == 1 + 6 + 2, "arrivals, and a sample a minute once one waits"
    rebuilt = world.rebuilt()
    assert kept.digest(rebuilt.planner) == kept.digest(world.cluster.planner)
    assert essence(rebuilt) == essence(world.cluster)


def test_samples_move_what_explains() -> None:
    explained = places.Explained.begin(WEIGHTS, gpus=0)
    usual = tuple(0.1 for _ in START)
    explained.update(usual, 0.1)
    assert explained.learner.weights.tolist() == START.tolist()
    explained.update((0.5, *usual[1:]), 0.9)
    assert explained.learner.weights[0] > START[0]
    assert explained.usual is not None and explained.usual[-1] == pytest.approx(0.14)


def test_nothing_is_noted_where_nobody_waits() -> None:
    world = cluster_of(2)
    world.submit(command=["true"], resources=HALF)
    world.schedule()
    world.now_s += LOOK_S
    note_unused(world.cluster, now_s=world.now_s)
    explained = world.cluster.planner.explained
    assert explained is not None and explained.usual is None and world.cluster.places_seen


def test_who_asks_why_sees_what_would_rank() -> None:
    world = exploit(cluster_of(1, 2))
    world.submit(command=["true"], resources=HALF, constraints=Constraints(nodes=["n2"]))
    world.schedule()
    world.submit(command=["true"], resources=HALF)
    *_, shape = world.cluster.lines
    best, *_ = why.candidates(world.cluster, shape)
    assert best.node == "n2"


def test_where_nothing_fits_nothing_is_ranked() -> None:
    world = cluster_of(1, 1)
    for _ in range(3):
        world.submit(command=["true"], resources=WHOLE)
    world.schedule()
    *_, shape = world.cluster.lines
    found = why.candidates(world.cluster, shape)
    assert [(each.node, each.score) for each in found] == [("n1", None), ("n2", None)]


def test_a_pool_shows_placements_what_it_knows() -> None:
    world = cluster_of(2, 1)
    pool = pool_of(world.cluster)
    before = pool.live
    world.submit(command=["true"], resources=HALF)
    world.schedule()
    assert pool_of(world.cluster).live is before
    again = live_pool(list(world.cluster.nodes.values()))
    assert (before.gpus == again.gpus).all() and (before.cpu == again.cpu).all()


def trained(requests: list[places.Wanted], *known: list[float]) -> Placed:
    nodes = [GpuNode(f"a{i}", 96_000, 400_000, 8, "A") for i in range(6)]
    nodes += [GpuNode(f"b{i}", 32_000, 400_000, 4, "B") for i in range(6)]
    asked = Places(nodes=tuple(nodes), requests=tuple(requests), known=tuple(map(tuple, known)))
    return place(asked, seed=3, heard=lambda: None)


def test_a_cluster_is_judged_on_its_own_work() -> None:
    """Processors run out before GPUs do, where the wrong ones come together."""
    work = [(3000, 1000, 1, 800)] * 30 + [(11_000, 1000, 1, 1000)] * 40 + [(4000, 1000, 1, 1000)] * 20
    work += [(16_000, 1000, 0, 0)] * 15 + [(8000, 1000, 1, 450)] * 20
    found = trained(work)
    assert found.weights and found.evidence is not None and found.evidence.t <= -2
    acting = places.read(found.weights).weights
    again = trained(work, acting.tolist(), (-START).tolist())
    assert again.weights and again.evidence is not None and again.evidence.log_ratio < 0


def test_what_wins_nothing_does_not_act() -> None:
    found = trained([(1000, 1000, 1, 1000)] * 100)
    assert not found.weights and found.evidence is not None and found.evidence.log_ratio >= 0


@pytest.mark.parametrize(
    "requests", [[], [(1000, 1000, 1, 1000)] * 10, [(1000, 1000, 0, 0)] * 100], ids=["none", "few", "no GPUs"]
)
def test_without_a_mix_nothing_is_judged(requests: list[places.Wanted]) -> None:
    assert trained(requests) == Placed()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


GOOD = {"schema": np.array("places/1"), "weights": START, "requests": np.array([[100, 64, 1, 500, 2]])}


@pytest.mark.parametrize(
    "data",
    [
        b"PK",
        npz(weights=START),
        npz(**GOOD | {"schema": np.array("places/9")}),
        npz(**GOOD | {"weights": START[1:]}),
        npz(**GOOD | {"weights": START * np.nan}),
        npz(**GOOD | {"requests": np.array([[1, 2, 3]])}),
        npz(**GOOD | {"requests": np.array([[1.0, 2, 3, 4, 5]])}),
    ],
)
def test_other_bytes_are_no_weights(data: bytes) -> None:
    with pytest.raises(ValueError, match="no weights of places"):
        places.read(data)
    learner = Learner()
    learner.weights = data
    with pytest.raises(kept.Unreadable):
        kept.load(kept.dump(learner))


def test_what_is_written_is_read() -> None:
    assert places.read(npz(**GOOD)).weights.tolist() == places.read(WEIGHTS).weights.tolist()


@pytest.mark.parametrize("changes", [{"explained": "AAAA"}, {"usual": [1.0]}], ids=["explained", "usual"])
def test_what_was_learned_on_is_read_whole_or_not_at_all(changes: dict[str, Any]) -> None:
    learner = Learner()
    learner.place_by(WEIGHTS, gpus=4)
    document = msgspec.json.decode(kept.dump(learner)) | changes
    with pytest.raises(kept.Unreadable):
        kept.load(msgspec.json.encode(document))


def test_notes_of_older_leaders_have_no_request() -> None:
    learner = Learner()
    learner.place_by(b"", gpus=1)
    learner.note(Unused(tuple(START), 0.5))
    assert learner.explained is None
    learner.note(Arrival(Asked(1.0, "u", 1, 1, 60.0)))
    learner.note_arrival(Asked(1.0, "u", 1, 1, 60.0), (100, 64, 0, 0))
    assert list(learner.requests) == [(100, 64, 0, 0)]
    world = cluster_of(1)
    world.happen(LearnedBrought(learner=kept.dump(learner), by=UserName("olga")))
    assert list(world.cluster.planner.requests) == [(100, 64, 0, 0)]
