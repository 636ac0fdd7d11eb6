"""The life of a task, from its submission to its end, with every way to get there."""

from __future__ import annotations

import msgspec
import pytest

from bus.spec import TaskSpec
from bus.values import AttemptRef, JobState, NodeHealth, Outcome, Resources, Returned, Role, TaskState
from coordinator.core.effects import (
    AnswerBeat,
    AnswerRegister,
    AnswerReport,
    AnswerSubmit,
    EventRecord,
    Refuse,
    SendAssign,
    SendCancel,
)


def test_one_task_runs_and_completes(pool) -> None:
    job = pool.submit(command=["true"])
    assert pool.answer(AnswerSubmit).tasks == 1
    (placement,) = pool.schedule()
    assert pool.job_state(job) is JobState.SCHEDULED
    pool.start(placement)
    assert pool.job_state(job) is JobState.RUNNING
    pool.end(placement, output=b'{"x":1}')
    assert pool.job_state(job) is JobState.COMPLETED
    assert pool.job(job).exit_code == 0
    assert pool.history(job) == ["queued", "assigned", "running", "completed"]
    assert job not in pool.cluster.jobs


def test_started_and_ended_in_one_report_pass_through_running(pool) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.end(placement)
    assert pool.history(job) == ["queued", "assigned", "running", "completed"]


def test_a_clock_that_jumped_cannot_start_a_task_before_it_was_assigned(pool) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.end(placement, started_at=pool.now_s - 3600)
    assert pool.task_state(job) is TaskState.COMPLETED  # the mirror checks the order of times


def test_failures_are_retried_with_growing_backoff_then_final(pool) -> None:
    job = pool.submit(command=["false"], retries=2, backoff=4.0)
    waits = []
    for _ in range(3):
        (placement,) = pool.schedule()
        pool.end(placement, exit_code=3)
        if pool.cluster.retries:
            waits.append(pool.cluster.retries[0][0] - pool.now_s)
            pool.wait(waits[-1] + 1e-6)
            pool.beat()
    assert 3.0 <= waits[0] <= 4.0 and 6.0 <= waits[1] <= 8.0
    assert pool.task_state(job) is TaskState.FAILED
    assert pool.job_state(job) is JobState.FAILED
    assert pool.job(job).exit_code == 3


@pytest.mark.parametrize("outcome", [Outcome.NOT_FOUND, Outcome.NOT_EXECUTABLE])
def test_what_cannot_run_is_not_retried(pool, outcome) -> None:
    job = pool.submit(command=["no-such-program"])
    (placement,) = pool.schedule()
    pool.end(placement, exit_code=127, outcome=outcome, started_at=None)
    assert pool.history(job) == ["queued", "assigned", "failed"]


def test_a_signal_is_a_failure_that_says_so(pool) -> None:
    job = pool.submit(command=["sh"], retries=0)
    (placement,) = pool.schedule()
    pool.end(placement, exit_code=None, outcome=Outcome.SIGNALED, signal=11)
    assert pool.job_state(job) is JobState.FAILED
    (_, change) = next(iter(pool.mirror.tasks.values()))
    assert change.signal == 11 and "signal 11" in change.message


def test_a_timeout_is_final_unless_the_job_asks(pool) -> None:
    job = pool.submit(command=["sleep"], timeout=1.0)
    (placement,) = pool.schedule()
    pool.end(placement, exit_code=None, outcome=Outcome.TIMEOUT)
    assert pool.task_state(job) is TaskState.TIMEOUT
    again = pool.submit(command=["sleep"], timeout=1.0, retry_on=["timeout"])
    (placement,) = pool.schedule()
    pool.end(placement, exit_code=None, outcome=Outcome.TIMEOUT)
    assert pool.task_state(again) is TaskState.RETRYING


def test_reports_count_once_however_often_they_come(pool) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.end(placement)
    pool.end(placement, exit_code=1)
    assert pool.answer(AnswerReport).drop == (placement.attempt,)
    assert pool.job_state(job) is JobState.COMPLETED
    pool.start(placement)
    assert pool.answer(AnswerReport).drop == (placement.attempt,)


