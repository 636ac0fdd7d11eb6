"""A trace through a machine, event by event, as it can be worked out by hand; and what holds for all."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from coordinator.core.scheduler.rules import RULES, TIMELESS, Rule, Waits
from coordinator.sim.replay import Machine, bounded_slowdown, replay
from coordinator.sim.swf import TraceJob

NODES = 4


def job(id: int, submitted_s: int, run_s: int, nodes: int, requested_s: int | None = None) -> TraceJob:
    return TraceJob(id, submitted_s, run_s, requested_s or run_s, nodes, nodes, 1)


class By:
    """Smallest score of a rule first."""

    def __init__(self, jobs: list[TraceJob], rule: Rule) -> None:
        self._rule = rule
        self._tasks = [Waits(each.requested_s, each.processors, each.submitted_s) for each in jobs]

    def choose(self, machine: Machine) -> int:
        return min(machine.waiting, key=lambda index: self._rule(self._tasks[index], machine.now_s))


def starts(jobs: list[TraceJob], rule: str, *, backfill: bool = False) -> list[float]:
    return replay(jobs, NODES, By(jobs, RULES[rule]), backfill=backfill)


WIDE = [job(1, 0, 100, 3), job(2, 1, 50, 4), job(3, 2, 60, 1), job(4, 3, 120, 1)]


def test_all_wait_behind_one_that_was_chosen_and_does_not_fit() -> None:
    assert starts(WIDE, "fcfs") == [0, 100, 150, 150]


def test_backfilling_starts_what_ends_before_the_reservation() -> None:
    assert starts(WIDE, "fcfs", backfill=True) == [0, 100, 2, 150]


def test_a_request_counts_for_the_reservation_and_not_the_run() -> None:
    early = [job(1, 0, 10, 4, requested_s=100), job(2, 1, 50, 4), job(3, 2, 60, 1)]
    assert starts(early, "fcfs", backfill=True) == [0, 10, 60]


def test_an_arrival_comes_before_a_release_at_the_same_time() -> None:
    tie = [job(1, 0, 10, 4), job(2, 5, 100, 4), job(3, 10, 1, 4)]
    assert starts(tie, "sjf") == [0, 10, 110]  # the second was committed to when the first had it all
    assert starts([tie[0], job(2, 10, 100, 4), tie[2]], "sjf") == [0, 10, 110]


def test_a_gap_in_the_arrivals_is_waited_through() -> None:
    assert starts([job(1, 0, 10, 1), job(2, 500, 10, 4)], "fcfs") == [0, 500]


def test_slowdown_is_bounded() -> None:
    jobs = [job(1, 0, 1, 1), job(2, 0, 100, 1)]
    assert bounded_slowdown(jobs, [9, 100]) == pytest.approx((1.0 + 2.0) / 2)


JOBS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 40), st.integers(1, NODES), st.integers(1, 60)),
    min_size=1,
    max_size=30,
).map(
    lambda rows: [
        job(id, submitted, run, nodes, requested)
        for id, (submitted, run, nodes, requested) in enumerate(sorted(rows), start=1)
    ]
)


@given(JOBS, st.sampled_from(sorted(RULES)), st.booleans())
def test_all_run_once_and_never_more_than_fits(jobs: list[TraceJob], rule: str, backfill: bool) -> None:
    at = starts(jobs, rule, backfill=backfill)
    assert all(start >= each.submitted_s for start, each in zip(at, jobs, strict=True))
    for moment in at:
        running = [
            each.nodes for start, each in zip(at, jobs, strict=True) if start <= moment < start + each.run_s
        ]
        assert sum(running) <= NODES


@given(st.floats(0, 1e6), st.integers(1, 512), st.floats(0, 1e6), st.floats(0, 1e6))
def test_scores_are_numbers_and_the_timeless_ones_do_not_change(
    requested_s: float, processors: int, submitted_s: float, waited_s: float
) -> None:
    task = Waits(requested_s, processors, submitted_s)
    for name, rule in RULES.items():
        now, later = rule(task, submitted_s), rule(task, submitted_s + waited_s)
        assert now == now and later == later  # no NaN
        if name in TIMELESS:
            assert now == later
        else:
            assert later <= now or later == pytest.approx(now)


@pytest.mark.parametrize(
    ("rule", "score"),
    [
        ("fcfs", 1000.0),
        ("sjf", 100.0),
        ("saf", 400.0),
        ("sqf", 200.0),
        ("f1", 2 * 4 + 870 * 3),
        ("f2", 10 * 4 + 25_600 * 3),
        ("f3", 100 * 4 + 6_860_000 * 3),
        ("f4", 100 * 2 + 530_000 * 3),
        ("wfp3", -(0.5**3) * 4),
        ("unicep", -50 / (2 * 100)),
    ],
)
def test_formulas(rule: str, score: float) -> None:
    assert RULES[rule](Waits(100.0, 4, 1000.0), 1050.0) == pytest.approx(score)
