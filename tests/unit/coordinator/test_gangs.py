"""Gangs: all ranks are placed at once or none, start together, and end as one task."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from bus.spec import GangSpec
from bus.values import (
    AttemptState,
    GangRestart,
    Meeting,
    NodeAdmin,
    Outcome,
    Resources,
    Returned,
    Role,
    TaskRef,
    TaskState,
    UserName,
)
from coordinator.core.effects import (
    AnswerSubmit,
    EventRecord,
    Placement,
    Refuse,
    SendAssign,
    SendCancel,
    SendRetract,
    SendStart,
)
from coordinator.core.events import CommandUnanswered
from coordinator.core.rebuild import RebuildError, restore_attempt
from tests.unit.coordinator.conftest import INVENTORY, World


def nodes(world: World, count: int = 2, *, cores: int = 2, **changes: Any) -> None:
    """n1, n2 … with an address each."""
    for number in range(1, count + 1):
        inventory = replace(INVENTORY, ip=f"10.0.{number % 2}.{number}")
        world.register(f"n{number}", capacity=Resources(cores * 1000, 8192), inventory=inventory, **changes)


def gang(world: World, size: int = 4, *, retries: int = 0, **fields: Any) -> int:
    """The number of a job of one gang."""
    options = {name: fields.pop(name) for name in tuple(fields) if name in GangSpec.__struct_fields__}
    return world.submit(command=["train"], gang=GangSpec(size=size, **options), retries=retries, **fields)


def started(world: World, size: int = 4, **fields: Any) -> list[Placement]:
    """A gang all of whose ranks run; in order of their ranks."""
    gang(world, size, **fields)
    ranks = world.schedule()
    for name in sorted({where(world, rank) for rank in ranks}):
        world.confirm(name)
    for rank in ranks:
        world.start(rank, where(world, rank))
    return ranks


def where(world: World, rank: Placement) -> str:
    return next(name for name, held in world.held.items() if rank.attempt in held)


def end_all(world: World, ranks: list[Placement], **fields: Any) -> None:
    for rank in ranks:
        if any(rank.attempt in held for held in world.held.values()):
            world.end(rank, where(world, rank), **fields)


def test_all_ranks_are_placed_in_one_step_with_one_fence(world: World) -> None:
    """And neighbours are on one node; the task is one."""
    nodes(world)
    job = gang(world, 4)
    ranks = world.schedule()
    assert [str(rank.attempt) for rank in ranks] == [
        f"{job}.0#1",
        f"{job}.0:1#1",
        f"{job}.0:2#1",
        f"{job}.0:3#1",
    ]
    assert [where(world, rank) for rank in ranks] == ["n1", "n1", "n2", "n2"]
    assert world.job(job).assigned == 1
    assert world.task_state(job) is TaskState.ASSIGNED


def test_a_gang_that_does_not_fit_holds_nothing(world: World) -> None:
    nodes(world)
    world.submit(command=["x"])
    (blocker,) = world.schedule()
    job = gang(world, 4)
    assert world.schedule() == []
    assert world.task_state(job) is TaskState.QUEUED
    world.end(blocker, where(world, blocker))
    assert len(world.schedule()) == 4


def test_nobody_starts_before_all_agents_have_accepted(world: World) -> None:
    """`go` is told once the last of them has confirmed, with where rank 0 is met."""
    nodes(world)
    gang(world, 3)
    world.schedule()
    assert not [tell for tell in world.confirm("n1") if isinstance(tell, SendStart)]
    told = [tell for tell in world.confirm("n2") if isinstance(tell, SendStart)]
    assert {tell.node: len(tell.attempts) for tell in told} == {"n1": 2, "n2": 1}
    assert {tell.meeting for tell in told} == {
        Meeting(address="10.0.1.1", port=4000, hosts=(("10.0.1.1", 2), ("10.0.0.2", 1)))
    }


def test_single_tasks_are_confirmed_among_ranks(world: World) -> None:
    """An agent confirms all that it was given in one word: what is no rank waits for nobody."""
    nodes(world)
    gang(world, 3)
    single = world.submit(command=["x"])
    assert len(world.schedule()) == 4
    told = [tell for name in ("n1", "n2") for tell in world.confirm(name) if isinstance(tell, SendStart)]
    assert {ref.job for tell in told for ref in tell.attempts} == {1}
    attempt = world.cluster.find_task(TaskRef(single, 0)).attempt
    assert attempt is not None and attempt.confirmed_at is not None


def test_on_one_node_they_meet_at_home(world: World) -> None:
    nodes(world, 1)
    gang(world, 2)
    world.schedule()
    (told,) = [tell for tell in world.confirm("n1") if isinstance(tell, SendStart)]
    assert told.meeting == Meeting(address="127.0.0.1", port=4000, hosts=(("127.0.0.1", 2),))


def test_go_is_said_again_to_those_who_have_not_started(world: World) -> None:
    nodes(world)
    ranks_of = gang(world, 4)
    ranks = world.schedule()
    world.confirm("n1")
    world.confirm("n2")
    world.start(ranks[0], "n1")
    told = [tell for tell in world.reconcile() if isinstance(tell, SendStart)]
    assert [str(ref) for tell in told for ref in tell.attempts] == [
        f"{ranks_of}.0:{rank}#1" for rank in (1, 2, 3)
    ]
    for rank in ranks[1:]:
        world.start(rank, where(world, rank))
    assert not [tell for tell in world.reconcile() if isinstance(tell, SendStart)]
    assert not world.cluster.gathering


def test_a_new_leader_gathers_again(world: World) -> None:
    """It knows neither who confirmed nor the port: ranks that are held are assigned again, and confirmed."""
    nodes(world)
    gang(world, 4)
    world.schedule()
    world.confirm("n1")
    world.cluster = world.rebuilt()
    world.now_s += world.cluster.limits.missing_after_s + 0.1
    resent = [tell for name in ("n1", "n2") for tell in (world.beat(name), *world.tells)]
    again = [tell for tell in resent if isinstance(tell, SendAssign)]
    assert {tell.node: len(tell.placements) for tell in again} == {"n1": 2, "n2": 2}
    world.confirm("n1")
    assert [tell for tell in world.confirm("n2") if isinstance(tell, SendStart)]


def test_the_barrier_has_an_end(world: World) -> None:
    """All are asked back, nobody is charged, the history says who was not heard; then it is placed anew."""
    nodes(world)
    job = gang(world, 4, start_timeout="5s")
    ranks = world.schedule()
    world.confirm("n1")
    world.now_s += 4.0
    world.beat("n1"), world.beat("n2")
    world.wait(0.5)
    assert world.task_state(job) is TaskState.ASSIGNED
    told = world.wait(0.6)
    assert {tell.node for tell in told if isinstance(tell, SendRetract)} == {"n1", "n2"}
    (event,) = [each for each in world.effects if isinstance(each, EventRecord)]
    assert event.event_type == "gang_start_timeout"
    assert event.details["unheard"] == ["n2"]
    for rank in ranks:
        world.give_back(rank, where(world, rank))
    assert world.history(job)[-2:] == ["reassigned", "queued"]
    assert world.cluster.find_task(TaskRef(job, 0)).retries == 0
    assert [rank.attempt.fence for rank in world.schedule()] == [2, 2, 2, 2]


def test_an_agent_that_restarts_at_the_barrier_is_charged_with_nothing(world: World) -> None:
    """Nothing of it ran: neither the node nor the task is to blame, and `restart: fail` is not meant."""
    nodes(world, 2)
    job = gang(world, 4, restart=GangRestart.FAIL)
    ranks = world.schedule()
    world.confirm("n2")
    for rank in ranks[2:]:
        world.end(rank, "n2", outcome=Outcome.LOST, exit_code=None, started_at=None)
    for rank in ranks[:2]:
        world.give_back(rank, "n1")
    assert world.history(job)[-2:] == ["reassigned", "queued"]
    assert world.cluster.find_task(TaskRef(job, 0)).lost_on == ()
    assert world.cluster.nodes["n2"].losses == []
    assert {attempt.state for attempt in world.mirror.attempts.values()} == {AttemptState.RETURNED}
    assert len(world.schedule()) == 4


def test_a_rank_that_was_told_to_start_is_lost_with_its_guard(world: World) -> None:
    """Whether it ran, nobody knows."""
    nodes(world, 2)
    job = gang(world, 4)
    ranks = world.schedule()
    for name in ("n1", "n2"):
        world.confirm(name)
    world.end(ranks[2], "n2", outcome=Outcome.LOST, exit_code=None, started_at=None)
    assert world.cluster.find_task(TaskRef(job, 0)).lost_on == ("n2",)
    assert len(world.cluster.nodes["n2"].losses) == 1


def test_it_completes_when_all_ranks_exit_0(world: World) -> None:
    """With the output of rank 0, which is kept when that ends."""
    nodes(world)
    ranks = started(world)
    job = ranks[0].attempt.job
    world.end(ranks[0], "n1", output=b'{"loss": 1}')
    assert world.task_state(job) is TaskState.RUNNING
    for rank in ranks[1:]:
        world.end(rank, where(world, rank), output=b'{"loss": 2}')
    assert world.task_state(job) is TaskState.COMPLETED
    assert [change.output for _, change in world.mirror.tasks.values()] == [b'{"loss": 1}']


def test_one_ranks_failure_ends_the_others_and_the_task(world: World) -> None:
    """Its exit code is the task's, with its rank in the reason; the others were preempted."""
    nodes(world)
    ranks = started(world)
    job = ranks[0].attempt.job
    told = world.end(ranks[2], "n2", exit_code=3)
    cancelled = [ref.rank for tell in told if isinstance(tell, SendCancel) for ref in tell.attempts]
    assert sorted(cancelled) == [0, 1, 3]
    assert world.task_state(job) is TaskState.RUNNING
    for rank in (ranks[0], ranks[1], ranks[3]):
        world.end(rank, where(world, rank), outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    assert world.task_state(job) is TaskState.FAILED
    change = world.job(job)
    assert change.exit_code == 3
    assert change.reason == f"task {job}.0 failed on n2: rank 2 on n2: exit code 3"
    states = [attempt.state for attempt in world.mirror.attempts.values()]
    assert states.count(AttemptState.PREEMPTED) == 3


def test_a_failure_is_tried_again_as_a_whole(world: World) -> None:
    """Charged once, with the next fence for all ranks: what comes late of the old try changes nothing."""
    nodes(world)
    ranks = started(world, retries=1)
    job = ranks[0].attempt.job
    world.end(ranks[1], "n1", exit_code=1)
    end_all(world, ranks, outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    assert world.history(job)[-2:] == ["failed", "retrying"]
    world.wait(5.0)
    for name in ("n1", "n2"):
        world.beat(name)
    again = world.schedule()
    assert [rank.attempt.fence for rank in again] == [2, 2, 2, 2]
    world.end(ranks[1], "n1", exit_code=0)
    assert world.task_state(job) is TaskState.ASSIGNED
    assert world.cluster.find_task(TaskRef(job, 0)).retries == 1


def lose_node(world: World, name: str, *others: str) -> None:
    """Nothing is heard of it until its lease has ended."""
    for _ in range(40):
        world.wait(0.5)
        for other in others:
            world.beat(other)


def test_a_lost_node_queues_all_of_it_again_uncharged(world: World) -> None:
    """Although the ranks that talked to it failed first; and what was lost with one node is one loss."""
    nodes(world, 3)
    ranks = started(world, 4)
    job = ranks[0].attempt.job
    world.end(ranks[0], "n1", exit_code=1, message="connection reset")
    world.end(ranks[1], "n1", outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    lose_node(world, "n2", "n1", "n3")
    assert world.task_state(job) is TaskState.QUEUED
    task = world.cluster.find_task(TaskRef(job, 0))
    assert (task.retries, task.lost_on) == (0, ("n2",))
    assert {where(world, rank) for rank in world.schedule()} == {"n1", "n3"}


def test_a_lost_rank_may_be_the_end(world: World) -> None:
    nodes(world, 2)
    ranks = started(world, 4, restart=GangRestart.FAIL, retries=5)
    job = ranks[0].attempt.job
    lose_node(world, "n2", "n1")
    end_all(world, ranks[:2], outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    assert world.task_state(job) is TaskState.FAILED
    assert "rank 2 on n2: its node fell silent" in world.job(job).reason


def test_a_gang_that_loses_its_nodes_again_and_again_is_poison(world: World) -> None:
    nodes(world, 2)
    gang(world, 2, ranks_per_node=1)
    for _ in range(world.cluster.limits.losses_max):
        ranks = world.schedule()
        assert len(ranks) == 2
        for name in ("n1", "n2"):
            world.confirm(name)
        for rank in ranks:
            world.start(rank, where(world, rank))
        victim = ranks[0]
        world.end(victim, where(world, victim), outcome=Outcome.LOST, exit_code=None)
        world.end(ranks[1], where(world, ranks[1]), outcome=Outcome.CANCELLED, exit_code=None, signal=15)
        world.wait(60.0)
        for name in ("n1", "n2"):
            for _ in range(8):
                world.beat(name)
    assert world.task_state(1) is TaskState.FAILED
    assert "times in a row" in world.job(1).reason


def test_a_cancel_ends_all_ranks(world: World) -> None:
    nodes(world)
    ranks = started(world)
    job = ranks[0].attempt.job
    assert world.cancel(job).tasks == 1
    cancelled = [ref for tell in world.tells if isinstance(tell, SendCancel) for ref in tell.attempts]
    assert len(cancelled) == 4
    assert world.cancel(job).tasks == 0
    end_all(world, ranks, outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    assert world.task_state(job) is TaskState.CANCELLED


def test_a_timeout_of_a_rank_is_the_tasks(world: World) -> None:
    nodes(world)
    ranks = started(world, 2, timeout="10s")
    job = ranks[0].attempt.job
    world.end(ranks[0], "n1", outcome=Outcome.TIMEOUT, exit_code=None)
    end_all(world, ranks, outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    assert world.task_state(job) is TaskState.TIMEOUT


def test_a_command_that_cannot_be_run_is_not_tried_again(world: World) -> None:
    nodes(world)
    ranks = started(world, 2, retries=3)
    job = ranks[0].attempt.job
    world.end(ranks[0], "n1", outcome=Outcome.NOT_FOUND, exit_code=127)
    end_all(world, ranks, outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    assert world.task_state(job) is TaskState.FAILED


def test_a_drained_node_gives_the_whole_gang_back(world: World) -> None:
    nodes(world, 3)
    gang(world, 4)
    ranks = world.schedule()
    world.steer("n2", NodeAdmin.DRAINING)
    told = world.tells
    assert [tell.node for tell in told if isinstance(tell, SendRetract)] == ["n2"]
    world.report("n2", Returned(attempt=ranks[2].attempt))
    assert {tell.node for tell in world.tells if isinstance(tell, SendRetract)} >= {"n1"}
    for rank in (ranks[0], ranks[1], ranks[3]):
        world.give_back(rank, where(world, rank))
    assert world.task_state(1) is TaskState.QUEUED
    assert {where(world, rank) for rank in world.schedule()} == {"n1", "n3"}


def test_an_end_without_a_heard_start_counts_as_one(world: World) -> None:
    """Both come in one report."""
    nodes(world, 1)
    gang(world, 2)
    ranks = world.schedule()
    world.confirm("n1")
    for rank in ranks:
        world.end(rank, "n1")
    assert world.history(1) == ["queued", "assigned", "running", "completed"]


def test_a_requeue_takes_all_ranks(world: World) -> None:
    nodes(world)
    ranks = started(world)
    job = ranks[0].attempt.job
    assert world.requeue(job, 0).tasks == 4
    end_all(world, ranks, outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    assert world.task_state(job) is TaskState.QUEUED
    assert world.cluster.find_task(TaskRef(job, 0)).retries == 0


def test_a_new_leader_knows_how_ranks_ended(world: World, compare: Any) -> None:
    """The verdict is the same whoever comes to it."""
    nodes(world)
    ranks = started(world)
    world.end(ranks[3], "n2", exit_code=9)
    world.end(ranks[0], "n1", outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    rebuilt = world.rebuilt()
    assert compare(rebuilt) == compare(world.cluster)
    world.cluster = rebuilt
    end_all(world, ranks, outcome=Outcome.CANCELLED, exit_code=None, signal=15)
    assert world.task_state(1) is TaskState.FAILED
    assert world.job(1).exit_code == 9


def test_a_row_of_a_rank_without_a_gang_is_refused(world: World) -> None:
    nodes(world)
    ranks = started(world)
    world.end(ranks[3], "n2", exit_code=9)
    row = next(each for each in world.mirror.attempts_kept() if each.ended_at is not None)
    with pytest.raises(RebuildError, match="belongs to no live gang"):
        restore_attempt(World().cluster, row)


@pytest.mark.parametrize("unanswered", [True, False])
def test_a_rank_that_waits_for_the_others_is_not_stuck(world: World, unanswered: bool) -> None:
    nodes(world)
    gang(world, 4, start_timeout="10m")
    world.schedule()
    if unanswered:
        world.happen(CommandUnanswered(node="n1", attempts=tuple(world.held["n1"])))
    else:
        world.confirm("n1")
    for _ in range(20):
        world.now_s += 1.0
        world.beat("n1")
        assert not [tell for tell in world.tells if isinstance(tell, SendRetract)]


def test_a_held_job_is_not_told_to_go(world: World) -> None:
    nodes(world)
    gang(world, 4)
    world.schedule()
    world.confirm("n1")
    world.hold(1)
    assert not [tell for tell in world.confirm("n2") if isinstance(tell, SendStart)]


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ({"gang": GangSpec(size=0)}, "E_GANG", "/gang/size"),
        ({"gang": GangSpec(size=1025)}, "E_GANG", "/gang/size"),
        ({"gang": GangSpec(size=5)}, "E_GANG", "/gang/size"),
        ({"gang": GangSpec(size=3, ranks_per_node=1)}, "E_GANG", "/gang/size"),
        ({"gang": GangSpec(size=2, ranks_per_node=-1)}, "E_GANG", "/gang/ranks_per_node"),
        ({"gang": GangSpec(size=2), "array": "0-3"}, "E_GANG", "/gang"),
        ({"gang": GangSpec(size=2), "for_each": ["a"]}, "E_GANG", "/gang"),
        ({"gang": GangSpec(size=2, topology="a b")}, "E_LABEL", "/gang/topology"),
        ({"gang": GangSpec(size=2, start_timeout="soon")}, "E_DURATION", "/gang/start_timeout"),
        ({"gang": GangSpec(size=2, start_timeout="2h")}, "E_RANGE", "/gang/start_timeout"),
        ({"config": {"distributed": True}}, "E_GANG", "/config/n_clients"),
        ({"config": {"distributed": True, "n_clients": "3"}}, "E_GANG", "/config/n_clients"),
        ({"config": {"distributed": True, "n_clients": 0}}, "E_GANG", "/config/n_clients"),
        (
            {"config": {"distributed": True, "n_clients": 2}, "gang": GangSpec(size=2)},
            "E_FIELD",
            "/config/distributed",
        ),
    ],
)
def test_what_cannot_be_a_gang_is_refused(world: World, spec: Any, code: str, field: str) -> None:
    nodes(world)
    world.submit(command=["x"], **spec)
    fault = world.answer(Refuse).faults[0]
    assert (fault.code, fault.field) == (code, field)


@pytest.mark.contract("S1.13")
def test_a_distributed_training_is_a_gang_of_its_clients(world: World) -> None:
    """The source's example record; what it says reaches every rank in its input."""
    nodes(world)
    config = {
        "name": "mnist_model",
        "batch_size": 64,
        "learning_rate": 0.001,
        "epochs": 10,
        "distributed": True,
        "n_clients": 3,
    }
    world.submit(command=["train"], config=config, input={"seed": 1})
    assert isinstance(world.answer(AnswerSubmit), AnswerSubmit)
    ranks = world.schedule()
    assert [rank.attempt.rank for rank in ranks] == [0, 1, 2]
    assert all(b'"n_clients":3' in (rank.input or b"") and b'"seed":1' in rank.input for rank in ranks)


def test_a_config_that_is_not_distributed_is_one_task(world: World) -> None:
    nodes(world)
    world.submit(command=["train"], config={"distributed": False, "n_clients": 3})
    assert len(world.schedule()) == 1


def test_a_gang_is_accepted_before_any_node_is_there(world: World) -> None:
    """Nobody knows yet what will fit."""
    gang(world, 64)
    assert world.answer(AnswerSubmit).tasks == 1


def test_who_may_not_steer_may_not_cancel_a_rank(world: World) -> None:
    nodes(world)
    started(world)
    assert isinstance(world.cancel(1, by=UserName("bob"), role=Role.USER), Refuse)
