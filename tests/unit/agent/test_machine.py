"""What the agent's core decides, one rule a test; `test_machine_stateful` puts them together."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agent.core import effects, events, model
from agent.core.machine import step
from agent.core.model import Ledger, Order, Phase, Work
from bus.values import AttemptRef, Ended, Outcome, Resources, Returned, Started, TaskRef, TaskSettings

NOW = 1000.0
PLAIN = Work(settings=TaskSettings(resources=Resources(cpu_millis=1000)), command=("true",))
NEEDY = Work(settings=TaskSettings(resources=Resources()), command=("true",), needs=("count",))


def ref(index: int = 0, fence: int = 1) -> AttemptRef:
    return AttemptRef(7, index, fence)


def order(index: int = 0, fence: int = 1, work: Work = PLAIN) -> Order:
    return Order(attempt=ref(index, fence), work=work)


def assign(ledger: Ledger, *orders: Order, epoch: int = 1) -> list[effects.Effect]:
    return step(ledger, events.Assigned(epoch=epoch, orders=orders), NOW)


def start(ledger: Ledger, attempt: AttemptRef, pid: int = 42) -> list[effects.Effect]:
    return step(ledger, events.GuardReported(starts=(events.Start(attempt, pid, 1.0),)), NOW)


def end(ledger: Ledger, attempt: AttemptRef, started_at: float | None = 1.0) -> list[effects.Effect]:
    ended = Ended(attempt=attempt, outcome=Outcome.EXITED, ended_at=2.0, started_at=started_at, exit_code=0)
    return step(ledger, events.GuardReported(ends=(ended,)), NOW)


def reported(ledger: Ledger) -> list[object]:
    return [event for _, event in ledger.outbox]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_an_assignment_goes_to_the_guard_and_the_disk(ledger: Ledger) -> None:
    made = assign(ledger, order(0), order(1))
    assert made == [
        effects.SaveEpoch(1),
        effects.SaveOrder(order(0)),
        effects.SaveOrder(order(1)),
        effects.Hand((order(0), order(1))),
    ]
    assert ledger.live() == (ref(0), ref(1))


def test_a_quick_task_reports_start_and_end_in_order(ledger: Ledger) -> None:
    assign(ledger, order())
    end(ledger, ref())
    first, second = reported(ledger)
    assert isinstance(first, Started) and isinstance(second, Ended)
    assert ledger.live() == (ref(),), "its end is not acknowledged yet"
    made = step(ledger, events.Answered(epoch=1, acknowledged=ledger.sequence), NOW)
    assert made == [effects.RemoveEvents((1, 2))]
    assert ledger.live() == ()


def test_a_start_is_reported_once(ledger: Ledger) -> None:
    assign(ledger, order())
    assert start(ledger, ref()) == [
        effects.SaveStart(ref(), 42, 1.0),
        effects.SaveEvent(1, Started(attempt=ref(), started_at=1.0, pid=42)),
    ]
    assert start(ledger, ref()) == []
    end(ledger, ref())
    assert [type(event) for event in reported(ledger)] == [Started, Ended]


def test_an_end_without_a_start_reports_no_start(ledger: Ledger) -> None:
    assign(ledger, order())
    end(ledger, ref(), started_at=None)
    assert [type(event) for event in reported(ledger)] == [Ended]


def test_words_about_unknown_attempts_let_the_guard_forget_them(ledger: Ledger) -> None:
    assert start(ledger, ref()) == []
    assert end(ledger, ref()) == [effects.SaveEnd(ref())]


@pytest.mark.parametrize("fence", [1, 2])
def test_a_fence_that_is_not_newer_runs_nothing(ledger: Ledger, fence: int) -> None:
    assign(ledger, order(fence=2))
    assert assign(ledger, order(fence=fence)) == []
    end(ledger, ref(fence=2))
    assert assign(ledger, order(fence=fence)) == [], "nor after its end"


def test_a_newer_fence_waits_for_the_older_to_end(ledger: Ledger) -> None:
    assign(ledger, order(fence=1))
    start(ledger, ref(fence=1))
    made = assign(ledger, order(fence=2))
    assert effects.End((ref(fence=1),)) in made
    assert not any(isinstance(effect, effects.Hand) for effect in made)
    assert ledger.live() == (ref(fence=2),)
    made = end(ledger, ref(fence=1))
    assert effects.Hand((order(fence=2),)) in made
    assert all(event.attempt == ref(fence=2) for _, event in ledger.outbox), "the older's end is nobody's"


def test_of_several_newer_fences_only_the_newest_runs(ledger: Ledger) -> None:
    assign(ledger, order(fence=1))
    assign(ledger, order(fence=2))
    made = assign(ledger, order(fence=3, work=NEEDY))
    assert effects.SaveEnd(ref(fence=2)) in made
    made = end(ledger, ref(fence=1))
    assert effects.FetchInputs(order(fence=3, work=NEEDY)) in made


def test_a_newer_fence_replaces_one_that_prepares_at_once(ledger: Ledger) -> None:
    assign(ledger, order(fence=1, work=NEEDY))
    made = assign(ledger, order(fence=2))
    assert effects.Hand((order(fence=2),)) in made
    assert ledger.live() == (ref(fence=2),)


def test_a_retry_on_the_same_node_starts_at_once(ledger: Ledger) -> None:
    assign(ledger, order(fence=1))
    end(ledger, ref(fence=1))
    assert effects.Hand((order(fence=2),)) in assign(ledger, order(fence=2))


def test_inputs_come_before_the_guard(ledger: Ledger) -> None:
    needy = order(work=NEEDY)
    assert assign(ledger, needy)[-1] == effects.FetchInputs(needy)
    env = {"WHERE": "/there"}
    assert step(ledger, events.InputsArrived(ref(), env), NOW) == [effects.Hand((replace(needy, env=env),))]
    assert step(ledger, events.InputsArrived(ref()), NOW) == []
    assert step(ledger, events.InputsArrived(ref(9)), NOW) == []


def test_refused_inputs_end_the_attempt(ledger: Ledger) -> None:
    assign(ledger, order(work=NEEDY))
    step(ledger, events.InputsRefused(ref(), "gone"), NOW)
    (event,) = reported(ledger)
    assert event == Ended(attempt=ref(), outcome=Outcome.NOT_STARTED, ended_at=NOW, message="gone")
    assert step(ledger, events.InputsRefused(ref(), "gone"), NOW) == []


def test_inputs_that_are_nowhere_are_like_a_command_that_is_not_there(ledger: Ledger) -> None:
    """Another node would find the same: that is the task's end, and no loss."""
    assign(ledger, order(work=NEEDY))
    step(ledger, events.InputsRefused(ref(), "gone", nowhere=True), NOW)
    (event,) = reported(ledger)
    assert event == Ended(
        attempt=ref(), outcome=Outcome.NOT_FOUND, ended_at=NOW, message="gone", exit_code=127
    )


