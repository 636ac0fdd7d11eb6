"""Who is to blame for a loss: poison fails, bad nodes are taken out, and innocents on neither side pay."""

from __future__ import annotations

import pytest

from bus.values import NodeAdmin, NodeHealth, NodeKind, Outcome, Resources, TaskState
from coordinator.core.blame import note_evidence
from coordinator.core.effects import EventRecord, Placement
from coordinator.core.events import LossSeen
from coordinator.core.model import Brake
from coordinator.core.rebuild import RebuildError, restore_loss
from coordinator.core.refusals import LEASE_RAN_OUT
from tests.unit.coordinator.conftest import World


@pytest.fixture
def four(world: World) -> World:
    """Four nodes of four cores."""
    for name in ("n1", "n2", "n3", "n4"):
        world.register(name, capacity=Resources(4000, 8192))
    return world


def node_of(world: World, placement: Placement) -> str:
    return next(name for name, held in world.held.items() if placement.attempt in held)


def only(world: World, name: str) -> None:
    """New work goes to this node and to no other."""
    for node in world.cluster.nodes.values():
        if node.admin in (NodeAdmin.ACTIVE, NodeAdmin.INACTIVE):
            node.admin = NodeAdmin.ACTIVE if node.name == name else NodeAdmin.INACTIVE
    world.cluster.dirty = True


def lose_on(world: World, name: str, *, outcome: Outcome = Outcome.LOST) -> None:
    """The first task in line is placed on `name`, and lost there; some time later."""
    world.now_s += 30
    for node in world.cluster.nodes.values():
        node.last_beat_s = node.lease_from_s = world.now_s
    only(world, name)
    (placement,) = world.schedule()
    assert node_of(world, placement) == name
    world.end(placement, name, exit_code=None, outcome=outcome, started_at=None)


def event(world: World, kind: str) -> EventRecord | None:
    found = [e for e in world.effects if isinstance(e, EventRecord) and e.event_type == kind]
    return found[0] if found else None


# poison


def test_a_task_lost_on_three_nodes_is_poison_and_its_failure_tells_the_story(four: World) -> None:
    job = four.submit(command=["true"], retries=5)
    for name in ("n1", "n2"):
        lose_on(four, name)
    assert four.task_state(job) is TaskState.QUEUED
    lose_on(four, "n3")
    assert four.task_state(job) is TaskState.FAILED
    told = event(four, "task_poison")
    assert told is not None and told.severity == "error"
    assert told.message == "task 1.0: lost 3 times in a row, on n1, n2, n3: lost"
    assert four.job(job).failed == 1


def test_on_one_node_it_takes_five_losses(four: World) -> None:
    job = four.submit(command=["true"])
    for _ in range(4):
        lose_on(four, "n1")
        assert four.task_state(job) is TaskState.QUEUED
    lose_on(four, "n1")
    assert four.task_state(job) is TaskState.FAILED


def test_a_verdict_of_its_own_makes_the_count_begin_anew(four: World) -> None:
    job = four.submit(command=["true"], retries=2, backoff=1.0)
    lose_on(four, "n1")
    lose_on(four, "n2")
    only(four, "n3")
    (placement,) = four.schedule()
    four.end(placement, "n3", exit_code=1)
    four.wait(1.0)
    lose_on(four, "n3")
    assert four.task_state(job) is TaskState.QUEUED
    rebuilt = four.rebuilt()
    task = rebuilt.jobs[job].groups[0].find_task(0)
    assert task is not None and task.lost_on == ("n3",)


def test_a_lease_that_ran_out_on_the_node_is_nobodys_fault(four: World) -> None:
    job = four.submit(command=["true"])
    for name in ("n1", "n2", "n3", "n4"):
        lose_on(four, name, outcome=Outcome.LEASE_EXPIRED)
    assert four.task_state(job) is TaskState.QUEUED
    assert not any(node.losses for node in four.cluster.nodes.values())
    (attempt, *_) = four.mirror.attempts.values()
    assert attempt.message == LEASE_RAN_OUT
    assert four.mirror.snapshot().losses == []


