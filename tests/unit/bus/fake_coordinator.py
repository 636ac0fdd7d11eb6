"""A coordinator of a few lines on the in-process bus: enough for the client's own logic."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from bus import subjects
from bus.api import Following, Job, JobChanged, Log, Task, TaskChanged, TaskCounts
from bus.client import Client
from bus.codec import Codec, answer, codec_of, decode_request, encode
from bus.errors import Error
from bus.memory import MemoryHub
from bus.messages import LogChunk
from bus.requests import JobQuery, LogFollow, LogQuery, TaskQuery
from bus.transport import Message
from bus.values import JobKind, JobState, Resources, Stream, TaskRef, TaskState

TASK = TaskRef(7, 0)


class FakeCoordinator:
    """One job of one task; what it answers is what its fields say."""

    def __init__(self) -> None:
        self.hub = MemoryHub(lambda: 0.0)
        self.bus = self.hub.connect_coordinator()
        self.agent = self.hub.connect_agent("n1")
        self.client = Client(self.hub.connect_user("alice"))
        self.job_state = JobState.RUNNING
        self.task_state = TaskState.RUNNING
        self.fence = 1
        self.outputs: dict[int, bytes] = {1: b""}
        self.ended: set[int] = set()
        self.came: list[tuple[int, float]] = []
        self.asked: list[Struct] = []
        self.on_asked: Callable[[Struct], Struct | None] = lambda request: None
        """May answer in the place of the fake."""

    async def start(self) -> FakeCoordinator:
        await self.bus.subscribe(subjects.API_ALL, self._serve)
        return self

    async def stop(self) -> None:
        for bus in (self.client.bus, self.agent, self.bus):
            await bus.close()

    async def say_job(self) -> None:
        """The feed tells the job's state."""
        changed = JobChanged(number=7, state=self.job_state, counts=TaskCounts(total=1), at=0.0)
        await self.bus.publish(subjects.feed_job("alice", 7), encode(changed, Codec.JSON))

    async def say_task(self) -> None:
        changed = TaskChanged(job=7, index=0, state=self.task_state, node="n1", fence=self.fence, at=0.0)
        await self.bus.publish(subjects.feed_task("alice", TASK), encode(changed, Codec.JSON))

    async def say_live(
        self,
        offset: int,
        data: bytes,
        *,
        stream: Stream = Stream.STDOUT,
        fence: int | None = None,
        rank: int = 0,
    ) -> None:
        """The node publishes a piece of an attempt's output: the newest one's where no fence is given."""
        task = TASK.of_rank(rank)
        fence = fence or self.fence
        size = len(self.outputs[fence])
        chunk = LogChunk(
            task=task, fence=fence, stream=stream, offset=offset, data=data, size=size, came=self.came
        )
        await self.agent.publish(subjects.log("n1", "alice", task), encode(chunk))

    async def _serve(self, message: Message) -> None:
        sender = subjects.parse(message.subject)
        assert isinstance(sender, subjects.ApiSubject)
        assert subjects.is_own_inbox(message.subject, message.reply)
        request = decode_request(sender.operation, message.data)
        self.asked.append(request)
        result = self.on_asked(request) or self._answer(request)
        payload, headers = answer(result, codec_of(message.data))
        await self.bus.publish(message.reply, payload, headers=headers)

    def _answer(self, request: Struct) -> Struct:
        match request:
            case JobQuery():
                return Job(
                    number=7,
                    id="id",
                    name="",
                    user="alice",
                    kind=JobKind.BATCH,
                    priority=5,
                    state=self.job_state,
                    counts=TaskCounts(total=1),
                    submitted_at=0.0,
                )
            case TaskQuery():
                return Task(
                    id="7.0",
                    job=7,
                    index=0,
                    state=self.task_state,
                    fence=self.fence,
                    resources=Resources(),
                    submitted_at=0.0,
                )
            case LogFollow():
                return Following(subject="x", node="n1", attempt=self.fence, seconds=30)
            case LogQuery():
                fence = request.attempt or self.fence
                text = self.outputs[fence]
                piece = text[request.offset : request.offset + min(request.limit, 10)]
                return Log(
                    task="7.0",
                    attempt=fence,
                    node="n1",
                    stream=request.stream,
                    offset=request.offset,
                    data=piece,
                    size=len(text),
                    ended=fence in self.ended,
                    came=self.came,
                )
        return Error(code="E_NOT_FOUND", message="not here", status=404)