def test_an_old_epoch_is_not_obeyed(ledger: Ledger) -> None:
    assign(ledger, order(), epoch=5)
    for event in (
        events.Assigned(epoch=4, orders=(order(1),)),
        events.CancelAsked(epoch=4, attempts=(ref(),)),
        events.RetractAsked(epoch=4, attempts=(ref(),)),
    ):
        assert step(ledger, event, NOW) == [effects.Refuse("epoch 4 is over: 5 leads")]
    stale = events.Answered(epoch=4, drop=(ref(),), renews_from=3.0, acknowledged=9)
    assert step(ledger, stale, NOW) == []


def test_an_answer_renews_the_lease_and_raises_the_epoch(ledger: Ledger) -> None:
    made = step(ledger, events.Answered(epoch=3, renews_from=12.5), NOW)
    assert made == [effects.SaveEpoch(3), effects.RenewLease(12.5)]
    assert step(ledger, events.Answered(epoch=3), NOW) == []


def test_cancel_reaches_each_phase(ledger: Ledger) -> None:
    assign(ledger, order(0), order(1), order(2, work=NEEDY), order(3))
    start(ledger, ref(1))
    end(ledger, ref(3))
    made = step(ledger, events.CancelAsked(epoch=1, attempts=tuple(map(ref, range(4)))), NOW)
    assert made[-1] == effects.End((ref(0), ref(1)))
    cancelled = [
        e.attempt for e in reported(ledger) if isinstance(e, Ended) and e.outcome is Outcome.CANCELLED
    ]
    assert cancelled == [ref(2)]


