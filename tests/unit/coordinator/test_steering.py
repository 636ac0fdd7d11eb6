"""Jobs are held and queued again, nodes cordoned and drained; what was so already leaves nothing."""

from __future__ import annotations

import msgspec
import pytest

from bus.spec import TaskSpec
from bus.values import NodeAdmin, Role, TaskState
from coordinator.core.effects import (
    AnswerChanged,
    AnswerNode,
    AuditRow,
    EventRecord,
    Refuse,
    SendRetract,
)
from coordinator.core.rebuild import RebuildError, restore_over
from tests.unit.coordinator.conftest import World


def audits(world: World) -> list[tuple[str, str, str]]:
    rows = (effect for effect in world.effects if isinstance(effect, AuditRow))
    return [(row.actor, row.action, row.object) for row in rows]


def events(world: World) -> list[str]:
    return [effect.event_type for effect in world.effects if isinstance(effect, EventRecord)]


def failed_job(world: World, **fields: object) -> int:
    """A job of one task that is over: it failed."""
    job = world.submit(**{"command": ["true"], "retries": 0, **fields})
    (placement,) = world.schedule()
    world.end(placement, exit_code=1)
    return job


def test_a_held_job_is_not_placed_and_others_are(pool: World) -> None:
    held = pool.submit(command=["true"], array="0-9", priority=9)
    other = pool.submit(command=["true"])
    answer = pool.hold(held)
    assert (answer.tasks, answer.hint) == (10, "")
    assert audits(pool) == [("alice", "job.hold", "1")] and events(pool) == ["job_held"]
    assert [placement.attempt.job for placement in pool.schedule()] == [other]
    assert pool.hold(held).tasks == 0 and audits(pool) == [] and events(pool) == []
    assert pool.hold(held, held=False).tasks == 10
    assert [placement.attempt.job for placement in pool.schedule()] == [held]
    assert pool.hold(held, held=False).tasks == 0


def test_what_runs_of_a_held_job_goes_on_and_what_has_not_started_comes_back(pool: World) -> None:
    job = pool.submit(command=["true"], array="0-9%2")
    first, second = pool.schedule()
    pool.start(first)
    answer = pool.hold(job)
    assert (answer.tasks, answer.hint) == (9, "still running: 1 task of it")
    assert pool.answer(SendRetract).attempts == (second.attempt,)
    pool.give_back(second)
    pool.end(first)
    assert pool.schedule() == []
    pool.hold(job, held=False, by="olga", role=Role.OPERATOR)
    assert [placement.attempt.index for placement in pool.schedule()] == [1, 2]


@pytest.mark.parametrize(("array", "order"), [("0-2", [2, 1]), ("0-2%2", [1, 2])])
def test_tasks_that_wait_again_are_held_and_released_too(pool: World, array: str, order: list[int]) -> None:
    job = pool.submit(command=["true"], array=array)
    first, second = pool.schedule()
    pool.start(first)
    pool.give_back(second)
    pool.hold(job)
    assert pool.schedule() == []
    pool.hold(job, held=False)
    pool.end(first)
    assert [placement.attempt.index for placement in pool.schedule()] == order


def test_a_command_to_give_back_is_repeated(pool: World) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.hold(job)
    assert pool.answer(SendRetract).attempts == (placement.attempt,)
    pool.reconcile()
    assert pool.answer(SendRetract).attempts == (placement.attempt,)


def test_dependents_of_a_held_job_unlock_and_stay(pool: World) -> None:
    job = pool.submit(
        tasks=[TaskSpec(name="a", command=["true"]), TaskSpec(name="b", command=["true"], needs=["a"])]
    )
    (placement,) = pool.schedule()
    pool.start(placement)
    pool.hold(job)
    pool.end(placement)
    assert pool.task_state(job, 1) is TaskState.QUEUED and pool.schedule() == []
    pool.hold(job, held=False)
    assert len(pool.schedule()) == 1


def test_nobody_holds_the_job_of_another_or_one_that_ends(pool: World) -> None:
    job = pool.submit(command=["true"])
    assert pool.hold(job, by="mallory").faults[0].code == "E_NOT_FOUND"
    assert pool.hold(77).faults[0].code == "E_NOT_FOUND"
    pool.schedule()
    pool.cancel(job)
    assert pool.hold(job).faults[0].code == "E_CONFLICT"


