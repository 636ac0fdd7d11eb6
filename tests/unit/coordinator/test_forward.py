"""The cluster played forward: what must hold of every future, and of the forecasts made from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from coordinator.core.scheduler.forecast import (
    MANY,
    RESOLUTION,
    RESOLUTION_MANY,
    TAIL,
    Forecast,
    Tracker,
    foresee,
    middle_future,
    ratios,
    resolution_of,
)
from coordinator.core.scheduler.forward import Discipline, Entry, Scene, play
from coordinator.core.scheduler.predict import OUTCOMES, Predictor
from coordinator.core.scheduler.rules import RULES
from coordinator.sim.orders import ByRule
from coordinator.sim.replay import replay
from coordinator.sim.swf import TraceJob

EXACT = np.ones(1)
JOBS = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 50)), min_size=1, max_size=12)


def scene(
    *,
    capacity: list[int],
    running: list[tuple[int, int, float]] = (),  # row, amount, end
    waiting: list[tuple[int, int, float]] = (),  # amount, tasks, run
    allowed: dict[int, list[bool]] | None = None,
    discipline: Discipline = Discipline.EASY,
    limits: bool = True,
    beside: bool = True,
) -> Scene:
    """One resource; predictions are exact; a line for each entry."""
    free = np.array(capacity, dtype=np.int64)
    for row, amount, _ in running:
        free[row] -= amount
    ends = np.array([end for *_, end in running], dtype=np.float64)
    masks = [(allowed or {}).get(place, [True] * len(capacity)) for place in range(len(waiting))]
    return Scene(
        now_s=0.0,
        free=free.reshape(-1, 1),
        rows=np.array([row for row, *_ in running], dtype=np.intp),
        held=np.array([amount for _, amount, _ in running], dtype=np.int64).reshape(-1, 1),
        begun=np.zeros(len(running)),
        ends=ends,
        limits=ends if limits else np.full(len(running), math.inf),
        requests=np.array([amount for amount, *_ in waiting], dtype=np.int64).reshape(-1, 1),
        allowed=np.array(masks, dtype=np.bool_).reshape(len(waiting), len(capacity)),
        entries=tuple(
            Entry(place, tasks, run_s, run_s if limits else math.inf)
            for place, (_, tasks, run_s) in enumerate(waiting)
        ),
        discipline=discipline,
        beside=beside,
    )


def starts(found: Scene, **more: object) -> list[float]:
    future = play(found, EXACT, np.random.default_rng(1), **more)  # type: ignore[arg-type]
    return [start.last_s for start in future.starts]


def test_the_first_waits_for_room_and_who_would_delay_it_waits_too() -> None:
    found = scene(capacity=[4], running=[(0, 3, 10.0)], waiting=[(4, 1, 5.0), (1, 1, 20.0), (1, 1, 9.0)])
    assert starts(found) == [10.0, 15.0, 0.0]
    assert starts(replace(found, discipline=Discipline.FREE)) == [20.0, 0.0, 10.0]
    assert starts(replace(found, discipline=Discipline.STRICT)) == [10.0, 15.0, 15.0]


def test_beside_a_reservation_there_may_be_room_for_who_runs_long() -> None:
    found = scene(capacity=[6], running=[(0, 5, 10.0)], waiting=[(5, 1, 5.0), (1, 1, 90.0)])
    assert starts(found) == [10.0, 0.0]
    assert starts(replace(found, beside=False)) == [10.0, 10.0]


def test_what_takes_the_spare_room_leaves_less_of_it() -> None:
    found = scene(capacity=[6], running=[(0, 4, 10.0)], waiting=[(5, 1, 5.0), (1, 1, 90.0), (1, 1, 90.0)])
    assert starts(found) == [10.0, 0.0, 15.0]


def test_where_nothing_promises_to_end_the_nearest_node_is_kept() -> None:
    found = scene(
        capacity=[4, 2],
        running=[(0, 3, 10.0), (1, 1, 5.0)],
        waiting=[(4, 1, 5.0), (1, 2, 7.0)],
        allowed={0: [True, False]},
        limits=False,
    )
    assert starts(found) == [10.0, 5.0]


def test_what_can_start_nowhere_keeps_nobody_waiting() -> None:
    found = scene(capacity=[2], waiting=[(9, 1, 5.0), (2, 1, 5.0)], allowed={0: [False]})
    assert starts(found) == [math.inf, 0.0]
    assert starts(scene(capacity=[], waiting=[(1, 1, 1.0)])) == [math.inf]


def gangs(found: Scene, ranks: dict[int, tuple[int, int]]) -> Scene:
    """Some entries are gangs: ranks, and how many go onto a node at most."""
    return replace(
        found,
        entries=tuple(
            entry._replace(ranks=ranks.get(place, (1, 1))[0], most=ranks.get(place, (1, 1))[1])
            for place, entry in enumerate(found.entries)
        ),
    )


def test_a_gang_starts_when_all_its_ranks_fit() -> None:
    """At the end of the second of what runs; one rank would fit now."""
    found = scene(capacity=[2, 2], running=[(0, 2, 10.0), (1, 1, 30.0)], waiting=[(1, 1, 5.0)])
    assert starts(found) == [0.0]
    assert starts(gangs(found, {0: (3, 3)})) == [10.0]
    assert starts(gangs(found, {0: (4, 4)})) == [30.0]
    assert starts(gangs(found, {0: (2, 1)})) == [10.0]
    assert starts(gangs(found, {0: (3, 1)})) == [math.inf]


def test_gangs_that_are_alike_start_one_after_the_other_and_end_with_all_ranks() -> None:
    found = gangs(scene(capacity=[3, 2], waiting=[(1, 3, 10.0)]), {0: (2, 2)})
    future = play(found, np.array([0.5, 1.0]), np.random.default_rng(1))
    assert (future.starts[0].first_s, future.rows) == (0.0, (0,))
    assert future.starts[0].last_s in (5.0, 10.0)
    free = gangs(scene(capacity=[2, 2], waiting=[(0, 2, 10.0)]), {0: (8, 4)})
    assert starts(free) == [0.0]


def test_nodes_are_kept_for_all_ranks_of_a_gang() -> None:
    """Who is over in time goes past; who would delay one rank waits; beside them there may be room."""
    found = scene(
        capacity=[2, 2, 2],
        running=[(0, 2, 10.0), (1, 1, 20.0), (2, 2, 90.0)],
        waiting=[(2, 1, 5.0), (1, 1, 30.0), (1, 1, 9.0)],
    )
    assert starts(gangs(found, {0: (2, 1)})) == [20.0, 25.0, 0.0]
    beside = scene(capacity=[3, 3], running=[(0, 2, 10.0), (1, 2, 10.0)], waiting=[(2, 1, 5.0), (1, 3, 30.0)])
    assert starts(gangs(beside, {0: (2, 1)})) == [10.0, 15.0]
    assert play(gangs(beside, {0: (2, 1)}), EXACT, np.random.default_rng(1)).starts[1].first_s == 0.0


def test_where_nothing_promises_to_end_the_nearest_nodes_are_kept_for_a_gang() -> None:
    found = scene(
        capacity=[2, 2, 2],
        running=[(0, 1, 10.0), (1, 1, 20.0), (2, 2, 5.0)],
        waiting=[(2, 1, 5.0), (1, 2, 7.0)],
        limits=False,
    )
    assert starts(gangs(found, {0: (2, 1)})) == [12.0, 5.0]


def test_a_gang_that_no_nodes_could_hold_keeps_nobody_waiting() -> None:
    found = gangs(scene(capacity=[2, 2], waiting=[(1, 1, 5.0), (2, 2, 5.0)]), {0: (5, 5)})
    assert starts(found) == [math.inf, 0.0]
    bodiless = gangs(scene(capacity=[2, 2], waiting=[(0, 1, 5.0), (2, 2, 5.0)]), {0: (5, 2)})
    assert starts(bodiless) == [math.inf, 0.0]


@given(JOBS, st.sampled_from(Discipline))
def test_a_gang_on_one_node_is_as_one_task_of_its_width(
    drawn: list[tuple[int, int]], discipline: Discipline
) -> None:
    """All ranks of one core each on a single node: what a task as wide as all of them would do."""
    runs = [(width, float(run)) for width, run in drawn]
    fixed = {"capacity": [8], "discipline": discipline, "beside": False}
    wide = scene(waiting=[(width, 1, run_s) for width, run_s in runs], **fixed)  # type: ignore[arg-type]
    split = scene(waiting=[(1, 1, run_s) for _, run_s in runs], **fixed)  # type: ignore[arg-type]
    widths = {place: (width, width) for place, (width, _) in enumerate(drawn)}
    assert starts(gangs(split, widths)) == starts(wide)


def test_tasks_that_are_alike_start_together_on_the_fullest_nodes_first() -> None:
    found = scene(capacity=[2, 4], waiting=[(1, 10, 5.0), (0, 3, 1.0)], running=[(1, 1, 100.0)])
    future = play(found, EXACT, np.random.default_rng(1))
    assert future.starts[0] == (0.0, 5.0, 2.5) and future.starts[1].last_s == 0.0
    assert future.ends_s == (10.0, 1.0)


def test_ends_that_lie_close_together_count_as_one() -> None:
    ends = [(0, 1, 100.0 + 0.1 * k) for k in range(10)]
    found = scene(capacity=[10], running=ends, waiting=[(10, 1, 1.0)])
    exact = play(found, EXACT, np.random.default_rng(1))
    coarse = play(found, EXACT, np.random.default_rng(1), resolution=0.05)
    assert exact.starts[0].last_s == pytest.approx(100.9)
    assert coarse.starts[0].last_s == pytest.approx(100.45) and coarse.steps < exact.steps


def test_after_its_steps_a_future_is_left_open_and_until_ends_it_early() -> None:
    found = scene(capacity=[1], waiting=[(1, 1, 5.0)] * 4)
    assert starts(found, steps=3)[2:] == [math.inf, math.inf]
    assert starts(found, until=[1]) == [0.0, 5.0, math.inf, math.inf]
    assert foresee(found, [3], EXACT, steps=3) is None


def test_what_has_outlived_every_prediction_runs_on_by_chance() -> None:
    running = scene(capacity=[1], running=[(0, 1, 10.0)], waiting=[(1, 1, 1.0)], limits=False)
    later = replace(running, now_s=500.0)
    assert all(start > 500.0 for start in starts(later))
    ended = np.array([0.5, 2.0])  # of what ran longer than half of it only the second is left
    assert play(replace(running, now_s=6.0), ended, np.random.default_rng(1)).starts[0].last_s == 20.0


@given(JOBS, st.booleans())
def test_with_exact_run_times_it_is_the_replayer(drawn: list[tuple[int, int]], backfill: bool) -> None:
    """All came at once, so the order is the list's: what the replayer does is what must be foretold."""
    jobs = [
        TraceJob(id=place, submitted_s=0, run_s=run, requested_s=run, processors=nodes, nodes=nodes, user=1)
        for place, (nodes, run) in enumerate(drawn)
    ]
    truth = replay(jobs, 8, ByRule(jobs, RULES["fcfs"]), backfill=backfill)
    found = scene(
        capacity=[8],
        waiting=[(job.nodes, 1, float(job.run_s)) for job in jobs],
        discipline=Discipline.EASY if backfill else Discipline.STRICT,
        beside=False,
    )
    assert starts(found) == truth