def test_cancel_of_what_never_came_keeps_it_from_running(ledger: Ledger) -> None:
    made = step(ledger, events.CancelAsked(epoch=1, attempts=(ref(),)), NOW)
    assert effects.SaveEnd(ref()) in made
    assert assign(ledger, order()) == []
    assert len(ledger.outbox) == 1
    step(ledger, events.CancelAsked(epoch=1, attempts=(ref(),)), NOW)
    assert len(ledger.outbox) == 1


def test_retract_reaches_what_has_not_started(ledger: Ledger) -> None:
    assign(ledger, order(0), order(1), order(2, work=NEEDY), order(3))
    start(ledger, ref(1))
    end(ledger, ref(3))
    made = step(ledger, events.RetractAsked(epoch=1, attempts=tuple(map(ref, range(5)))), NOW)
    assert made[-1] == effects.Withdraw((ref(0),))
    returned = [event.attempt for event in reported(ledger) if isinstance(event, Returned)]
    assert returned == [ref(2), ref(4)]
    assert assign(ledger, order(4)) == [], "what was given back does not run"


def test_drop_silences_what_runs_and_forgets_what_is_queued_to_report(ledger: Ledger) -> None:
    assign(ledger, order(0), order(1), order(2, work=NEEDY))
    end(ledger, ref(0))
    start(ledger, ref(1))
    made = step(ledger, events.Answered(epoch=1, drop=(ref(0), ref(1), ref(2), ref(3))), NOW)
    assert effects.RemoveEvents((1, 2, 3)) in made
    assert effects.End((ref(1),)) in made
    assert effects.SaveEnd(ref(2)) in made
    assert ledger.live() == ()
    assert end(ledger, ref(1)) == [effects.SaveEnd(ref(1))]
    assert not ledger.outbox and not ledger.held


def test_a_start_after_the_drop_is_not_reported(ledger: Ledger) -> None:
    assign(ledger, order())
    step(ledger, events.Answered(epoch=1, drop=(ref(),)), NOW)
    assert start(ledger, ref()) == [effects.SaveStart(ref(), 42, 1.0)]


def test_a_restart_adopts_reports_and_gives_up_by_the_inventory(ledger: Ledger) -> None:
    kept = Started(attempt=ref(0), started_at=1.0, pid=10)
    restored = events.Restored(
        epoch=4,
        sequence=17,
        starts=(events.Start(ref(0), 10, 1.0), events.Start(ref(1), 11, 1.0)),
        unstarted=(ref(2), ref(3), ref(4)),
        fences=((TaskRef(7, 9), 3),),
        events=((17, kept),),
    )
    assert step(ledger, restored, NOW) == []
    ended = Ended(attempt=ref(3), outcome=Outcome.EXITED, ended_at=2.0, started_at=1.5, exit_code=0)
    stranger = Ended(attempt=ref(6), outcome=Outcome.EXITED, ended_at=2.0, started_at=1.5, exit_code=0)
    old = Ended(attempt=ref(9, 3), outcome=Outcome.EXITED, ended_at=2.0, started_at=1.5, exit_code=0)
    inventory = events.GuardConnected(
        running=(events.Start(ref(0), 10, 1.0), events.Start(ref(5), 15, 1.0)),
        queued=(ref(2),),
        ends=(ended, stranger, old),
    )
    made = step(ledger, inventory, NOW)
    assert {a: held.phase for a, held in ledger.held.items()} == {
        ref(0): Phase.RUNNING,
        ref(2): Phase.HANDED,
        ref(5): Phase.RUNNING,
    }
    told = reported(ledger)
    assert told[0] == kept
    assert Started(attempt=ref(5), started_at=1.0, pid=15) in told
    assert ended in told and stranger in told and old not in told
    assert effects.SaveEnd(ref(9, 3)) in made, "an end that was reported before may be forgotten"
    lost = {e.attempt: e.started_at for e in told if isinstance(e, Ended) and e.outcome is Outcome.LOST}
    assert lost == {ref(1): 1.0, ref(4): None}
    assert ledger.sequence == 17 + len(told) - 1


