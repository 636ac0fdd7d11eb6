"""A node that could not start a task is left out for it, while another one could take it."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from bus.spec import GangSpec, ResourceSpec
from bus.values import AttemptState, NodeAdmin, NodeHealth, Outcome, Resources, TaskState
from coordinator.core.effects import Placement, TaskChange
from coordinator.core.model import Task
from coordinator.core.placing import take
from coordinator.core.refusals import left_out, stories
from coordinator.core.why import blockers
from tests.unit.coordinator.conftest import World
from tests.unit.coordinator.essence import essence

WHY = "E_IMAGE: x:1 cannot be had on node n1: no route"


@pytest.fixture
def two(world: World) -> World:
    """n1 and n2, of four cores each; n1 is the one that is taken first."""
    world.register("n1", capacity=Resources(4000, 8192))
    world.register("n2", capacity=Resources(8000, 16384))
    return world


def node_of(world: World, placement: Placement) -> str:
    return next(name for name, held in world.held.items() if placement.attempt in held)


def placed(world: World) -> list[str]:
    return [node_of(world, placement) for placement in world.schedule()]


def refuse(world: World, *, message: str = WHY, outcome: Outcome = Outcome.NOT_STARTED) -> list[str]:
    """All that is placed now comes back unstarted; where it was."""
    found = []
    for placement in world.schedule():
        node = node_of(world, placement)
        found.append(node)
        world.end(placement, node, exit_code=None, outcome=outcome, started_at=None, message=message)
    return found


def beat(world: World, seconds: float) -> None:
    """Time passes in which all nodes are heard."""
    world.now_s += seconds
    for node in world.cluster.nodes.values():
        node.last_beat_s = node.lease_from_s = world.now_s
    world.wait(0.0)


def the_task(world: World, job: int, index: int = 0) -> Task:
    group = world.cluster.jobs[job].group_of(index)
    assert group is not None
    task = group.find_task(index)
    assert task is not None
    return task


def test_the_next_try_goes_elsewhere(two: World) -> None:
    job = two.submit(command=["true"])
    assert refuse(two) == ["n1"]
    said = [e.message for e in two.effects if isinstance(e, TaskChange)]
    assert said == [f"{WHY}; n1 is left out of its next try"]
    assert placed(two) == ["n2"]
    (other,) = two.cluster.nodes["n2"].attempts.values()
    assert other.decided is not None and other.decided.rejected == {"n1": ("left_out",)}
    assert two.task_state(job) is TaskState.ASSIGNED


def test_another_task_of_its_job_goes_there_all_the_same(two: World) -> None:
    two.submit(command=["true"], array="0-1")
    first, second = two.schedule()
    assert (node_of(two, first), node_of(two, second)) == ("n1", "n1")
    two.end(first, "n1", exit_code=None, outcome=Outcome.NOT_STARTED, started_at=None, message=WHY)
    two.end(second, "n1")
    two.submit(command=["true"])
    assert sorted(placed(two)) == ["n1", "n2"]


def test_while_the_others_are_busy_it_waits_and_says_for_what(two: World) -> None:
    two.submit(command=["true"], resources=ResourceSpec(cpu="8"))
    (held,) = two.schedule()
    job = two.submit(command=["true"])
    assert refuse(two) == ["n1"]
    beat(two, 20)
    assert two.schedule() == []
    group = two.cluster.jobs[job].groups[0]
    found = {each.code: each for each in blockers(two.cluster, group, 0, now_s=two.now_s)}
    assert found["left_out"].message == f"n1 could not start it 20s ago ({WHY}), and is left out"
    assert found["left_out"].remedy == "in 9m40s, or when no other node could take it"
    assert "busy:cpu_millis" in found
    two.end(held, "n2")
    assert placed(two) == ["n2"]


def test_it_is_left_out_for_a_bounded_time(two: World) -> None:
    two.submit(command=["true"], resources=ResourceSpec(cpu="8"))
    two.schedule()
    two.submit(command=["true"])
    refuse(two)
    beat(two, two.cluster.limits.blame_window_s - 1)
    assert two.schedule() == []
    beat(two, 2)
    assert placed(two) == ["n1"]


def test_where_no_other_node_is_left_it_is_asked_again_and_says_so(two: World) -> None:
    job = two.submit(command=["true"])
    assert refuse(two) == ["n1"]
    beat(two, 1)
    assert refuse(two, message="no space") == ["n2"], "n1 is the one that refused longest ago"
    said = [e.message for e in two.effects if isinstance(e, TaskChange)]
    assert said == ["no space; n2 is left out of its next try"]
    beat(two, 5)
    assert stories(two.cluster, the_task(two, job), now_s=two.now_s) == [
        "n2 could not start it 5s ago (no space), and is left out",
        f"n1 could not start it 6s ago ({WHY}), and no other node could take it",
    ]
    assert placed(two) == ["n1"]


def test_the_only_node_is_asked_again_at_once(pool: World) -> None:
    pool.submit(command=["true"])
    assert refuse(pool) == ["n1"]
    said = [e.message for e in pool.effects if isinstance(e, TaskChange)]
    assert said == [f"{WHY}; no other node could take it, so n1 may have it again"]
    assert placed(pool) == ["n1"]


@pytest.mark.parametrize("away", ["silent", "drained", "too small", "doubted"])
def test_a_node_that_takes_no_such_work_is_no_other_node(two: World, away: str) -> None:
    """Also one that goes away while the task waits for it."""
    blocking = two.submit(command=["true"], resources=ResourceSpec(cpu="8"))
    (held,) = two.schedule()
    job = two.submit(command=["true"])
    assert refuse(two) == ["n1"] and two.schedule() == []
    other = two.cluster.nodes["n2"]
    match away:
        case "silent":
            other.overdue = True
        case "drained":
            other.admin = NodeAdmin.INACTIVE
        case "doubted":
            other.health = NodeHealth.DEGRADED
        case _:
            two.end(held, "n2")
            two.register("n2", capacity=Resources(500, 64), incarnation="second")
    two.now_s += 2
    two.cluster.dirty = True
    assert placed(two) == ["n1"]
    assert two.task_state(job) is TaskState.ASSIGNED and blocking


def test_nobody_is_left_out_by_silence_nor_by_what_had_begun(two: World) -> None:
    for outcome, message in ((Outcome.LOST, ""), (Outcome.LEASE_EXPIRED, "")):
        two.submit(command=["true"])
        assert refuse(two, outcome=outcome, message=message) == ["n1"]
        assert placed(two) == ["n1"]
        two.cancel(two.number)
        for attempt in list(two.cluster.nodes["n1"].attempts.values()):
            two.end(two.held["n1"][attempt.ref], "n1", exit_code=None, outcome=Outcome.CANCELLED)
    job = two.submit(command=["true"])
    (placement,) = two.schedule()
    two.start(placement)
    two.end(placement, exit_code=None, outcome=Outcome.LOST, message="the guard died")
    assert the_task(two, job).refusals is None
    assert placed(two) == ["n1"]


def test_a_verdict_of_its_own_makes_all_begin_anew(two: World) -> None:
    job = two.submit(command=["true"], retries=1, backoff=1.0)
    refuse(two)
    (placement,) = two.schedule()
    two.end(placement, "n2", exit_code=1)
    beat(two, 2)
    assert the_task(two, job).refusals is None
    assert placed(two) == ["n1"]


def test_a_new_leader_leaves_out_the_same(two: World) -> None:
    two.submit(command=["true"], resources=ResourceSpec(cpu="8"))
    two.schedule()
    job = two.submit(command=["true"])
    refuse(two)
    assert two.schedule() == []
    before = essence(two.cluster)
    two.cluster = two.rebuilt()
    assert essence(two.cluster)["refusals"] == before["refusals"]
    assert two.schedule() == []
    assert left_out(two.cluster, the_task(two, job), now_s=two.now_s) == ("n1",)
    group = two.cluster.jobs[job].groups[0]
    assert "left_out" in {each.code for each in blockers(two.cluster, group, 0, now_s=two.now_s)}
    beat(two, two.cluster.limits.blame_window_s + 1)
    assert placed(two) == ["n1"]


def test_a_node_that_somebody_gives_work_again_is_left_out_no_longer(two: World) -> None:
    two.submit(command=["true"], resources=ResourceSpec(cpu="8"))
    two.schedule()
    for _ in range(2):
        two.submit(command=["true"])
    assert refuse(two, message="no space") == ["n1", "n1"] and two.schedule() == []
    two.steer("n2", NodeAdmin.INACTIVE)
    two.steer("n2", NodeAdmin.ACTIVE)
    assert two.schedule() == [], "that was another one"
    two.steer("n1", NodeAdmin.INACTIVE)
    two.steer("n1", NodeAdmin.ACTIVE)
    assert placed(two) == ["n1", "n1"]


def test_its_place_in_the_line_is_kept(two: World) -> None:
    """When the time is over it goes before what came after it."""
    two.submit(command=["true"], resources=ResourceSpec(cpu="8"))
    two.schedule()
    first = two.submit(command=["true"], resources=ResourceSpec(cpu="3"))
    refuse(two)
    beat(two, 300)
    second = two.submit(command=["true"], resources=ResourceSpec(cpu="3"))
    two.cluster.nodes["n1"].admin = NodeAdmin.INACTIVE
    two.schedule()
    two.cluster.nodes["n1"].admin = NodeAdmin.ACTIVE
    beat(two, 301)
    assert placed(two) == ["n1"]
    assert (two.task_state(first), two.task_state(second)) == (TaskState.ASSIGNED, TaskState.QUEUED)


def test_a_limited_array_keeps_its_limit(two: World) -> None:
    """Tasks for which a node is left out wait apart from the others, and count all the same."""
    job = two.submit(command=["true"], array="0-5%2")
    for _ in range(2):
        assert refuse(two) == ["n1", "n1"]
    group = two.cluster.jobs[job].groups[0]
    done: list[int] = []
    while two.job(job).completed < 6:
        placements = two.schedule()
        assert placements and len(placements) <= 2 and group.live <= 2
        for placement in placements:
            node = node_of(two, placement)
            assert (node == "n2") == (placement.attempt.index in (0, 1, 2, 3)), "who was refused goes to n2"
            two.end(placement, node)
            done.append(placement.attempt.index)
    assert sorted(done) == list(range(6))


def test_who_waits_apart_of_a_limited_array_comes_back_to_it(two: World) -> None:
    job = two.submit(command=["true"], array="0-1%1")
    assert refuse(two) == ["n1"]
    two.cluster.nodes["n2"].admin = NodeAdmin.INACTIVE
    two.now_s += 2
    two.cluster.dirty = True
    (placement,) = two.schedule()
    assert node_of(two, placement) == "n1"
    two.end(placement, "n1")
    (placement,) = two.schedule()
    two.end(placement, "n1")
    assert two.job(job).completed == 2


@pytest.mark.parametrize("limit", ["", "%1"])
def test_a_held_job_stays_out_of_the_lines(two: World, limit: str) -> None:
    job = two.submit(command=["true"], array=f"0-1{limit}")
    refuse(two)
    two.hold(job)
    two.cluster.nodes["n2"].admin = NodeAdmin.INACTIVE
    two.now_s += 2
    two.cluster.dirty = True
    assert two.schedule() == []
    two.hold(job, held=False)
    assert set(placed(two)) == {"n1"}


def test_a_gang_leaves_out_a_node_only_if_all_ranks_fit_without(world: World) -> None:
    for name in ("n1", "n2", "n3"):
        world.register(name, capacity=Resources(1000, 4096))
    job = world.submit(command=["true"], resources=ResourceSpec(cpu="1"), gang=GangSpec(size=2))
    placements = world.schedule()
    nodes = {node_of(world, each) for each in placements}
    assert nodes == {"n1", "n2"}

    def end_all() -> None:
        for name, held in world.held.items():
            for placement in list(held.values()):
                refused = name == "n1"
                world.end(
                    placement,
                    name,
                    exit_code=None,
                    outcome=Outcome.NOT_STARTED if refused else Outcome.CANCELLED,
                    started_at=None,
                    message=WHY if refused else "",
                )

    end_all()
    assert the_task(world, job).shape.without == ("n1",)
    assert {node_of(world, each) for each in world.schedule()} == {"n2", "n3"}
    world.cluster.nodes["n3"].admin = NodeAdmin.INACTIVE
    assert left_out(world.cluster, the_task(world, job), now_s=world.now_s) == ()


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["refuse", "end", "start", "silence", "back", "wait", "submit", "lead", "array"]),
        st.integers(0, 7),
    ),
    max_size=40,
)


@settings(max_examples=120, deadline=None)
@given(MOVES)
def test_whatever_happens_no_other_node_could_have_had_it(moves: list[tuple[str, int]]) -> None:
    """And nobody waits for a node that is left out while no other one is there."""
    world = World()
    for name in ("n1", "n2", "n3"):
        world.register(name, capacity=Resources(2000, 4096))
    for move, number in moves:
        node = world.cluster.nodes[f"n{number % 3 + 1}"]
        live = [placement for held in world.held.values() for placement in held.values()]
        placement = live[number % len(live)] if live else None
        match move:
            case "submit":
                world.submit(command=["true"])
            case "array":
                world.submit(command=["true"], array="0-4%2")
            case "silence":
                node.admin = NodeAdmin.INACTIVE
            case "back":
                node.admin = NodeAdmin.ACTIVE
            case "wait":
                beat(world, 1.0 + 100.0 * number)
            case "lead":
                admins = {name: each.admin for name, each in world.cluster.nodes.items()}
                world.cluster = world.rebuilt()
                for name, admin in admins.items():
                    world.cluster.nodes[name].admin = admin
            case _ if placement is None:
                continue
            case "refuse":
                world.end(
                    placement,
                    node_of(world, placement),
                    exit_code=None,
                    outcome=Outcome.NOT_STARTED,
                    started_at=None,
                    message=WHY,
                )
            case "start":
                world.start(placement, node_of(world, placement))
            case _:
                world.end(placement, node_of(world, placement))
        check_round(world)


def check_round(world: World) -> None:
    """A round later: where all went that was placed, and why the rest was not."""
    cluster = world.cluster
    cluster.dirty = True
    world.now_s += 1.5  # the look at those that are left out is due
    window_s = cluster.limits.blame_window_s
    able = {name for name, node in cluster.nodes.items() if node.takes_work}
    for placement in world.schedule():
        task = cluster.find_task(placement.attempt.task)
        assert task is not None
        recent = {name for name, each in (task.refusals or {}).items() if each.at_s > world.now_s - window_s}
        assert node_of(world, placement) not in recent or not able - recent, "another one could have had it"
    for job in cluster.jobs.values():
        for group in job.groups:
            waiting = [task for task in (group.tasks or {}).values() if task.waits]
            for task in waiting if not group.full else ():
                for name in able - set(task.shape.without):
                    node = cluster.nodes[name]
                    assert not task.group.settings.resources.fits(node.free), (
                        f"{task.ref} waits, {name} is free"
                    )


def test_its_line_is_the_one_that_it_is_taken_from(two: World) -> None:
    job = two.submit(command=["true"])
    refuse(two)
    task = the_task(two, job)
    assert take(two.cluster, task.shape) is task
    assert task.state is TaskState.QUEUED and not task.in_line
    assert not any(each.state is AttemptState.ASSIGNED for each in two.cluster.attempts())
