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
import coordinator.core.changes as changes
import coordinator.core.health as health
import coordinator.core.jobs as jobs
import coordinator.core.machine as machine
import coordinator.core.placing as placing
import coordinator.core.reports as reports
import coordinator.core.yielding as yielding
import coordinator.serve as serve
from agent.core.model import Ledger
from agent.executor import Executor
from agent.guard.keeper import Keeper
from bus.values import AttemptRef, Ended, Resources
from coordinator.core.events import TasksReported
from coordinator.core.model import Cluster, Group, Job, Line
from tests.sim.coordinator import Coordinator
from tests.sim.database import Rows
from tests.sim.plan import FaultKind

Breaks = Callable[[], AbstractContextManager[object]]


class Mutation(Struct, frozen=True):
    """`breaks` puts the bug in while its context is open; `under`: a fault that brings it to light."""

    name: str
    breaks: Breaks
    under: FaultKind | None = None


MUTATIONS: list[Mutation] = []


def mutation(name: str, under: FaultKind | None = None) -> Callable[[Breaks], Breaks]:
    """Put a bug into the list."""

    def register(breaks: Breaks) -> Breaks:
        MUTATIONS.append(Mutation(name, breaks, under))
        return breaks

    return register


# fences and epochs


@mutation("a report with a stale fence counts", FaultKind.AGENT_STOPPED)
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


@mutation("a task that is placed again keeps its fence", FaultKind.AGENT_CUT)
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


@mutation("an assignment that comes twice runs twice", FaultKind.BUS_REPEATS)
def duplicates_run() -> AbstractContextManager[object]:
    return patch.object(Ledger, "remember_fence", lambda self, attempt: True)


@mutation("the database takes what an old leader writes", FaultKind.COORDINATOR_STOPPED)
def epochs_are_not_checked() -> AbstractContextManager[object]:
    real = Rows.write

    def write(self: Rows, epoch: int, batch: Any) -> None:
        real(self, self.leadership.epoch, batch)

    return patch.object(Rows, "write", write)


@mutation("agents obey a leader that is over", FaultKind.COORDINATOR_UNPLUGGED)
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


@mutation("acknowledged before the commit", FaultKind.DATABASE_SLOW)
def told_before_commit() -> AbstractContextManager[object]:
    real = Coordinator._commit

    def commit(self: Coordinator, joiner: Any, batch: Any, taken: int, **kwargs: Any) -> None:
        tells, joiner.tells = joiner.tells, []
        self._supervisor.telling(self, tells)
        for tell in tells:
            self._tell(tell)
        real(self, joiner, batch, taken, **kwargs)

    return patch.object(Coordinator, "_commit", commit)


@mutation("a report is acknowledged and not stored")
def reports_are_dropped() -> AbstractContextManager[object]:
    real = machine.on_reported

    def forgetful(out: Any, cluster: Any, event: TasksReported, *, now_s: float) -> None:
        kept = tuple(each for each in event.events if not isinstance(each, Ended))
        real(out, cluster, replace(event, events=kept), now_s=now_s)

    return patch.object(machine, "on_reported", forgetful)


@mutation("the outbox is cleared before it is acknowledged")
def outbox_cleared_early() -> AbstractContextManager[object]:
    real = agent_machine._on_answer

    def on_answer(ledger: Any, event: Any, out: Any) -> None:
        real(ledger, replace(event, acknowledged=ledger.sequence), out)

    return patch.object(agent_machine, "_on_answer", on_answer)


# the books


@mutation("an allocation is forgotten")
def allocation_forgotten() -> AbstractContextManager[object]:
    real = changes.hold

    def hold(cluster: Any, attempt: Any) -> None:
        real(cluster, attempt)
        cluster.nodes[attempt.node].allocated -= attempt.requested

    return patch.object(changes, "hold", hold)


@mutation("a place is given back twice")
def released_twice() -> AbstractContextManager[object]:
    real = changes.release

    def release(cluster: Any, attempt: Any) -> None:
        was_holding = attempt.holding
        real(cluster, attempt)
        if was_holding:
            cluster.nodes[attempt.node].allocated -= attempt.requested

    return patch.object(changes, "release", release)


@mutation("the scheduler sees free places where there are none")
def overbooked() -> AbstractContextManager[object]:
    return _both(
        patch.object(Resources, "fits", lambda self, free: True),
        patch.object(Resources, "lacking", lambda self, free: ()),
    )


@mutation("a retry is charged twice")
def retries_charged_twice() -> AbstractContextManager[object]:
    real = reports.schedule_retry

    def schedule(cluster: Any, task: Any, *, now_s: float) -> None:
        task.retries += 1
        real(cluster, task, now_s=now_s)

    return patch.object(reports, "schedule_retry", schedule)


@mutation("an array's limit is ignored")
def limits_ignored() -> AbstractContextManager[object]:
    return patch.object(Group, "full", PropertyMock(return_value=False))


# leases


def _lapse_quietly(self: Keeper, now_s: float) -> None:
    self._lapsed = True


@mutation("work is given out before the guard has killed it", FaultKind.AGENT_CUT)
def lease_too_short() -> AbstractContextManager[object]:
    return patch.object(health, "_is_replaced", lambda attempt, *, lease_ended, idempotent: True)


@mutation("the guard does not end what nobody renews", FaultKind.AGENT_CUT)
def guard_never_lapses() -> AbstractContextManager[object]:
    return patch.object(Keeper, "_lapse", _lapse_quietly)


@mutation("an agent that stood still takes what waited for it", FaultKind.AGENT_STOPPED)
def lapsed_agents_obey() -> AbstractContextManager[object]:
    return _both(
        patch.object(Executor, "lapsed", PropertyMock(return_value=False)),
        patch.object(Keeper, "_lapse", _lapse_quietly),
    )


@mutation("silent nodes stay healthy", FaultKind.AGENT_CUT)
def nobody_is_unreachable() -> AbstractContextManager[object]:
    return patch.object(machine, "check_silence", lambda out, cluster, *, now_s: None)


# memory and steering


@mutation("a new leader forgets the attempts", FaultKind.COORDINATOR_KILLED)
def attempts_not_rebuilt() -> AbstractContextManager[object]:
    return patch.object(serve, "restore_attempt", lambda cluster, row: None)


@mutation("cancels are lost")
def cancels_lost() -> AbstractContextManager[object]:
    return _both(
        patch.object(jobs, "send_cancels", lambda out, attempts: None),
        patch.object(yielding, "send_cancels", lambda out, attempts: None),
    )


@mutation("a hold is answered and ignored")
def holds_ignored() -> AbstractContextManager[object]:
    return _both(
        patch.object(Job, "withheld", PropertyMock(return_value=False)),
        patch.object(Line, "remove", lambda self, job: None),
    )
