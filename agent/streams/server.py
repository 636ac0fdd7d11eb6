"""Sessions of this node: opened by the coordinator's command, spoken by their kind's handler.

All streams of people to a node come over one subscription, those of other agents over another. Who speaks is
in the subject, which the server checked; a stream that was not opened for that user or node is answered with
a reset, and so is one of an agent before this one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bus import subjects
from bus.errors import BusError, Forbidden
from bus.messages import OpenStream, StreamReply
from bus.stream_frames import FrameError, Piece, Reset, decode_frame, encode_frame
from bus.stream_state import WINDOW_BYTES
from bus.streams import ByteStream, StreamBroken, session_of
from bus.subjects import Direction, PeerSubject, StreamSubject
from bus.transport import Bus, Message, Subscription
from bus.values import AttemptRef

log = logging.getLogger(__name__)

SESSIONS_MAX = 256
CHANNELS_MAX = 256
"""Of one session at a time."""

_GONE = "this node knows no such stream of yours"

_Subject = StreamSubject | PeerSubject


class Declined(Exception):
    """A session that this node will not have; `code`: of `bus.codes`."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class Session:
    """What a handler works with: the stream that was opened, and the channels that the client adds."""

    def __init__(self, asked: OpenStream, stream: ByteStream) -> None:
        self.name = asked.stream
        self.user = asked.user
        self.peer = asked.peer
        self.kind = asked.kind
        self.stream = stream
        self.channels: dict[str, ByteStream] = {}
        self._new: asyncio.Queue[ByteStream] = asyncio.Queue(CHANNELS_MAX)

    async def channel(self) -> ByteStream:
        """The next channel that the client began."""
        return await self._new.get()

    def is_of(self, subject: _Subject) -> bool:
        """Whether who speaks there is the one that it was opened for."""
        if isinstance(subject, PeerSubject):
            return self.peer == subject.asker
        return not self.peer and self.user == subject.user

    def add(self, name: str, channel: ByteStream) -> None:
        self.channels[name] = channel
        self._new.put_nowait(channel)

    def forget(self, name: str) -> None:
        self.channels.pop(name, None)


Serve = Callable[[Session], Awaitable[None]]
"""Speaks with the client until it returns; a StreamBroken that it lets through ends the session quietly."""

Accept = Callable[[OpenStream], Awaitable[Serve]]
"""Judges a session before its client is answered. Raises Declined."""


class Listening:
    """The subscriptions of a server."""

    def __init__(self, *subscriptions: Subscription) -> None:
        self._subscriptions = subscriptions

    async def unsubscribe(self) -> None:
        """Stop; messages already handed over are finished. Twice is fine."""
        for each in self._subscriptions:
            await each.unsubscribe()


