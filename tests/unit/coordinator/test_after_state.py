"""Learned placements: values start as FGD's, are learned by least squares, kept bit for bit, and shown."""

from __future__ import annotations

import io
import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from coordinator.core.scheduler.after_state import QUANTUM, START, AfterState, Learner
from coordinator.core.scheduler.exploring import EPSILON_FIRST, EPSILON_LEAST, HALF_LIFE, epsilon_after
from coordinator.core.scheduler.fragmentation import Typical
from coordinator.core.scheduler.gpus import WHOLE, GpuNode, GpuPool, Request
from coordinator.core.scheduler.node_features import NAMES, NodeFeatures, moves
from coordinator.sim.filling import fill
from coordinator.sim.lanes import Lanes
from tests.unit.coordinator.test_gpus import REQUESTS

EXAMPLES = 30
"""Each fills whole clusters: a hundred took a minute under the coverage tracer."""

HALF = Request(1000, 1024, 1, 500)
WHOLE_ONE = Request(1000, 1024, 1, WHOLE)
PAIR = Request(2000, 2048, 2, WHOLE)
CPU = Request(1000, 1024)
TYPICAL = Typical([HALF, HALF, WHOLE_ONE, PAIR, CPU])
REACH = NodeFeatures(TYPICAL).reach
NODES = (
    GpuNode("a", 8000, 65_536, 2, "A100"),
    GpuNode("b", 16_000, 65_536, 4, "A100"),
    GpuNode("c", 4000, 8192, 1, "T4"),
    GpuNode("d", 32_000, 65_536, 0, ""),
)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def begun(wanted: list[Request]) -> GpuPool:
    """A cluster on which some of them run."""
    pool = GpuPool(NODES)
    fill(pool, wanted, AfterState(TYPICAL, START), typical=TYPICAL, rng=rng())
    return pool


@settings(max_examples=EXAMPLES)
@given(REQUESTS, st.sampled_from([HALF, WHOLE_ONE, PAIR, CPU]))
def test_values_start_as_what_fgd_saves(wanted: list[Request], request: Request) -> None:
    pool = begun(wanted)
    rows = np.arange(3)[pool.fits(request, np.arange(3))]
    if not rows.size:
        return
    found = AfterState(TYPICAL, START)(pool, request, rows, typical=TYPICAL, rng=rng())
    after = pool.after(request, rows, found.gpu)
    saved = TYPICAL.fragmentation(pool.gpus[rows], pool.cpu[rows])
    saved -= TYPICAL.fragmentation(after, pool.cpu[rows] - request.cpu_millis)
    assert found.score == pytest.approx(saved / WHOLE, abs=QUANTUM / 2 + 1e-9)


@settings(max_examples=EXAMPLES)
@given(REQUESTS, st.sampled_from([HALF, WHOLE_ONE, PAIR, CPU]))
def test_sums_of_a_node_change_as_if_made_anew(wanted: list[Request], request: Request) -> None:
    pool, features = begun(wanted), NodeFeatures(TYPICAL)
    rows = np.arange(4)[pool.fits(request, np.arange(4))]
    if not rows.size:
        return
    each = np.ones(len(rows), dtype=np.int64)
    found = moves(pool.gpus[rows], request.shares * each > 0, request.milli * each, request.gpus * each)
    changed = features.sums(pool.gpus[rows])[found.which] + features.change(
        found.old, found.new, found.number
    )
    anew = features.sums(pool.after(request, rows[found.which], found.gpu))
    assert changed == pytest.approx(anew)
    if request.shares:
        kinds = {(which, old) for which, old in zip(found.which.tolist(), found.old.tolist(), strict=True)}
        assert len(kinds) == len(found.which), "one of GPUs that are alike is enough"


@settings(max_examples=EXAMPLES)
@given(REQUESTS, st.integers(1, 3))
def test_lanes_fill_as_one_cluster_does(wanted: list[Request], number: int) -> None:
    typical = Typical(wanted)
    weights = START + rng(2).normal(size=(number, len(START))) * 0.1
    courses = [wanted[place:] for place in range(number)]
    run = Lanes(NODES, wanted, typical).run(courses, weights, marks=(0.0,))
    for lane, course in enumerate(courses):
        rule = AfterState(typical, weights[lane])
        alone = fill(GpuPool(NODES), course, rule, typical=typical, rng=rng())
        assert run.allocation[lane] == pytest.approx(alone.allocation)
        assert not course or run.seen[lane, 0].any()


