"""Rollouts play what the replayer plays; the planner looks ahead with them, on a model that it learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given
from msgspec.structs import replace

from coordinator.core.scheduler import predict
from coordinator.core.scheduler.planner import LEAST_RECENT, Asked, Begun, Choice, Planner
from coordinator.core.scheduler.policies import BASE_RULES, POLICIES, Kind, Policy, base_key
from coordinator.core.scheduler.predict import Mean, Predictor
from coordinator.core.scheduler.rollout import Future, Held, Item, Snapshot
from coordinator.core.scheduler.rules import RULES, TIMELESS, Waits
from coordinator.sim.replay import Machine, replay
from coordinator.sim.swf import TraceJob
from tests.unit.coordinator.test_replay import JOBS, NODES

BACKLOG = POLICIES["rollout of backlog"]
RULE = BASE_RULES["short and narrow"]


def key(job: TraceJob) -> float:
    return RULE(job.run_s, job.nodes, weight(job))


def weight(job: TraceJob) -> float:
    return 1.0 / max(job.run_s, 10)


class ByKey:
    """`first`, then by the rule; it knows the run times, as a perfect model would."""

    def __init__(self, jobs: Sequence[TraceJob], first: int) -> None:
        self._keys = [key(job) for job in jobs]
        self._first: int | None = first

    def choose(self, machine: Machine) -> int:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return min(machine.waiting, key=lambda index: (self._keys[index], index))


@given(JOBS, st.booleans())
def test_a_rollout_costs_what_the_replay_costs(jobs: list[TraceJob], backfill: bool) -> None:
    """With a perfect model of all that comes, from an empty machine.

    No two jobs end at once: whose nodes are free first is then another in a rollout than in a replay.
    """
    jobs = [
        replace(
            job,
            submitted_s=job.submitted_s << 31,
            run_s=(job.run_s << 31) + (1 << place),
            requested_s=job.requested_s << 31,
        )
        for place, job in enumerate(jobs)
    ]
    items = [
        Item(job.submitted_s, job.run_s, job.requested_s, weight(job), job.nodes, (key(job),)) for job in jobs
    ]
    started_s = replay(jobs, NODES, ByKey(jobs, 0), backfill=backfill)
    paid = sum(weight(job) * (at_s - job.submitted_s) for job, at_s in zip(jobs, started_s, strict=True))
    snapshot = Snapshot(jobs[0].submitted_s, NODES, (), 1)
    assert Future(snapshot, items).cost(0, 0, backfill=backfill) == pytest.approx(paid)


@pytest.mark.parametrize(("backfill", "paid"), [(False, 30 + 30), (True, 30 + 0)])
def test_what_runs_gives_its_nodes_back(backfill: bool, paid: float) -> None:
    """Three of four nodes are held for thirty seconds; a narrow job would fit beside, behind a wide one."""
    snapshot = Snapshot(100.0, 1, (Held(130.0, 150.0, 3),), 2)
    wide = Item(90.0, 10.0, 10.0, 1.0, 4, (0.0,))
    narrow = Item(95.0, 5.0, 5.0, 1.0, 1, (1.0,))
    assert Future(snapshot, [wide, narrow]).cost(0, 0, backfill=backfill) == pytest.approx(
        paid + (0 if backfill else 10)
    )


def asked(at_s: float, requested_s: float, nodes: int = 1, user: str = "ann") -> Asked:
    return Asked(at_s, user, nodes, nodes, requested_s)


def choose(
    planner: Planner,
    waiting: list[Asked],
    running: list[Begun] | None = None,
    seed: int = 1,
    policy: Policy = POLICIES["rollout"],
    *,
    exact: bool = False,
):
    return planner.choose(
        policy,
        waiting,
        running or [],
        now_s=waiting[-1].at_s,
        free=NODES,
        backfill=False,
        rng=np.random.default_rng(seed),
        exact=exact,
    )


def test_one_that_waits_alone_goes() -> None:
    assert choose(Planner(), [asked(0, 10)]).place == 0


def test_the_short_one_goes_before_the_long_one() -> None:
    """Both need all nodes, so one waits for the other: ten seconds weigh less than a thousand."""
    choice = choose(Planner(), [asked(0, 1000, NODES), asked(1, 10, NODES)])
    assert choice.place == 1 and choice.values[1] < choice.values[0]


def test_what_is_coming_counts() -> None:
    """Whoever goes first, those that come meanwhile wait as well."""
    alone, busy = (Planner() for _ in range(2))
    for number in range(LEAST_RECENT + 5):
        busy.note_arrival(asked(10.0 * number, 5, nodes=2, user="bob"))
    waiting = [asked(200, 500, nodes=NODES), asked(201, 520, nodes=2)]
    choice = choose(busy, waiting)
    assert all(choice.values[place] > value for place, value in choose(alone, waiting).values.items())
    assert choose(busy, waiting) == choice, "the same numbers, the same choice"
    assert choose(busy, waiting, seed=2).values != choice.values, "other futures"


@pytest.mark.parametrize("rule", [*sorted(BASE_RULES), "f1", "f2", "f3", "f4", "saf"])
def test_every_base_rule_can_order_the_rest(rule: str) -> None:
    """Of two that are alike in all else the smaller one goes first."""
    planner = Planner()
    large, small = asked(0, 1000, nodes=3), asked(0, 10, nodes=2)
    choice = choose(planner, [large, small], policy=replace(BACKLOG, rules=(rule,)))
    assert (choice.rule, choice.place) == (rule, 1)


@pytest.mark.parametrize("rule", sorted(TIMELESS))
def test_a_static_rule_hears_the_prediction_and_when_a_job_came(rule: str) -> None:
    came = Waits(requested_s=70.0, processors=3, submitted_s=900.0)
    assert base_key(rule, came, nodes=500_000, weight=0.1) == RULES[rule](came, 5_000.0)


def test_arrivals_count_from_when_the_record_began() -> None:
    """F2 has an old record tell early from late less sharply: there the smaller one may pass."""
    policy = Policy(name="f2", kind=Kind.PREDICTED, rules=("f2",))
    waiting = [asked(1e6, 3600, nodes=3), asked(1e6 + 100.0, 60, nodes=3)]

    def first(began_s: float) -> int:
        rng = np.random.default_rng(1)
        return (
            Planner()
            .choose(
                policy,
                waiting,
                [],
                now_s=1e6 + 200.0,
                free=NODES,
                backfill=False,
                rng=rng,
                began_s=began_s,
            )
            .place
        )

    assert (first(0.0), first(1e6 - 10.0)) == (1, 0)


def test_without_futures_only_the_backlog_counts() -> None:
    planner = Planner()
    for number in range(2 * LEAST_RECENT):
        planner.note_arrival(asked(number, 5))
    waiting = [asked(100, 50, NODES), asked(101, 10, NODES)]
    assert choose(planner, waiting, policy=BACKLOG) == choose(planner, waiting, seed=2, policy=BACKLOG)


ASKED = st.builds(asked, st.just(0.0), st.integers(1, 500), st.integers(1, NODES), st.sampled_from("ab"))


@example(
    waiting=[asked(0, 1, 2), asked(0, 1), asked(0, 1, 2), asked(0, 2), asked(0, 2, 2)],
    running=[],
    futures=2,
    rules=2,
    quiet=0.0,
    backfill=False,
)
@given(
    st.lists(ASKED, min_size=2, max_size=8),
    st.lists(ASKED, max_size=3),
    st.integers(0, 3),
    st.integers(1, 4),
    st.sampled_from((0.0, 0.5, 3.0)),
    st.booleans(),
)
def test_rollouts_that_end_early_change_no_choice(
    waiting: list[Asked], running: list[Asked], futures: int, rules: int, quiet: float, backfill: bool
) -> None:
    """Nor do they make up values: what is no bound is exact."""
    planner = Planner()
    for number in range(LEAST_RECENT):
        planner.note_arrival(waiting[number % len(waiting)]._replace(at_s=7.0 * number))
    held = [Begun(job._replace(nodes=1), 50.0) for job in running]
    policy = replace(BACKLOG, rules=tuple(BASE_RULES)[:rules], futures=futures, arrivals=10, quiet=quiet)

    def chosen(*, exact: bool) -> Choice:
        return planner.choose(
            policy,
            waiting,
            held,
            now_s=100.0,
            free=NODES - len(held),
            backfill=backfill,
            rng=np.random.default_rng(1),
            exact=exact,
        )

    early, exact = chosen(exact=False), chosen(exact=True)
    assert (early.place, early.rule) == (exact.place, exact.rule)
    assert not exact.bounds and early.place not in early.bounds
    for place in early.values.keys() - early.bounds:
        assert early.values[place] == pytest.approx(exact.values[place])


def test_the_backlog_alone_counts_as_much_as_is_said() -> None:
    """Q is a mean by shares: of the futures, and of one in which nobody comes."""
    planner = Planner()
    for number in range(LEAST_RECENT):
        planner.note_arrival(asked(10.0 * number, 30, nodes=2))
    waiting = [asked(200, 500, nodes=NODES), asked(201, 520, nodes=2)]

    def values(**given: float) -> dict[int, float]:
        policy = replace(BACKLOG, rules=("heavy",), arrivals=30, **given)
        return choose(planner, waiting, policy=policy, exact=True).values

    both, coming, alone = values(futures=1, quiet=3.0), values(futures=1), values()
    for place in both:
        assert both[place] == pytest.approx((3 * alone[place] + coming[place]) / 4)


def test_who_has_no_steps_left_goes_by_the_base_rule() -> None:
    planner = Planner()
    waiting = [asked(0, 1000, NODES), asked(1, 10, 1)]
    kinds = {steps: steer(planner, waiting, steps) for steps in (0, 1, 1000)}
    assert kinds[0] == Choice(1, "short and narrow", {})
    assert kinds[1].place == 1 and list(kinds[1].values) == [1]
    assert len(kinds[1000].values) == 2


def steer(planner: Planner, waiting: list[Asked], steps: int) -> Choice:
    rng = np.random.default_rng(1)
    return planner.choose(BACKLOG, waiting, [], now_s=1.0, free=NODES, backfill=False, rng=rng, steps=steps)


def test_a_predicted_order_goes_by_what_is_predicted() -> None:
    planner = Planner()
    for _ in range(50):
        planner.note_end(asked(0, 3600, user="ann"), 30.0)
        planner.note_end(asked(0, 1800, user="bob"), 1800.0)
    waiting = [asked(0, 1800, user="bob"), asked(0, 3600, user="ann")]
    choice = choose(planner, waiting, policy=POLICIES["predicted short"])
    assert choice == Choice(1, "short", {})


def test_a_prediction_that_was_too_short_does_not_end_a_job() -> None:
    running = [Begun(asked(0, 10, nodes=NODES), 0.0)]
    waiting = [asked(500, 10, NODES), asked(501, 10, NODES)]
    choice = Planner().choose(
        BACKLOG, waiting, running, now_s=501.0, free=0, backfill=False, rng=np.random.default_rng(1)
    )
    assert all(value > 0 for value in choice.values.values())


def test_whose_jobs_end_early_is_learned() -> None:
    predictor = Predictor()
    for _ in range(50):
        predictor.observe("ann", 1, 3600.0, 60.0)
        predictor.observe("bob", 1, 3600.0, 3600.0)
    ann, bob = (predictor.predict(user, 1, 3600.0) for user in ("ann", "bob"))
    assert ann.run_s < 300 and ann.weight == pytest.approx(1 / 60, rel=0.2)
    assert bob.run_s > 3000 and bob.weight == pytest.approx(1 / 3600, rel=0.2)
    assert predictor.predict("new", 1, 3600.0).run_s == pytest.approx(3600.0)


def test_exact_requests_are_believed() -> None:
    predictor = Predictor()
    for seconds in (10.0, 10_000.0) * 50:
        predictor.observe("", 1, seconds, seconds)
    assert predictor.predict("", 1, 5_000.0).run_s == 5_000.0
    assert predictor.predict("", 1, 0.0).run_s == 1.0


def test_who_ended_no_job_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "USERS_MAX", 3)
    monkeypatch.setattr(predict, "KINDS_MAX", 4)
    predictor = Predictor()
    for user in ("a", "b", "c", "a", "d"):
        predictor.observe(user, 1, 60.0, 6.0)
        predictor.observe(user, 2, 60.0, 6.0)
    assert list(predictor.ratios) == list(predictor.weights) == ["c", "a", "d"]
    assert list(predictor.kinds) == [("a", 1, 60.0), ("a", 2, 60.0), ("d", 1, 60.0), ("d", 2, 60.0)]
    assert predictor.ratios["a"].count > predictor.ratios["d"].count


WIDE = st.builds(
    asked, st.floats(0.0, 1e4), st.floats(0.0, 1e9), st.integers(1, 4 * NODES), st.sampled_from("ab")
)


@example(
    recent=[],
    waiting=[asked(0, 10, 2 * NODES), asked(1, 5)],
    running=[asked(0, 20)],
    free=NODES - 1,
    policy=BACKLOG,
    backfill=True,
    steps=math.inf,
)
@given(
    recent=st.lists(WIDE, max_size=2 * LEAST_RECENT),
    waiting=st.lists(WIDE, min_size=1, max_size=8),
    running=st.lists(WIDE, max_size=4),
    free=st.integers(-NODES, NODES),
    policy=st.sampled_from([each for each in POLICIES.values() if each.kind is not Kind.STATIC]),
    backfill=st.booleans(),
    steps=st.sampled_from((0, 1, 100, math.inf)),
)
def test_whatever_was_and_is_there_somebody_goes_next(
    recent: list[Asked],
    waiting: list[Asked],
    running: list[Asked],
    free: int,
    policy: Policy,
    backfill: bool,
    steps: float,
) -> None:
    """Also where the machine was larger once, or holds more than it has."""
    planner = Planner()
    for job in recent:
        planner.note_arrival(job)
        planner.note_end(job, job.requested_s / 2.0)
    choice = planner.choose(
        replace(policy, arrivals=min(policy.arrivals, 5)),
        sorted(waiting),
        [Begun(job, job.at_s) for job in running],
        now_s=1e4,
        free=free,
        backfill=backfill,
        rng=np.random.default_rng(1),
        steps=steps,
    )
    assert 0 <= choice.place < len(waiting)


def test_a_mean_is_shrunk_towards_what_is_known_already() -> None:
    mean = Mean()
    assert mean.shrunk(3.0, 2.0) == 3.0
    mean.observe(9.0, 0.5)
    assert mean.shrunk(3.0, 2.0) == pytest.approx((9.0 + 6.0) / 3.0)
