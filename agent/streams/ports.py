"""Sessions of kind `tcp`: connections to a port on which a task listens.

A task shares its machine's loopback with everything else there, databases without a password among it. So a
connection goes only to a socket that a process of the task itself listens on, looked up anew each time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Iterator
from contextlib import suppress

import msgspec
from msgspec import Struct

from agent.core.model import Ledger, Phase
from agent.guard import tree
from agent.streams.server import Declined, Serve, Session, attempt_of
from bus.messages import OpenStream
from bus.sessions import PORT_MAX, TcpParams
from bus.streams import ByteStream
from bus.tunnel import BUFFER_BYTES, tunnel
from bus.values import AttemptRef

CONNECT_TIMEOUT_S = 10.0
_LISTENING = "0A"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


class Listening(Struct, frozen=True):
    """A socket that waits for connections; `inode` is how the kernel names it."""

    address: str
    port: int
    inode: str


class Ports:
    """`accept` takes sessions; their channels become connections."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def accept(self, asked: OpenStream) -> Serve:
        """Connections to a port of an attempt, which may begin to listen later. Raises Declined."""
        attempt = attempt_of(asked)
        try:
            port = msgspec.convert(asked.params, TcpParams).port
        except msgspec.ValidationError as error:
            raise Declined("E_TYPE", f"params: {error}") from None
        if not 1 <= port <= PORT_MAX:
            raise Declined("E_PORT", f"{port} is no port")
        self._leader(attempt)

        async def serve(session: Session) -> None:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(session.stream.read())
                accepting = group.create_task(self._accept_all(group, session, attempt, port=port))
                await asyncio.wait({watching, accepting}, return_when=asyncio.FIRST_COMPLETED)
                accepting.cancel()  # the client has ended the session, not the connections under way

        return serve

    async def _accept_all(
        self, group: asyncio.TaskGroup, session: Session, attempt: AttemptRef, *, port: int
    ) -> None:
        while True:
            channel = await session.channel()
            group.create_task(self._connect(channel, attempt, port=port))

    async def _connect(self, channel: ByteStream, attempt: AttemptRef, *, port: int) -> None:
        """One connection; what is wrong with it breaks off its channel alone."""
        try:
            leader = self._leader(attempt)
            address = await asyncio.to_thread(listening_address, leader, attempt, port)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(address, port, limit=BUFFER_BYTES)
        except Declined as refusal:
            channel.reset(refusal.code, str(refusal))
        except (OSError, TimeoutError) as error:
            channel.reset("E_PORT", f"port {port} of task {attempt.task}: {str(error) or 'no answer'}")
        else:
            await tunnel(channel, reader, writer)

    def _leader(self, attempt: AttemptRef) -> int:
        held = self._ledger.held.get(attempt)
        if held is None or held.phase is not Phase.RUNNING or held.pid is None:
            raise Declined("E_NOT_RUNNING", f"task {attempt.task} does not run here, or not yet")
        return held.pid


def listening_address(leader: int, attempt: AttemptRef, port: int) -> str:
    """Where a process of the attempt listens on `port`. Raises Declined."""
    waiting = {f"socket:[{each.inode}]": each for each in listening() if each.port == port}
    if waiting:
        for pid in _processes_of(leader, attempt):
            for socket in _sockets_of(pid):
                if socket in waiting:
                    return _reachable(waiting[socket].address)
        raise Declined("E_PORT", f"task {attempt.task} does not listen on port {port}; another program does")
    raise Declined("E_PORT", f"task {attempt.task} does not listen on port {port}")


def listening() -> Iterator[Listening]:
    """All TCP sockets of this machine's network that wait for connections."""
    for table in _TABLES:
        with suppress(FileNotFoundError), open(table, encoding="ascii") as file:
            next(file)
            for line in file:
                fields = line.split()
                if fields[3] == _LISTENING:
                    address, _, port = fields[1].partition(":")
                    yield Listening(_address(address), int(port, 16), fields[9])


def _address(text: str) -> str:
    """As the kernel writes it: words of four bytes, each in this machine's order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = b"".join(word.to_bytes(4, "little") for word in words)
    return str(ipaddress.ip_address(packed))


def _reachable(address: str) -> str:
    """An address to connect to, where the socket listens on all of them."""
    parsed = ipaddress.ip_address(address)
    if not parsed.is_unspecified:
        return address
    return "127.0.0.1" if parsed.version == 4 else "::1"


def _processes_of(leader: int, attempt: AttemptRef) -> Iterator[int]:
    """Its tree first; then, which takes longer, whoever detached itself and still bears its mark."""
    everybody = tree.processes()
    found = tree.members({leader}, everybody)
    yield from found
    key = tuple(attempt)
    for each in everybody:
        if each.pid not in found and not each.zombie and tree.key_of(each.pid) == key:
            yield each.pid


def _sockets_of(pid: int) -> Iterator[str]:
    with suppress(OSError):  # it has gone, or is not ours to look at
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{name}")
