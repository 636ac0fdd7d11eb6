"""One transaction, then everything that may be told because of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from bus.values import AttemptState, JobState, NodeHealth, Resources, TaskState
from coordinator.core.effects import AnswerCancel, EventRecord, Tell
from coordinator.core.scheduler.explain import Explanation
from coordinator.perform import Joiner, Performer
from coordinator.store.errors import NotLeader, OutcomeUnknown, StoreUnavailable
from coordinator.store.rows import Batch
from tests import store_rows as rows
from tests.unit.coordinator.fakes import FakeStore
from tests.unit.coordinator.shell import until

Q, A, R, C = TaskState.QUEUED, TaskState.ASSIGNED, TaskState.RUNNING, TaskState.COMPLETED
ANSWER = AnswerCancel(reply=1, tasks=1)
RECORD = EventRecord(at=1.0, event_type="x", severity="info", message="m")


def joined(*steps: list[Any]) -> Batch:
    joiner = Joiner(1)
    for effects in steps:
        joiner.add(effects)
    return joiner.finish()


# joining


def test_changes_of_one_task_become_one_path_and_count_their_steps() -> None:
    task = rows.new_task(rows.new_job())
    batch = joined(
        [rows.change(task, 2, Q, A, node="n1")],
        [rows.change(task, 3, A, R, node="n1"), rows.change(task, 4, R, C, node="n1", exit_code=0)],
    )
    (change,) = batch.task_changes
    assert change.path == (Q, A, R, C) and batch.steps == [3]
    assert change.version == 4 and change.exit_code == 0


def test_an_output_outlives_a_later_change_that_says_nothing_of_it() -> None:
    task = rows.new_task(rows.new_job())
    batch = joined([rows.change(task, 2, Q, A, output=b"1")], [rows.change(task, 3, A, R)])
    assert batch.task_changes[0].output == b"1"
    batch = joined([rows.change(task, 2, Q, A, output=b"1")], [rows.change(task, 3, A, R, output=b"2")])
    assert batch.task_changes[0].output == b"2"


def test_a_path_that_does_not_continue_is_a_bug_and_stops_everything() -> None:
    task = rows.new_task(rows.new_job())
    with pytest.raises(AssertionError):
        joined([rows.change(task, 2, Q, A)], [rows.change(task, 3, Q, A)])


def test_a_new_task_carries_its_whole_path_in_its_own_row() -> None:
    task = rows.new_task(rows.new_job())
    batch = joined([task, rows.change(task, 1, Q)], [rows.change(task, 2, Q, A)])
    ((new, change),) = batch.new_tasks
    assert new is task and change.path == (Q, A)
    assert not batch.task_changes and not batch.steps


def test_an_attempt_that_began_and_ended_in_one_batch_is_inserted_as_it_ended() -> None:
    node, task = rows.node(), rows.new_task(rows.new_job())
    begun = rows.attempt(task, node, AttemptState.ASSIGNED, new=True, explanation=Explanation(rule="why"))
    ended = rows.attempt(task, node, AttemptState.COMPLETED, ended_at=9.0)
    (attempt,) = joined([begun], [ended]).attempts
    assert attempt.new and attempt.state is AttemptState.COMPLETED
    assert attempt.explanation == Explanation(rule="why") and attempt.holds == Resources()


def test_an_attempt_that_is_known_stays_known() -> None:
    node, task = rows.node(), rows.new_task(rows.new_job())
    change = rows.attempt(task, node, AttemptState.RUNNING)
    (attempt,) = joined([change], [change]).attempts
    assert not attempt.new


def test_the_last_counters_of_a_job_count() -> None:
    job = rows.new_job()
    batch = joined(
        [job, rows.job_change(job, JobState.PENDING, queued=1)],
        [rows.job_change(job, JobState.SCHEDULED, assigned=1)],
    )
    assert batch.new_jobs == [job]
    assert [change.state for change in batch.job_changes] == [JobState.SCHEDULED]


def test_a_registration_is_not_lost_behind_a_change_of_health() -> None:
    node = rows.node(registered=True)
    later = replace(node, registered=False, health=NodeHealth.UNREACHABLE, allocated=Resources(5))
    batch = joined([node, rows.ledger(node, Resources(1))], [later])
    (row,) = batch.nodes
    assert row.registered and row.health is NodeHealth.UNREACHABLE
    assert batch.ledgers == [rows.ledger(node, Resources(5))]
    (row,) = joined([later], [node]).nodes
    assert row.registered


def test_records_and_tells_are_no_rows() -> None:
    joiner = Joiner(1)
    joiner.add([RECORD, ANSWER])
    assert joiner.finish().empty
    assert joiner.records == [RECORD] and joiner.tells == [ANSWER]


# performing


class Performing:
    """A performer whose tells and records go into the store's timeline."""

    def __init__(self) -> None:
        self.timeline: list[tuple[str, Any]] = []
        self.store = FakeStore(self.timeline)
        self.performer = Performer(self.store, tell=self._tell, record=self._record)
        self.job = rows.new_job()

    def _tell(self, batch: Batch, tells: list[Tell]) -> None:
        self.timeline.append(("tell", tells))

    def _record(self, records: Any) -> None:
        self.timeline.append(("record", len(records)))

    def begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.performer.perform([[self.job, ANSWER, RECORD]]))

    def told(self) -> int:
        return sum(what == "tell" for what, _ in self.timeline)


