"""The agent's end of the guard's socket: finds the guard or starts one, and notices when it dies."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgpack
import msgspec
from msgspec import Struct

import agent
from agent.guard import wire
from bus.values import AttemptRef, Resources

_log = logging.getLogger(__name__)

_START_TIMEOUT_S = 15.0
_RETRY_S = 0.02
_RECEIVE_SIZE = 256 * 1024
_CREDENTIALS = struct.Struct("3i")


class GuardError(Exception):
    """There is no guard and none can be started; the message names its log."""


class StartRecord(Struct, array_like=True, frozen=True):
    """`agent.guard.wire.Start`; a guard of version 0 says no ticks."""

    attempt: AttemptRef
    pid: int
    started_at: float
    ticks: int = 0


class FoundRecord(Struct, array_like=True, frozen=True):
    """`agent.guard.wire.Found`."""

    attempt: AttemptRef
    pid: int
    processes: int
    paused: bool


class ExitRecord(Struct, array_like=True, frozen=True):
    """`agent.guard.wire.Exit`; its outcome is one of `Outcome`, or RETURNED for what never started."""

    attempt: AttemptRef
    outcome: str
    ended_at: float
    started_at: float | None
    exit_code: int | None
    signal: int | None
    message: str
    output: bytes | None
    stderr_tail: bytes
    stdout_size: int
    stderr_size: int
    cpu_s: float
    max_rss_mib: float


class Inventory(Struct, array_like=True, frozen=True, tag=wire.INVENTORY):
    """All that a guard holds: said once after every connect."""

    running: tuple[StartRecord, ...]
    queued: tuple[AttemptRef, ...]
    exits: tuple[ExitRecord, ...]
    paused: tuple[AttemptRef, ...] = ()
    version: int = 0


class Events(Struct, array_like=True, frozen=True, tag=wire.EVENTS):
    """What happened since the last frame; starts are older than exits."""

    starts: tuple[StartRecord, ...]
    exits: tuple[ExitRecord, ...]


class Data(Struct, array_like=True, frozen=True, tag=wire.DATA):
    """The answer to a read. `came`: marks of `agent.guard.arrivals`; a guard of an older version has none."""

    number: int
    offset: int
    data: bytes
    size: int
    ended: bool
    came: tuple[tuple[int, float], ...] = ()


class Found(Struct, array_like=True, frozen=True, tag=wire.FOUND):
    """The answer to an inspection."""

    number: int
    running: tuple[FoundRecord, ...]
    queued: tuple[AttemptRef, ...]
    strays: tuple[int, ...]


class Typed(Struct, array_like=True, frozen=True, tag=wire.TYPED):
    """How much of what was typed a terminal took; -1: there is no such terminal."""

    number: int
    taken: int


Frame = Inventory | Events | Data | Found | Typed

_DECODER: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def to_amounts(amounts: Resources) -> wire.Amounts:
    """Without the share of a GPU, of which guards are told apart."""
    return (
        amounts.cpu_millis,
        amounts.mem_mib,
        amounts.gpus,
        amounts.storage_mib,
        amounts.net_mbps,
    )


class GuardLink:
    """`run` keeps a connection; `on_frame` gets an Inventory first and then Events.

    `pid` and `version` are of the guard that is connected, 0 without one.
    """

    def __init__(
        self,
        folder: Path,
        tasks: Path,
        *,
        node: str,
        capacity: Resources,
        gpus: tuple[str, ...],
        on_frame: Callable[[Inventory | Events], None],
    ) -> None:
        self._folder = folder
        self._tasks = tasks
        self._node = node
        self._gpus = gpus
        self._hello = wire.pack(wire.HELLO, to_amounts(capacity), gpus)
        self._on_frame = on_frame
        self._writer: asyncio.StreamWriter | None = None
        self._guard_pid = 0
        self._asked: dict[int, asyncio.Future[Data | Found | Typed]] = {}
        self._asked_count = 0
        self.pid = 0
        self.version = 0
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Connect, listen, and again whenever the guard is gone. Raises GuardError if none will start."""
        while True:
            reader, self._writer = await self._connect()
            self.pid = _peer_of(self._writer)
            self._writer.write(self._hello)
            try:
                await self._listen(reader)
            except OSError as error:
                _log.error("the guard's connection broke: %s", error)
            except asyncio.CancelledError:
                self.send(wire.pack(wire.LEAVE))  # it exits once nothing runs, unless an agent comes first
                raise
            finally:
                was_connected = self.connected.is_set()
                self.connected.clear()
                self._writer.close()
                self._writer = None
                self.pid = self.version = 0
                for answer in self._asked.values():
                    answer.cancel()
                self._asked.clear()
            if was_connected:
                _log.error("the guard is gone; its tasks are lost. Starting another")

    def send(self, *frames: bytes) -> None:
        """Hand over; without a guard this is dropped, and the next inventory tells the truth."""
        if self._writer is not None:
            self._writer.write(b"".join(frames))

    async def read_log(self, attempt: AttemptRef, *, stream: int, offset: int, limit: int) -> Data:
        """A piece of an attempt's output. Raises GuardError without a guard."""
        answer = await self._ask(wire.READ, attempt, stream, offset, limit)
        assert isinstance(answer, Data)
        return answer

    async def await_output(self, attempt: AttemptRef, *, offset: int, limit: int) -> Data:
        """A piece of what a terminal shows, once there is any after `offset` or there will be no more.

        Raises GuardError without a guard.
        """
        answer = await self._ask(wire.AWAIT, attempt, offset, limit)
        assert isinstance(answer, Data)
        return answer

    async def type(self, attempt: AttemptRef, data: bytes) -> int:
        """As if typed at a terminal; returns how many bytes it took now, -1 where there is none.

        Raises GuardError without a guard.
        """
        answer = await self._ask(wire.TYPE, attempt, data)
        assert isinstance(answer, Typed)
        return answer.taken

    def resize(self, attempt: AttemptRef, *, rows: int, columns: int) -> None:
        """Give a terminal another size."""
        self.send(wire.pack(wire.RESIZE, attempt, rows, columns))

    def fit(self, capacity: Resources) -> bool:
        """Give out so much from now on. False where the guard cannot: what it has stays."""
        if self.version < wire.FITS_ANEW:
            return False
        self._hello = wire.pack(wire.HELLO, to_amounts(capacity), self._gpus)
        self.send(wire.pack(wire.FIT, to_amounts(capacity), self._gpus))
        return True

    async def inspect(self) -> Found:
        """What the process table shows. Raises GuardError without a guard, or with one that cannot look."""
        if self.connected.is_set() and self.version < 1:
            raise GuardError("the node's guard is of an older version and cannot look")
        answer = await self._ask(wire.INSPECT)
        assert isinstance(answer, Found)
        return answer

    async def _ask(self, kind: str, *parts: object) -> Data | Found | Typed:
        if self._writer is None:
            raise GuardError("the guard is being started")
        self._asked_count += 1
        number = self._asked_count
        answer: asyncio.Future[Data | Found | Typed] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self.send(wire.pack(kind, number, *parts))
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.cancelled() and self._writer is None:
                raise GuardError("the guard died") from None
            raise
        finally:
            self._asked.pop(number, None)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        buffer = bytearray()
        while data := await reader.read(_RECEIVE_SIZE):
            buffer += data
            for frame in frames(buffer):
                match frame:
                    case Data(number=number) | Found(number=number) | Typed(number=number):
                        answer = self._asked.pop(number, None)
                        if answer is not None and not answer.done():
                            answer.set_result(frame)
                    case Inventory() if _makes_room(frame):
                        _log.info("an idle guard of an older version makes room for a new one")
                        self.send(wire.pack(wire.LEAVE))
                    case Inventory():
                        self.version = frame.version
                        self._on_frame(frame)
                        self.connected.set()
                    case Events():
                        self._on_frame(frame)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await self._open()
        except OSError:
            self._start()
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while True:
                    try:
                        return await self._open()
                    except OSError:
                        await asyncio.sleep(_RETRY_S)
        except TimeoutError:
            raise GuardError(f"no guard after {_START_TIMEOUT_S:g} s; see {self._log_path}") from None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        directory = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
        try:
            # By way of the descriptor, because a socket's path may have 107 bytes only.
            path = f"/proc/self/fd/{directory}/guard.sock"
            return await asyncio.open_unix_connection(path, limit=_RECEIVE_SIZE)
        finally:
            os.close(directory)

    @property
    def _log_path(self) -> Path:
        return self._folder / "guard.log"

    def _start(self) -> None:
        """A process of its own session, with nothing of ours but the two folders that it imports from.

        Without `site` it is 2 MiB smaller, and nothing of the account's own Python set-up reaches it.
        """
        if self._guard_pid:
            with suppress(ChildProcessError):
                os.waitpid(self._guard_pid, os.WNOHANG)  # take the dead one
        sources = (Path(agent.__file__).parents[1], Path(msgpack.__file__).parents[1])
        argv = [sys.executable, "-S", "-P", "-m", "agent.guard"]
        log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._guard_pid = os.posix_spawn(
            sys.executable,
            [*argv, str(self._folder), str(self._tasks), self._node, str(os.geteuid())],
            {"PYTHONPATH": os.pathsep.join(map(str, sources))},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._log_path), log_flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )


def _makes_room(inventory: Inventory) -> bool:
    """Whether this guard is of an older version and would lose nothing: its journal goes to the next."""
    return inventory.version < wire.VERSION and not inventory.running and not inventory.queued


def _peer_of(writer: asyncio.StreamWriter) -> int:
    """The process that listens at the other end."""
    raw = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(raw)[0]
    return pid


def frames(buffer: bytearray) -> list[Frame]:
    """Every whole frame out of `buffer`, leaving what is not complete yet."""
    found = []
    start = 0
    with memoryview(buffer) as view:
        while len(buffer) - start >= wire.HEADER_SIZE:
            end = start + wire.HEADER_SIZE + wire.frame_length(bytes(view[start : start + wire.HEADER_SIZE]))
            if len(buffer) < end:
                break
            found.append(_DECODER.decode(view[start + wire.HEADER_SIZE : end]))
            start = end
    del buffer[:start]
    return found
