"""What is chosen for a trace is chosen by its other jobs, on windows that look like the tested ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from coordinator.core.scheduler.policies import BASE_RULES, POLICIES, Kind
from coordinator.core.scheduler.qlearning import QTable
from coordinator.sim import order_training
from coordinator.sim.order_training import LOOKS, RACED, WINDOWS, Trained, replays, train
from coordinator.sim.orders import pick
from coordinator.sim.replay import Machine, replay
from coordinator.sim.swf import Trace, TraceJob
from coordinator.sim.table_training import learn, weighted_waiting
from coordinator.sim.trace_files import TraceError
from coordinator.sim.training_windows import training_windows

LENGTH = 30
NODES = 4
MENU = ("fcfs", "sjf", "f1", "predicted short", "predicted heavy", "predicted narrow")


def job(number: int, *, run_s: int = 10, requested_s: int | None = None, nodes: int = 1) -> TraceJob:
    return TraceJob(number, 7 * number, run_s, requested_s or run_s, nodes, nodes, number % 3)


def liars(jobs: int) -> Trace:
    """All ask for the same time, but only jobs of the third user run long: predictions tell them apart."""
    made = tuple(
        job(number, run_s=400 if number % 3 == 2 else 4, requested_s=500, nodes=2) for number in range(jobs)
    )
    return Trace("liars", NODES, made)


def trained_on_liars(*, backfill: bool = False) -> tuple[Trained, int]:
    """Who acts of the menu, and how many replays that took."""
    heard: list[None] = []
    trained = train(
        liars(900),
        [400],
        length=LENGTH,
        backfill=backfill,
        seed=1,
        heard=lambda: heard.append(None),
        names=MENU,
    )
    return trained, len(heard)


def seen(windows: list[tuple[TraceJob, ...]]) -> set[int]:
    return {each.id for window in windows for each in window}


def drawn(jobs: int, tested: list[int], count: int, seed: int = 1) -> list[tuple[TraceJob, ...]]:
    return training_windows(
        [job(number) for number in range(jobs)],
        tested,
        length=LENGTH,
        count=count,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("jobs", [200, 2_000])
def test_no_tested_job_is_seen(jobs: int) -> None:
    tested = [40, 60, 130]
    windows = drawn(jobs, tested, 16)
    assert len(windows) == 16 and {len(window) for window in windows} == {LENGTH}
    assert not seen(windows) & {number for begin in tested for number in range(begin, begin + LENGTH)}


def test_where_there_are_enough_they_are_the_trace_s_own() -> None:
    windows = drawn(2_000, [40], 16)
    assert sum(map(len, windows)) == len(seen(windows)), "no job twice"
    assert all(
        [each.id for each in window] == list(range(window[0].id, window[0].id + LENGTH)) for window in windows
    )
    assert drawn(2_000, [40], 16, seed=2) != windows


def test_else_they_are_made_of_neighbours_at_their_pace() -> None:
    for window in drawn(100, [40], 16):
        assert {after.submitted_s - before.submitted_s for before, after in pairwise(window)} == {7}


def test_where_nothing_is_left_there_are_none() -> None:
    assert drawn(60, [0, 30], 16) == []
    with pytest.raises(TraceError, match="no jobs are left"):
        train(liars(60), [0, 30], length=LENGTH, backfill=False, seed=1, heard=lambda: None)


@pytest.mark.parametrize("backfill", [False, True])
def test_a_policy_that_is_better_elsewhere_acts(backfill: bool) -> None:
    trained, heard = trained_on_liars(backfill=backfill)
    assert POLICIES[trained.policy].kind is Kind.PREDICTED
    assert trained.verdict.evidence.t <= -2.0
    assert trained.judged.keys() == set(MENU)
    assert {len(paid) for paid in trained.judged.values()} == {WINDOWS}, "one look was enough"
    assert heard == WINDOWS * len(MENU) <= replays(len(MENU))


class Backwards:
    """The longest request of the latest goes first."""

    def choose(self, machine: Machine) -> int:
        return max(machine.waiting, key=lambda index: (machine.jobs[index].run_s, index))


def test_a_planted_bad_policy_does_not_act(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is learned decides badly: the best static rule stays."""

    def planted(policy, *, table=None):  # type: ignore[no-untyped-def]
        honest = pick(policy, table=table)
        return lambda jobs, **settings: (
            honest(jobs, **settings) if policy.kind is Kind.STATIC else Backwards()
        )

    monkeypatch.setattr(order_training, "pick", planted)
    trained, _ = trained_on_liars()
    assert trained.policy == trained.verdict.static
    assert POLICIES[trained.policy].kind is Kind.STATIC
    assert trained.verdict.policy == "" and trained.verdict.evidence.log_ratio > 0.0
    assert trained.verdict.evidence.windows == LOOKS * WINDOWS, "it got a second look"


def test_a_learned_one_that_falls_behind_is_not_replayed_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(policy, *, table=None):  # type: ignore[no-untyped-def]
        honest = pick(policy, table=table)
        return lambda jobs, **settings: (
            Backwards() if policy.name == "predicted heavy" else honest(jobs, **settings)
        )

    monkeypatch.setattr(order_training, "pick", planted)
    trained, heard = trained_on_liars()
    assert trained.judged.keys() == set(MENU) - {"predicted heavy"}
    assert heard == WINDOWS * len(MENU) - (WINDOWS - RACED)


def test_the_table_learns_from_windows() -> None:
    table = QTable(rules=tuple(BASE_RULES))
    windows = [liars(900).jobs[begin : begin + LENGTH] for begin in (0, 300)]
    learn(table, windows, NODES, backfill=True, rng=np.random.default_rng(1))
    assert table.values and all(q <= 0.0 for of in table.values.values() for q in of.values())
    again = QTable(rules=tuple(BASE_RULES))
    learn(again, windows, NODES, backfill=True, rng=np.random.default_rng(1))
    assert again == table, "the same seed, the same table"


def test_what_waiting_costs_adds_up() -> None:
    """In the end it is the sum of what all waited by their weights; before anything came, nothing."""
    jobs = liars(LENGTH).jobs
    started_s = replay(jobs, NODES, pick(POLICIES["fcfs"])(jobs, backfill=False, seed=1), backfill=False)
    paid = weighted_waiting([0.0, 100.0], jobs, started_s)
    total = sum(
        (at_s - each.submitted_s) / max(each.run_s, 10) for each, at_s in zip(jobs, started_s, strict=True)
    )
    assert paid[0] == 0.0 < paid[1] < paid[2] == pytest.approx(total)
