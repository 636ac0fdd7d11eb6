"""`attach` and `run -it`: a person's terminal for that of a task, through failures of what lies between.

The terminal there belongs to the task. Whoever leaves, or loses the bus, the agent or this machine, leaves it
as it is; whoever comes back goes on at the very byte.
"""

from __future__ import annotations

import asyncio
import os
from argparse import Namespace
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from bus.api import Task
from bus.errors import ApiError, Disconnected, NoResponders, RequestTimeout
from bus.sessions import SessionKind, StreamOpened
from bus.streams import ByteStream, StreamBroken, joined
from bus.terminal import OFFSET_BYTES, pack_size, pack_typed, unpack_offset
from bus.values import JobKind, TaskState
from tui.cli import diagnostics
from tui.cli.connect import client
from tui.cli.diagnostics import Exit
from tui.cli.ids import task_id
from tui.cli.progress import Progress
from tui.cli.raw_terminal import RawTerminal, parse_keys, require_terminal
from tui.cli.specification import job_spec
from tui.cli.waiting import task_exit_code
from tui.settings import read_settings, settings_path

if TYPE_CHECKING:
    from bus.client import Client

_LOOK_FIRST_S, _LOOK_MAX_S = 0.05, 1.0
_FAREWELL_S = 2.0
_WINDOW_BYTES = 128 * 1024
"""What is shown at most after ctrl-C has stopped it there."""

_COMES_BACK = frozenset({"E_STREAM_GONE", "E_STREAM_LOST"})
_NOT_YET = frozenset({"E_NOT_RUNNING", "E_UNAVAILABLE", "E_NO_TERMINAL"})
"""Who waits does so for a task with a terminal: one without is over, and its end is being reported."""
_THERE = frozenset({TaskState.ASSIGNED, TaskState.RUNNING})
_OVER = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.TIMEOUT})


class Parted(Enum):
    """How a viewer and a terminal parted."""

    ENDED = auto()
    DETACHED = auto()
    TOLD = auto()  # by a signal


