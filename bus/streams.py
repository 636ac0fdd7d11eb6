"""Byte streams over the bus: `ByteStream` is one end to read and write, `joined` the end of a client.

A thin shell around `bus.stream_state`: one task a stream sends what is due, the handler of a subscription
brings what came. Writing waits while the other end reads too slowly; reading waits for bytes. A stream
outlives its connection: after a reconnect what was lost is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bus import subjects
from bus.errors import BusError, CorralError
from bus.stream_frames import FRAME_BYTES, FrameError, Reset, decode_frame, encode_frame
from bus.stream_state import WINDOW_BYTES, StreamState
from bus.subjects import Direction
from bus.transport import Bus, Message

LINGER_S = 10.0
"""So long an end that is over still tells the other that it has all: its last word may have been lost."""

_RECONNECT_POLL_S = 0.05


class StreamBroken(CorralError):
    """The stream was broken off, by either end or for want of it. `code`: of `bus.codes`."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message or code)


class ByteStream:
    """One end. Reads and writes raise StreamBroken once it is broken off.

    Frames go to the subject `peer`; `take` is to be called with each that comes. `on_gone`: this end is
    needed no more, not even to repeat its last word.
    """

    def __init__(
        self,
        bus: Bus,
        peer: str,
        *,
        window_bytes: int = WINDOW_BYTES,
        on_gone: Callable[[], None] | None = None,
    ) -> None:
        self._bus = bus
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        self._state = StreamState(self._loop.time(), window_bytes=window_bytes)
        self._waiters: list[asyncio.Future[None]] = []
        self._due = asyncio.Event()
        self._sending = asyncio.Lock()
        self._pump = asyncio.create_task(self._run(), name=f"stream {peer}")
        if on_gone is not None:
            self._pump.add_done_callback(lambda _: on_gone())

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come or go: both directions have ended, or it broke."""
        return self._state.over

    @property
    def written(self) -> int:
        """How many bytes were written so far."""
        return self._state.written

    @property
    def acknowledged(self) -> int:
        """How many bytes of what was written the other end has said to have, also once it broke."""
        return self._state.acknowledged

    @property
    def failure(self) -> Reset | None:
        """Why it was broken off; None: it was not."""
        return self._state.failure

    async def read(self, limit: int = FRAME_BYTES) -> bytes:
        """The next bytes, one at least, `limit` at most; b"" once the other end has ended its direction."""
        state = self._state
        while not state.waiting:
            self._raise_failure()
            if state.at_end:
                return b""
            await self._change()
        data = state.read(limit)
        if state.has_word:
            self._due.set()
        return data

    async def read_exactly(self, size: int) -> bytes:
        """So many bytes. Raises StreamBroken where the other end ends before."""
        parts = bytearray()
        while len(parts) < size:
            data = await self.read(size - len(parts))
            if not data:
                raise StreamBroken("E_STREAM", f"the stream ended {size - len(parts)} bytes too early")
            parts += data
        return bytes(parts)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand over all of `data`, waiting while the other end takes none."""
        rest = memoryview(data)
        while True:
            self._raise_failure()
            if self._state.ending:
                raise StreamBroken("E_STREAM", "written to after its end")
            rest = rest[self._state.write(rest) :]
            self._due.set()
            if not rest:
                return
            await self._change()

    def write_soon(self, data: bytes) -> bool:
        """Hand over `data` if there is room for all of it now; says whether there was."""
        if self._state.failure is not None or self._state.room < len(data):
            return False
        self._state.write(data)
        self._due.set()
        return True

    def end(self) -> None:
        """Nothing more will be written; the other direction goes on."""
        self._state.end()
        self._due.set()

    async def drain(self) -> None:
        """Until the other end has all that was written."""
        while not self._state.delivered:
            self._raise_failure()
            await self._change()

    async def finish(self) -> None:
        """End our direction, drop what still comes, and wait until the other end has ended its own."""
        self.end()
        while await self.read():
            pass
        await self.drain()

    async def broken(self) -> None:
        """Until it is broken off. One that ends in order never is."""
        while self._state.failure is None:
            await self._change()

    def reset(self, code: str, message: str = "") -> None:
        """Break it off: what has not arrived is dropped."""
        self._state.reset(code, message)
        self._wake()

    async def leave(self) -> None:
        """Be done with this end: say what is left to say, break off what is not over. Twice is fine."""
        self._state.reset("E_STREAM_LEFT", "the other end has left")
        await self._send()
        self._pump.cancel()
        self._wake()
        await asyncio.wait([self._pump])

    def take(self, data: bytes) -> None:
        """A frame from the other end. What is none breaks the stream off."""
        try:
            frame = decode_frame(data)
        except FrameError as error:
            self._state.reset("E_STREAM", str(error))
        else:
            self._state.receive(frame, self._loop.time())
        self._wake()

    def _raise_failure(self) -> None:
        failure = self._state.failure
        if failure is not None:
            raise StreamBroken(failure.code, failure.message)

    async def _change(self) -> None:
        """Until something may be different."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        self._due.set()
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _run(self) -> None:
        """Send what is due, until the stream is over and has been for a while."""
        state = self._state
        gone_s: float | None = None
        while True:
            self._due.clear()
            state.tick(self._loop.time())
            await self._send()
            self._wake_waiters()
            if state.over:
                gone_s = gone_s or self._loop.time() + LINGER_S
                if self._loop.time() >= gone_s:
                    return
            alarm_s = gone_s or state.deadline_s
            assert alarm_s is not None
            alarm = self._loop.call_at(alarm_s, self._due.set)
            await self._due.wait()
            alarm.cancel()

    async def _send(self) -> None:
        """Publish what is due; what a lost connection takes along is sent again when it is back."""
        async with self._sending:
            try:
                for frame in self._state.frames(self._loop.time()):
                    await self._bus.publish(self._peer, encode_frame(frame))
            except BusError:
                self._loop.call_later(_RECONNECT_POLL_S, self._resume)

    def _resume(self) -> None:
        if not self._bus.connected:
            if not self._pump.done():
                self._loop.call_later(_RECONNECT_POLL_S, self._resume)
            self._due.set()  # it gives up by itself
            return
        self._state.reconnected(self._loop.time())
        self._due.set()


@asynccontextmanager
async def joined(
    bus: Bus,
    node: str,
    stream: str,
    *,
    window_bytes: int = WINDOW_BYTES,
    as_node: bool = False,
    user: str = "",
) -> AsyncIterator[ByteStream]:
    """The client's end of a stream that the coordinator has opened on `node`; left at the end of the block.

    A channel of a stream is joined like it, under `channel(stream, number)`. `as_node`: the client is the
    agent of a node itself. `user`: for whom the coordinator reads, where it is the client. Raises BusError.
    """
    subject = subjects.peer_stream if as_node else subjects.stream
    up = subject(user or bus.identity, node, stream, direction=Direction.UP)
    down = subject(user or bus.identity, node, stream, direction=Direction.DOWN)
    early: list[bytes] = []
    end: ByteStream | None = None

    async def take(message: Message) -> None:
        if end is None:
            early.append(message.data)
        else:
            end.take(message.data)

    subscription = await bus.subscribe(down, take)
    try:
        end = ByteStream(bus, up, window_bytes=window_bytes)
        for data in early:
            end.take(data)
        try:
            yield end
        finally:
            await end.leave()
    finally:
        await subscription.unsubscribe()


def channel(stream: str, number: int) -> str:
    """The name of a further stream within the session of `stream`: both ends need ask nobody for it."""
    return f"{stream}-{number}"


def session_of(stream: str) -> str:
    """The stream that the coordinator opened, of a stream or one of its channels."""
    return stream.partition("-")[0]
