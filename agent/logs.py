"""Output of tasks: a piece on request, and what is new while somebody follows."""

from __future__ import annotations

import asyncio
import logging
import time

from agent.executor import Executor
from agent.guard import wire
from agent.guard.client import GuardError
from bus import subjects
from bus.codec import encode
from bus.errors import BusError
from bus.messages import FetchLog, Follow, LogChunk
from bus.transport import Bus
from bus.values import AttemptRef, Stream, TaskRef

_log = logging.getLogger(__name__)

_CHUNK = 64 * 1024
_FETCH_MAX = 768 * 1024
"""Bytes of output in one answer: with its envelope below the bus's limit of 1 MiB."""

_POLL_S = 0.1
_FOLLOW_MAX_S = 120.0
_NUMBER = {Stream.STDOUT: wire.STDOUT, Stream.STDERR: wire.STDERR}


class Logs:
    """`follow` starts one task for each pair of task and user; `stop` ends them all."""

    def __init__(self, bus: Bus, node: str, executor: Executor) -> None:
        self._bus = bus
        self._node = node
        self._executor = executor
        self._until: dict[tuple[TaskRef, int, str], float] = {}

    async def fetch(self, asked: FetchLog) -> LogChunk:
        """The answer to a request, an error in words included."""
        attempt = self._attempt(asked.task, asked.fence)
        if attempt is None:
            return _no_chunk(asked, f"task {asked.task} has not run on node {self._node}")
        try:
            return await self._read(
                attempt, asked.stream, max(0, asked.offset), max(0, min(asked.limit, _FETCH_MAX))
            )
        except GuardError as error:
            return _no_chunk(asked, str(error))

    def is_followed(self, asked: Follow) -> bool:
        """Prolong if this is followed already; else the caller must run `follow`."""
        key = (asked.task, asked.fence, asked.user)
        known = key in self._until
        self._until[key] = time.monotonic() + min(asked.seconds, _FOLLOW_MAX_S)
        return known

    async def follow(self, asked: Follow) -> None:
        """Publish what is written from now on, until nobody asks any more or the attempt has ended."""
        key = (asked.task, asked.fence, asked.user)
        subject = subjects.log(self._node, asked.user, asked.task)
        offsets: dict[Stream, int] = {}
        attempt = self._attempt(asked.task, asked.fence)
        try:
            if attempt is not None:
                offsets = {stream: await self._size(attempt, stream) for stream in Stream}
            while time.monotonic() < self._until[key]:
                attempt = attempt or self._attempt(asked.task, asked.fence)
                if attempt is not None and await self._publish_new(subject, attempt, offsets):
                    return
                await asyncio.sleep(_POLL_S)
        except (BusError, GuardError) as error:
            _log.info("following %s ends: %s", asked.task, error)
        finally:
            del self._until[key]

    async def _publish_new(self, subject: str, attempt: AttemptRef, offsets: dict[Stream, int]) -> bool:
        """True once the end of both streams was published."""
        ended = True
        for stream in Stream:
            while True:
                chunk = await self._read(attempt, stream, offsets.get(stream, 0), _CHUNK)
                is_last = chunk.offset + len(chunk.data) >= chunk.size
                chunk.ended = chunk.ended and is_last
                if chunk.data or chunk.ended:
                    await self._bus.publish(subject, encode(chunk))
                    offsets[stream] = chunk.offset + len(chunk.data)
                if is_last or not chunk.data:
                    ended = ended and chunk.ended
                    break
        return ended

    async def _read(self, attempt: AttemptRef, stream: Stream, offset: int, limit: int) -> LogChunk:
        data = await self._executor.read_log(attempt, stream=_NUMBER[stream], offset=offset, limit=limit)
        return LogChunk(
            task=attempt.task,
            fence=attempt.fence,
            stream=stream,
            offset=offset,
            data=data.data,
            size=data.size,
            # The guard knows nothing of what is still on its way to it.
            ended=data.ended and attempt not in self._executor.ledger.held,
            came=list(data.came),
        )

    async def _size(self, attempt: AttemptRef, stream: Stream) -> int:
        return (await self._read(attempt, stream, 0, 0)).size

    def _attempt(self, task: TaskRef, fence: int) -> AttemptRef | None:
        newest = self._executor.ledger.fences.get(task, 0)
        wanted = fence or newest
        return AttemptRef(task.job, task.index, wanted) if 0 < wanted <= newest else None


def _no_chunk(asked: FetchLog, error: str) -> LogChunk:
    return LogChunk(
        task=asked.task,
        fence=asked.fence,
        stream=asked.stream,
        offset=asked.offset,
        data=b"",
        size=0,
        error=error,
    )