def test_what_still_prepares_survives_the_guards_death(ledger: Ledger) -> None:
    assign(ledger, order(0, work=NEEDY), order(1))
    step(ledger, events.GuardConnected(), NOW)
    assert set(ledger.held) == {ref(0)}


def test_only_so_many_fences_are_remembered(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "FENCES_KEPT", 2)
    assign(ledger, order(0), order(1), order(2))
    assert list(ledger.fences) == [TaskRef(7, 1), TaskRef(7, 2)]


def test_a_successor_that_an_inventory_lets_go_on_is_not_taken_for_lost(ledger: Ledger) -> None:
    assign(ledger, order(fence=1))
    assign(ledger, order(fence=2))
    ended = Ended(attempt=ref(fence=1), outcome=Outcome.CANCELLED, ended_at=2.0)
    made = step(ledger, events.GuardConnected(ends=(ended,)), NOW)
    assert effects.Hand((order(fence=2),)) in made
    assert ledger.held[ref(fence=2)].phase is Phase.HANDED and not ledger.outbox


def test_work_that_arrives_after_the_leases_ran_out_is_refused() -> None:
    """It waited somewhere while this machine stood still: another node may have it by now."""
    ledger = Ledger()
    late = events.Assigned(epoch=1, orders=(order(1),), lapsed=True)
    (refusal,) = step(ledger, late, NOW)
    assert isinstance(refusal, effects.Refuse) and not ledger.held
    assert step(ledger, events.Assigned(epoch=1, orders=(order(1),)), NOW)


def test_a_place_is_told_free_before_it_is_told_taken() -> None:
    """One frame of the guard holds a chain of quick tasks: they are reported in the order of their lives."""
    ledger = Ledger()
    step(ledger, events.Assigned(epoch=1, orders=(order(0), order(1))), NOW)
    starts = (events.Start(ref(0), 11, 1.0), events.Start(ref(1), 12, 2.0))
    ends = tuple(
        Ended(
            attempt=ref(index),
            outcome=Outcome.EXITED,
            started_at=1.0 + index,
            ended_at=2.0 + index,
            exit_code=0,
        )
        for index in (0, 1)
    )
    step(ledger, events.GuardReported(starts=starts, ends=ends), NOW)
    told = [(type(event).__name__, event.attempt.index) for _, event in ledger.outbox]
    assert told == [("Started", 0), ("Ended", 0), ("Started", 1), ("Ended", 1)]


def pause(ledger: Ledger, *attempts: AttemptRef) -> list[effects.Effect]:
    return step(ledger, events.PauseAsked(epoch=1, attempts=attempts), NOW)


def resume(ledger: Ledger, *attempts: AttemptRef) -> list[effects.Effect]:
    return step(ledger, events.ResumeAsked(epoch=1, attempts=attempts), NOW)


def test_a_pause_goes_to_the_guard_once_and_is_told(ledger: Ledger) -> None:
    assign(ledger, order(0), order(1))
    start(ledger, ref(0))
    assert pause(ledger, ref(0), ref(1), ref(9)) == [effects.Pause((ref(0), ref(1)))]
    assert pause(ledger, ref(0)) == []
    assert ledger.paused() == (ref(0), ref(1))
    assert resume(ledger, ref(0), ref(9)) == [effects.Resume((ref(0),))]
    assert resume(ledger, ref(0)) == []
    assert ledger.paused() == (ref(1),)
    end(ledger, ref(1))
    assert ledger.paused() == ()


def test_an_old_leader_neither_pauses_nor_resumes(ledger: Ledger) -> None:
    assign(ledger, order(), epoch=5)
    assert pause(ledger, ref()) == [effects.Refuse("epoch 1 is over: 5 leads")]
    assert resume(ledger, ref()) == [effects.Refuse("epoch 1 is over: 5 leads")]