def test_the_evidence_survives_the_coordinator(four: World) -> None:
    job = four.submit(command=["true"])
    lose_on(four, "n1")
    lose_on(four, "n2")
    four.cluster = four.rebuilt()
    assert [len(node.losses) for node in four.cluster.nodes.values()] == [1, 1, 0, 0]
    lose_on(four, "n3")
    assert four.task_state(job) is TaskState.FAILED


def test_evidence_of_nobody_is_refused_and_that_of_a_node_that_left_kept(four: World) -> None:
    job = four.submit(command=["true"])
    lose_on(four, "n1")
    (loss,) = four.mirror.snapshot().losses
    with pytest.raises(RebuildError, match="no live task"):
        restore_loss(World().cluster, loss)
    task = four.cluster.jobs[job].groups[0].find_task(0)
    assert task is not None
    restore_loss(four.cluster, LossSeen(loss.task, "gone", loss.at_s))
    assert task.lost_on == ("n1", "gone")


def test_under_the_brake_nobody_is_judged(four: World) -> None:
    job = four.submit(command=["true"])
    lose_on(four, "n1")
    lose_on(four, "n2")
    four.cluster.brake = Brake(four.now_s, frozenset({"n1", "n2", "n3"}), "they vanished")
    lose_on(four, "n3")
    assert four.task_state(job) is TaskState.QUEUED
    four.cluster.brake = None
    lose_on(four, "n3")
    assert four.task_state(job) is TaskState.FAILED


# bad nodes


def test_a_node_that_loses_the_tasks_of_several_jobs_is_quarantined(four: World) -> None:
    for _ in range(2):
        four.submit(command=["true"])
        lose_on(four, "n1")
        only(four, "n2")
        four.schedule()
    four.submit(command=["true"])
    lose_on(four, "n1")
    node = four.cluster.nodes["n1"]
    assert (node.admin, node.admin_by) == (NodeAdmin.FAILED, "corral")
    assert node.admin_reason == "it lost 3 tasks of 3 jobs within 10 minutes"
    told = event(four, "node_quarantined")
    assert told is not None and told.severity == "error" and "corral undrain n1" in told.message
    assert four.mirror.nodes["n1"].admin is NodeAdmin.FAILED
    four.steer("n1", NodeAdmin.ACTIVE)
    four.cancel(3)
    four.submit(command=["true"])
    lose_on(four, "n1")
    assert node.admin is NodeAdmin.ACTIVE, "it begins anew"


def test_what_it_lost_is_not_held_against_the_tasks(four: World) -> None:
    job = four.submit(command=["true"])
    for _ in range(4):
        lose_on(four, "n1")
    four.cluster.nodes["n1"].admin, four.cluster.nodes["n1"].admin_by = NodeAdmin.FAILED, "corral"
    lose_on(four, "n2")
    assert four.task_state(job) is TaskState.QUEUED


def test_work_on_a_quarantined_node_goes_on_and_what_has_not_started_comes_back(four: World) -> None:
    only(four, "n1")
    four.submit(command=["true"], array="0-3")
    placements = four.schedule()
    four.start(placements[0])
    four.end(placements[1], exit_code=0)
    four.submit(command=["true"])
    four.submit(command=["true"])
    for job in (2, 3):
        (placement,) = four.schedule()
        four.end(placement, "n1", exit_code=None, outcome=Outcome.NOT_STARTED, started_at=None)
        assert placement.attempt.job == job
        four.cancel(job)
    four.end(placements[2], exit_code=None, outcome=Outcome.NOT_STARTED, started_at=None)
    node = four.cluster.nodes["n1"]
    assert node.admin is NodeAdmin.FAILED
    assert node.admin_reason == "it could not start 3 tasks of 3 jobs within 10 minutes"
    assert placements[0].attempt in node.attempts
    assert [attempt.retracting for attempt in node.attempts.values()] == [False, True]


def test_a_job_that_starts_nowhere_quarantines_no_node(four: World) -> None:
    """A working folder that does not exist."""
    job = four.submit(command=["true"], array="0-99")
    for _ in range(40):
        for placement in four.schedule():
            node = node_of(four, placement)
            four.end(placement, node, exit_code=None, outcome=Outcome.NOT_STARTED, started_at=None)
        four.now_s += 1
        for name in four.cluster.nodes:
            four.beat(name)
    assert all(node.admin is NodeAdmin.ACTIVE for node in four.cluster.nodes.values())
    assert four.job(job).failed > 0, "the tasks are poison"