def test_a_limit_holds_for_tasks_that_wait_again(pool: World) -> None:
    """A retried element once started beside as many others as the limit allowed."""
    job = pool.submit(command=["true"], array="0-9%1", retries=3, backoff=0.5)
    (first,) = pool.schedule()
    pool.end(first, exit_code=1)
    assert len(pool.schedule()) == 1
    pool.wait(1.0)
    assert pool.task_state(job, 0) is TaskState.QUEUED and pool.schedule() == []
    (running,) = pool.held["n1"].values()
    pool.end(running)
    assert [placement.attempt.index for placement in pool.schedule()] == [0]


def test_a_cancelled_task_does_not_keep_its_limited_group_waiting(pool: World) -> None:
    job = pool.submit(command=["true"], array="0-2%1", retries=3, backoff=0.5)
    (first,) = pool.schedule()
    pool.end(first, exit_code=1)
    pool.wait(1.0)
    pool.cancel(job, 0)
    assert [placement.attempt.index for placement in pool.schedule()] == [1]


def test_what_failed_is_queued_again_with_the_next_fence_and_not_charged(pool: World) -> None:
    job = failed_job(pool)
    assert job not in pool.cluster.jobs and pool.job(job).exit_code == 1
    answer = pool.retry(job)
    assert (answer.tasks, answer.hint) == (1, "")
    assert audits(pool) == [("alice", "job.retry", "1")] and events(pool) == ["job_retried"]
    assert pool.history(job)[-3:] == ["failed", "retrying", "queued"]
    change = pool.job(job)
    assert (change.state, change.exit_code, change.reason, change.ended_at) == ("pending", None, "", None)
    (again,) = pool.schedule()
    assert again.attempt.fence == 2
    pool.end(again)
    assert pool.job_state(job) == "completed" and pool.job(job).exit_code == 0


def test_of_a_live_job_only_what_failed_is_queued_again(pool: World) -> None:
    job = pool.submit(command=["true"], array="0-3", retries=0)
    first, second = pool.schedule()
    pool.end(first, exit_code=4)
    pool.end(second, exit_code=5)
    assert pool.retry(job, 0).tasks == 1
    assert pool.job(job).failed == 1 and pool.job(job).exit_code == 4
    assert pool.retry(job).tasks == 1 and pool.job(job).exit_code is None
    assert pool.retry(job).tasks == 0 and audits(pool) == []


def test_pages_of_one_request_are_summed(pool: World) -> None:
    job = failed_job(pool)
    assert pool.retry(job, before=2000).tasks == 2001


def test_a_cancelled_job_is_to_be_submitted_anew(pool: World) -> None:
    job = pool.submit(command=["true"], array="0-3")
    pool.cancel(job)
    refusal = pool.retry(job)
    assert refusal.faults[0].code == "E_CONFLICT" and "submit it anew" in refusal.faults[0].hint


def test_nobody_retries_the_job_of_another(pool: World) -> None:
    job = failed_job(pool)
    assert pool.retry(job, by="mallory").faults[0].code == "E_NOT_FOUND"
    assert pool.retry(job, by="mallory", over=None).faults[0].code == "E_NOT_FOUND"
    live = pool.submit(command=["true"], array="0-9")
    assert pool.retry(live, by="mallory").faults[0].code == "E_NOT_FOUND"
    assert pool.retry(job, by="olga", role=Role.OPERATOR).tasks == 1


def test_rows_that_may_be_stale_are_refused(pool: World) -> None:
    job = failed_job(pool)
    failed, over = pool.mirror.failed(job), pool.mirror.over(job)
    as_of = pool.cluster.requeues
    pool.retry(job)
    for other in ({"as_of": as_of}, {"over": over}):
        refusal = pool.retry(job, **{"failed": failed, "over": None, **other})
        assert refusal.faults[0].code == "E_CONFLICT" and refusal.faults[0].hint == "ask again"


def test_rows_that_contradict_the_job_are_refused(pool: World) -> None:
    job = failed_job(pool)
    over = pool.mirror.over(job)
    for broken in (
        msgspec.structs.replace(over, ended=()),
        msgspec.structs.replace(over, ended=((1, TaskState.FAILED, 1),)),
    ):
        with pytest.raises(RebuildError):
            restore_over(broken)


