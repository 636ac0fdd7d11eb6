"""The agent's decisions: `step(ledger, event, now_s) -> list[Effect]`. Pure.

Three rules carry it. A fence that is not newer than what was here before runs nothing. Every attempt that
was taken ends in exactly one Ended or Returned, unless the coordinator said to drop it. Whoever speaks with
an epoch below the highest one seen leads no more, and is neither obeyed nor believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from agent.core import effects, events
from agent.core.effects import Effect
from agent.core.events import Event, Start
from agent.core.model import Held, Ledger, Order, Phase
from bus.values import AttemptRef, Ended, Outcome, Returned, Started, TaskEvent

_AT_GUARD = frozenset({Phase.HANDED, Phase.RUNNING})
_NOT_FOUND_CODE = 127
_LAPSED = "the leases have run out: assign again after the next heartbeat"


def step(ledger: Ledger, event: Event, now_s: float) -> list[Effect]:
    """Change `ledger` by what happened; returns what to do about it. `now_s` is of the Unix epoch."""
    out: list[Effect] = []
    match event:
        case events.Assigned():
            if event.lapsed:
                out.append(effects.Refuse(_LAPSED))
            elif _is_led_by(ledger, event.epoch, out):
                _take(ledger, event.orders, out)
        case events.CancelAsked():
            if _is_led_by(ledger, event.epoch, out):
                _cancel(ledger, event.attempts, now_s, out)
        case events.RetractAsked():
            if _is_led_by(ledger, event.epoch, out):
                _retract(ledger, event.attempts, out)
        case events.PauseAsked():
            if _is_led_by(ledger, event.epoch, out):
                _pause(ledger, event.attempts, out)
        case events.ResumeAsked():
            if _is_led_by(ledger, event.epoch, out):
                _resume(ledger, event.attempts, out)
        case events.StartAsked():
            if event.lapsed:
                out.append(effects.Refuse(_LAPSED))
            elif _is_led_by(ledger, event.epoch, out):
                _start_ranks(ledger, event, out)
        case events.Fenced():
            _drop(ledger, ledger.held, out)
        case events.Answered():
            _on_answer(ledger, event, out)
        case events.InputsArrived() | events.InputsRefused() | events.EndAsked() | events.GpusSeen():
            _on_node(ledger, event, now_s, out)
        case events.GuardReported():
            _on_guard(ledger, event.starts, event.ends, out)
        case events.Restored():
            _restore(ledger, event)
        case events.GuardConnected():
            _reconcile(ledger, event, now_s, out)
        case _:
            assert_never(event)
    return out


def _on_node(
    ledger: Ledger,
    event: events.InputsArrived | events.InputsRefused | events.EndAsked | events.GpusSeen,
    now_s: float,
    out: list[Effect],
) -> None:
    """What this node itself found out."""
    match event:
        case events.InputsArrived():
            _on_inputs(ledger, event, out)
        case events.InputsRefused():
            if _phase(ledger, event.attempt) is Phase.PREPARING:
                outcome = Outcome.NOT_FOUND if event.nowhere else Outcome.NOT_STARTED
                end = _unstarted(event.attempt, outcome, now_s, event.reason)
                end.exit_code = _NOT_FOUND_CODE if event.nowhere else None
                _finish(ledger, end, out)
        case events.EndAsked():
            _end(ledger, event, out)
        case events.GpusSeen():
            _on_gpus(ledger, event, out)
        case _:
            assert_never(event)


def _is_led_by(ledger: Ledger, epoch: int, out: list[Effect]) -> bool:
    if epoch < ledger.epoch:
        out.append(effects.Refuse(f"epoch {epoch} is over: {ledger.epoch} leads"))
        return False
    if epoch > ledger.epoch:
        ledger.epoch = epoch
        out.append(effects.SaveEpoch(epoch))
    return True


def _take(ledger: Ledger, orders: Iterable[Order], out: list[Effect]) -> None:
    handed: list[Order] = []
    for order in orders:
        attempt = order.attempt
        is_first = attempt.task not in ledger.fences
        if not ledger.remember_fence(attempt):
            continue  # said twice, or outrun by a newer attempt: what became of it is reported anyway
        out.append(effects.SaveOrder(order))
        older = [] if is_first else list(ledger.of_task(attempt.task))
        if older:
            ledger.held[attempt] = Held(attempt=attempt, phase=Phase.BLOCKED, order=order)
            _drop(ledger, [held.attempt for held in older], out)
        elif order.work.prepares:
            _prepare(ledger, order, out)
        elif order.work.settings.gang is not None:
            ledger.held[attempt] = Held(attempt=attempt, phase=Phase.GATHERED, order=order)
        elif order.gpus:
            ledger.held[attempt] = Held(attempt=attempt, phase=Phase.CLEARING, order=order)
            out.append(effects.LookAtGpus())
        else:
            ledger.held[attempt] = Held(attempt=attempt, phase=Phase.HANDED)
            handed.append(order)
    if handed:
        out.append(effects.Hand(tuple(handed)))


def _prepare(ledger: Ledger, order: Order, out: list[Effect]) -> None:
    ledger.held[order.attempt] = Held(attempt=order.attempt, phase=Phase.PREPARING, order=order)
    out.append(effects.FetchInputs(order))


def _unblock(ledger: Ledger, attempt: AttemptRef, out: list[Effect]) -> None:
    """The newest attempt of this task goes on once no older one is here."""
    all_held = list(ledger.of_task(attempt.task))
    if len(all_held) != 1 or all_held[0].phase is not Phase.BLOCKED:
        return
    held = all_held[0]
    assert held.order is not None
    if held.order.work.prepares:
        held.phase = Phase.PREPARING
        out.append(effects.FetchInputs(held.order))
    else:
        _hand(held, out)


def _start_ranks(ledger: Ledger, event: events.StartAsked, out: list[Effect]) -> None:
    """Those that still wait for something else here start after it; who is told twice has started."""
    for attempt in event.attempts:
        held = ledger.held.get(attempt)
        if held is None or held.order is None or not held.gathers:
            continue
        held.order = replace(held.order, meeting=event.meeting)
        if held.phase is Phase.GATHERED:
            _hand(held, out)


def _hand(held: Held, out: list[Effect]) -> None:
    """To the guard; a rank of a gang only once it was told to start, and GPUs only once they are free."""
    assert held.order is not None
    if held.gathers:
        held.phase = Phase.GATHERED
        return
    if held.order.gpus and held.phase is not Phase.CLEARING:
        held.phase = Phase.CLEARING
        out.append(effects.LookAtGpus())
        return
    out.append(effects.Hand((held.order,)))
    held.phase, held.order = Phase.HANDED, None
    if held.paused:
        out.append(effects.Pause((held.attempt,)))


def _cancel(ledger: Ledger, attempts: Iterable[AttemptRef], now_s: float, out: list[Effect]) -> None:
    at_guard: list[AttemptRef] = []
    for attempt in attempts:
        match _phase(ledger, attempt):
            case Phase.HANDED | Phase.RUNNING:
                at_guard.append(attempt)
            case Phase.BLOCKED | Phase.PREPARING | Phase.GATHERED | Phase.CLEARING:
                _finish(ledger, _unstarted(attempt, Outcome.CANCELLED, now_s), out)
            case None if ledger.remember_fence(attempt):
                # Its assignment got lost or comes later; the answer is the same and it will not run.
                out.append(effects.SaveEnd(attempt))
                _report(ledger, _unstarted(attempt, Outcome.CANCELLED, now_s), out)
            case _:
                continue  # over: its end is on its way
    if at_guard:
        out.append(effects.End(tuple(at_guard)))


def _end(ledger: Ledger, event: events.EndAsked, out: list[Effect]) -> None:
    """What runs here ends by our own decision: that is a failure, and no cancellation."""
    ending = [held for each in event.attempts if (held := ledger.held.get(each)) and not held.reason]
    running = [held for held in ending if held.phase is Phase.RUNNING]
    for held in running:
        held.reason = event.reason
    if running:
        out.append(effects.End(tuple([held.attempt for held in running])))


def _retract(ledger: Ledger, attempts: Iterable[AttemptRef], out: list[Effect]) -> None:
    at_guard: list[AttemptRef] = []
    for attempt in attempts:
        match _phase(ledger, attempt):
            case Phase.HANDED:
                at_guard.append(attempt)
            case Phase.BLOCKED | Phase.PREPARING | Phase.GATHERED | Phase.CLEARING:
                _finish(ledger, Returned(attempt=attempt), out)
            case Phase.RUNNING:
                continue
            case None if ledger.remember_fence(attempt):
                out.append(effects.SaveEnd(attempt))
                _report(ledger, Returned(attempt=attempt), out)
            case _:
                continue
    if at_guard:
        out.append(effects.Withdraw(tuple(at_guard)))


def _pause(ledger: Ledger, attempts: Iterable[AttemptRef], out: list[Effect]) -> None:
    """Those that the guard does not have yet are paused when it gets them."""
    fresh = [held for a in attempts if (held := ledger.held.get(a)) is not None and not held.paused]
    for held in fresh:
        held.paused = True
    at_guard = tuple([held.attempt for held in fresh if held.phase in _AT_GUARD])
    if at_guard:
        out.append(effects.Pause(at_guard))


def _resume(ledger: Ledger, attempts: Iterable[AttemptRef], out: list[Effect]) -> None:
    paused = [held for a in attempts if (held := ledger.held.get(a)) is not None and held.paused]
    for held in paused:
        held.paused = False
    at_guard = tuple([held.attempt for held in paused if held.phase in _AT_GUARD])
    if at_guard:
        out.append(effects.Resume(at_guard))


def _on_answer(ledger: Ledger, event: events.Answered, out: list[Effect]) -> None:
    # An old leader's answer renews nothing: the new one may have given the work to others.
    if event.epoch < ledger.epoch:
        return
    _is_led_by(ledger, event.epoch, out)
    removed = []
    while ledger.outbox and ledger.outbox[0][0] <= event.acknowledged:
        removed.append(ledger.outbox.popleft()[0])
    if removed:
        out.append(effects.RemoveEvents(tuple(removed)))
    if event.drop:
        _drop(ledger, event.drop, out)
    if event.renews_from is not None:
        out.append(effects.RenewLease(event.renews_from))


def _drop(ledger: Ledger, attempts: Iterable[AttemptRef], out: list[Effect]) -> None:
    dropped = set(attempts)
    stale = [entry for entry in ledger.outbox if entry[1].attempt in dropped]
    for entry in stale:
        ledger.outbox.remove(entry)
    if stale:
        out.append(effects.RemoveEvents(tuple(sequence for sequence, _ in stale)))
    at_guard: list[AttemptRef] = []
    for attempt in dropped & ledger.held.keys():
        held = ledger.held[attempt]
        if held.phase in _AT_GUARD:
            at_guard.append(attempt)
            held.silent = True
        else:
            del ledger.held[attempt]
            out.append(effects.SaveEnd(attempt))
            _unblock(ledger, attempt, out)
    if at_guard:
        out.append(effects.End(tuple(sorted(at_guard))))


def _on_inputs(ledger: Ledger, event: events.InputsArrived, out: list[Effect]) -> None:
    held = ledger.held.get(event.attempt)
    if held is not None and held.phase is Phase.PREPARING:
        assert held.order is not None
        held.order = replace(held.order, env=event.env)
        _hand(held, out)


def _on_gpus(ledger: Ledger, event: events.GpusSeen, out: list[Effect]) -> None:
    for attempt in event.attempts:
        held = ledger.held.get(attempt)
        if held is None or held.phase is not Phase.CLEARING:
            continue  # taken back meanwhile
        assert held.order is not None
        if event.free.issuperset(held.order.gpus):
            _hand(held, out)


def _on_guard(
    ledger: Ledger,
    starts: Iterable[Start],
    ends: Iterable[Ended | Returned],
    out: list[Effect],
) -> None:
    """Starts and ends in the order in which they happened: a place is free before the next one takes it."""
    happened: list[tuple[float, Start | Ended | Returned]] = [(s.started_at, s) for s in starts]
    happened += [(end.ended_at if isinstance(end, Ended) else 0.0, end) for end in ends]
    happened.sort(key=lambda pair: (pair[0], isinstance(pair[1], Start)))
    for _, event in happened:
        held = ledger.held.get(event.attempt)
        if isinstance(event, Start):
            if held is not None:
                _started(ledger, held, event, out)
            continue
        if held is None:
            out.append(effects.SaveEnd(event.attempt))  # known already; the guard may forget it
            continue
        if isinstance(event, Ended) and event.started_at is not None and held.started_at is None:
            _started(ledger, held, Start(event.attempt, 0, event.started_at), out)
        _finish(ledger, event, out)


def _started(ledger: Ledger, held: Held, start: Start, out: list[Effect]) -> None:
    if held.started_at is not None:
        return
    held.phase, held.order = Phase.RUNNING, None
    held.pid, held.started_at, held.ticks = start.pid, start.started_at, start.ticks
    out.append(effects.SaveStart(start.attempt, start.pid, start.started_at, start.ticks))
    if not held.silent:
        _report(ledger, Started(attempt=start.attempt, started_at=start.started_at, pid=start.pid), out)


def _restore(ledger: Ledger, event: events.Restored) -> None:
    ledger.epoch, ledger.sequence = event.epoch, event.sequence
    ledger.fences.update(event.fences)
    ledger.outbox.extend(event.events)
    for start in event.starts:
        ledger.held[start.attempt] = Held(
            attempt=start.attempt,
            phase=Phase.RUNNING,
            pid=start.pid,
            started_at=start.started_at,
            ticks=start.ticks,
        )
    for attempt in event.unstarted:
        ledger.held[attempt] = Held(attempt=attempt, phase=Phase.HANDED)


def _reconcile(ledger: Ledger, event: events.GuardConnected, now_s: float, out: list[Effect]) -> None:
    """Believe the guard: adopt what it has, report what it saw end; what it does not know is lost."""
    for attempt in (*(start.attempt for start in event.running), *event.queued):
        if attempt not in ledger.held:  # we died before it was on disk
            ledger.remember_fence(attempt)
            ledger.held[attempt] = Held(attempt=attempt, phase=Phase.HANDED)
    for end in event.ends:
        if end.attempt not in ledger.held and ledger.remember_fence(end.attempt):
            ledger.held[end.attempt] = Held(attempt=end.attempt, phase=Phase.HANDED)
    # Before the ends are heard: they may hand on successors, which this inventory cannot know.
    expected = [held for held in ledger.held.values() if held.phase in _AT_GUARD]
    for held in expected:
        held.paused = held.attempt in event.paused
    _on_guard(ledger, event.running, event.ends, out)
    known = {start.attempt for start in event.running} | set(event.queued)
    lost = [held for held in expected if held.attempt in ledger.held and held.attempt not in known]
    leftovers = tuple([(held.pid, held.ticks) for held in lost if held.pid and held.ticks])
    if leftovers:  # before anybody hears that they are lost, and may run them again
        out.append(effects.EndLeftovers(leftovers))
    for held in lost:
        end = _unstarted(held.attempt, Outcome.LOST, now_s, "its guard died, or the node restarted")
        end.started_at = held.started_at
        _finish(ledger, end, out)


def _finish(ledger: Ledger, end: Ended | Returned, out: list[Effect]) -> None:
    held = ledger.held.pop(end.attempt)
    out.append(effects.SaveEnd(end.attempt))
    if held.reason and isinstance(end, Ended) and end.outcome is Outcome.CANCELLED:
        end.outcome, end.message = Outcome.SIGNALED, held.reason
    if not held.silent:
        _report(ledger, end, out)
    else:
        _unblock(ledger, end.attempt, out)  # only a silent one can stand in the way of a newer


def _report(ledger: Ledger, event: TaskEvent, out: list[Effect]) -> None:
    ledger.sequence += 1
    ledger.outbox.append((ledger.sequence, event))
    out.append(effects.SaveEvent(ledger.sequence, event))


def _phase(ledger: Ledger, attempt: AttemptRef) -> Phase | None:
    held = ledger.held.get(attempt)
    return None if held is None else held.phase


def _unstarted(attempt: AttemptRef, outcome: Outcome, now_s: float, message: str = "") -> Ended:
    return Ended(attempt=attempt, outcome=outcome, ended_at=now_s, message=message)