def test_a_started_report_twice_changes_nothing(pool) -> None:
    pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.start(placement)
    pool.start(placement)
    assert not [e for e in pool.effects if not isinstance(e, AnswerReport)]


def test_reports_of_an_unknown_node_are_dropped(pool) -> None:
    pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.end(placement, node="stranger")
    assert pool.answer(AnswerReport).drop == (placement.attempt,)


def test_the_lease_ends_before_the_work_is_given_out_again(pool) -> None:
    job = pool.submit(command=["true"])
    (first,) = pool.schedule()
    pool.start(first)
    pool.wait(10.0)
    assert pool.cluster.nodes["n1"].health is NodeHealth.UNREACHABLE
    pool.wait(5.4)
    assert pool.task_state(job) is TaskState.RUNNING
    pool.wait(0.2)
    assert pool.history(job)[-2:] == ["reassigned", "queued"]
    assert pool.schedule() == []
    pool.register("n2")
    (second,) = pool.schedule()
    assert second.attempt.fence == first.attempt.fence + 1
    pool.end(first)  # the zombie wakes up
    assert pool.answer(AnswerReport).drop == (first.attempt,)
    pool.end(second, node="n2")
    assert pool.job_state(job) is JobState.COMPLETED
    (_, change) = next(iter(pool.mirror.tasks.values()))
    assert change.retries == 0


def test_an_idempotent_task_is_replaced_at_once(pool) -> None:
    job = pool.submit(command=["true"], idempotent=True)
    pool.schedule()
    pool.wait(10.0)
    assert pool.task_state(job) is TaskState.QUEUED


def test_a_beat_renews_the_lease_and_heals(pool) -> None:
    pool.submit(command=["true"])
    pool.schedule()
    pool.wait(11.0)
    pool.beat()
    assert pool.cluster.nodes["n1"].health is NodeHealth.HEALTHY
    pool.wait(9.0)
    assert pool.cluster.nodes["n1"].attempts


def test_a_beat_of_an_unknown_incarnation_must_register_again(pool) -> None:
    assert pool.beat(incarnation="other").register_again
    assert pool.beat("stranger").register_again


def test_a_beat_names_what_the_agent_must_drop(pool) -> None:
    stranger = AttemptRef(99, 0, 1)
    assert pool.beat(live=[stranger]).drop == (stranger,)


def test_an_attempt_that_its_node_does_not_know_is_lost_after_two_beats(pool) -> None:
    job = pool.submit(command=["true"])
    pool.schedule()
    pool.confirm()
    pool.beat(live=[])
    pool.now_s += 6
    pool.beat(live=[])
    assert pool.task_state(job) is TaskState.ASSIGNED
    pool.beat(live=[])
    assert pool.task_state(job) is TaskState.QUEUED


def test_an_unconfirmed_assignment_is_sent_again(pool) -> None:
    from coordinator.core.events import CommandUnanswered

    pool.submit(command=["true"])
    (placement,) = pool.schedule()
    refs = (placement.attempt,)
    pool.now_s += 6
    pool.beat(live=[])
    assert pool.answer(SendAssign).placements[0].attempt == placement.attempt
    pool.confirm()
    assert pool.happen(CommandUnanswered(node="n1", attempts=refs)) == []
    pool.beat(live=[])
    assert not any(isinstance(tell, SendAssign) for tell in pool.tells), "confirmed after all"
    assert pool.happen(CommandUnanswered(node="stranger", attempts=refs)) == []


def test_an_unanswered_assignment_waits_for_its_nodes_next_heartbeat(pool) -> None:
    """Once for each heartbeat, and after its answer: leases that have run out must be renewed before."""
    from coordinator.core.events import CommandUnanswered

    pool.submit(command=["true"])
    (placement,) = pool.schedule()
    for _ in range(3):
        for _ in range(10):
            assert pool.happen(CommandUnanswered(node="n1", attempts=(placement.attempt,))) == []
        pool.now_s += 0.1
        pool.beat(live=[])
        assert [type(tell) for tell in pool.tells] == [AnswerBeat, SendAssign]
        pool.beat(live=[])
        assert [type(tell) for tell in pool.tells] == [AnswerBeat], "on its way again"
    pool.happen(CommandUnanswered(node="n1", attempts=(placement.attempt,)))
    pool.beat(live=[placement.attempt])
    assert [type(tell) for tell in pool.tells] == [AnswerBeat], "it has it"


