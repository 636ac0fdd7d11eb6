"""The network's steps are those of the papers; it learns what can be learned, and comes back bit for bit."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from coordinator.core.scheduler.candidates import FEATURES, ROWS, RULES, candidates
from coordinator.core.scheduler.dqn import DqnLearner, Experience, Floats, Knobs, forward, gradients
from coordinator.core.scheduler.kept import Unreadable
from coordinator.core.scheduler.policies import BASE_RULES
from coordinator.core.scheduler.rollout import Item

SMALL = Knobs(hidden=(8, 4), batch=16, capacity=64, sync=10, rate=1e-2)


def item(run_s: float, nodes: int, weight: float, at_s: float = 0.0) -> Item:
    keys = tuple(BASE_RULES[rule](run_s, nodes, weight) for rule in RULES)
    return Item(at_s, run_s, run_s, weight, nodes, keys)


ITEMS = st.builds(item, st.floats(1, 1e6), st.integers(1, 64), st.floats(1e-6, 0.1), st.floats(0, 1e6))


def rows(rng: np.random.Generator) -> Floats:
    return rng.normal(size=(ROWS, FEATURES))


@given(st.lists(ITEMS, min_size=1, max_size=9), st.integers(0, 64), st.floats(0, 1e6))
def test_candidates_are_the_first_of_each_rule(waiting: list[Item], free: int, now_s: float) -> None:
    found = candidates(waiting, now_s=now_s, free=free, nodes=64)
    assert found.rows.shape == (ROWS, FEATURES) and np.isfinite(found.rows).all()
    fitting = [each for each in waiting if each.nodes <= free] or waiting
    for rule in range(len(RULES)):
        for among, place in ((waiting, found.places[rule]), (fitting, found.places[len(RULES) + rule])):
            assert waiting[place].keys[rule] == min(each.keys[rule] for each in among)


def test_gradients_are_slopes() -> None:
    rng = np.random.default_rng(1)
    learner = DqnLearner(rng, SMALL)
    seen = rows(rng)
    found = gradients(learner.online, forward(learner.online, seen), np.ones((ROWS, 1)))
    for parameter, slopes in zip(learner.online, found, strict=True):
        place = tuple(int(rng.integers(size)) for size in parameter.shape)
        before = parameter[place]
        parameter[place] = before + 1e-6
        above = learner.values(seen).sum()
        parameter[place] = before - 1e-6
        below = learner.values(seen).sum()
        parameter[place] = before
        assert slopes[place] == pytest.approx((above - below) / 2e-6, rel=1e-3, abs=1e-6)


def test_one_network_chooses_and_the_other_values() -> None:
    """y = r + γ Q⁻(s′, argmax Q(s′, ·)), and r alone where nothing follows."""
    rng = np.random.default_rng(2)
    learner = DqnLearner(rng, Knobs(hidden=(8,), batch=1, rate=0.0, discount=0.5))
    learner.target = [rng.normal(size=each.shape) for each in learner.target]
    seen, after = rows(rng), rows(rng)
    best = int(learner.values(after).argmax())
    later = forward(learner.target, after)[-1][best, 0]
    for done, aim in ((False, -1.0 + 0.5 * later), (True, -1.0)):
        learner.memory.count = 0
        learner.note(Experience(seen, 3, -7.0, after, done))
        learner.scale = 7.0
        learner.fits = 1  # no step of it copies the network
        assert learner.fit(rng) == pytest.approx(abs(learner.values(seen)[3] - aim))


def test_it_learns_which_row_pays() -> None:
    rng = np.random.default_rng(3)
    learner = DqnLearner(rng, SMALL)
    for _ in range(600):
        seen = rows(rng)
        chosen, _ = learner.choose(seen, epsilon=1.0, rng=rng)
        learner.note(Experience(seen, chosen, float(seen[chosen, 0]), rows(rng), True))
        learner.fit(rng)
    fresh = [rows(rng) for _ in range(50)]
    got = [each[learner.choose(each, epsilon=0.0, rng=rng)[0], 0] for each in fresh]
    assert np.mean(got) > 0.7 * np.mean([each[:, 0].max() for each in fresh])
    assert learner.memory.count == 600 > SMALL.capacity, "the oldest were forgotten"


def test_exploring_is_told_and_drawn_from_the_given_generator() -> None:
    learner = DqnLearner(np.random.default_rng(4), SMALL)
    seen = rows(np.random.default_rng(5))
    always = [learner.choose(seen, epsilon=1.0, rng=np.random.default_rng(6)) for _ in range(2)]
    assert always[0] == always[1] and always[0][1]
    rng = np.random.default_rng(7)
    before = rng.bit_generator.state
    best, explored = learner.choose(seen, epsilon=0.0, rng=rng)
    assert (best, explored) == (int(learner.values(seen).argmax()), False)
    assert rng.bit_generator.state == before, "who does not explore draws nothing"
    assert not learner.choose(seen, epsilon=1e-12, rng=rng)[1]


def test_it_comes_back_bit_for_bit_and_goes_on_the_same() -> None:
    rng = np.random.default_rng(8)
    learner = DqnLearner(rng, SMALL)
    past = [Experience(rows(rng), 1, -float(k), rows(rng), k % 5 == 0) for k in range(40)]
    for each in past:
        learner.note(each)
    for _ in range(15):
        learner.fit(rng)
    other = DqnLearner(np.random.default_rng(9), SMALL)
    other.load(learner.dump())
    assert other.dump() == learner.dump()
    for each in past:
        other.memory.add(each)
    for _ in range(15):
        assert learner.fit(np.random.default_rng(10)) == other.fit(np.random.default_rng(10))
    assert other.dump() == learner.dump()


def test_other_bytes_are_refused() -> None:
    learner = DqnLearner(np.random.default_rng(11), SMALL)
    kept = learner.dump()
    for wrong in (b"", b"\x80\x05N.", kept[:100], DqnLearner(np.random.default_rng(1)).dump()):
        with pytest.raises(Unreadable):
            learner.load(wrong)
    assert learner.dump() == kept, "a refused file changes nothing"