@given(JOBS, st.sampled_from(Discipline), st.integers(1, 3), st.integers(0, 9))
def test_no_future_gives_away_more_than_there_is(
    drawn: list[tuple[int, int]], discipline: Discipline, nodes: int, seed: int
) -> None:
    """Every entry starts, within the whole time that all of them would take one after the other."""
    found = scene(
        capacity=[8] * nodes,
        waiting=[(amount, 3, float(run)) for amount, run in drawn],
        discipline=discipline,
        limits=False,
    )
    known = np.array([0.5, 1.0, 1.5])
    future = play(found, known, np.random.default_rng(seed))
    longest = sum(3 * max(1.0, 1.5 * run) for _, run in drawn)
    assert all(start.first_s <= start.mean_s + 1e-9 <= start.last_s + 2e-9 for start in future.starts)
    assert max(future.ends_s) <= longest + 1e-6
    area = sum(3 * amount * max(1.0, 0.5 * run) for amount, run in drawn)
    assert max(future.ends_s) * 8 * nodes >= area - 1e-6


def test_a_forecast_lies_between_its_ends_and_a_middle_future_is_one_of_them() -> None:
    found = scene(capacity=[2], running=[(0, 2, 100.0)], waiting=[(1, 1, 50.0), (2, 1, 10.0)], limits=False)
    known = np.linspace(0.5, 1.5, 21)
    last = foresee(found, [0, 1], known, steps=1000)
    first = foresee(found, [0, 1], known, steps=1000, first=True)
    assert last is not None and first is not None
    assert last.low_s <= last.start_s <= last.high_s and first.start_s < last.start_s < last.ends_s
    assert 50.0 <= middle_future(found, known, steps=100).starts[0].last_s <= 150.0
    whole = play(found, known, np.random.default_rng(1), until=[0]).steps
    one = foresee(found, [0], known, steps=whole + 1)  # the second future is cut off
    assert one is not None and one.low_s <= one.high_s


