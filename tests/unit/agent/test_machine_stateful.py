"""The core against a model guard and a model coordinator, in any order of events.

Shown: a fence runs at most once, a task never twice at a time, every attempt that was taken and not
dropped ends in exactly one terminal event, and what is reported starts before it ends.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.core import effects, events
from agent.core.effects import Effect
from agent.core.machine import step
from agent.core.model import Ledger, Order, Work
from bus.values import AttemptRef, Ended, Outcome, Resources, Returned, Started, TaskEvent, TaskSettings

WORKS = [Work(settings=TaskSettings(resources=Resources()), needs=needs) for needs in ((), ("group",))]
indexes = st.integers(0, 3)
fences = st.integers(1, 4)


class Node(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(epoch=1)
        self.queued: list[AttemptRef] = []
        self.running: dict[AttemptRef, int] = {}
        self.exits: dict[AttemptRef, Ended | Returned] = {}
        self.wanted: list[Order] = []
        self.handed: Counter[AttemptRef] = Counter()
        self.told: list[TaskEvent] = []
        self.acknowledged = 0
        self.dropped: set[AttemptRef] = set()
        self.disk: dict[int, TaskEvent] = {}
        self.pids = 100
        self.paused: set[AttemptRef] = set()

    def feed(self, event: events.Event) -> None:
        for effect in step(self.ledger, event, 5.0):
            self.perform(effect)

    def perform(self, effect: Effect) -> None:
        match effect:
            case effects.Hand(orders):
                for order in orders:
                    self.handed[order.attempt] += 1
                    self.queued.append(order.attempt)
            case effects.End(attempts) | effects.Withdraw(attempts):
                for attempt in attempts:
                    if attempt in self.queued:
                        self.queued.remove(attempt)
                        withdrawn = isinstance(effect, effects.Withdraw)
                        self.exits[attempt] = (
                            Returned(attempt=attempt)
                            if withdrawn
                            else Ended(attempt=attempt, outcome=Outcome.CANCELLED, ended_at=2.0)
                        )
            case effects.Pause(attempts):
                self.paused |= set(attempts) & {*self.queued, *self.running}
            case effects.Resume(attempts):
                self.paused -= set(attempts)
            case effects.FetchInputs(order):
                self.wanted.append(order)
            case effects.SaveEvent(sequence, event):
                self.disk[sequence] = event
            case effects.RemoveEvents(sequences):
                for sequence in sequences:
                    del self.disk[sequence]
            case _:
                pass

    @rule(index=indexes, fence=fences, work=st.sampled_from(WORKS))
    def assign(self, index: int, fence: int, work: Work) -> None:
        self.feed(events.Assigned(epoch=1, orders=(Order(attempt=AttemptRef(1, index, fence), work=work),)))

    @rule(index=indexes, fence=fences, retract=st.booleans())
    def take_back(self, index: int, fence: int, retract: bool) -> None:
        asked = (AttemptRef(1, index, fence),)
        self.feed(
            events.RetractAsked(epoch=1, attempts=asked)
            if retract
            else events.CancelAsked(epoch=1, attempts=asked)
        )

    @rule(index=indexes, fence=fences, go_on=st.booleans())
    def pause(self, index: int, fence: int, go_on: bool) -> None:
        asked = (AttemptRef(1, index, fence),)
        self.feed(
            events.ResumeAsked(epoch=1, attempts=asked)
            if go_on
            else events.PauseAsked(epoch=1, attempts=asked)
        )

    @rule()
    def inputs_arrive(self) -> None:
        if self.wanted:
            self.feed(events.InputsArrived(self.wanted.pop(0).attempt))

    @rule(tell=st.booleans())
    def start(self, tell: bool) -> None:
        ready = [attempt for attempt in self.queued if attempt not in self.paused]
        if ready:
            attempt = ready[0]
            self.queued.remove(attempt)
            assert all(other.task != attempt.task for other in self.running), "twice at a time"
            self.pids += 1
            self.running[attempt] = self.pids
            if tell:
                self.feed(events.GuardReported(starts=(events.Start(attempt, self.pids, 1.0),)))

    @rule()
    def end(self) -> None:
        if self.running:
            attempt = next(iter(self.running))
            del self.running[attempt]
            self.exits[attempt] = Ended(
                attempt=attempt, outcome=Outcome.EXITED, ended_at=2.0, started_at=1.0, exit_code=0
            )

    @rule()
    def tell_ends(self) -> None:
        ends, self.exits = tuple(self.exits.values()), {}
        self.feed(events.GuardReported(ends=ends))

    @rule()
    def report(self) -> None:
        fresh = list(self.ledger.outbox)
        self.told += [event for sequence, event in fresh if sequence > self.acknowledged]
        self.acknowledged = self.ledger.sequence
        self.feed(events.Answered(epoch=1, acknowledged=self.ledger.sequence))

    @rule(index=indexes, fence=fences)
    def drop(self, index: int, fence: int) -> None:
        attempt = AttemptRef(1, index, fence)
        if attempt in self.ledger.held:
            self.dropped.add(attempt)
            self.feed(events.Answered(epoch=1, drop=(attempt,)))

    @rule(guard_dies=st.booleans())
    def guard_reconnects(self, guard_dies: bool) -> None:
        if guard_dies:
            self.queued, self.running, self.paused = [], {}, set()
        starts = tuple(events.Start(attempt, pid, 1.0) for attempt, pid in self.running.items())
        ends, self.exits = tuple(self.exits.values()), {}
        here = {*self.queued, *self.running}
        self.feed(
            events.GuardConnected(
                running=starts, queued=tuple(self.queued), paused=tuple(self.paused & here), ends=ends
            )
        )

    @invariant()
    def a_fence_is_handed_once(self) -> None:
        assert all(count == 1 for count in self.handed.values())

    @invariant()
    def agent_and_guard_agree_on_what_is_paused(self) -> None:
        for attempt in [*self.queued, *self.running]:
            assert self.ledger.held[attempt].paused is (attempt in self.paused)

    @invariant()
    def the_disk_holds_the_outbox(self) -> None:
        assert self.disk == dict(self.ledger.outbox)

    @invariant()
    def at_most_one_attempt_of_a_task_is_with_the_guard(self) -> None:
        tasks = Counter(attempt.task for attempt in [*self.queued, *self.running, *self.exits])
        assert all(count <= 1 for count in tasks.values())

    @invariant()
    def everything_ends_once_and_starts_before(self) -> None:
        terminal: Counter[AttemptRef] = Counter()
        for event in self.told + [event for _, event in self.ledger.outbox if _ > self.acknowledged]:
            if isinstance(event, Started):
                assert terminal[event.attempt] == 0
            else:
                terminal[event.attempt] += 1
        assert all(count == 1 for count in terminal.values())
        for attempt in self.handed:
            over = attempt not in self.ledger.held
            assert (
                not over or terminal[attempt] == 1 or attempt in self.dropped or self.is_superseded(attempt)
            )

    def is_superseded(self, attempt: AttemptRef) -> bool:
        return self.ledger.fences[attempt.task] > attempt.fence


TestNode = Node.TestCase
TestNode.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
