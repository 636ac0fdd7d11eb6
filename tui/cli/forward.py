"""`forward`: ports of this machine that lead to ports on which a task listens there.

Each connection is a channel of one session. Where the session breaks (the agent was started anew, the node
was away) connections under way end, and the next one begins another session.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import re
from argparse import Namespace
from typing import TYPE_CHECKING

from bus.errors import BusError, CorralError
from bus.refusal import quote
from bus.sessions import PORT_MAX, SessionKind, StreamOpened
from bus.streams import ByteStream, StreamBroken, channel, joined
from bus.tunnel import BUFFER_BYTES, tunnel
from tui.cli import diagnostics, output
from tui.cli.connect import client
from tui.cli.diagnostics import CommandError, Exit
from tui.cli.ids import task_id

if TYPE_CHECKING:
    from bus.client import Client

_PORTS = re.compile(r"(?:([0-9]{1,6}):)?([0-9]{1,6})", re.ASCII)


class Forward:
    """The way to one port of a task; `connect` carries one connection there."""

    def __init__(self, corral: Client, task: str, port: int) -> None:
        self._corral = corral
        self._task = task
        self._port = port
        self._opened: StreamOpened | None = None
        self._holding: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._connections: set[asyncio.Task[None]] = set()

    async def begin(self) -> StreamOpened:
        """The session, opened where there is none. Raises ApiError, BusError."""
        async with self._opening:
            if self._opened is None:
                opened = await self._corral.open_stream(
                    SessionKind.TCP, task=self._task, params={"port": self._port}
                )
                joining: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._holding = asyncio.create_task(self._hold(opened, joining), name="session")
                await joining
                self._opened = opened
            return self._opened

    async def end(self) -> None:
        """Close the session, and with it what is under way."""
        ending = {*self._connections, *([self._holding] if self._holding is not None else [])}
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)

    def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection, until both sides have ended it or `end` does."""
        # not left to asyncio's server: nobody could end what it starts while the bus is still there
        connection = asyncio.create_task(self._carry(reader, writer), name="connection")
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            opened = await self.begin()
            name = channel(opened.stream, next(self._numbers))
            async with joined(self._corral.bus, opened.node, name) as stream:
                await tunnel(stream, reader, writer)
                _tell(stream)
        except CorralError as error:
            diagnostics.report(error)
            writer.transport.abort()

    async def _hold(self, opened: StreamOpened, joining: asyncio.Future[None]) -> None:
        """Keep the session; the next connection begins another once this one broke."""
        try:
            async with joined(self._corral.bus, opened.node, opened.stream) as stream:
                joining.set_result(None)
                while await stream.read():
                    pass
        except (StreamBroken, BusError) as error:
            if not joining.done():
                joining.set_exception(error)
        finally:
            self._opened = None


async def forward(arguments: Namespace) -> int:
    """Listen here and carry connections there, until interrupted."""
    task = task_id(arguments.task)
    pairs = [parse_ports(text) for text in arguments.ports]
    async with client(arguments, name=f"corral forward {task}") as corral:
        forwards: list[Forward] = []
        servers: list[asyncio.Server] = []
        try:
            for local, port in pairs:
                made = Forward(corral, task, port)
                forwards.append(made)
                opened = await made.begin()
                servers.append(await _listen(made, arguments.bind, local, port=port))
                host, actual = servers[-1].sockets[0].getsockname()[:2]
                where = f"[{host}]" if ":" in host else host
                output.lines([f"{where}:{actual} -> {opened.task} port {port} on {opened.node}"])
                output.finish()
            if arguments.bind not in ("127.0.0.1", "::1", "localhost"):
                diagnostics.note(f"whoever reaches {arguments.bind} reaches that port of the task as you")
            await asyncio.get_running_loop().create_future()
        finally:
            for server in servers:
                server.close()
            for made in forwards:
                await made.end()
    return Exit.OK


async def _listen(made: Forward, address: str, local: int, *, port: int) -> asyncio.Server:
    """Raises CommandError where the port cannot be had."""
    try:
        return await asyncio.start_server(made.connect, address, local, limit=BUFFER_BYTES)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        raise CommandError(
            "E_PORT",
            "the port is in use here" if in_use else f"cannot listen there: {error.strerror or error}",
            exit=Exit.USAGE,
            field="[LOCAL:]PORT",
            got=f"{address}:{local}",
            hint=f"0:{port} takes any free port",
        ) from None


def parse_ports(text: str) -> tuple[int, int]:
    """ "8080:8888" as (8080, 8888), "8888" as (8888, 8888). Raises CommandError."""
    match = _PORTS.fullmatch(text)
    local, port = (int(match[1] or match[2]), int(match[2])) if match else (-1, -1)
    if not (0 <= local <= PORT_MAX and 1 <= port <= PORT_MAX):
        raise CommandError(
            "E_PORT",
            "no port",
            exit=Exit.USAGE,
            field="[LOCAL:]PORT",
            got=quote(text),
            expected=f"1 to {PORT_MAX}, or LOCAL:PORT with LOCAL 0 to {PORT_MAX}",
        )
    return local, port


def _tell(stream: ByteStream) -> None:
    """Say why the other end broke a connection off; a connection that its own side broke needs no word."""
    failure = stream.failure
    if failure is not None and failure.code not in ("E_STREAM_LEFT", ""):
        diagnostics.note(f"corral: {failure.code}: {failure.message}")
