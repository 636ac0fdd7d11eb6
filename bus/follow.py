"""Following a task's output without a gap: live pieces, and queries for what they leave out.

Live pieces may be lost or come twice; each says its offset. So the truth is the offset up to which all bytes
were given out: a piece that starts there is given out, an older one is trimmed, a later one means a gap,
which a query fills. It ends when a query says that the attempt ended there and the task itself is over.
Where the node of an attempt is away and the task began anew elsewhere, it goes on there: what the old node
kept and had not told is left out, and can be asked for by attempt once the node is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from bus import subjects
from bus.api import Log, Task
from bus.codec import decode_from_agent_reply
from bus.errors import ApiError, BusError, DecodeError
from bus.messages import LogChunk
from bus.patience import outlast
from bus.transport import Message, Subscription
from bus.values import Stream, TaskRef, TaskState

if TYPE_CHECKING:
    from bus.client import Client

RENEW_S = 10.0
"""A node publishes for 30 s after each request to."""

RECHECK_S = 1.0
"""How often to ask while nothing arrives."""

LIVE_QUEUE_MAX = 256

OVER = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.TIMEOUT, TaskState.CANCELLED})


class Place(Struct):
    """Where a reader stands: every byte before `offset` of that attempt was given out. 0: no attempt yet."""

    attempt: int = 0
    offset: int = 0


class Piece(Struct, frozen=True):
    """A piece of output. `came`: pairs (size, at): the first `size` bytes were there at `at`, where known."""

    attempt: int
    offset: int
    data: bytes
    came: Sequence[tuple[int, float]] = ()


class Follower:
    """One reader of one stream of one task; `place` moves with what it gives out."""

    def __init__(self, client: Client, task: str, stream: Stream, place: Place) -> None:
        self._client = client
        self._task = task
        self._stream = stream
        self._place = place
        self._renewed_at = -RENEW_S
        self._live: asyncio.Queue[LogChunk] = asyncio.Queue()
        self._stirred = asyncio.Event()

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """All bytes from the place on, in order, each once; of a later attempt from its first byte."""
        shown = await self._client.task(self._task)
        rank = self._task.partition(":")[2]  # of a gang: each has an output of its own
        task = TaskRef(shown.job, shown.index).of_rank(int(rank or 0))
        self._task = str(task)
        subscriptions = await self._subscribe(task)
        try:
            while True:
                log = await outlast(self._query)
                if log is None:
                    continue
                if log.data:
                    yield Piece(log.attempt, log.offset, log.data, log.came)
                    continue
                if log.ended and self._place.offset >= log.size and await self._is_over():
                    return
                if await self._renew():
                    continue  # what was written before the node began to publish is still to be asked for
                async for piece in self._until_unsure():
                    yield piece
        finally:
            for subscription in subscriptions:
                await subscription.unsubscribe()

    async def _subscribe(self, task: TaskRef) -> list[Subscription]:
        bus, user = self._client.bus, self._client.user

        async def on_live(message: Message) -> None:
            try:
                chunk = decode_from_agent_reply(message.data, subject=message.subject)
            except DecodeError:
                return
            if isinstance(chunk, LogChunk) and chunk.stream is self._stream:
                if self._live.qsize() < LIVE_QUEUE_MAX:
                    self._live.put_nowait(chunk)  # what is dropped here is a gap, and is asked for
                self._stirred.set()

        async def on_feed(message: Message) -> None:
            self._stirred.set()

        return [
            await bus.subscribe(subjects.logs_of(user, task), on_live),
            await bus.subscribe(subjects.feed_task(user, task.whole), on_feed),
        ]

    async def _renew(self) -> bool:
        """Whether the node was asked just now to publish, and does."""
        now = asyncio.get_running_loop().time()
        if now - self._renewed_at < RENEW_S:
            return False
        try:
            following = await self._client.following(self._task)
        except (ApiError, BusError):
            return False  # over, or nobody there now: the queries tell
        if following.attempt:
            self._renewed_at = now
        return following.attempt > 0

    async def _query(self) -> Log | None:
        """The next piece by query; moves the offset. None: its node is away, and a later attempt begun."""
        place = self._place
        try:
            log = await self._client.logs(
                self._task, stream=self._stream, attempt=place.attempt, offset=place.offset
            )
        except ApiError as error:
            if error.error.code != "E_UNAVAILABLE" or not self._turn_to(await self._client.task(self._task)):
                raise
            return None
        place.attempt = place.attempt or log.attempt
        place.offset = log.offset + len(log.data)
        return log

    async def _is_over(self) -> bool:
        """Whether no byte can come any more; else turns to the newest attempt."""
        shown = await outlast(lambda: self._client.task(self._task))
        return not self._turn_to(shown) and shown.state in OVER

    def _turn_to(self, shown: Task) -> bool:
        """Whether there is a later attempt than the one that is read: it is read from now on."""
        is_later = 0 < self._place.attempt < shown.fence
        if is_later:
            self._place.attempt, self._place.offset, self._renewed_at = 0, 0, -RENEW_S
        return is_later

    async def _until_unsure(self) -> AsyncGenerator[Piece, None]:
        """Live pieces as long as they fit; returns where a query is due."""
        while True:
            await self._next_stir()
            if self._live.empty():
                return
            while not self._live.empty():
                chunk = self._live.get_nowait()
                if chunk.fence != self._place.attempt or chunk.offset > self._place.offset or chunk.ended:
                    return
                fresh = chunk.data[self._place.offset - chunk.offset :]
                if fresh:
                    begin, self._place.offset = self._place.offset, self._place.offset + len(fresh)
                    yield Piece(chunk.fence, begin, fresh, chunk.came)
            if asyncio.get_running_loop().time() - self._renewed_at >= RENEW_S:
                return

    async def _next_stir(self) -> None:
        if self._live.empty():
            try:
                async with asyncio.timeout(RECHECK_S):
                    await self._stirred.wait()
            except TimeoutError:
                return
        self._stirred.clear()
