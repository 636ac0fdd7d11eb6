"""What goes out after a commit: answers to whoever asked, commands to nodes, and the feed.

Answers are plain publishes to the asker's inbox, in the codec it asked in. Commands are requests: the
node answers when it has them on disk, and the loop hears which it confirmed and which it did not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bus import api, messages, subjects
from bus.codec import Codec, answer, decode_from_agent_reply, encode
from bus.errors import BusError, DecodeError, Error
from bus.refusal import refusal
from bus.replication import CopyBlobs, HaveBlobs, LackedBlobs, ScrubBlobs
from bus.subjects import NodeVerb
from bus.transport import Bus
from bus.values import AttemptRef, NodeName, Stream, TaskRef
from bus.volume_wire import VolumesFound, VolumesWanted
from coordinator.answers import check_answer
from coordinator.bounds import OutOfBounds
from coordinator.core.effects import (
    AnswerBeat,
    JobChange,
    ReplyToken,
    SendAssign,
    SendCancel,
    SendPause,
    SendRetract,
    SendStart,
    TaskChange,
    Tell,
)
from coordinator.core.events import CommandConfirmed, CommandUnanswered, Event
from coordinator.core.ids import is_range_id
from coordinator.core.model import Limits
from coordinator.loop import Overloaded
from coordinator.replies import answer_of, build_assigns, command_of
from coordinator.shown import counts_shown
from coordinator.store.rows import Batch

log = logging.getLogger(__name__)

COMMAND_TIMEOUT_S = 2.0
RETRY_AFTER_S = 1.0


class Asker(Struct, frozen=True):
    """Where an answer goes, and in which codec; `request_id` names the request if it is refused."""

    subject: str
    codec: Codec
    request_id: str = ""


Waiter = asyncio.Future[Struct]
"""Somebody in this process who waits for an answer: published submissions have no asker on the bus."""


class Replies:
    """Askers that wait for an answer out of the loop, by the token that travels through the core."""

    def __init__(self) -> None:
        self._waiting: dict[ReplyToken, tuple[Asker | Waiter, float]] = {}
        self._last = 0

    def expect(self, asker: Asker | Waiter) -> ReplyToken:
        self._last += 1
        self._waiting[self._last] = asker, time.monotonic()
        return self._last

    def take(self, token: ReplyToken) -> Asker | Waiter | None:
        asker, _ = self._waiting.pop(token, (None, 0.0))
        return asker

    def take_overdue(self, waited_s: float) -> list[Asker]:
        """Those who asked a request longer ago than that: whatever answers them later finds nobody."""
        since_s = time.monotonic() - waited_s
        overdue = [
            (token, asker)
            for token, (asker, asked_s) in self._waiting.items()
            if asked_s < since_s and isinstance(asker, Asker) and asker.request_id
        ]
        for token, _ in overdue:
            del self._waiting[token]
        return [asker for _, asker in overdue]


class Teller:
    """Sends; never waits for a peer in the caller's time."""

    def __init__(
        self, bus: Bus, replies: Replies, *, limits: Limits, epoch: int, post: Callable[[Event], None]
    ) -> None:
        self._bus = bus
        self._replies = replies
        self._limits = limits
        self._epoch = epoch
        self._post = post
        self._tasks: set[asyncio.Task[None]] = set()
        self._order = asyncio.Lock()

    def tell(self, batch: Batch, tells: Sequence[Tell]) -> None:
        """Everything that the commit of `batch` allows to be said."""
        self._spawn(self._tell(batch, tells))

    def answer_beat(self, answer: AnswerBeat) -> None:
        """A heartbeat's answer that needs no commit."""
        self._spawn(self._try_answer(answer))

    async def _tell(self, batch: Batch, tells: Sequence[Tell]) -> None:
        async with self._order:  # batch after batch, also where a publish has to wait
            for tell in tells:
                await self._try_answer(tell)
            try:
                await self._feed(batch)
            except BusError as error:
                log.warning("feed lost: %s", error)

    async def _try_answer(self, tell: Tell) -> None:
        """Whoever misses an answer asks again: agents repeat reports, leases and assignments reconcile."""
        try:
            await self._answer_one(tell)
        except BusError as error:
            log.warning("%s lost: %s", type(tell).__name__, error)

    async def _answer_one(self, tell: Tell) -> None:
        match tell:
            case SendAssign():
                for assign in build_assigns(tell.placements, self._epoch, incarnation=tell.incarnation):
                    refs = tuple(item.attempt for item in assign.items)
                    self._spawn(self._command(tell.node, assign, refs))
            case SendCancel() | SendRetract() | SendPause() | SendStart():
                self._spawn(self._command(tell.node, command_of(tell, self._epoch)))
            case _:
                await self._answer(tell.reply, answer_of(tell, epoch=self._epoch, limits=self._limits))

    async def _answer(self, token: ReplyToken, message: Struct) -> None:
        asker = self._replies.take(token)
        match asker:
            case Asker():
                await send(self._bus, asker, message)
            case asyncio.Future() if not asker.done():
                asker.set_result(message)

    async def _feed(self, batch: Batch) -> None:
        """Tell every owner what the commit changed; arrays, and tasks that merely came to be, speak
        through their job: ten thousand new tasks are one line."""
        for job in batch.job_changes:
            await self._bus.publish(
                subjects.feed_job(job.owner, job.number), encode(_job_line(job), Codec.JSON)
            )
        for _, change in batch.new_tasks:
            if len(change.path) > 1 and not is_range_id(change.id):
                await self._feed_task(change)
        for change in batch.task_changes:
            if not is_range_id(change.id):
                await self._feed_task(change)
        for node in batch.nodes:
            line = api.NodeChanged(
                node=node.name, health=node.health, admin=node.admin, at=node.last_heartbeat_at
            )
            await self._bus.publish(subjects.feed_node(node.name), encode(line, Codec.JSON))

    async def _feed_task(self, change: TaskChange) -> None:
        line = api.TaskChanged(
            job=change.task.job,
            index=change.task.index,
            state=change.state,
            node=change.node,
            fence=change.fence,
            exit_code=change.exit_code,
            at=change.changed_at,
        )
        await self._bus.publish(subjects.feed_task(change.owner, change.task), encode(line, Codec.JSON))

    async def _command(
        self, node: NodeName, command: messages.ToAgent, attempts: tuple[AttemptRef, ...] = ()
    ) -> None:
        """Send one command; for assignments, let the loop know how it went."""
        problem, ports = await self._try_command(node, command)
        if problem is not None:
            log.warning("node %s: %s: %s", node, type(command).__name__, problem)
        if not attempts:
            return
        event: Event = CommandUnanswered(node=node, attempts=attempts)
        if problem is None:
            event = CommandConfirmed(node=node, attempts=attempts, ports=ports)
        try:
            self._post(event)
        except Overloaded as error:
            log.warning("node %s: %s; its heartbeats will tell", node, error)

    async def _try_command(
        self, node: NodeName, command: messages.ToAgent
    ) -> tuple[str | None, tuple[tuple[AttemptRef, int], ...]]:
        """Why it was not obeyed, if so; and the ports that its answer names."""
        try:
            reply = await self._ask(node, command)
        except (BusError, DecodeError) as error:
            return str(error), ()
        return (reply.error, reply.ports) if isinstance(reply, messages.CommandReply) else (None, ())

    async def _ask(self, node: NodeName, command: messages.ToAgent) -> messages.FromAgentReply:
        """What a node answers, where that can be. Raises BusError, DecodeError."""
        answer = await self._bus.request(
            subjects.node(node, NodeVerb.COMMAND), encode(command), timeout_s=COMMAND_TIMEOUT_S
        )
        reply = decode_from_agent_reply(answer.data, subject=answer.subject)
        try:
            check_answer(reply)
        except OutOfBounds as error:
            raise BusError(f"{node} answers what cannot be: {error}") from error
        return reply

    async def fetch_log(
        self, node: NodeName, task: TaskRef, *, fence: int, stream: Stream, offset: int, limit: int
    ) -> messages.LogChunk:
        """A piece of an attempt's output from the node that keeps it. Raises BusError, DecodeError."""
        command = messages.FetchLog(
            epoch=self._epoch, task=task, fence=fence, stream=stream, offset=offset, limit=limit
        )
        chunk = await self._ask(node, command)
        if isinstance(chunk, messages.LogChunk):
            return chunk
        raise BusError(chunk.error or "the node answered something else")

    async def drop_blobs(self, node: NodeName, hashes: Sequence[str]) -> str | None:
        """Have a node let go of content. Returns why it did not, None if it did."""
        command = messages.DropBlobs(epoch=self._epoch, hashes=tuple(hashes))
        return (await self._try_command(node, command))[0]

    async def copy_blobs(self, node: NodeName, blobs: Sequence[tuple[str, int]]) -> str | None:
        """Have a node fetch content (hash, bytes) and keep it. Returns why it will not, None if it will."""
        command = CopyBlobs(epoch=self._epoch, blobs=tuple(blobs))
        return (await self._try_command(node, command))[0]

    async def scrub_blobs(self, node: NodeName) -> str | None:
        """Have a node read its content again. Returns why it will not, None if it will."""
        return (await self._try_command(node, ScrubBlobs(epoch=self._epoch)))[0]

    async def lacked_blobs(self, node: NodeName, hashes: Sequence[str]) -> tuple[str, ...]:
        """What of it a node does not have. Raises BusError, DecodeError."""
        command = HaveBlobs(epoch=self._epoch, hashes=tuple(hashes))
        reply = await self._ask(node, command)
        if isinstance(reply, LackedBlobs):
            return reply.hashes
        raise BusError(reply.error or "the node answered something else")

    async def keep_volumes(self, node: NodeName, wanted: VolumesWanted) -> VolumesFound:
        """Have a node keep its volumes so; how they are now. Raises BusError, DecodeError."""
        found = await self._ask(node, replace(wanted, epoch=self._epoch))
        if isinstance(found, VolumesFound):
            return found
        raise BusError(found.error or "the node answered something else")

    async def inspect(self, node: NodeName) -> messages.Inspection:
        """What really runs on a node. Raises BusError, DecodeError."""
        command = messages.Inspect(epoch=self._epoch)
        found = await self._ask(node, command)
        if isinstance(found, messages.Inspection):
            return found
        raise BusError(found.error or "the node answered something else")

    async def open_stream(self, node: NodeName, command: messages.OpenStream) -> messages.StreamReply:
        """Have the node prepare its end of a stream. Raises BusError, DecodeError."""
        reply = await self._ask(node, replace(command, epoch=self._epoch))
        if isinstance(reply, messages.StreamReply):
            return reply
        raise BusError(reply.error or "the node answered something else")

    def follow(self, node: NodeName, task: TaskRef, *, fence: int, user: str, seconds: float) -> None:
        """Have the node publish new output for `user`."""
        command = messages.Follow(epoch=self._epoch, task=task, fence=fence, user=user, seconds=seconds)
        self._spawn(self._command(node, command))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for what is on its way."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=COMMAND_TIMEOUT_S)


def _job_line(job: JobChange) -> api.JobChanged:
    at = job.ended_at or job.started_at or 0.0
    return api.JobChanged(
        number=job.number,
        state=job.state,
        counts=counts_shown(job),
        exit_code=job.exit_code,
        at=at,
        held=bool(job.held_by),
    )


def away(why: str) -> Error:
    """Not now: the database or the cluster is not there."""
    return refusal(
        "E_UNAVAILABLE", f"not available now: {why}", hint="try again", retry_after_s=RETRY_AFTER_S
    )


async def send(bus: Bus, asker: Asker, message: Struct) -> None:
    """One answer, in the asker's codec. A refusal names its request, here and in the log."""
    if isinstance(message, Error) and asker.request_id:
        message = replace(message, request_id=asker.request_id)
        log.info("request %s refused: %s", asker.request_id, message.code)
    payload, headers = answer(message, asker.codec)
    await bus.publish(asker.subject, payload, headers=headers)