def test_what_still_prepares_is_paused_when_the_guard_gets_it(ledger: Ledger) -> None:
    assign(ledger, order(work=NEEDY))
    assert pause(ledger, ref()) == []
    made = step(ledger, events.InputsArrived(ref()), NOW)
    assert made == [effects.Hand((order(work=NEEDY),)), effects.Pause((ref(),))]
    assert resume(ledger, ref()) == [effects.Resume((ref(),))]


@pytest.mark.parametrize("work", [PLAIN, NEEDY])
def test_a_pause_while_an_older_attempt_ends_is_kept(ledger: Ledger, work: Work) -> None:
    assign(ledger, order(fence=1))
    assign(ledger, order(fence=2, work=work))
    assert pause(ledger, ref(fence=2)) == []
    made = end(ledger, ref(fence=1))
    if work is NEEDY:
        made = step(ledger, events.InputsArrived(ref(fence=2)), NOW)
    assert made[-2:] == [effects.Hand((order(fence=2, work=work),)), effects.Pause((ref(fence=2),))]


def test_what_somebody_else_has_is_not_told_as_paused(ledger: Ledger) -> None:
    assign(ledger, order())
    pause(ledger, ref())
    step(ledger, events.Answered(epoch=1, drop=(ref(),)), NOW)
    assert ledger.paused() == ()


def test_the_guard_knows_what_is_paused_after_a_restart(ledger: Ledger) -> None:
    starts = tuple(events.Start(ref(index), 10 + index, 1.0, 99) for index in range(2))
    step(ledger, events.Restored(epoch=1, sequence=0, starts=starts), NOW)
    step(ledger, events.GuardConnected(running=starts, paused=(ref(1),)), NOW)
    assert ledger.paused() == (ref(1),)


def test_what_a_dead_guard_left_is_ended_before_it_is_told_lost(ledger: Ledger) -> None:
    """Only where pid and start are known: of another boot there is nothing to end."""
    starts = (events.Start(ref(0), 10, 1.0, 99), events.Start(ref(1), 0, 1.0, 0))
    step(ledger, events.Restored(epoch=1, sequence=0, starts=starts), NOW)
    made = step(ledger, events.GuardConnected(), NOW)
    assert made[0] == effects.EndLeftovers(((10, 99),))
    assert [event.outcome for event in reported(ledger) if isinstance(event, Ended)] == [Outcome.LOST] * 2


def test_a_fenced_agent_ends_everything_and_reports_none_of_it(ledger: Ledger) -> None:
    assign(ledger, order(0), order(1, work=NEEDY))
    start(ledger, ref(0))
    made = step(ledger, events.Fenced(), NOW)
    assert effects.End((ref(0),)) in made
    assert end(ledger, ref(0)) == [effects.SaveEnd(ref(0))]
    assert not ledger.held and not reported(ledger)


def test_what_the_node_itself_ends_has_failed(ledger: Ledger) -> None:
    assign(ledger, order())
    asked = events.EndAsked((ref(), ref(9)), "the volume is full")
    assert step(ledger, asked, NOW) == []  # it has not started: nothing of it writes
    start(ledger, ref())
    assert step(ledger, asked, NOW) == [effects.End((ref(),))]
    assert step(ledger, asked, NOW) == []
    killed = Ended(attempt=ref(), outcome=Outcome.CANCELLED, ended_at=2.0, started_at=1.0)
    step(ledger, events.GuardReported(ends=(killed,)), NOW)
    said = reported(ledger)[-1]
    assert isinstance(said, Ended)
    assert (said.outcome, said.message) == (Outcome.SIGNALED, "the volume is full")


def test_what_ends_by_itself_meanwhile_has_ended_by_itself(ledger: Ledger) -> None:
    assign(ledger, order())
    start(ledger, ref())
    step(ledger, events.EndAsked((ref(),), "the volume is full"), NOW)
    end(ledger, ref())
    said = reported(ledger)[-1]
    assert isinstance(said, Ended) and (said.outcome, said.message) == (Outcome.EXITED, "")


def test_what_is_being_prepared_is_told(ledger: Ledger) -> None:
    assign(ledger, order(work=NEEDY), order(1))
    assert ledger.preparing() == (ref(),)