class StreamServer:
    """`open` answers the coordinator; `run` listens. `kinds`: the handlers, by the name of their kind."""

    def __init__(self, bus: Bus, node: str, kinds: Mapping[str, Accept]) -> None:
        self._bus = bus
        self._node = node
        self._kinds = dict(kinds)
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> Listening:
        """Listen; unsubscribe what it answers, and `stop`, to end."""
        ours = f"{self._node}.*.{Direction.UP}"
        people = await self._bus.subscribe(f"corral.s.*.{ours}", self._on_frame)
        try:
            return Listening(people, await self._bus.subscribe(f"corral.peer.*.{ours}", self._on_frame))
        except Forbidden as error:
            log.warning("no streams with other nodes: this node's credentials are of before them (%s)", error)
            return Listening(people)

    async def stop(self) -> None:
        """Break off what is open: a client may ask for it anew."""
        ending = list(self._tasks)
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        for session in list(self._sessions.values()):
            for stream in (*session.channels.values(), session.stream):
                stream.reset("E_STREAM_GONE", "the agent stops")
                await stream.leave()

    async def open(self, asked: OpenStream) -> StreamReply:
        """The answer to the coordinator, a refusal included."""
        try:
            await self._open(asked)
        except Declined as refusal:
            return StreamReply(node=self._node, code=refusal.code, error=str(refusal))
        return StreamReply(node=self._node)

    async def _open(self, asked: OpenStream) -> None:
        accept = self._kinds.get(asked.kind)
        if accept is None:
            known = ", ".join(sorted(self._kinds))
            raise Declined(
                "E_ENUM", f"node {self._node} knows no sessions of kind {asked.kind!r} (but {known})"
            )
        if len(self._sessions) >= SESSIONS_MAX:
            raise Declined("E_TOO_MANY", f"node {self._node} has {SESSIONS_MAX} sessions already")
        if asked.stream in self._sessions:
            return  # asked twice: the answer was lost
        serve = await accept(asked)
        down = self._down_of(asked, asked.stream)
        session = Session(asked, self._end(down, lambda: self._forget(asked.stream)))
        self._sessions[asked.stream] = session
        task = asyncio.create_task(self._serve(session, serve), name=f"session {asked.stream}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        who = f"node {asked.peer}" if asked.peer else asked.user
        log.info("%s opened %s with %s", who, asked.stream, asked.attempt or self._node)

    def _down_of(self, asker: OpenStream | Session, stream: str) -> str:
        if asker.peer:
            return subjects.peer_stream(asker.peer, self._node, stream, direction=Direction.DOWN)
        return subjects.stream(asker.user, self._node, stream, direction=Direction.DOWN)

    def _end(self, down: str, on_gone: Callable[[], None]) -> ByteStream:
        return ByteStream(self._bus, down, window_bytes=WINDOW_BYTES, on_gone=on_gone)

    def _forget(self, stream: str) -> None:
        self._sessions.pop(stream, None)

    async def _serve(self, session: Session, serve: Serve) -> None:
        work = asyncio.ensure_future(serve(session))
        # who ends us twice, as the end of a loop does, never hears how it went: nothing to complain of
        work.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        broken = asyncio.ensure_future(session.stream.broken())
        try:
            await asyncio.wait({work, broken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            broken.cancel()
            work.cancel()  # nobody is there any more to speak with
            await asyncio.wait({work})
            failure = _failure_of(session, work)
            if failure is None:
                session.stream.end()
            else:
                session.stream.reset(failure.code, failure.message)
            for channel in list(session.channels.values()):
                channel.reset("E_STREAM_LEFT", "the session is over")

    async def _on_frame(self, message: Message) -> None:
        subject = subjects.parse(message.subject)
        assert isinstance(subject, _Subject), "we subscribe to nothing else"
        session = self._sessions.get(session_of(subject.stream))
        if session is None or not session.is_of(subject):
            await self._refuse(subject, message.data, Reset("E_STREAM_GONE", _GONE))
        elif subject.stream == session.name:
            session.stream.take(message.data)
        elif subject.stream in session.channels:
            session.channels[subject.stream].take(message.data)
        elif session.stream.is_over:
            await self._refuse(subject, message.data, Reset("E_STREAM_LEFT", "the session is over"))
        elif len(session.channels) >= CHANNELS_MAX:
            refusal = Reset("E_TOO_MANY", f"{CHANNELS_MAX} channels are open already")
            await self._refuse(subject, message.data, refusal)
        else:
            await self._add_channel(session, subject, message.data)

    async def _add_channel(self, session: Session, subject: _Subject, data: bytes) -> None:
        """A first frame makes a channel; a late one of a channel that is gone makes none."""
        name = subject.stream
        try:
            is_first = isinstance(frame := decode_frame(data), Piece) and frame.ack == 0
        except FrameError:
            is_first = False
        if not is_first:
            await self._refuse(subject, data, Reset("E_STREAM_GONE", _GONE))
            return
        channel = self._end(self._down_of(session, name), lambda: session.forget(name))
        session.add(name, channel)
        channel.take(data)

    async def _refuse(self, subject: _Subject, data: bytes, refusal: Reset) -> None:
        """Whoever hears a reset answers none: two ends that know nothing would say so for ever."""
        try:
            if isinstance(decode_frame(data), Reset):
                return
        except FrameError:
            return
        if isinstance(subject, PeerSubject):
            down = subjects.peer_stream(subject.asker, self._node, subject.stream, direction=Direction.DOWN)
        else:
            down = subjects.stream(subject.user, self._node, subject.stream, direction=Direction.DOWN)
        try:
            await self._bus.publish(down, encode_frame(refusal))
        except BusError as error:
            log.info("a refusal on %s was lost: %s", down, error)


def _failure_of(session: Session, work: asyncio.Future[None]) -> Reset | None:
    """How a session is broken off after its handler; None: it ended in order."""
    if work.cancelled():
        return Reset("E_STREAM_GONE", "the session was ended")
    error = work.exception()
    while isinstance(error, BaseExceptionGroup):
        # what is not about streams first: what they met follows from it
        error = (error.split(StreamBroken)[1] or error).exceptions[0]
    match error:
        case None:
            return None
        case StreamBroken() | Declined():
            return Reset(error.code, str(error)[:500])
        case _:
            log.error("session %s failed", session.name, exc_info=error)
            return Reset("E_INTERNAL", "the node's log has the details")


def attempt_of(asked: OpenStream) -> AttemptRef:
    """The attempt that a session is with. Raises Declined where its kind needs one and it names none."""
    if asked.attempt is None:
        raise Declined("E_REQUIRED", f"sessions of kind {asked.kind} are with a task")
    return asked.attempt


def param(asked: OpenStream, name: str, kind: type[Any]) -> Any:
    """A parameter that the kind needs. Raises Declined where it is missing or of another type."""
    value = asked.params.get(name)
    if type(value) is not kind:
        raise Declined("E_TYPE", f"{name} of a session of kind {asked.kind} is {kind.__name__}")
    return value
