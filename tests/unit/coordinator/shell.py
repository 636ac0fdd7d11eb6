"""The coordinator's shell in one process: the real parts over the memory bus, a store that obeys the test.

`Shell.timeline` keeps, in order, when a commit began and ended and what was published in between.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec

from bus import api, messages, subjects
from bus.codec import Codec, decode_to_agent, decode_to_agent_reply, encode
from bus.memory import MemoryBus, MemoryHub
from bus.messages import CommandReply, NeededOutput
from bus.permissions import Permissions
from bus.subjects import NodeVerb, Peer, inbox_prefix
from bus.transport import Message
from bus.values import AttemptRef, Inventory, JobState, Resources, Role, TaskEvent, TaskRef, UserName
from coordinator.agents import Agents
from coordinator.api.access import Access
from coordinator.api.jobs import Jobs
from coordinator.api.lists import Listings
from coordinator.api.logs import Logs
from coordinator.api.nodes import Nodes
from coordinator.api.retention import Retention
from coordinator.api.service import Api
from coordinator.api.steer import Steer
from coordinator.api.tokens import Tokens
from coordinator.api.verify import Verifier
from coordinator.api.why import Reasons
from coordinator.clock import Clock
from coordinator.config import Keep
from coordinator.core.events import JobOver, TaskSeen
from coordinator.core.model import Cluster
from coordinator.core.rebuild import restore_attempt, restore_job, restore_loss, restore_node
from coordinator.core.verify import Flaw
from coordinator.loop import Loop
from coordinator.notices import Notices
from coordinator.perform import Performer
from coordinator.store.archive import Archive, Before, Moved, Old
from coordinator.store.audit import Refused
from coordinator.store.books import Books, OpenBooks
from coordinator.store.events import Events, Scope
from coordinator.store.listing import Listing
from coordinator.store.lists import Lists
from coordinator.store.over import Over
from coordinator.store.reads import AmbiguousJob, AttemptPlace, DuplicateOf, Reads
from coordinator.store.rows import Batch, Snapshot, UserRow
from coordinator.store.tokens import Tokens as TokenStore
from coordinator.tell import Replies, Teller
from tests.unit.coordinator.conftest import Mirror

WAIT_S = 5.0
AMBIGUOUS = "abcdef01"
"""Begins the ids of several jobs."""
TASK_ID = UUID(int=0xABCDEF02 << 96)
"""The row of task 1.7."""
ANYWHERE = Permissions(publish=(">",), subscribe=(">",))

USERS = {
    "alice": UserRow(UUID(int=1), UserName("alice"), Role.USER, True),
    "bob": UserRow(UUID(int=2), UserName("bob"), Role.USER, True),
    "rita": UserRow(UUID(int=3), UserName("rita"), Role.READONLY, True),
    "olga": UserRow(UUID(int=4), UserName("olga"), Role.OPERATOR, True),
    "adam": UserRow(UUID(int=5), UserName("adam"), Role.ADMIN, True),
    "sam": UserRow(UUID(int=6), UserName("sam"), Role.USER, False),
}

INVENTORY = Inventory(
    hostname="host",
    ip="127.0.0.1",
    architecture="x86_64",
    os_version="Linux",
    kernel_version="6",
    cpu_model="cpu",
    cpu_cores=2,
)


async def until(condition: Callable[[], object]) -> None:
    """Give way until `condition` holds."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.001)


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

    async def ended(self, numbers: Sequence[int], *, viewer: str | None) -> dict[int, bool | None]:
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


class FakeEvents(Events):
    """No events; `asked` are the questions: for whom, and about what."""

    def __init__(self) -> None:
        super().__init__("")
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


def rebuild(snapshot: Snapshot) -> Cluster:
    """A new leader's memory."""
    cluster = Cluster()
    for node in snapshot.nodes:
        restore_node(cluster, node, now_s=0.0)
    for live in sorted(snapshot.jobs, key=lambda live: live.job.number):
        rows = [task for task in snapshot.tasks if task.task.job == live.job.number]
        restore_job(cluster, live.job, live.change, rows, ended=snapshot.ended)
    for attempt in snapshot.attempts:
        restore_attempt(cluster, attempt)
    for loss in snapshot.losses:
        restore_loss(cluster, loss)
    return cluster