def best(rule: AfterState, pool: GpuPool, request: Request, rows: int) -> int:
    """Of the first so many."""
    return int(rule.gains(pool, request, np.arange(rows)).score.argmax())


def test_nodes_without_gpus_come_first_for_who_wants_none() -> None:
    rule = AfterState(TYPICAL, START)
    assert best(rule, GpuPool(NODES), CPU, 4) == 3, "never a node with GPUs that somebody could use"


def test_nodes_without_gpus_are_kept_even() -> None:
    """Where memory is short, who wants little of it goes, and the other way round."""
    rule = AfterState(TYPICAL, START)
    pool = GpuPool([GpuNode("x", 8000, 8192, 0, ""), GpuNode("y", 8000, 8192, 0, "")])
    pool.take(Request(200, 6000), 0, 0)
    pool.take(Request(6000, 200), 1, 0)
    for request, row in ((Request(1500, 100), 0), (Request(100, 1500), 1)):
        assert best(rule, pool, request, 2) == row


def test_a_half_joins_a_half_and_its_parts_say_why() -> None:
    pool = GpuPool(NODES)
    pool.take(HALF, 1, 0)
    rule = AfterState(TYPICAL, START)
    found = rule.gains(pool, HALF, np.arange(2))
    assert found.score[1] > found.score[0] and found.gpu[1] == 0
    assert found.parts.sum(axis=1) == pytest.approx(found.score, abs=QUANTUM)
    assert found.parts.shape == (2, len(NAMES)) and found.parts.any(axis=1).all()


def test_curiosity_fades_but_does_not_end() -> None:
    assert epsilon_after(0) == EPSILON_FIRST
    assert epsilon_after(HALF_LIFE) == pytest.approx(EPSILON_FIRST / 2)
    assert epsilon_after(100 * HALF_LIFE) == EPSILON_LEAST


def test_weights_come_to_explain_what_stays_unused() -> None:
    """Samples of a known truth, as noisy as is believed: the belief ends within a few percent of it."""
    learner, random = Learner(REACH, 200), rng(3)
    truth = START.copy()
    truth[2], truth[8] = 2.5, 0.15
    before = np.abs(learner.weights - truth).max()
    for _ in range(400):
        seen = random.normal(size=len(truth)) * 0.01
        learner.update(seen, float(truth @ seen + random.normal() * 0.002))
    assert np.abs(learner.weights - truth).max() < before / 20
    assert (learner.weights[-2:] == START[-2:]).all(), "nothing of a GPU stays unused on nodes without"


def test_one_sample_moves_the_belief_towards_it() -> None:
    learner, seen = Learner(REACH, 200), np.full(len(START), 0.01)
    error = abs(0.2 - learner.weights @ seen)
    learner.update(seen, 0.2)
    assert abs(0.2 - learner.weights @ seen) < error


def test_what_was_learned_is_kept_bit_for_bit() -> None:
    learner, random = Learner(REACH, 200), rng(4)
    for _ in range(20):
        learner.update(random.normal(size=len(START)), 0.1)
    kept = Learner.load(learner.dump())
    assert kept.dump() == learner.dump()
    for each in (kept, learner):
        each.update(np.ones(len(START)), 0.3)
    assert kept.dump() == learner.dump(), "and goes on as it would have"


def other(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


NUMBERS = START * np.nan


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"weights", id="text"),
        pytest.param(pickle.dumps({"weights": [1.0]}), id="pickle"),
        pytest.param(other(weights=np.array([object()], dtype=object)), id="pickle inside"),
        pytest.param(other(weights=START), id="half"),
        pytest.param(other(schema="after_state/0", weights=START, doubt=START), id="another schema"),
        pytest.param(other(schema="after_state/1", weights=START[1:], doubt=START), id="too few"),
        pytest.param(
            other(schema="after_state/1", weights=NUMBERS, doubt=np.eye(len(START))), id="no numbers"
        ),
        pytest.param(Learner(REACH, 200).dump()[:100], id="cut off"),
    ],
)
def test_what_are_no_weights_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no weights of after-states"):
        Learner.load(data)


def test_who_wants_no_gpu_alone_makes_no_quartiles() -> None:
    """A cluster of which nobody wants the GPUs can be filled all the same."""
    typical = Typical([CPU] * 5)
    filled = fill(GpuPool(NODES), [CPU] * 5, AfterState(typical, START), typical=typical, rng=rng())
    assert filled.placed == 5