@pytest.fixture
async def performing() -> Performing:
    return Performing()


async def test_nothing_is_told_before_the_commit_returned(performing: Performing) -> None:
    performing.store.gate.clear()
    work = performing.begin()
    await until(lambda: performing.store.tried)
    assert performing.timeline == [("begin", 1)]
    performing.store.gate.set()
    await work
    assert performing.timeline[1:] == [("committed", 1), ("tell", [ANSWER]), ("record", 1)]


async def test_what_needs_no_row_needs_no_commit(performing: Performing) -> None:
    await performing.performer.perform([[ANSWER]])
    assert performing.timeline == [("tell", [ANSWER])]
    assert performing.performer.commits == 0


async def test_the_same_batch_is_written_again_until_the_database_is_back(performing: Performing) -> None:
    performing.store.faults.extend([StoreUnavailable("away"), StoreUnavailable("away")])
    work = performing.begin()
    await until(lambda: not performing.performer.available)
    assert not performing.told()
    await work
    first, second, third = performing.store.tried
    assert first is second is third and performing.store.batches == [first]
    assert performing.told() == 1 and performing.performer.available
    assert not performing.store.asked


async def test_an_unknown_outcome_is_looked_up_before_writing_again(performing: Performing) -> None:
    performing.store.faults.append(OutcomeUnknown("broken"))
    await performing.begin()
    assert performing.store.asked == [1] and len(performing.store.batches) == 1
    assert performing.told() == 1


async def test_what_was_committed_after_all_is_told_and_not_written_twice(performing: Performing) -> None:
    performing.store.faults.append(OutcomeUnknown("broken"))
    performing.store.known.add(1)
    await performing.begin()
    assert len(performing.store.tried) == 1 and not performing.store.batches
    assert performing.told() == 1


async def test_a_lookup_that_fails_is_repeated(performing: Performing, monkeypatch: Any) -> None:
    lookups = 0

    async def committed(number: int) -> bool:
        nonlocal lookups
        lookups += 1
        if lookups == 1:
            raise StoreUnavailable("still away")
        return True

    monkeypatch.setattr(performing.store, "committed", committed)
    performing.store.faults.append(OutcomeUnknown("broken"))
    await performing.begin()
    assert lookups == 2 and performing.told() == 1


async def test_another_leader_ends_it_and_nothing_is_told(performing: Performing) -> None:
    performing.store.faults.append(NotLeader("epoch 1 is over"))
    with pytest.raises(NotLeader):
        await performing.begin()
    assert not performing.told()


async def test_a_commit_that_hangs_counts_as_a_database_that_is_away(
    performing: Performing, monkeypatch: Any
) -> None:
    monkeypatch.setattr("coordinator.perform.STALLED_AFTER_S", 0.01)
    performing.store.gate.clear()
    work = performing.begin()
    await until(lambda: performing.store.tried)
    await until(lambda: not performing.performer.available)
    performing.store.gate.set()
    await work
    assert performing.performer.available


async def test_batches_are_numbered_without_gaps(performing: Performing) -> None:
    for _ in range(3):
        await performing.performer.perform([[ANSWER]])
        await performing.performer.perform([[rows.new_job()]])
    assert [batch.number for batch in performing.store.batches] == [1, 2, 3]