def test_a_reboot_loses_what_ran(pool) -> None:
    job = pool.submit(command=["true"])
    pool.schedule()
    pool.confirm()
    pool.held.clear()
    pool.register("n1", boot_id="next", incarnation="second")
    pool.beat(incarnation="second")
    assert pool.task_state(job) is TaskState.ASSIGNED  # a second machine of that name would look the same
    pool.now_s += pool.cluster.limits.lease_s
    pool.beat(incarnation="second")
    assert pool.task_state(job) is TaskState.QUEUED


def test_the_next_boot_loses_it_by_registering_late(pool) -> None:
    job = pool.submit(command=["true"])
    pool.schedule()
    pool.held.clear()
    pool.register("n1", boot_id="next", incarnation="second")
    pool.register("n1", boot_id="third", incarnation="third")
    pool.now_s += pool.cluster.limits.lease_s
    pool.register("n1", boot_id="third", incarnation="third")
    assert pool.task_state(job) is TaskState.QUEUED


def test_a_restarted_agent_keeps_what_it_holds_and_drops_the_rest(pool) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    stranger = AttemptRef(99, 0, 1)
    pool.register("n1", incarnation="second", live=(placement.attempt, stranger))
    assert pool.answer(AnswerRegister).drop == (stranger,)
    assert pool.task_state(job) is TaskState.ASSIGNED


def test_registering_repeats_unconfirmed_assignments(pool) -> None:
    pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.register("n1", live=(), reply=0)
    assert pool.answer(SendAssign).placements[0].attempt == placement.attempt
    pool.confirm()
    pool.register("n1", live=())
    assert not any(isinstance(tell, SendAssign) for tell in pool.tells)


def test_what_is_being_cancelled_is_not_assigned_again(pool) -> None:
    job = pool.submit(command=["true"])
    pool.schedule()
    pool.cancel(job)
    pool.register("n1", live=())
    assert not any(isinstance(tell, SendAssign) for tell in pool.tells)


def test_a_node_that_shrank_is_over_committed_until_its_work_ends(pool) -> None:
    pool.submit(command=["true"], array="0-1")
    one, two = pool.schedule()
    pool.register("n1", capacity=Resources(1000, 4096))
    assert pool.cluster.nodes["n1"].capacity.cpu_millis == 2000
    pool.end(one)
    pool.end(two)
    assert pool.cluster.nodes["n1"].capacity.cpu_millis == 1000


def test_a_task_lost_too_often_fails_as_poison(pool) -> None:
    job = pool.submit(command=["true"])
    for _ in range(5):
        (placement,) = pool.schedule()
        pool.end(placement, exit_code=None, outcome=Outcome.LOST)
    assert pool.task_state(job) is TaskState.FAILED
    assert any(isinstance(e, EventRecord) and e.event_type == "task_poison" for e in pool.effects)


def test_a_task_given_back_is_queued_again_and_not_charged(pool) -> None:
    job = pool.submit(command=["true"])
    for _ in range(7):
        (placement,) = pool.schedule()
        pool.give_back(placement)
    assert pool.task_state(job) is TaskState.QUEUED
    assert pool.history(job)[:4] == ["queued", "assigned", "reassigned", "queued"]


def test_who_gives_back_unasked_gets_no_more_until_it_is_heard(pool) -> None:
    """Its leases have run out, or it leaves: it would give back everything, as fast as it gets it."""
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.report("n1", Returned(attempt=placement.attempt))
    assert pool.schedule() == []
    assert pool.task_state(job) is TaskState.QUEUED
    pool.beat()
    assert len(pool.schedule()) == 1