class Attachment:
    """A viewer of the terminal of one task. `wait_for_start`: it may still be in the queue."""

    def __init__(
        self, corral: Client, task: str, *, keys: bytes, read_only: bool = False, wait_for_start: bool = False
    ) -> None:
        self._corral = corral
        self._task = task
        self._read_only = read_only
        self._waits = wait_for_start
        self._terminal = RawTerminal(keys)
        self._offset = -1
        self._attempt = 0
        self._leaves = False
        self._stream: ByteStream | None = None
        self._typed: deque[tuple[int, bytes]] = deque()

    async def begin(self) -> StreamOpened | None:
        """The first session; None: the task is over already. Raises ApiError, BusError."""
        return await self._open()

    async def run(self, opened: StreamOpened) -> Parted:
        """Until the task's end, or the person leaves. Raises ApiError, BusError, StreamBroken."""
        working = asyncio.create_task(self._work(opened), name="attach")
        told = False

        def leave() -> None:
            nonlocal told
            told = True
            working.cancel()

        with self._terminal.taken(on_size=self._resize, on_end=leave):
            try:
                return await working
            except asyncio.CancelledError:
                working.cancel()
                if not told:
                    raise
                return Parted.TOLD

    async def _work(self, opened: StreamOpened) -> Parted:
        found: StreamOpened | None = opened
        while found is not None:
            ended = False
            try:
                parted = await self._view(found)
                if parted is not Parted.ENDED:
                    return parted
                ended = True  # with its task, or with an attempt of it that the guard has ended
            except StreamBroken as broken:
                if broken.code not in _COMES_BACK:
                    raise
            self._waits = True  # the agent, the bus or the node comes back; a retry is another attempt
            opening = asyncio.create_task(self._next() if ended else self._open(), name="open again")
            leaving = asyncio.create_task(self._left(), name="type")
            try:
                await asyncio.wait({opening, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not opening.done():
                    return Parted.DETACHED
                found = opening.result()
            finally:
                opening.cancel()
                leaving.cancel()
                await asyncio.wait({opening, leaving})
        return Parted.ENDED

    async def _next(self) -> StreamOpened | None:
        """The session with the attempt after the one that has ended; None: the task is over."""
        wait_s = _LOOK_FIRST_S
        while True:
            try:
                shown = await self._shown()
            except (NoResponders, RequestTimeout, Disconnected):
                pass
            else:
                if shown.state in _OVER:
                    return None
                if shown.state not in _THERE or shown.fence != self._attempt:
                    return await self._open()
            await asyncio.sleep(wait_s)  # its end is being reported
            wait_s = min(2 * wait_s, _LOOK_MAX_S)

    async def _left(self) -> None:
        """Until the person leaves; nobody is there to take what is typed meanwhile."""
        while not (await self._terminal.typed())[1]:
            pass

    async def _open(self) -> StreamOpened | None:
        """The next session; None: the task is over."""
        wait_s = _LOOK_FIRST_S
        while True:
            rows, columns = self._terminal.size()
            params = {"rows": rows, "columns": columns, "read_only": self._read_only, "offset": self._offset}
            try:
                opened = await self._corral.open_stream(SessionKind.PTY, task=self._task, params=params)
            except ApiError as refused:
                if refused.error.code not in _NOT_YET or not self._waits:
                    raise
                if (await self._shown()).state in _OVER:
                    return None
            except (NoResponders, RequestTimeout, Disconnected):
                if not self._waits:
                    raise
            else:
                known, self._attempt = self._attempt, opened.attempt
                if known in (0, opened.attempt) or not self._begins_anew(opened):
                    return opened
                async with joined(self._corral.bus, opened.node, opened.stream):
                    continue  # at the wrong byte: left, and asked for again
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LOOK_MAX_S)

    def _begins_anew(self, opened: StreamOpened) -> bool:
        """What was typed, seen and switched on was another attempt's; whether it was asked for from there."""
        self._typed.clear()
        self._terminal.forget()
        asked, self._offset = self._offset, -1
        if asked >= 0:
            text = f"{self._task} was lost, and has begun anew: attempt {opened.attempt}"
            self._terminal.show(f"\r\n[corral: {text}]\r\n".encode())
        return asked >= 0

    async def _shown(self) -> Task:
        return await self._corral.task(self._task)

    async def _view(self, opened: StreamOpened) -> Parted:
        async with joined(self._corral.bus, opened.node, opened.stream, window_bytes=_WINDOW_BYTES) as stream:
            typed, self._typed = self._typed, deque()
            for _, data in typed:  # what an agent that died had not said to have
                await self._send(stream, data)
            self._offset = unpack_offset(await stream.read_exactly(OFFSET_BYTES))
            self._stream = stream
            self._resize()
            showing = asyncio.create_task(self._show(stream), name="show")
            typing = asyncio.create_task(self._type(stream), name="type")
            try:
                await asyncio.wait({showing, typing}, return_when=asyncio.FIRST_COMPLETED)
                return showing.result() if showing.done() else typing.result()
            finally:
                self._stream = None
                for task in (showing, typing):
                    task.cancel()
                await asyncio.wait({showing, typing})
                self._forget(stream.acknowledged)

    async def _send(self, stream: ByteStream, data: bytes) -> None:
        """Remembered until the agent has said that it has it."""
        self._forget(stream.acknowledged)
        self._typed.append((stream.written + len(data), data))
        await stream.write(data)

    def _forget(self, acknowledged: int) -> None:
        while self._typed and self._typed[0][0] <= acknowledged:
            self._typed.popleft()

    async def _show(self, stream: ByteStream) -> Parted:
        while data := await stream.read():
            self._terminal.show(data)
            self._offset += len(data)
        return Parted.DETACHED if self._leaves else Parted.ENDED

    async def _type(self, stream: ByteStream) -> Parted:
        while True:
            data, leaves = await self._terminal.typed()
            if data and not self._read_only:
                await self._send(stream, pack_typed(data))
            if leaves:
                self._leaves = True
                stream.end()  # the other end hears all that was typed, and ends its own direction
                await asyncio.sleep(_FAREWELL_S)
                return Parted.DETACHED

    def _resize(self) -> None:
        if self._stream is not None:
            # a window's size is a few bytes, for which there is always room but where all is stuck anyway
            self._stream.write_soon(pack_size(*self._terminal.size()))


def detach_keys(given: str | None) -> bytes:
    """As they were given, else as the settings have them. Raises CommandError."""
    if given is not None:
        return parse_keys(given)
    settings = read_settings(settings_path())
    for fault in settings.faults:
        if "detach_keys" in fault:
            diagnostics.note(f"{fault}; it is {settings.detach_keys}")
    return parse_keys(settings.detach_keys)


async def attach(arguments: Namespace) -> int:
    """A person's terminal for that of a task that runs."""
    task = task_id(arguments.task)
    keys = detach_keys(arguments.detach_keys)
    require_terminal("attach")
    async with client(arguments, name=f"corral attach {task}") as corral:
        attachment = Attachment(corral, task, keys=keys, read_only=arguments.read_only)
        opened = await attachment.begin()
        assert opened is not None, "it was not to wait"
        return await _ended(corral, task, await attachment.run(opened))


async def run_in_terminal(arguments: Namespace) -> int:
    """`run -it`: submit, wait for the start, and be there until the end."""
    keys = detach_keys(arguments.detach_keys)
    require_terminal("run -it")
    spec = job_spec(arguments)
    spec.retries = 0
    spec.type = JobKind.INTERACTIVE
    spec.env = {"TERM": os.environ.get("TERM", "xterm")} | spec.env
    async with client(arguments, name="corral run -it") as corral:
        job = (await corral.submit(spec)).number
        task = f"{job}.0"
        attachment = Attachment(corral, task, keys=keys, wait_for_start=True)
        started = False
        try:
            async with Progress(corral, [str(job)], quiet=arguments.quiet, until_started=True):
                opened = await attachment.begin()
            started = True
            parted = Parted.ENDED if opened is None else await attachment.run(opened)
        except asyncio.CancelledError:
            if not started:
                from tui.cli.submit import cancel

                await cancel(corral, job)
            raise
        return await _ended(corral, task, parted)


async def _ended(corral: Client, task: str, parted: Parted) -> int:
    """The exit code: the task's own, 0 for who left it running."""
    name = task.removesuffix(".0")
    if parted is Parted.TOLD:
        return Exit.INTERRUPTED
    if parted is Parted.DETACHED:
        diagnostics.note(
            f"\nleft {name} running: corral attach {name} comes back, corral cancel {name} ends it"
        )
        return Exit.OK
    wait_s = _LOOK_FIRST_S
    while (shown := await corral.task(task)).state not in _OVER:
        await asyncio.sleep(wait_s)  # its end is being reported
        wait_s = min(2 * wait_s, _LOOK_MAX_S)
    return task_exit_code(shown)
