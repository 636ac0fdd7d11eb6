"""What a pace lets through in a time is its rate and one burst, whatever the pieces are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.pacing import BURST_S, Pace


def test_without_a_limit_nobody_waits() -> None:
    pace = Pace(0.0)
    assert [pace.take(10**12, now_s) for now_s in (0.0, 0.0, 5.0)] == [0.0, 0.0, 0.0]


def test_a_debt_is_waited_for() -> None:
    pace = Pace(100.0)
    assert pace.take(int(100 * BURST_S), 10.0) == 0.0
    assert pace.take(200, 10.0) == 2.0
    assert pace.take(0, 12.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(0.0, 3.0)), max_size=60), st.floats(1.0, 1e4))
def test_never_more_than_rate_and_burst(steps: list[tuple[int, float]], rate: float) -> None:
    """Each waits as it was told, and dawdles besides: a clock that goes back gives nothing."""
    pace = Pace(rate)
    now_s, moved = 0.0, 0
    for size, dawdled_s in steps:
        moved += size
        now_s += pace.take(size, now_s) + dawdled_s
        assert moved <= rate * (now_s + BURST_S) * (1 + 1e-6) + 1e-6
        pace.take(0, now_s - 1.0)
