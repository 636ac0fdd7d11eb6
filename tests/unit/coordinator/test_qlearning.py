"""The table learns which rule is worth most in which state, from what came of it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from coordinator.core.scheduler.planner import LEAST_RECENT, Asked, Begun, Planner
from coordinator.core.scheduler.policies import POLICIES, TABLE
from coordinator.core.scheduler.qlearning import DISCOUNT, QTable, state_of


def test_one_step_of_the_update() -> None:
    table = QTable(rules=("short", "heavy"))
    table.update("full", "short", reward=-4.0, after=None)
    assert table.values == {"full": {"short": -4.0}}, "what was seen once is believed"
    table.update("empty", "heavy", reward=-1.0, after="full")
    assert table.values["empty"]["heavy"] == pytest.approx(-1.0 + DISCOUNT * -4.0)
    table.update("full", "short", reward=-2.0, after=None)
    assert table.values["full"]["short"] == pytest.approx(-4.0 + 2**-0.6 * 2.0)
    assert table.visits == {"full": {"short": 2}, "empty": {"heavy": 1}}


def test_what_follows_is_worth_what_is_best_there() -> None:
    table = QTable(rules=("short", "heavy"))
    table.update("full", "short", reward=-9.0, after=None)
    table.update("full", "heavy", reward=-3.0, after=None)
    table.update("empty", "short", reward=0.0, after="full")
    assert table.values["empty"]["short"] == pytest.approx(DISCOUNT * -3.0)
    assert table.best("full") == "heavy"


def test_the_first_rule_goes_where_nothing_was_tried() -> None:
    assert QTable(rules=("short", "heavy")).best("never seen") == "short"


def test_the_better_rule_of_each_state_is_found() -> None:
    """Two states, in each of which another rule costs less; the noise is larger than the difference."""
    rng = np.random.default_rng(1)
    table = QTable(rules=("short", "heavy"))
    for _ in range(400):
        for state, good in (("full", "heavy"), ("empty", "short")):
            rule = table.explore(state, epsilon=0.5, rng=rng)
            table.update(state, rule, reward=float(rng.normal(-1.0 - (rule != good), 1.5)), after=None)
    assert (table.best("full"), table.best("empty")) == ("heavy", "short")


def test_without_epsilon_nothing_is_tried() -> None:
    table = QTable(rules=("short", "heavy"))
    table.update("full", "heavy", reward=-1.0, after=None)
    rng = np.random.default_rng(1)
    assert {table.explore("full", epsilon=0.0, rng=rng) for _ in range(50)} == {"heavy"}
    assert {table.explore("full", epsilon=1.0, rng=rng) for _ in range(50)} == {"short", "heavy"}


def test_a_table_survives_as_json() -> None:
    table = QTable(rules=("short", "heavy"))
    table.update("full", "heavy", reward=-1 / 3, after=None)
    assert msgspec.json.decode(msgspec.json.encode(table), type=QTable) == table


def test_states_are_steps_of_queue_load_and_mix() -> None:
    assert state_of(queue=0, load=0.0, mix=0.0) == state_of(queue=1, load=0.2, mix=3.9)
    assert len({state_of(queue=queue, load=0.5, mix=8.0) for queue in range(1, 64)}) == 3
    assert len({state_of(queue=1, load=load / 100, mix=8.0) for load in range(101)}) == 4


def test_the_planner_orders_by_the_rule_of_the_present() -> None:
    """A full machine and an empty one, and a table that wants the short ones first only on the full one."""
    planner = Planner()
    for number in range(LEAST_RECENT):
        planner.note_arrival(Asked(number, "ann", 1, 1, 256.0))
    waiting = [Asked(20, "ann", 1, 1, 500.0), Asked(21, "ann", 3, 3, 50.0)]
    running = [Begun(Asked(0, "bob", 3, 3, 900.0), 0.0)]
    full, empty = planner.state(waiting, running, free=0), planner.state(waiting, [], free=4)
    assert full != empty
    planner.table.update(full, "short", reward=-1.0, after=None)
    planner.table.update(empty, "narrow", reward=-1.0, after=None)

    def chosen(policy: str, running: list[Begun], free: int) -> tuple[int, str]:
        choice = planner.choose(
            POLICIES[policy],
            waiting,
            running,
            now_s=30.0,
            free=free,
            backfill=False,
            rng=np.random.default_rng(1),
        )
        return choice.place, choice.rule

    assert chosen(f"predicted {TABLE}", running, 0) == (1, "short")
    assert chosen(f"predicted {TABLE}", [], 4) == (0, "narrow")
    assert chosen("rollout of backlog by table", running, 0)[1] in ("short", "heavy")
