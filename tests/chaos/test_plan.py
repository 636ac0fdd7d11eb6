"""The plan of faults is the seed's alone, and leaves everybody time to heal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.plan import LASTS_S, RECOVERY_S, Fault, draw, struck_by


@given(st.integers(0, 2**32))
def test_a_seed_is_a_plan(seed: int) -> None:
    assert draw(seed=seed, length_s=600, every_s=10) == draw(seed=seed, length_s=600, every_s=10)


@given(st.integers(0, 2**32), st.floats(30, 900), st.floats(3, 30))
def test_nobody_is_struck_while_struck(seed: int, length_s: float, every_s: float) -> None:
    free_at: dict[str, float] = {}
    for stroke in draw(seed=seed, length_s=length_s, every_s=every_s):
        least_s, most_s = LASTS_S[stroke.fault]
        assert least_s <= stroke.lasts_s <= most_s
        assert stroke.at_s + stroke.lasts_s <= length_s + 0.001
        for struck in struck_by(stroke):
            assert free_at.get(struck, 0.0) <= stroke.at_s
            free_at[struck] = stroke.at_s + stroke.lasts_s + RECOVERY_S


def test_ten_minutes_hold_every_fault() -> None:
    for seed in range(20):
        plan = draw(seed=seed, length_s=600, every_s=10)
        assert {stroke.fault for stroke in plan} == set(Fault)
        assert len(plan) >= 55