def test_one_job_is_evidence_once_it_has_shown_that_it_can_run(four: World) -> None:
    four.submit(command=["true"], array="0-9")
    placements = [(p, node_of(four, p)) for p in four.schedule()]
    bad = [p for p, node in placements if node == "n1"]
    well = next(p for p, node in placements if node != "n1")
    four.start(well, node_of(four, well))
    for placement in bad[:3]:
        four.end(placement, "n1", exit_code=None, outcome=Outcome.NOT_STARTED, started_at=None)
    assert four.cluster.nodes["n1"].admin is NodeAdmin.FAILED


def test_a_crash_is_one_incident_however_much_ran(four: World) -> None:
    only(four, "n1")
    for _ in range(4):
        four.submit(command=["true"])
    four.schedule()
    four.confirm("n1")
    four.held.clear()
    four.now_s += 20  # what the boot before held may run until its lease ends
    four.register("n1", capacity=Resources(4000, 8192), boot_id="next", incarnation="second")
    node = four.cluster.nodes["n1"]
    assert len(node.losses) == 1 and node.admin is NodeAdmin.ACTIVE


def test_losses_long_ago_speak_against_nobody(four: World) -> None:
    for _ in range(3):
        four.submit(command=["true"])
        lose_on(four, "n1")
        only(four, "n2")
        four.schedule()
        four.now_s += 400
    assert four.cluster.nodes["n1"].admin is NodeAdmin.INACTIVE


def test_never_more_than_half_of_the_nodes_are_quarantined(world: World) -> None:
    world.register("n1", capacity=Resources(8000, 8192))
    for _ in range(6):
        world.submit(command=["true"])
        (placement,) = world.schedule()
        world.end(placement, "n1", exit_code=None, outcome=Outcome.NOT_STARTED, started_at=None)
        world.cancel(placement.attempt.job)
    node = world.cluster.nodes["n1"]
    assert node.admin is NodeAdmin.ACTIVE
    for name in ("n2", "n3"):
        world.register(name)
        world.cluster.nodes[name].admin = NodeAdmin.INACTIVE
    world.cluster.nodes["n2"].admin, world.cluster.nodes["n2"].admin_by = NodeAdmin.FAILED, "corral"
    world.submit(command=["true"])
    (placement,) = world.schedule()
    world.end(placement, "n1", exit_code=None, outcome=Outcome.NOT_STARTED, started_at=None)
    assert node.admin is NodeAdmin.ACTIVE


@pytest.mark.parametrize("away", ["switched off", "in maintenance", "without work"])
def test_who_does_not_work_is_not_counted_among_the_nodes(four: World, away: str) -> None:
    """Of four nodes two are away: both others at fault would leave nobody."""
    for name in ("n3", "n4"):
        node = four.cluster.nodes[name]
        match away:
            case "switched off":
                node.health = NodeHealth.UNREACHABLE
            case "in maintenance":
                node.admin = NodeAdmin.MAINTENANCE
            case _:
                node.kind = NodeKind.CONTROL
    for bad, other in (("n1", "n2"), ("n2", "n1")):
        for _ in range(3):
            job = four.submit(command=["true"])
            four.cluster.nodes[other].kind = NodeKind.CONTROL
            (placement,) = four.schedule()
            four.cluster.nodes[other].kind = NodeKind.COMPUTE
            four.end(placement, bad, exit_code=None, outcome=Outcome.NOT_STARTED, started_at=None)
            four.cancel(job)
    assert four.cluster.nodes["n1"].admin is NodeAdmin.FAILED
    assert four.cluster.nodes["n2"].admin is NodeAdmin.ACTIVE


def test_what_is_remembered_of_a_node_is_bounded(four: World) -> None:
    job = four.submit(command=["true"], array="0-99")
    task = four.cluster.jobs[job].groups[0].touch()
    node = four.cluster.nodes["n1"]
    for count in range(100):
        note_evidence(node, task, unstarted=True, at_s=four.now_s + count)
    assert len(node.losses) == 16
