"""Priorities age: nobody waits for ever behind what is more important and comes later."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.spec import ResourceSpec
from coordinator.core.limits import Limits
from coordinator.core.scheduler.order import aged

STEP_S = Limits().ageing_s


def test_a_low_priority_starts_under_an_endless_flood_of_high_ones(world) -> None:
    world.register("n1")
    whole = ResourceSpec(cpu="2")
    world.submit(command=["true"], priority=10, resources=whole)
    (placed,) = world.schedule()
    low = world.submit(command=["true"], priority=1, resources=whole)
    started = []
    for _ in range(9 + 2):  # nine steps of priority, the one that it came in, and the one that runs
        world.now_s += STEP_S
        world.beat("n1")
        world.submit(command=["true"], priority=10, resources=whole)
        world.end(placed)
        (placed,) = world.schedule()
        started.append(placed.attempt.job)
    assert low in started
    assert low not in started[:8], "it has no more than its age"


@given(
    st.integers(1, 10),
    st.integers(1, 10),
    st.floats(0, 2e9),
    st.floats(0, 2e9),
    st.floats(60, 1e5),
)
def test_age_counts_for_a_step_of_priority_and_no_more(
    one: int, other: int, came_s: float, later_s: float, ageing_s: float
) -> None:
    came_s, later_s = min(came_s, later_s), max(came_s, later_s)
    first = aged(one, came_s, ageing_s=ageing_s)
    second = aged(other, later_s, ageing_s=ageing_s)
    steps = (later_s - came_s) / ageing_s
    if steps > other - one + 1:
        assert first <= second, "whoever is older by more than the difference goes first"
    if other - one > steps + 1:
        assert second <= first, "whoever is more important by more than the age goes first"
