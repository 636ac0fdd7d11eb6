"""Stand-ins for what the coordinator asks of the database: they answer what a test puts there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from bus import api
from bus.builtin import BUILT_IN
from bus.messages import NeededOutput
from bus.registry import ToolAdd, ToolStats, TypeAdd
from bus.series import Measured, States
from bus.timeline import Timeline
from bus.training import RankUsage
from bus.values import JobState, Role, TaskRef, UserName
from coordinator.core.effects import LearnedState
from coordinator.core.events import JobOver, TaskSeen
from coordinator.core.job_ends import JobEnd
from coordinator.core.verify import Flaw
from coordinator.registry import built_in_row
from coordinator.store.archive import Archive, Before, Moved, Old
from coordinator.store.books import Books, OpenBooks
from coordinator.store.events import Events, Scope
from coordinator.store.learned import Kept, Learned, Ran
from coordinator.store.listing import Listing
from coordinator.store.lists import Lists
from coordinator.store.over import Over
from coordinator.store.reads import AmbiguousJob, AttemptPlace, DuplicateOf, Reads
from coordinator.store.rows import Activity, Batch, Snapshot, UserRow
from coordinator.store.series import SeriesStore, Wanted
from coordinator.store.timeline import Timelines, Window
from coordinator.store.tools import Runs, ToolRow, TypeRow, TypeUse
from tests.unit.coordinator.fake_members import Notices
from tests.unit.coordinator.mirror import Mirror

AMBIGUOUS = "abcdef01"
"""Begins the ids of several jobs."""
TASK_ID = UUID(int=0xABCDEF02 << 96)
"""The row of task 1.7."""

SEEN_S = 1_749_990_000.0
"""When the only one who is on record was seen."""

USERS = {
    "alice": UserRow(UUID(int=1), UserName("alice"), Role.USER, True),
    "bob": UserRow(UUID(int=2), UserName("bob"), Role.USER, True),
    "rita": UserRow(UUID(int=3), UserName("rita"), Role.READONLY, True),
    "olga": UserRow(UUID(int=4), UserName("olga"), Role.OPERATOR, True),
    "adam": UserRow(UUID(int=5), UserName("adam"), Role.ADMIN, True),
    "sam": UserRow(UUID(int=6), UserName("sam"), Role.USER, False),
}


class FakeStore:
    """Keeps the batches; `faults` are raised by the next commits, and a closed `gate` makes them hang."""

    def __init__(self, timeline: list[tuple[str, Any]]) -> None:
        self.timeline = timeline
        self.batches: list[Batch] = []
        self.tried: list[Batch] = []
        self.faults: deque[Exception] = deque()
        self.known: set[int] = set()
        self.asked: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, batch: Batch) -> None:
        self.tried.append(batch)
        self.timeline.append(("begin", batch.number))
        await self.gate.wait()
        if self.faults:
            raise self.faults.popleft()
        self.batches.append(batch)
        self.timeline.append(("committed", batch.number))

    async def committed(self, number: int) -> bool:
        self.asked.append(number)
        return number in self.known


class FakeReads(Reads):
    """Answers out of what the store was given, and what the test puts there."""

    def __init__(self, store: FakeStore) -> None:
        super().__init__("")
        self.store = store
        self.fault: Exception | None = None
        self.place: AttemptPlace | None = None
        self.outputs: list[NeededOutput] = []
        self.shown: dict[TaskRef, api.Task] = {}

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault

    async def user(self, name: UserName) -> UserRow | None:
        self._check()
        return USERS.get(name)

    async def users(self) -> list[UserRow]:
        self._check()
        return sorted(USERS.values(), key=lambda user: user.name)

    async def activity(self) -> dict[UserName, Activity]:
        self._check()
        return {UserName("alice"): Activity(seen_at=SEEN_S, failed=2)}

    async def duplicate(self, owner: UserName, key: str) -> DuplicateOf | None:
        self._check()
        for batch in self.store.batches:
            for job in batch.new_jobs:
                if (job.owner, job.dedupe_key) == (owner, key):
                    return DuplicateOf(job.number, job.id, job.digest, job.tasks)
        return None

    async def find_job(self, text: str, *, viewer: str | None) -> int | None:
        self._check()
        if text == AMBIGUOUS:
            raise AmbiguousJob(text, range(9, 3, -1))
        for batch in reversed(self.store.batches):
            for job in batch.new_jobs:
                if text in (str(job.number), "@last") and viewer in (None, job.owner):
                    return job.number
        return None

    async def ended(
        self, numbers: Sequence[int], *, viewer: str | None, one_by_one: Sequence[int] = ()
    ) -> dict[int, JobEnd | None]:
        self._check()
        mirror = Mirror()
        for batch in self.store.batches:
            mirror.write(batch)
        owners = {job.number: job.owner for job, _ in mirror.jobs.values()}
        over = mirror.ended()
        return {each: over.get(each) for each in numbers if each in owners and viewer in (None, owners[each])}

    async def task_by_id(self, identity: UUID, *, viewer: str | None) -> TaskRef | None:
        self._check()
        return TaskRef(1, 7) if identity == TASK_ID else None

    async def job(self, number: int, *, viewer: str | None) -> api.Job | None:
        self._check()
        for batch in self.store.batches:
            for job in batch.new_jobs:
                if job.number == number and viewer in (None, job.owner) and job.name != "hidden":
                    return api.Job(
                        number=number,
                        id=str(job.id),
                        name=job.name,
                        user=job.owner,
                        kind=job.kind,
                        priority=job.priority,
                        state=api.JobState.PENDING,
                        counts=api.TaskCounts(total=job.tasks),
                        submitted_at=job.submitted_at,
                    )
        return None

    async def task(self, ref: TaskRef, *, viewer: str | None) -> api.Task | None:
        self._check()
        return self.shown.get(ref)

    async def attempt_place(self, ref: TaskRef, *, fence: int, viewer: str | None) -> AttemptPlace | None:
        self._check()
        return self.place

    async def needed_outputs(
        self, job: int, groups: Any, *, after: int, page_bytes: int
    ) -> tuple[list[NeededOutput], bool]:
        self._check()
        return self.outputs, False


class FakeLists(Lists):
    """Pages of what the reads know; `listings` are the questions."""

    def __init__(self, reads: Any) -> None:
        super().__init__("")
        self.reads = reads
        self.listings: list[Listing] = []

    async def jobs(self, listing: Listing, *, viewer: str | None) -> api.Jobs:
        self.listings.append(listing)
        numbers = [job.number for batch in self.reads.store.batches for job in batch.new_jobs]
        found = [await self.reads.job(number, viewer=viewer) for number in numbers]
        return api.Jobs(jobs=[job for job in found if job is not None])

    async def tasks(self, job: int, listing: Listing) -> api.Tasks:
        self.listings.append(listing)
        return api.Tasks(tasks=[task for ref, task in self.reads.shown.items() if ref.job == job])


class FakeTimelines(Timelines):
    """What the test puts into `answer`; `asked` are the questions: for whom, and about what."""

    def __init__(self) -> None:
        super().__init__("")
        self.asked: list[tuple[str | None, Window]] = []
        self.answer = Timeline(since=0.0, until=0.0, attempts=[])
        self.fault: Exception | None = None

    async def read(self, window: Window, *, viewer: str | None) -> Timeline:
        self.asked.append((viewer, window))
        if self.fault is not None:
            raise self.fault
        return self.answer


class FakeSeries(SeriesStore):
    """Nothing was measured; `asked` are the questions. `fault` comes instead of an answer."""

    def __init__(self) -> None:
        super().__init__("")
        self.asked: list[Wanted] = []
        self.fault: Exception | None = None
        self.since: list[tuple[float, str | None]] = []
        self.ranks: dict[int, RankUsage] = {}
        self.of_ranks: list[tuple[UUID, int, float]] = []

    async def measured(self, wanted: Wanted) -> Measured:
        if self.fault is not None:
            raise self.fault
        self.asked.append(wanted)
        return Measured(times=[], step_s=wanted.step_s, resolution_s=0.0, series=[])

    async def task_ids(self, refs: Sequence[TaskRef]) -> dict[UUID, TaskRef]:
        return {UUID(int=ref.index + 1): ref for ref in refs}

    async def usage_of_ranks(self, task: UUID, fence: int, *, since_s: float) -> dict[int, RankUsage]:
        self.of_ranks.append((task, fence, since_s))
        return self.ranks

    async def states(self, since_s: float, *, viewer: str | None) -> States:
        self.since.append((since_s, viewer))
        return States(since=since_s, jobs={}, tasks={})


class FakeEvents(Notices, Events):
    """No events but those noticed; `asked` are the questions: for whom, and about what."""

    def __init__(self) -> None:
        Events.__init__(self, "")
        Notices.__init__(self)
        self.asked: list[tuple[str | None, Scope]] = []

    async def page(self, listing: Listing, scope: Scope, *, viewer: str | None) -> api.Events:
        self.asked.append((viewer, scope))
        return api.Events(events=[])


class FakeOver(Over):
    """Failed tasks, and jobs that are over, out of what the store was given."""

    def __init__(self, store: FakeStore) -> None:
        super().__init__("")
        self._store = store

    def _rows(self) -> Mirror:
        mirror = Mirror()
        for batch in self._store.batches:
            mirror.write(batch)
        return mirror

    async def failed(self, job: int, *, first: int, limit: int) -> tuple[TaskSeen, ...]:
        return tuple(row for row in self._rows().failed(job) if row.task.index >= first)[:limit]

    async def job(self, number: int) -> JobOver | None:
        rows = self._rows()
        known = any(job.number == number for job, _ in rows.jobs.values())
        return rows.over(number) if known else None


class FakeArchive(Archive):
    """`jobs` that are over: number -> how it ended, when, and its tasks. `moved` in order."""

    def __init__(self) -> None:
        super().__init__("")
        self.jobs: dict[int, tuple[JobState, float, int]] = {}
        self.moved: list[tuple[frozenset[int], str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.leading = True

    def _old(self, before: Before) -> dict[int, tuple[JobState, float, int]]:
        return {
            number: job
            for number, job in self.jobs.items()
            if job[1] < (getattr(before, job[0].value) or float("-inf"))
        }

    async def count(self, before: Before) -> list[Moved]:
        return [Moved(state, 1, tasks) for state, _, tasks in self._old(before).values()]

    async def oldest(self, before: Before, *, but: Collection[int], limit: int) -> list[Old]:
        old = sorted(self._old(before).items(), key=lambda item: item[1][1])
        return [Old(number, job[2]) for number, job in old if number not in but][:limit]

    async def move(self, numbers: Collection[int], before: Before, *, epoch: int, by: str) -> list[Moved]:
        await self.gate.wait()
        if not self.leading:
            return []
        self.moved.append((frozenset(numbers), by))
        return [Moved(state, 1, tasks) for state, _, tasks in (self.jobs.pop(each) for each in numbers)]


class FakeLearned(Learned):
    """Snapshots as they were committed, and a history as it is given."""

    def __init__(self, store: FakeStore, history: Sequence[Ran] = ()) -> None:
        super().__init__("")
        self._store = store
        self.runs = list(history)
        self.pruned = 0
        self.written: set[int] = set()

    async def states(self, limit: int) -> list[Kept]:
        states = list(enumerate(self._states(), start=1))[-limit:]
        return [
            Kept(
                number,
                state.at,
                state.reason,
                state.mode or "",
                state.policy,
                state.sequence,
                state.digest,
                state.epsilon,
                state.reward_avg,
                state.evidence,
            )
            for number, state in reversed(states)
        ]

    async def state(self, number: int) -> LearnedState | None:
        states = self._states()
        return states[number - 1] if 0 < number <= len(states) else None

    def _states(self) -> list[LearnedState]:
        return [state for batch in self._store.batches for state in batch.states]

    async def history(self, limit: int) -> list[Ran]:
        return self.runs[-limit:]

    async def missing(self, sequences: Sequence[int], *, since_s: float) -> set[int]:
        return set(sequences) - self.written

    async def prune(self, *, epoch: int) -> None:
        self.pruned += 1


class FakeBooks(Books, OpenBooks):
    """What the store was given; `found` are the flaws of each look, the last of them for ever."""

    def __init__(self, store: FakeStore) -> None:
        Books.__init__(self, "")
        self._store = store
        self.found: list[list[Flaw]] = [[]]
        self.looks = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[OpenBooks]:
        self._rows = Mirror()
        for batch in self._store.batches:
            self._rows.write(batch)
        yield self

    async def sizes(self) -> dict[str, int]:
        return {"jobs": len(self._rows.jobs)}

    async def snapshot(self) -> Snapshot:
        return self._rows.snapshot()

    async def flaws(self, *, epoch: int) -> list[Flaw]:
        self.looks += 1
        return list(self.found[min(self.looks, len(self.found)) - 1])


class FakeTools:
    """The registry's rows in memory, as `coordinator.store.tools.ToolStore` keeps them."""

    def __init__(self) -> None:
        self.rows: list[ToolRow] = [built_in_row(each.name) for each in BUILT_IN]
        self.kinds: list[TypeRow] = [
            TypeRow(
                name=name,
                description=name,
                agent_type="NodeAgent",
                standard=False,
                avg_complexity=None,
                avg_duration_s=None,
                required_input=(),
                input_schema=None,
            )
            for name in ("tool", "wordcount", "data_analysis")
        ]

    async def ensure(self, tools: Any) -> None:
        pass

    async def tools(self) -> list[ToolRow]:
        return list(self.rows)

    async def types(self) -> list[TypeRow]:
        return list(self.kinds)

    async def add(self, tool: ToolAdd, *, current: bool, by: str) -> None:
        if current:
            self.rows = [replace(row, current=row.current and row.name != tool.name) for row in self.rows]
        self.rows.append(
            ToolRow(
                name=tool.name,
                version=tool.version,
                current=current,
                description=tool.description,
                category=tool.category,
                enabled=True,
                runs=Runs(
                    command=tuple(tool.command),
                    type=tool.type,
                    capability=tool.capability or "",
                    file=tool.file.path if tool.file else "",
                    cpu=tool.cpu,
                    memory=tool.memory,
                    timeout=tool.timeout,
                ),
                sha256=tool.file.sha256 if tool.file else "",
                input_schema=tool.input_schema,
                output_schema=tool.output_schema,
                built_in=False,
                node=tool.node,
                tags=tuple(tool.tags),
                created_at=0.0,
                created_by=by,
                status_reason="",
                status_by="",
            )
        )

    async def tag(self, name: str, *, add: Any, remove: Any, by: str) -> None:
        self.rows = [
            replace(row, tags=tuple(sorted({*row.tags, *add} - set(remove)))) if row.name == name else row
            for row in self.rows
        ]

    async def steer(self, tool: ToolRow, *, enabled: bool, reason: str, by: str) -> None:
        self.rows = [
            replace(row, enabled=enabled, status_reason=reason, status_by=by)
            if row.reference == tool.reference
            else row
            for row in self.rows
        ]

    async def remove(self, tool: ToolRow, *, successor: str, by: str) -> None:
        self.rows = [
            replace(row, current=row.version == successor) if row.name == tool.name else row
            for row in self.rows
            if row.reference != tool.reference
        ]

    async def add_type(self, kind: TypeAdd, *, by: str) -> None:
        self.kinds.append(
            TypeRow(
                name=kind.name,
                description=kind.description,
                agent_type=kind.agent_type,
                standard=False,
                avg_complexity=None,
                avg_duration_s=None,
                required_input=tuple(kind.required_input),
                input_schema=kind.input_schema,
            )
        )

    async def use(self, tool: str, window_s: float) -> list[ToolStats]:
        return []

    async def type_use(self) -> dict[str, TypeUse]:
        return {}

    async def refresh_types(self) -> None:
        pass
