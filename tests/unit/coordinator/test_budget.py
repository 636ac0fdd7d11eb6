"""Looking ahead costs a share of one core, however fast the machine is."""

from __future__ import annotations

import pytest

from coordinator.budget import MOST_S, SHARE, STEP_S, Budget


def test_what_was_taken_is_saved_up_again_at_its_share() -> None:
    budget = Budget(now_s=0.0)
    most = budget.steps(0.0)
    assert most == int(MOST_S / STEP_S)
    budget.note(most, most * STEP_S)
    assert budget.steps(most * STEP_S + 0.1) == pytest.approx((0.1 + MOST_S) * SHARE / STEP_S, rel=0.01)
    assert budget.steps(1e6) == most


def test_on_a_slower_machine_it_allows_less() -> None:
    budget = Budget(now_s=0.0)
    before, now_s = budget.steps(0.0), 0.0
    for _ in range(50):
        now_s += 10.0
        budget.steps(now_s)
        now_s += 2_000 * 10 * STEP_S
        budget.note(2_000, now_s)
    assert budget.steps(now_s + 10.0) == pytest.approx(before / 10, rel=0.1)


def test_where_all_is_deterministic_no_clock_is_asked() -> None:
    budget = Budget(now_s=0.0, fixed=True)
    assert budget.steps(0.0) == int(MOST_S / STEP_S)
    budget.note(1_000_000, 50.0)
    assert budget.steps(50.0) == int(MOST_S / STEP_S)


def test_a_round_that_hardly_looked_ahead_measures_nothing() -> None:
    budget = Budget(now_s=0.0)
    before = budget.steps(0.0)
    budget.note(1, 5.0)
    assert budget.steps(10.0) == before