def test_many_are_played_more_coarsely() -> None:
    few = scene(capacity=[9], running=[(0, 1, 1.0)])
    many = scene(capacity=[MANY], running=[(0, 1, 1.0)] * MANY)
    assert (resolution_of(few), resolution_of(many)) == (RESOLUTION, RESOLUTION_MANY)


def test_ratios_are_those_of_the_newest_jobs() -> None:
    predictor = Predictor()
    assert ratios(predictor).tolist() == [1.0]
    for run_s in range(1, OUTCOMES + 2):
        predictor.observe("ann", 1, 100.0, float(run_s))
    assert len(ratios(predictor)) == OUTCOMES and predictor.ended == OUTCOMES + 1


def raw(start_s: float) -> Forecast:
    return Forecast(start_s=start_s, low_s=start_s * 0.9, high_s=start_s * 1.1)


def test_what_starts_at_once_is_certain() -> None:
    at_once = Forecast(start_s=5.0, low_s=5.0, high_s=5.0)
    assert Tracker().corrected(at_once, now_s=5.0) is at_once


def test_an_interval_is_right_as_often_as_it_says_however_wrong_the_model_is() -> None:
    """The model believes in half of what comes, and knows nothing of how it scatters."""
    rng = np.random.default_rng(1)
    tracker = Tracker()
    inside = []
    for _ in range(1500):
        foretold = raw(float(rng.uniform(50.0, 5000.0)))
        started_s = 2.0 * foretold.start_s * float(rng.lognormal(0.0, 0.7))
        told = tracker.corrected(foretold, now_s=0.0)
        assert told.low_s <= told.start_s <= told.high_s
        inside.append(told.low_s <= started_s <= told.high_s)
        if started_s > told.high_s:
            tracker.note_late()
        tracker.observe(foretold, told, asked_s=0.0, started_s=started_s)
    assert abs(np.mean(inside[200:]) - (1.0 - 2.0 * TAIL)) < 0.05
    assert (tracker.told, tracker.right) == (1500, sum(inside))


def test_tails_stay_within_bounds_and_infinite_forecasts_are_cut() -> None:
    tracker = Tracker()
    for _ in range(100):
        tracker.note_late()
    told = tracker.corrected(Forecast(start_s=10.0, low_s=9.0, high_s=math.inf), now_s=0.0)
    assert 0.0 < tracker.above < TAIL and math.isfinite(told.high_s)
