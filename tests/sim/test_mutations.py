"""The simulator would notice: each deliberate bug is caught by a history that is sound without it."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.sim.history import History, stored
from tests.sim.mutations import MUTATIONS, Mutation
from tests.sim.plan import draw
from tests.sim.shrink import violation_of

SEEDS_MAX = 60
STORED = {name: history for name, history in stored().items() if history.mutation}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_deliberate_bug_is_caught(mutation: Mutation) -> None:
    written = [history.plan for history in STORED.values() if history.mutation == mutation.name]
    drawn = (draw(seed, mutation.under, gangs=mutation.gangs) for seed in range(SEEDS_MAX))
    for plan in chain(written, drawn):
        with mutation.breaks():
            found = violation_of(plan)
        if found is None or found[0].invariant != mutation.breaking:
            continue  # other histories break other promises as well
        if violation_of(plan) is None:
            print(f"{mutation.name}: {found[0]} (seed {plan.seed})")
            return
    pytest.fail(f"{mutation.name}: not caught as {mutation.breaking} by {SEEDS_MAX} histories")


@pytest.mark.parametrize("history", STORED.values(), ids=STORED.keys())
def test_a_bug_that_was_found_is_found_again(history: History) -> None:
    mutation = next(each for each in MUTATIONS if each.name == history.mutation)
    with mutation.breaks():
        found = violation_of(history.plan)
    assert found is not None and found[0].invariant == history.invariant


def test_there_are_enough_of_them() -> None:
    assert len(MUTATIONS) >= 15
