"""Who may come while somebody waits: drawn in blocks, put in their places, and foretold with the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bus.spec import ResourceSpec
from coordinator.core.foresight import of_task
from coordinator.core.scheduler.asking import UNSAID_S
from coordinator.core.scheduler.coming import ARRIVALS, LEAST, NOBODY_COMES, Coming, Newcomer, gaps
from coordinator.core.scheduler.forecast import foresee
from coordinator.core.scheduler.forward import Discipline, Entry, Scene, play
from coordinator.core.scheduler.policies import POLICIES, Kind, Policy
from coordinator.core.scheduler.scene import newcomers
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.test_sharing_gpus import gpu, join

EXACT = np.ones(1)


def machine(*entries: Entry, nodes: int = 4, free: int = 4, ends_s: float = 10.0, **more: object) -> Scene:
    """What is not free of one machine runs until `ends_s`; line `n` asks for `n + 1`."""
    held = nodes - free
    running = 1 if held else 0
    return Scene(
        now_s=0.0,
        free=np.array([[free]], dtype=np.int64),
        rows=np.zeros(running, dtype=np.intp),
        held=np.full((running, 1), held, dtype=np.int64),
        begun=np.zeros(running),
        ends=np.full(running, ends_s),
        limits=np.full(running, ends_s),
        requests=np.arange(1, nodes + 1, dtype=np.int64).reshape(-1, 1),
        allowed=np.ones((nodes, 1), dtype=np.bool_),
        entries=entries,
        **more,  # type: ignore[arg-type]
    )


def starts(scene: Scene) -> list[float]:
    return [each.last_s for each in play(scene, EXACT, np.random.default_rng(1)).starts]


def entry(amount: int, run_s: float, at_s: float = -math.inf) -> Entry:
    return Entry(amount - 1, 1, run_s, run_s, at_s)


def test_nobody_starts_before_it_comes_and_time_passes_until_then() -> None:
    assert starts(machine(entry(1, 5.0, at_s=7.0), entry(4, 5.0))) == [7.0, 0.0]
    assert starts(machine(entry(4, 5.0, at_s=3.0), entry(4, 5.0), entry(4, 1.0, at_s=20.0))) == [
        5.0,
        0.0,
        20.0,
    ]


@pytest.mark.parametrize("discipline", [Discipline.STRICT, Discipline.EASY])
def test_who_comes_goes_before_those_behind_it_but_not_before_who_has_a_reservation(
    discipline: Discipline,
) -> None:
    """Of the same line or of another one."""
    for amount in (4, 3):
        found = machine(entry(amount, 5.0, at_s=2.0), entry(4, 5.0), entry(4, 5.0), free=0)
        assert starts(replace(found, discipline=discipline)) == [15.0, 10.0, 20.0]


def test_who_comes_first_of_a_line_that_is_not_blocked_goes_first() -> None:
    """Under a strict order lines wait behind the head without having been tried."""
    found = machine(entry(4, 5.0), entry(1, 9.0, at_s=2.0), entry(1, 5.0), entry(1, 5.0, at_s=3.0), free=3)
    assert starts(replace(found, discipline=Discipline.STRICT)) == [10.0, 15.0, 15.0, 15.0]


def newcomer(gap_s: float, key: float, *, run_s: float = 10.0, standing: int = 0) -> Newcomer:
    return Newcomer(gap_s, standing, 0, key, entry(4, run_s))


def test_arrivals_take_their_places_and_the_scenes_own_keep_theirs() -> None:
    scene = machine(entry(1, 1.0), entry(2, 2.0), entry(3, 3.0))
    places = ((0, 0, 1.0, 1), (0, 0, 5.0, 2), (1, -3, 0.0, 3))
    latest = tuple(newcomer(1.0, key) for key in (0.5, 1.0, 3.0, 9.0) * 3)
    joined, own = Coming(places, latest).join(scene, np.random.default_rng(3))
    assert [joined.entries[place] for place in own] == list(scene.entries)
    assert len(joined.entries) == 3 + ARRIVALS and own == sorted(own)
    came = [each.at_s for place, each in enumerate(joined.entries) if place not in own]
    assert sorted(came) == [float(second) for second in range(1, ARRIVALS + 1)]
    counts = [own[0], own[1] - own[0] - 1, own[2] - own[1] - 1, len(joined.entries) - own[2] - 1]
    assert counts[3] == 0 and all(count > ARRIVALS / 8 for count in counts[:3])


def test_later_classes_stand_behind() -> None:
    """Who comes after a step of ageing is of a younger class, whatever its key."""
    places = ((0, 0, 50.0, 1),)
    coming = Coming(places, tuple(newcomer(30.0, 1.0) for _ in range(LEAST)), 100.0)
    joined, own = coming.join(machine(entry(1, 1.0)), np.random.default_rng(1))
    assert own == [3]  # those of the first hundred seconds
    assert joined.entries[3].at_s == -math.inf


def test_before_enough_came_nobody_is_thought_to_come() -> None:
    scene = machine(entry(1, 1.0))
    few = Coming(((0, 0, 0.0, 1),), tuple(newcomer(1.0, 0.0) for _ in range(LEAST - 1)))
    for coming in (few, NOBODY_COMES):
        joined, own = coming.join(scene, np.random.default_rng(1))
        assert joined is scene and own == [0] and not coming.varies


@given(st.lists(st.floats(0.0, 1e6), max_size=9), st.floats(0.0, 1e6))
def test_gaps_are_those_between_arrivals_and_the_oldest_follows_the_newest(
    ats_s: list[float], since_s: float
) -> None:
    ats_s.sort()
    found = gaps(ats_s, now_s=max(ats_s, default=0.0) + since_s)
    assert len(found) == len(ats_s) and all(gap >= 0.0 for gap in found)
    if ats_s:
        assert (
            sum(found[1:]) == pytest.approx(ats_s[-1] - ats_s[0]) and found[0] >= since_s * (1 - 1e-9) - 1e-6
        )


def test_those_that_overtake_put_a_start_off_and_widen_its_interval() -> None:
    scene = machine(entry(4, 10.0), entry(4, 10.0), free=0, discipline=Discipline.STRICT)
    places = ((0, 0, 1.0, 1), (0, 0, 2.0, 2))
    behind = Coming(places, tuple(newcomer(5.0 + step, 3.0) for step in range(LEAST)))
    before = Coming(places, tuple(newcomer(5.0 + step, 0.0) for step in range(LEAST)))
    alone = foresee(scene, [1], EXACT, steps=9_000)
    same = foresee(scene, [1], EXACT, steps=9_000, coming=behind)
    later = foresee(scene, [1], EXACT, steps=9_000, coming=before)
    assert alone is not None and same is not None and later is not None
    assert (
        (alone.start_s, alone.low_s, alone.high_s)
        == (20.0, 20.0, 20.0)
        == (same.start_s, same.low_s, same.high_s)
    )
    assert 20.0 < later.start_s <= later.high_s


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("fcfs", 0.0),
        ("sjf", 30.0),
        ("f1", None),
        ("predicted short", 30.0),
        ("predicted by table", None),
        ("rollout", None),
    ],
)
def test_the_latest_arrivals_of_a_cluster_come_again(pool: World, order: str, key: float | None) -> None:
    pool.submit(command=["true"], resources=ResourceSpec(cpu=500), timeout=30)
    pool.submit(command=["true"], resources=ResourceSpec(cpu=1000))
    pool.now_s += 5.0
    short, unsaid = newcomers(pool.cluster, now_s=pool.now_s, policy=POLICIES[order])
    assert short.shape.resources.cpu_millis == 500 and short.shape.labels == ()
    assert key is None or short.key == key
    assert short.key <= unsaid.key
    assert (unsaid.key == math.inf) == (order in ("sjf", "f1"))
    assert short.standing == -short.priority == -5


def test_a_static_rule_of_a_learned_order_hears_the_prediction(pool: World) -> None:
    """Who said nothing is predicted to run for an hour there, and asks for ever by itself."""
    pool.submit(command=["true"], resources=ResourceSpec(cpu=1000))
    keys = []
    for kind in (Kind.PREDICTED, Kind.STATIC):
        policy = Policy(name="x", kind=kind, rules=("sjf",))
        (unsaid,) = newcomers(pool.cluster, now_s=pool.now_s, policy=policy)
        keys.append(unsaid.key)
    assert keys == [UNSAID_S, math.inf]


def test_shares_of_gpus_are_asked_for_again(pool: World) -> None:
    join(pool, "g", gpu("a"), gpu("b"))
    pool.submit(command=["true"], resources=ResourceSpec(gpu=2))
    pool.submit(command=["true"], resources=ResourceSpec(gpu=0.5))
    found = [each.shape.resources for each in newcomers(pool.cluster, now_s=pool.now_s)]
    assert [(each.gpus, each.gpu_milli) for each in found] == [(2, 0), (0, 500)]


def test_a_task_that_newcomers_overtake_is_foretold_to_wait_longer(pool: World) -> None:
    """Short tasks come every ten seconds and take all of the node for half of that time."""
    whole = ResourceSpec(cpu=2000)
    for _ in range(2 * LEAST):
        pool.submit(command=["true"], resources=whole, timeout=5)
        (placement,) = pool.schedule()
        pool.start(placement)
        pool.now_s += 5.0
        pool.end(placement)
        pool.now_s += 5.0
    pool.submit(command=["true"], resources=whole, timeout=40)
    (runs,) = pool.schedule()
    pool.start(runs)
    first = pool.submit(command=["true"], resources=whole, timeout=30)
    waits = pool.submit(command=["true"], resources=whole, timeout=60)
    foretold = {}
    for order in ("fcfs", "sjf"):
        pool.cluster.order, pool.cluster.dirty = order, True
        pool.schedule()
        question = of_task(pool.cluster, pool.cluster.jobs[waits].groups[0], 0, now_s=pool.now_s)
        answer = question.answer() if question is not None else None
        assert answer is not None
        foretold[order] = answer.start_s - pool.now_s
    assert first < waits and foretold["fcfs"] == pytest.approx(70.0, abs=1.0)
    assert foretold["sjf"] > 75.0
