"""4 · Effects to deeds: one transaction, then everything that may be told because of it.

`join` makes the batch that is written: one row per job, task, attempt and node, whatever number of
steps changed it. `Performer.perform` writes it, and only when the commit is known to stand sends the
answers, the commands to nodes, and the feed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from msgspec.structs import replace

from coordinator.core.effects import (
    AccountRow,
    AnswerCancel,
    AnswerChanged,
    AnswerGpu,
    AnswerNode,
    AttemptChange,
    AuditRow,
    Effect,
    EventRecord,
    ExperienceRecord,
    GaugeRecord,
    JobChange,
    LearnedState,
    LearningNotes,
    LogRecord,
    NewJob,
    NewTask,
    NodeLedger,
    NodeRow,
    Record,
    RemarkRecord,
    TaskChange,
    Tell,
    UsageRecord,
)
from coordinator.store.errors import OutcomeUnknown, StoreUnavailable
from coordinator.store.rows import Batch
from coordinator.versions import Versions

log = logging.getLogger(__name__)

STALLED_AFTER_S = 1.0
_RETRY_FIRST_S, _RETRY_MAX_S = 0.05, 1.0


class Store(Protocol):
    """What the performer needs of `coordinator.store.relational`."""

    async def commit(self, batch: Batch) -> None: ...

    async def committed(self, number: int) -> bool: ...


class Joiner:
    """Joins the effects of a batch of steps."""

    def __init__(self, number: int, *, epoch: int = 0) -> None:
        self._epoch = epoch
        self.batch = Batch(number=number)
        self.records: list[Record] = []
        self.tells: list[Tell] = []
        self._new: dict[UUID, NewTask] = {}
        self._changes: dict[UUID, tuple[TaskChange, int]] = {}
        self._jobs: dict[int, JobChange] = {}
        self._attempts: dict[object, AttemptChange] = {}
        self._nodes: dict[str, NodeRow] = {}
        self._ledgers: dict[str, NodeLedger] = {}
        self._notes: list[LearningNotes] = []
        self._accounts: dict[str, AccountRow] = {}

    def add(self, effects: Sequence[Effect]) -> None:
        """Take in the effects of one step, in order: what it answers is what it wrote into the audit."""
        reference = ""
        for effect in effects:
            match effect:
                case TaskChange():
                    self._add_change(effect)
                case AttemptChange():
                    self._add_attempt(effect)
                case NewTask():
                    self._new[effect.id] = effect
                case JobChange():
                    self._jobs[effect.number] = effect
                case NodeLedger():
                    self._ledgers[effect.name] = effect
                case NodeRow():
                    self._add_node(effect)
                case AccountRow():
                    self._accounts[effect.owner] = effect
                case AuditRow():
                    reference = self._add_audit(effect)
                case AnswerCancel() | AnswerChanged() | AnswerNode() | AnswerGpu():
                    self.tells.append(replace(effect, audit=reference))
                case NewJob():
                    self.batch.new_jobs.append(effect)
                case LearningNotes():
                    self._notes.append(effect)
                case LearnedState():
                    self.batch.states.append(effect)
                case (
                    UsageRecord()
                    | EventRecord()
                    | ExperienceRecord()
                    | GaugeRecord()
                    | LogRecord()
                    | RemarkRecord()
                ):
                    self.records.append(effect)
                case _:
                    self.tells.append(effect)

    def finish(self) -> Batch:
        """The batch; call once."""
        batch = self.batch
        batch.job_changes = list(self._jobs.values())
        batch.attempts = list(self._attempts.values())
        batch.nodes = list(self._nodes.values())
        batch.ledgers = list(self._ledgers.values())
        batch.notes = joined_notes(self._notes)
        batch.accounts = list(self._accounts.values())
        for identity, (change, steps) in self._changes.items():
            new = self._new.get(identity)
            if new is None:
                batch.task_changes.append(change)
                batch.steps.append(steps)
            else:
                batch.new_tasks.append((new, change))
        return batch

    def _add_audit(self, row: AuditRow) -> str:
        """Epoch, batch and place in it: a name that no other row has, nor will have."""
        reference = f"{self._epoch}-{self.batch.number}-{len(self.batch.audits) + 1}"
        self.batch.audits.append(replace(row, reference=reference))
        return reference

    def _add_change(self, change: TaskChange) -> None:
        before = self._changes.get(change.id)
        if before is None:
            self._changes[change.id] = (change, 1)
            return
        first, steps = before
        assert first.path[-1] == change.path[0], f"{change.task}: {first.path} then {change.path}"
        output = first.output if change.output is None else change.output
        asked_by = change.asked_by or first.asked_by
        path = first.path + change.path[1:]
        joined = replace(change, path=path, output=output, asked_by=asked_by)
        self._changes[change.id] = (joined, steps + 1)

    def _add_attempt(self, change: AttemptChange) -> None:
        before = self._attempts.get(change.attempt)
        if before is not None and before.new:
            change = replace(change, new=True, explanation=before.explanation)
        self._attempts[change.attempt] = change

    def _add_node(self, row: NodeRow) -> None:
        before = self._nodes.get(row.name)
        if before is not None and before.registered and not row.registered:
            row = replace(row, registered=True)
        self._nodes[row.name] = row
        if row.name in self._ledgers:
            self._ledgers[row.name] = NodeLedger(name=row.name, id=row.id, allocated=row.allocated)


def joined_notes(notes: Sequence[LearningNotes]) -> list[LearningNotes]:
    """Those of all steps as one row, if there are any: each has an array of at least one note."""
    if not notes:
        return []
    joined = b"[" + b",".join(each.notes[1:-1] for each in notes) + b"]"
    return [LearningNotes(at=notes[-1].at, last=notes[-1].last, notes=joined)]


class Performer:
    """Writes batches one after the other."""

    def __init__(
        self,
        store: Store,
        *,
        tell: Callable[[Batch, list[Tell]], None],
        record: Callable[[list[Record]], None],
        epoch: int = 0,
    ) -> None:
        self._epoch = epoch
        self._store = store
        self._tell = tell
        self._record = record
        self._number = 0
        self.versions = Versions(epoch=epoch)
        self._failing = False
        self._begun_s: float | None = None  # when the commit under way began
        self.commits = 0

    @property
    def available(self) -> bool:
        """False while the database is away, or has been silent for longer than a commit takes."""
        if self._failing:
            return False
        return self._begun_s is None or asyncio.get_running_loop().time() - self._begun_s < STALLED_AFTER_S

    async def perform(self, steps: Sequence[Sequence[Effect]]) -> None:
        """Write, then tell. Raises NotLeader when another coordinator leads."""
        joiner = Joiner(self._number + 1, epoch=self._epoch)
        for effects in steps:
            joiner.add(effects)
        batch = joiner.finish()
        if not batch.empty:
            self._number += 1
            self._begun_s = asyncio.get_running_loop().time()
            await self._commit(batch)
            self._begun_s = None
            self.commits += 1
            self.versions.changed(batch)
        self._tell(batch, joiner.tells)
        if joiner.records:
            self._record(joiner.records)

    async def _commit(self, batch: Batch) -> None:
        """Until the batch is known to be written: the same rows again, never another step."""
        wait_s = _RETRY_FIRST_S
        unknown = False
        while True:
            try:
                if not (unknown and await self._store.committed(batch.number)):
                    await self._store.commit(batch)
                self._failing = False
                return
            except OutcomeUnknown as error:
                unknown = True
                log.warning("batch %d: outcome unknown (%s)", batch.number, error)
            except StoreUnavailable as error:
                log.warning("batch %d: database away (%s)", batch.number, error)
            self._failing = True
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _RETRY_MAX_S)