class RecordingBus:
    """A bus that writes into the timeline what goes out through it."""

    def __init__(self, inner: MemoryBus, timeline: list[tuple[str, Any]]) -> None:
        self._inner = inner
        self._timeline = timeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self._timeline.append(("publish", subject))
        await self._inner.publish(subject, data, reply=reply, headers=headers)

    async def request(
        self, subject: str, data: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Message:
        self._timeline.append(("request", subject))
        return await self._inner.request(subject, data, timeout_s=timeout_s, headers=headers)


class FakeAgent:
    """A node: says what the test wants, keeps the commands it gets, answers them with `answer`."""

    def __init__(self, hub: MemoryHub, name: str) -> None:
        self.name = name
        self.bus = hub.connect_agent(name)
        self.commands: list[messages.ToAgent] = []
        self.answer: Callable[[messages.ToAgent], messages.FromAgentReply | bytes] = self._confirm

    def _confirm(self, command: messages.ToAgent) -> messages.FromAgentReply:
        return CommandReply(node=self.name)

    async def listen(self) -> None:
        await self.bus.subscribe(subjects.node(self.name, NodeVerb.COMMAND), self._on_command)

    async def _on_command(self, message: Message) -> None:
        command = decode_to_agent(message.data)
        self.commands.append(command)
        answer = self.answer(command)
        data = answer if isinstance(answer, bytes) else encode(answer)
        await self.bus.publish(message.reply, data)

    async def ask(self, message: messages.FromAgent, *, timeout_s: float = WAIT_S) -> messages.ToAgentReply:
        verb = {
            messages.Register: NodeVerb.REGISTER,
            messages.Heartbeat: NodeVerb.HEARTBEAT,
            messages.Report: NodeVerb.REPORT,
            messages.UsageReport: NodeVerb.USAGE,
            messages.InputsRequest: NodeVerb.INPUTS,
        }[type(message)]
        subject = subjects.node(self.name, verb)
        answer = await self.bus.request(subject, encode(message), timeout_s=timeout_s)
        return decode_to_agent_reply(answer.data)

    def registration(self, **changes: Any) -> messages.Register:
        fields = {
            "node": self.name,
            "incarnation": "first",
            "boot_id": "boot",
            "version": "1",
            "capacity": Resources(2000, 4096),
            "inventory": INVENTORY,
        }
        return messages.Register(**(fields | changes))

    async def register(self, **changes: Any) -> messages.ToAgentReply:
        return await self.ask(self.registration(**changes))

    async def beat(self, *live: AttemptRef, sequence: int = 1) -> messages.ToAgentReply:
        return await self.ask(
            messages.Heartbeat(
                node=self.name, incarnation="first", sequence=sequence, load=0.5, live=tuple(live)
            )
        )

    async def report(self, *events: TaskEvent, sequence: int = 1) -> messages.ToAgentReply:
        return await self.ask(messages.Report(node=self.name, sequence=sequence, events=events))

    def assigned(self) -> list[AttemptRef]:
        return [
            item.attempt
            for command in self.commands
            if isinstance(command, messages.Assign)
            for item in command.items
        ]


class Shell:
    """All parts of a leading coordinator but its process, and its database unless one is given."""

    def __init__(
        self,
        *,
        cluster: Cluster | None = None,
        clock: Clock | None = None,
        store: Any = None,
        reads: Any = None,
        lists: Any = None,
        events: Any = None,
        over: Any = None,
        books: Any = None,
        archive: Any = None,
        tokens: Any = None,
        record: Callable[[list[Any]], None] | None = None,
        next_number: int = 1,
        version: str = "",
    ) -> None:
        self.timeline: list[tuple[str, Any]] = []
        self.records: list[Any] = []
        self.hub = MemoryHub(clock=lambda: 0.0)
        self.wire = self.hub.connect_coordinator()
        self.bus: Any = RecordingBus(self.wire, self.timeline)
        self.clock = clock or Clock()
        self.cluster = cluster or Cluster()
        self.store = store or FakeStore(self.timeline)
        self.reads = reads or FakeReads(self.store)
        self.replies = Replies()
        self.teller = Teller(
            self.bus, self.replies, limits=self.cluster.limits, epoch=7, post=lambda e: self.loop.post(e)
        )
        self.performer = Performer(self.store, tell=self.teller.tell, record=record or self.records.extend)
        self.loop = Loop(self.cluster, self.performer, self.clock, answer_beat=self.teller.answer_beat)
        self.jobs = Jobs(
            self.loop, self.performer, self.reads, self.replies, self.clock, next_number=next_number
        )
        self.nodes = Nodes(
            self.loop, self.clock, epoch=7, version="test", timeseries="none", unreadable=lambda: 0
        )
        self.logs = Logs(self.loop, self.jobs.finder, self.reads, self.teller)
        self.lists = lists or FakeLists(self.reads)
        self.events = events or FakeEvents()
        self.listings = Listings(
            self.loop, self.jobs.finder, self.clock, lists=self.lists, events=self.events
        )
        self.refused: list[Refused] = []
        self.notices = Notices(self.records.extend, self.clock, self.cluster.nodes)
        self.agents = Agents(
            self.bus, self.loop, self.replies, self.reads, self.clock, self.notices, version=version
        )
        self.over = over or FakeOver(self.store)
        self.books = books or FakeBooks(self.store)
        self.retention = Retention(archive or FakeArchive(), self.clock, Keep(), epoch=7)
        self.tokens = Tokens(tokens or TokenStore(""), None, cluster="test", version="1.2.3")
        self.api = Api(
            self.bus,
            Access(self.reads),
            jobs=self.jobs,
            nodes=self.nodes,
            logs=self.logs,
            listings=self.listings,
            steer=Steer(self.loop, self.jobs, self.over, self.replies, staying=self.retention.staying),
            retention=self.retention,
            reasons=Reasons(self.loop, self.jobs.finder, self.reads, self.clock),
            tokens=self.tokens,
            verifier=Verifier(self.loop, self.books, self.teller, self.clock, epoch=7, rebuild=rebuild),
            refused=self.refused.append,
            version="1.2.3",
        )
        self.running: asyncio.Task[None] | None = None

    async def agent(self, name: str = "n1", **registration: Any) -> FakeAgent:
        """A registered node."""
        agent = FakeAgent(self.hub, name)
        await agent.listen()
        await agent.register(**registration)
        return agent

    def client(self, user: str) -> MemoryBus:
        """A connection for `user` that may publish anything: what the server would forbid, we must too."""
        return self.hub.connect(user, ANYWHERE, inbox_prefix(Peer.USER, user))

    async def raw(self, user: str, operation: str, data: bytes, *, timeout_s: float = WAIT_S) -> Message:
        return await self.client(user).request(f"corral.u.{user}.{operation}", data, timeout_s=timeout_s)

    async def ask(self, user: str, operation: str, *, codec: Codec = Codec.JSON, **fields: Any) -> Any:
        """The answer as plain values, an error's included."""
        answer = await self.raw(user, operation, encode(fields, codec))
        decode = msgspec.json.decode if codec is Codec.JSON else msgspec.msgpack.decode
        return decode(answer.data)

    async def submit(self, user: str = "alice", **fields: Any) -> int:
        answer = await self.ask(user, "job.submit", **({"command": ["true"]} | fields))
        number: int = answer["number"]
        return number

    def published(self, subject: str) -> int:
        """Where in the timeline `subject` went out first."""
        return next(
            place
            for place, (what, which) in enumerate(self.timeline)
            if what in ("publish", "request") and which == subject
        )


@asynccontextmanager
async def running_shell(*, version: str = "") -> AsyncIterator[Shell]:
    """A shell that serves, over a store that obeys the test."""
    shell = Shell(version=version)
    async with serving(shell):
        try:
            yield shell
        finally:
            shell.store.gate.set()


@asynccontextmanager
async def serving(shell: Shell) -> AsyncIterator[None]:
    """From its first answer to its last."""
    shell.running = asyncio.create_task(shell.loop.run(), name="loop")
    await shell.agents.start()
    await shell.api.start()
    try:
        yield
    finally:
        await shell.api.stop()
        await shell.agents.stop()
        shell.running.cancel()
        await asyncio.wait([shell.running])
        await shell.teller.close()
        await shell.wire.close()


async def collect(bus: MemoryBus, pattern: str) -> list[Message]:
    """All that arrives on `pattern` from now on."""
    seen: list[Message] = []

    async def keep(message: Message) -> None:
        seen.append(message)

    await bus.subscribe(pattern, keep)
    return seen
