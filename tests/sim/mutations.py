"""Deliberate bugs: each replaces one real function, and must be caught by what the simulator looks at.

What the product would be without one of its safeguards. Some live in the asyncio shell, which the simulator
retells; for these the retold function is the one that is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import PropertyMock, patch

from msgspec import Struct
from msgspec.structs import replace

import agent.core.machine as agent_machine
import coordinator.core.after as after
import coordinator.core.changes as changes
import coordinator.core.gangs as gangs
import coordinator.core.gathering as gathering
import coordinator.core.health as health
import coordinator.core.jobs as jobs
import coordinator.core.machine as machine
import coordinator.core.nodes as nodes
import coordinator.core.placing as placing
import coordinator.core.rebuild as rebuild
import coordinator.core.reports as reports
import coordinator.core.scheduler.round as scheduler_round
import coordinator.core.yielding as yielding
import coordinator.serve as serve
from agent.core.effects import SaveEnd
from agent.core.model import Ledger
from agent.executor import Executor
from agent.guard.keeper import Keeper
from bus.values import AttemptRef, AttemptState, Ended, Resources
from coordinator.core.conditions import Verdict
from coordinator.core.effects import SendStart
from coordinator.core.events import TasksReported
from coordinator.core.model import Cluster, Group, Job, Line, Task
from coordinator.core.scheduler.bookings import Bookings
from tests.sim.coordinator import Coordinator
from tests.sim.database import Rows
from tests.sim.plan import FaultKind
from tests.sim.spool import SimSpool
from tests.sim.stream import Intake

Breaks = Callable[[], AbstractContextManager[object]]


class Mutation(Struct, frozen=True):
    """`breaks` puts the bug in while its context is open; `breaking` is the promise that is broken then.

    `under`: the faults that bring it to light; `gangs`: or gangs do.
    """

    name: str
    breaking: str
    breaks: Breaks
    under: tuple[FaultKind, ...] = ()
    gangs: bool = False


MUTATIONS: list[Mutation] = []


def mutation(name: str, breaking: str, *under: FaultKind, gangs: bool = False) -> Callable[[Breaks], Breaks]:
    """Put a bug into the list."""

    def register(breaks: Breaks) -> Breaks:
        MUTATIONS.append(Mutation(name, breaking, breaks, under, gangs))
        return breaks

    return register


# fences and epochs


@mutation("a report with a stale fence counts", "I3", FaultKind.AGENT_STOPPED, FaultKind.AGENT_CUT)
def stale_reports_count() -> AbstractContextManager[object]:
    real = machine.on_reported

    def believing(out: Any, cluster: Cluster, event: TasksReported, *, now_s: float) -> None:
        for report in event.events:
            task = cluster.find_task(report.attempt.task)
            if task is not None and task.attempt is not None and task.attempt.ref != report.attempt:
                live = task.attempt
                as_live = TasksReported(node=live.node, sequence=0, events=(_with_attempt(report, live.ref),))
                real(out, cluster, as_live, now_s=now_s)
        real(out, cluster, event, now_s=now_s)

    return patch.object(machine, "on_reported", believing)


def _with_attempt(report: Any, ref: AttemptRef) -> Any:
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    return type(report)(**{**fields, "attempt": ref})


@mutation("a task that is placed again keeps its fence", "rows", FaultKind.AGENT_CUT)
def fences_stand_still() -> AbstractContextManager[object]:
    real = placing.begin_attempt

    def begin(out: Any, cluster: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        task.fence = max(task.fence - 1, 0)
        return real(out, cluster, task, *args, **kwargs)

    return patch.object(placing, "begin_attempt", begin)


@contextmanager
def _both(*contexts: AbstractContextManager[object]) -> Iterator[None]:
    if not contexts:
        yield
        return
    with contexts[0], _both(*contexts[1:]):
        yield


@mutation("an assignment is for any agent of its node", "I2", FaultKind.AGENT_TWIN)
def assignments_for_anybody() -> AbstractContextManager[object]:
    real = placing._send

    def send(out: list[Any], cluster: Any, batches: Any) -> None:
        made: list[Any] = []
        real(made, cluster, batches)
        out += [replace(each, incarnation="") for each in made]

    return patch.object(placing, "_send", send)


@mutation("a second machine is taken for a reboot", "I2", FaultKind.AGENT_TWIN)
def twins_look_rebooted() -> AbstractContextManager[object]:
    def inherit(cluster: Any, node: Any) -> None:
        for attempt in node.attempts.values():
            attempt.former_until_s = 0.0

    return patch.object(nodes, "_inherit", inherit)


@mutation(
    "an assignment that comes twice runs twice",
    "I2",
    FaultKind.GUARD_KILLED,
    FaultKind.BUS_REPEATS,
    FaultKind.BUS_LOSES,
)
def duplicates_run() -> AbstractContextManager[object]:
    return patch.object(Ledger, "remember_fence", lambda self, attempt: True)


@mutation(
    "the database takes what an old leader writes",
    "I1",
    FaultKind.COORDINATOR_STOPPED,
    FaultKind.DATABASE_SLOW,
)
def epochs_are_not_checked() -> AbstractContextManager[object]:
    real = Rows.write

    def write(self: Rows, epoch: int, batch: Any) -> None:
        real(self, self.leadership.epoch, batch)

    return patch.object(Rows, "write", write)


@mutation(
    "agents obey a leader that is over", "I3", FaultKind.COORDINATOR_UNPLUGGED, FaultKind.COORDINATOR_STOPPED
)
def old_leaders_are_obeyed() -> AbstractContextManager[object]:
    return _both(
        patch.object(agent_machine, "_is_led_by", lambda ledger, epoch, out: True),
        patch.object(Rows, "write", _write_any_epoch),
    )


_REAL_WRITE = Rows.write


def _write_any_epoch(self: Rows, epoch: int, batch: Any) -> None:
    if epoch == self.leadership.epoch:
        _REAL_WRITE(self, epoch, batch)


# what is told, and when


@mutation("acknowledged before the commit", "I1", FaultKind.DATABASE_SLOW)
def told_before_commit() -> AbstractContextManager[object]:
    real = Coordinator._commit

    def commit(self: Coordinator, joiner: Any, batch: Any, taken: int, **kwargs: Any) -> None:
        tells, joiner.tells = joiner.tells, []
        self._supervisor.telling(self, tells)
        for tell in tells:
            self._tell(tell)
        real(self, joiner, batch, taken, **kwargs)

    return patch.object(Coordinator, "_commit", commit)


@mutation("a report is acknowledged and not stored", "I3")
def reports_are_dropped() -> AbstractContextManager[object]:
    real = machine.on_reported

    def forgetful(out: Any, cluster: Any, event: TasksReported, *, now_s: float) -> None:
        kept = tuple(each for each in event.events if not isinstance(each, Ended))
        real(out, cluster, replace(event, events=kept), now_s=now_s)

    return patch.object(machine, "on_reported", forgetful)


@mutation("the outbox is cleared before it is acknowledged", "I3")
def outbox_cleared_early() -> AbstractContextManager[object]:
    real = agent_machine._on_answer

    def on_answer(ledger: Any, event: Any, out: Any) -> None:
        real(ledger, replace(event, acknowledged=ledger.sequence), out)

    return patch.object(agent_machine, "_on_answer", on_answer)


@mutation("the agent's file is never written", "I3", FaultKind.AGENT_KILLED)
def file_never_written() -> AbstractContextManager[object]:
    def apply(self: SimSpool, change: Any) -> AttemptRef | None:
        return change.attempt if isinstance(change, SaveEnd) else None

    return patch.object(SimSpool, "_apply", apply)


@mutation(
    "a published job is acknowledged before the commit",
    "I1",
    FaultKind.COORDINATOR_KILLED,
    FaultKind.DATABASE_SLOW,
    FaultKind.DATABASE_AWAY,
)
def published_too_soon() -> AbstractContextManager[object]:
    real = Intake._enter

    def enter(self: Intake, key: str, sealed: Any) -> None:
        real(self, key, sealed)
        self._settle(key, refused=False)

    return patch.object(Intake, "_enter", enter)


# the books


@mutation("an allocation is forgotten", "I4")
def allocation_forgotten() -> AbstractContextManager[object]:
    real = changes.hold

    def hold(cluster: Any, attempt: Any) -> None:
        real(cluster, attempt)
        cluster.nodes[attempt.node].allocated -= attempt.requested

    return patch.object(changes, "hold", hold)


@mutation("a place is given back twice", "I4")
def released_twice() -> AbstractContextManager[object]:
    real = changes.release

    def release(cluster: Any, attempt: Any) -> None:
        was_holding = attempt.holding
        real(cluster, attempt)
        if was_holding:
            cluster.nodes[attempt.node].allocated -= attempt.requested

    return patch.object(changes, "release", release)


@mutation("the scheduler sees free places where there are none", "I4")
def overbooked() -> AbstractContextManager[object]:
    return _both(
        patch.object(Resources, "fits", lambda self, free: True),
        patch.object(Resources, "lacking", lambda self, free: ()),
    )


@mutation("a retry is charged twice", "I6")
def retries_charged_twice() -> AbstractContextManager[object]:
    real = reports.schedule_retry

    def schedule(cluster: Any, task: Any, *, now_s: float, ran_s: float) -> None:
        task.retries += 1
        real(cluster, task, now_s=now_s, ran_s=ran_s)

    return patch.object(reports, "schedule_retry", schedule)


@mutation("an array's limit is ignored", "limit")
def limits_ignored() -> AbstractContextManager[object]:
    return patch.object(Group, "full", PropertyMock(return_value=False))


@mutation("what goes past a blocked task ignores what is reserved", "reservation")
def reservations_ignored() -> AbstractContextManager[object]:
    return patch.object(Bookings, "limit_s", lambda self, node, request: float("inf"))


@mutation("work ahead of free places ignores what is reserved", "reservation")
def reservations_ignored_ahead() -> AbstractContextManager[object]:
    real = scheduler_round.prefill

    def prefill(cluster: Any, blocked: Any, kept: Any, *, now_s: float) -> Any:
        return real(cluster, blocked, (), now_s=now_s)

    return patch.object(scheduler_round, "prefill", prefill)


# leases


def _lapse_quietly(self: Keeper, now_s: float) -> None:
    self._lapsed = True


@mutation("work is given out before the guard has killed it", "I2", FaultKind.AGENT_CUT)
def lease_too_short() -> AbstractContextManager[object]:
    return patch.object(health, "_is_replaced", lambda attempt, *, lease_ended, idempotent: True)


@mutation("the guard does not end what nobody renews", "I2", FaultKind.AGENT_CUT)
def guard_never_lapses() -> AbstractContextManager[object]:
    return patch.object(Keeper, "_lapse", _lapse_quietly)


@mutation("an agent that stood still takes what waited for it", "I2", FaultKind.AGENT_STOPPED)
def lapsed_agents_obey() -> AbstractContextManager[object]:
    return _both(
        patch.object(Executor, "lapsed", PropertyMock(return_value=False)),
        patch.object(Keeper, "_lapse", _lapse_quietly),
    )


@mutation("silent nodes stay healthy", "I7", FaultKind.AGENT_CUT)
def nobody_is_unreachable() -> AbstractContextManager[object]:
    return patch.object(machine, "check_silence", lambda out, cluster, *, now_s: None)


@mutation("a silent node's leases are renewed by themselves", "I7", FaultKind.AGENT_CUT)
def leases_renewed_for_nothing() -> AbstractContextManager[object]:
    real = machine.check_silence

    def check(out: Any, cluster: Any, *, now_s: float) -> None:
        for node in cluster.nodes.values():
            node.lease_from_s = now_s
        real(out, cluster, now_s=now_s)

    return patch.object(machine, "check_silence", check)


@mutation("suspicion does not see what is silent", "I7", FaultKind.AGENT_CUT)
def nobody_is_suspected() -> AbstractContextManager[object]:
    return patch.object(health, "silence", lambda watch, silent_s, **kwargs: 0.0)


@mutation("a new leader takes all leases as ended", "I2", FaultKind.COORDINATOR_KILLED, FaultKind.AGENT_CUT)
def leases_end_at_takeover() -> AbstractContextManager[object]:
    real = serve.restore_node

    def restore(cluster: Any, row: Any, *, now_s: float) -> None:
        real(cluster, row, now_s=now_s)
        node = cluster.nodes[row.name]
        node.lease_from_s = node.last_beat_s = now_s - 2 * cluster.limits.lease_s * 1e6

    return patch.object(serve, "restore_node", restore)


# memory and steering


@mutation("a new leader forgets the backoffs", "backoff", FaultKind.COORDINATOR_KILLED)
def backoffs_forgotten() -> AbstractContextManager[object]:
    def schedule(cluster: Any, task: Any, *, now_s: float) -> None:
        reports.schedule_retry(cluster, task, now_s=now_s - 1e9)

    return patch.object(rebuild, "schedule_retry", schedule)


@mutation("what is to yield is never told", "cancel")
def yields_untold() -> AbstractContextManager[object]:
    return patch.object(yielding, "_ask", lambda out, attempts: None)


@mutation("jobs do not wait for those that they run after", "after")
def conditions_ignored() -> AbstractContextManager[object]:
    return patch.object(after, "verdict", lambda cluster, each: Verdict.MET)


@mutation("a new leader forgets the attempts", "memory", FaultKind.COORDINATOR_KILLED)
def attempts_not_rebuilt() -> AbstractContextManager[object]:
    return patch.object(serve, "restore_attempt", lambda cluster, row: None)


@mutation("what was learned is not kept", "memory")
def notes_are_dropped() -> AbstractContextManager[object]:
    def forget(out: Any, cluster: Cluster, *, now_s: float) -> None:
        cluster.planner.take_notes()

    return patch.object(machine, "keep_notes", forget)


@mutation("cancels are lost", "cancel")
def cancels_lost() -> AbstractContextManager[object]:
    return _both(
        patch.object(jobs, "send_cancels", lambda out, attempts: None),
        patch.object(yielding, "send_cancels", lambda out, attempts: None),
    )


@mutation("a hold is answered and ignored", "hold")
def holds_ignored() -> AbstractContextManager[object]:
    return _both(
        patch.object(Job, "withheld", PropertyMock(return_value=False)),
        patch.object(Line, "remove", lambda self, job: None),
    )


# gangs


@mutation("ranks start before all of them are confirmed", "gang", gangs=True)
def barrier_ignored() -> AbstractContextManager[object]:
    def start(out: list[Any], cluster: Cluster, task: Task) -> None:
        assert task.ranks is not None
        ready = [each for each in task.ranks.in_order if each.state is AttemptState.ASSIGNED]
        if task.ranks.port and not task.ranks.ends:
            meeting = gathering._meeting(cluster, task.ranks)
            out += [SendStart(node=each.node, attempts=(each.ref,), meeting=meeting) for each in ready]

    return patch.object(gathering, "_start", start)


@mutation("places at a barrier are held for ever", "gang", gangs=True)
def barrier_never_given_up() -> AbstractContextManager[object]:
    return patch.object(gangs, "overdue", lambda cluster, *, now_s: [])