def test_who_was_asked_to_give_back_goes_on_getting_work(pool) -> None:
    job = pool.submit(command=["true"])
    (placement,) = pool.schedule()
    pool.hold(job)
    pool.report("n1", Returned(attempt=placement.attempt))
    other = pool.submit(command=["true"])
    assert [each.attempt.job for each in pool.schedule()] == [other]


# cancelling


def test_cancel_ends_what_waits_and_tells_what_runs(pool) -> None:
    job = pool.submit(command=["sleep"], array="0-9")
    one, two = pool.schedule()
    answer = pool.cancel(job)
    assert answer.tasks == 10
    assert pool.answer(SendCancel).attempts == (one.attempt, two.attempt)
    assert pool.job_state(job) is JobState.RUNNING or pool.job(job).cancelled == 8
    assert pool.cancel(job).tasks == 0
    assert pool.reconcile()[0].attempts == (one.attempt, two.attempt)
    pool.end(one, exit_code=None, outcome=Outcome.CANCELLED)
    pool.end(two)  # it was quicker: done is done
    assert pool.job_state(job) is JobState.CANCELLED
    assert pool.job(job).completed == 1


def test_cancel_of_a_failing_task_counts_as_cancelled(pool) -> None:
    job = pool.submit(command=["sleep"])
    (placement,) = pool.schedule()
    pool.cancel(job)
    pool.end(placement, exit_code=143)
    assert pool.job_state(job) is JobState.CANCELLED


def test_cancel_of_one_element_leaves_the_others(pool) -> None:
    job = pool.submit(command=["true"], array="0-9")
    assert pool.cancel(job, 7).tasks == 1
    assert pool.task_state(job, 7) is TaskState.CANCELLED
    assert pool.task_state(job, 8) is TaskState.QUEUED
    assert pool.cancel(job, 7).tasks == 0
    assert pool.cancel(job, 10).tasks == 0
    done = set()
    while job in pool.cluster.jobs:
        for placement in pool.schedule():
            done.add(placement.attempt.index)
            pool.end(placement)
    assert done == set(range(10)) - {7}
    assert pool.job_state(job) is JobState.FAILED  # nobody asked for the whole job to end


def test_cancel_of_a_lost_task_ends_it(pool) -> None:
    job = pool.submit(command=["true"])
    pool.schedule()
    pool.cancel(job)
    pool.wait(10)
    pool.wait(6)
    assert pool.job_state(job) is JobState.CANCELLED


def test_cancel_of_a_retrying_task_ends_it_at_once(pool) -> None:
    job = pool.submit(command=["false"])
    (placement,) = pool.schedule()
    pool.end(placement, exit_code=1)
    pool.cancel(job)
    assert pool.job_state(job) is JobState.CANCELLED
    pool.wait(1000)  # its timer finds nothing


def test_only_the_owner_and_operators_cancel(pool) -> None:
    job = pool.submit(command=["true"])
    refused = pool.cancel(job, by="mallory")
    assert isinstance(refused, Refuse) and refused.faults[0].status == 404
    assert refused.faults[0].code == "E_NOT_FOUND"
    assert pool.cancel(99, 1).tasks == 0, "it was there a moment ago, else nobody would ask here"
    assert pool.cancel(job, by="olga", role=Role.OPERATOR).tasks == 1


# several tasks in one job


def test_dependents_wait_and_start_when_all_needs_are_met(pool) -> None:
    job = pool.submit(
        tasks=[
            TaskSpec(name="a", command=["true"], array="0-1"),
            TaskSpec(name="b", command=["true"]),
            TaskSpec(name="c", command=["true"], needs=["a", "b"]),
            TaskSpec(command=["true"], needs=["c"]),
        ]
    )
    order = []
    while job in pool.cluster.jobs:
        for placement in pool.schedule():
            order.append(placement.attempt.index)
            pool.end(placement)
    assert sorted(order[:3]) == [0, 1, 2] and order[3:] == [3, 4]
    assert pool.history(job, 3)[:2] == ["pending", "queued"]


