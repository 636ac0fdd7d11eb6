"""The simulator would notice: each deliberate bug is caught by few histories that are sound without it."""

from __future__ import annotations

import pytest

from tests.sim.mutations import MUTATIONS, Mutation
from tests.sim.plan import draw
from tests.sim.shrink import violation_of

SEEDS_MAX = 120


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_deliberate_bug_is_caught(mutation: Mutation) -> None:
    played = 0
    for seed in range(SEEDS_MAX):
        plan = draw(seed)
        if mutation.under is not None and mutation.under not in {fault.kind for fault in plan.faults}:
            continue
        played += 1
        with mutation.breaks():
            found = violation_of(plan)
        if found is not None and violation_of(plan) is None:
            print(f"{mutation.name}: {found[0]} (seed {seed}, the {played}. played)")
            return
    pytest.fail(f"{mutation.name}: not caught by {played} histories")


def test_there_are_enough_of_them() -> None:
    assert len(MUTATIONS) >= 15