def test_a_cordoned_node_keeps_what_it_has(pool: World) -> None:
    pool.submit(command=["true"], array="0-9")
    held = pool.schedule()
    (answer,) = pool.steer("n1", NodeAdmin.INACTIVE, reason="disks")
    assert isinstance(answer, AnswerNode) and answer.node.admin is NodeAdmin.INACTIVE
    assert audits(pool) == [("olga", "node.cordon", "n1")] and events(pool) == ["node_cordoned"]
    pool.start(held[0])
    pool.end(held[0])
    assert pool.schedule() == [] and len(pool.cluster.nodes["n1"].attempts) == 1
    pool.steer("n1", NodeAdmin.INACTIVE, reason="disks")
    assert audits(pool) == [] and events(pool) == []
    pool.steer("n1", NodeAdmin.INACTIVE, reason="other disks")
    assert pool.cluster.nodes["n1"].admin_reason == "other disks" and len(audits(pool)) == 1
    pool.steer("n1", NodeAdmin.ACTIVE)
    assert events(pool) == ["node_undrained"] and len(pool.schedule()) == 1
    assert pool.cluster.nodes["n1"].admin_by == ""


def test_a_draining_node_is_drained_once(pool: World) -> None:
    pool.submit(command=["true"], array="0-9")
    first, second = pool.schedule()
    pool.start(first)
    pool.steer("n1", NodeAdmin.DRAINING)
    assert pool.answer(SendRetract).attempts == (second.attempt,)
    assert events(pool) == ["node_draining"]
    pool.give_back(second)
    assert events(pool) == []
    pool.end(first)
    assert events(pool) == ["node_drained"] and pool.schedule() == []
    pool.steer("n1", NodeAdmin.INACTIVE)
    pool.steer("n1", NodeAdmin.DRAINING)
    assert events(pool) == ["node_draining", "node_drained"]


def test_an_assignment_in_doubt_is_not_sent_again_to_a_draining_node(pool: World) -> None:
    pool.submit(command=["true"])
    pool.schedule()
    pool.steer("n1", NodeAdmin.DRAINING)
    pool.wait(6.0)
    pool.beat("n1", live=())
    assert not [tell for tell in pool.tells if type(tell).__name__ == "SendAssign"]


def test_a_node_in_maintenance_cannot_be_drained(pool: World) -> None:
    pool.cluster.nodes["n1"].admin = NodeAdmin.MAINTENANCE
    (refusal,) = pool.steer("n1", NodeAdmin.DRAINING)
    assert isinstance(refusal, Refuse) and refusal.faults[0].code == "E_CONFLICT"
    (answer,) = pool.steer("n1", NodeAdmin.ACTIVE)
    assert isinstance(answer, AnswerNode)
    with pytest.raises(AssertionError):
        pool.steer("n1", NodeAdmin.FAILED)


def test_an_unknown_node_is_guessed(pool: World) -> None:
    (refusal,) = pool.steer("n11", NodeAdmin.DRAINING)
    assert isinstance(refusal, Refuse) and refusal.faults[0].hint == "did you mean n1?"
    (refusal,) = pool.steer("elsewhere", NodeAdmin.DRAINING)
    assert isinstance(refusal, Refuse) and refusal.faults[0].hint == "corral nodes"


def test_answers_are_of_their_kind(pool: World) -> None:
    job = pool.submit(command=["true"])
    assert isinstance(pool.hold(job), AnswerChanged)


def test_what_a_failure_cancelled_stays_cancelled_and_the_answer_says_so(pool: World) -> None:
    job = pool.submit(
        tasks=[
            TaskSpec(name="a", command=["true"], retries=0),
            TaskSpec(name="b", command=["true"], needs=["a"]),
        ]
    )
    (placement,) = pool.schedule()
    pool.end(placement, exit_code=1)
    assert pool.retry(job).hint == "still cancelled: 1 task; submit the job anew to run all"
    assert pool.job(job).reason == "task 1.0 failed on n1: exit code 1"
    (again,) = pool.schedule()
    pool.end(again)
    assert pool.job_state(job) == "failed"