def test_a_failed_need_cancels_what_depends_on_it(pool) -> None:
    job = pool.submit(
        retries=0,
        tasks=[
            TaskSpec(name="a", command=["false"]),
            TaskSpec(name="b", command=["true"], needs=["a"]),
            TaskSpec(name="c", command=["true"], needs=["b"], array="0-4"),
            TaskSpec(name="d", command=["true"]),
        ],
    )
    for placement in pool.schedule():
        pool.end(placement, exit_code=9 if placement.attempt.index == 0 else 0)
    assert [str(pool.task_state(job, i)) for i in range(8)] == [
        "failed",
        *["cancelled"] * 6,
        "completed",
    ]
    assert pool.job_state(job) is JobState.FAILED
    assert pool.job(job).exit_code == 9


def test_cancelling_a_needed_task_cancels_its_dependents(pool) -> None:
    job = pool.submit(
        tasks=[TaskSpec(name="a", command=["true"]), TaskSpec(name="b", command=["true"], needs=["a"])]
    )
    pool.cancel(job, 0)
    assert pool.task_state(job, 1) is TaskState.CANCELLED


def test_map_and_merge(pool) -> None:
    job = pool.submit(tool="wordcount", for_each=["/a.txt", "/b.txt"])
    first = pool.schedule()
    assert [p.input for p in first] == [b'{"item":"/a.txt"}', b'{"item":"/b.txt"}']
    assert first[0].settings is first[1].settings
    for placement in first:
        pool.end(placement, output=b"{}")
    (merge,) = pool.schedule()
    assert merge.settings.tool == "wordcount_merge" and merge.needs == ("map",)
    pool.end(merge)
    assert pool.job_state(job) is JobState.COMPLETED


# submission


def test_a_dedupe_key_is_one_job(pool) -> None:
    job = pool.submit(command=["true"], dedupe_key="k")
    pool.submit(command=["true"], dedupe_key="k")
    answer = pool.answer(AnswerSubmit)
    assert answer.duplicate and answer.number == job
    pool.submit(command=["false"], dedupe_key="k")
    assert pool.answer(Refuse).faults[0].code == "E_IDEM_CONFLICT"
    pool.submit(command=["false"], dedupe_key="k", owner="bob")
    assert not pool.answer(AnswerSubmit).duplicate


def test_old_dedupe_keys_leave_memory(pool, monkeypatch) -> None:
    from coordinator.core import jobs

    monkeypatch.setattr(jobs, "_DEDUPE_KEPT", 2)
    for key in "abc":
        pool.submit(command=["true"], dedupe_key=key)
    assert len(pool.cluster.dedupe) == 2


def test_what_no_node_could_hold_is_refused_with_the_nearest(pool) -> None:
    from bus.spec import ResourceSpec

    pool.submit(command=["true"], resources=ResourceSpec(cpu=64000))
    fault = pool.answer(Refuse).faults[0]
    assert fault.code == "E_UNSATISFIABLE" and "n1" in fault.message and "cpu_millis" in fault.message


def test_a_spec_is_refused_with_all_its_faults(pool) -> None:
    pool.submit(priority=11, name=" ", command=[])
    assert {fault.code for fault in pool.answer(Refuse).faults} == {"E_RANGE", "E_NAME", "E_COMMAND"}


@pytest.mark.contract("S0.2")
def test_a_matrix_is_one_row_until_its_tasks_start_with_their_combinations(pool) -> None:
    job = pool.submit(command=["x"], matrix={"lr": [0.1, 1e5], "fast": [True]})
    ((new, _),) = pool.mirror.tasks.values()
    assert (new.count, msgspec.json.decode(new.input)["matrix"]) == (
        2,
        {"fast": [True], "lr": [0.1, 100_000]},
    )
    inputs = [msgspec.json.decode(placed.input) for placed in pool.schedule()]
    assert inputs == [{"matrix": {"fast": True, "lr": 0.1}}, {"matrix": {"fast": True, "lr": 100_000}}]
    assert pool.job(job).assigned == 2
