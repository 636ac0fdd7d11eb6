"""Sessions with tasks of a whole agent with a real guard: people at terminals, connections to ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bus import messages as m
from bus.streams import ByteStream, StreamBroken, channel, joined
from bus.terminal import OFFSET_BYTES, pack_size, pack_typed, unpack_offset
from bus.tunnel import tunnel
from bus.values import AttemptRef
from tests.integration.agent.world import A, World

SHELL = ("env", "PS1=ready> ", "ENV=", "TERM=xterm", "/bin/sh", "-i")
SERVER = """
import http.server, socketserver
class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
server = Server(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""
HALF = """
import socket
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    connection, _ = listening.accept()
    heard = b""
    while data := connection.recv(65536):
        heard += data
    connection.sendall(b"heard %d bytes, and then the end" % len(heard))
    connection.close()
"""


class At:
    """A viewer of the terminal of A, and all that they saw."""

    def __init__(self, stream: ByteStream, offset: int) -> None:
        self.stream = stream
        self.offset = offset
        self.seen = b""

    async def until(self, text: bytes) -> None:
        while text not in self.seen:
            data = await self.stream.read()
            assert data, f"it ended without {text!r}: {self.seen!r}"
            self.seen += data

    async def type(self, data: bytes) -> None:
        await self.stream.write(pack_typed(data))


async def opened(world: World, name: str, kind: str, **params: Any) -> m.StreamReply:
    command = m.OpenStream(epoch=1, stream=name, user="alice", kind=kind, attempt=A, params=params)
    reply = await world.coordinator.command(command)
    assert isinstance(reply, m.StreamReply)
    return reply


@asynccontextmanager
async def at_terminal(world: World, name: str, **params: Any) -> AsyncIterator[At]:
    reply = await opened(world, name, "pty", **params)
    assert reply.code == "", reply.error
    async with asyncio.timeout(30), joined(world.user, "n1", name) as stream:
        yield At(stream, unpack_offset(await stream.read_exactly(OFFSET_BYTES)))


async def running_shell(world: World) -> None:
    await world.coordinator.assign(A, *SHELL, pty=True)
    await world.coordinator.started(A)


async def test_somebody_types_and_sees_and_the_end_ends_the_stream(world: World) -> None:
    await running_shell(world)
    async with at_terminal(world, "pty_1", rows=40, columns=100) as me:
        await me.until(b"ready> ")
        await me.type(b"stty size\n")
        await me.until(b"40 100")
        await me.type(b"exit 3\n")
        while await me.stream.read():
            pass
    assert (await world.coordinator.ended(A)).exit_code == 3


async def test_several_share_a_terminal_of_the_smallest_size(world: World) -> None:
    await running_shell(world)
    async with at_terminal(world, "pty_1", rows=40, columns=100) as me:
        await me.until(b"ready> ")
        async with (
            at_terminal(world, "pty_2", rows=30, columns=132) as other,
            at_terminal(world, "pty_3", rows=10, columns=20, read_only=True) as looker,
        ):
            assert other.offset == 0
            await other.until(b"ready> ")
            await looker.type(b"touched\n")
            await me.type(b"stty size\n")
            for each in (me, other, looker):
                await each.until(b"30 100\r\n")
            await other.stream.write(pack_size(20, 50))
            await other.type(b"stty size\n")
            await me.until(b"20 50\r\n")
            assert b"touched" not in me.seen, "who only looks types nothing"
        await me.type(b"stty size\n")
        await me.until(b"40 100\r\n")
        await me.type(b"exit\n")
        await world.coordinator.ended(A)


async def test_what_was_typed_last_is_heard_though_one_leaves(world: World) -> None:
    await running_shell(world)
    async with at_terminal(world, "pty_1") as me:
        await me.until(b"ready> ")
        await me.type(b"exit 5\n")
        me.stream.end()
        while await me.stream.read():
            pass
    assert (await world.coordinator.ended(A)).exit_code == 5


async def test_who_comes_late_sees_the_last_lines_whole(world: World) -> None:
    await world.coordinator.assign(A, "sh", "-c", "seq 100000; sleep 60", pty=True)
    await world.coordinator.started(A)
    async with at_terminal(world, "pty_1", offset=0) as first:
        await first.until(b"\r\n100000\r\n")
        whole = len(first.seen)
    async with at_terminal(world, "pty_2") as late:
        await late.until(b"\r\n100000\r\n")
        assert late.offset + len(late.seen) == whole
        assert 4000 < len(late.seen) <= 8192
        assert late.seen.split(b"\r\n")[0].isdigit() and first.seen.endswith(late.seen)
    async with at_terminal(world, "pty_3", offset=whole - 4) as exact:
        await exact.until(b"00\r\n")
        assert exact.seen == b"00\r\n"


async def test_a_terminal_outlives_the_agent(world: World) -> None:
    await running_shell(world)
    with pytest.raises(StreamBroken) as caught:
        async with at_terminal(world, "pty_1") as me:
            await me.until(b"ready> ")
            await world.node.stop()
            await me.until(b"never")
    assert caught.value.code == "E_STREAM_GONE"
    world.node.start()
    await asyncio.sleep(0)
    registered = len(world.coordinator.registrations)
    while len(world.coordinator.registrations) == registered:
        await asyncio.sleep(0.01)
    async with at_terminal(world, "pty_2", offset=len(me.seen)) as again:
        await again.type(b"echo wel''come back; exit\n")
        await again.until(b"welcome back")
    assert (await world.coordinator.ended(A)).exit_code == 0


async def test_what_has_no_terminal_or_does_not_run_is_refused(world: World) -> None:
    assert (await opened(world, "pty_1", "pty")).code == "E_NOT_RUNNING"
    await world.coordinator.assign(A, "sleep", "60")
    await world.coordinator.started(A)
    assert (await opened(world, "pty_2", "pty")).code == "E_NO_TERMINAL"
    assert (await opened(world, "pty_3", "pty", rows="x")).code == "E_TYPE"


async def test_garbage_from_a_viewer_ends_their_session_alone(world: World) -> None:
    await running_shell(world)
    async with at_terminal(world, "pty_1") as me:
        await me.until(b"ready> ")
        with pytest.raises(StreamBroken):
            async with at_terminal(world, "pty_2") as other:
                await other.stream.write(b"\xff\xff\xff\xff\xff\xff")
                await other.until(b"never")
        await me.type(b"echo still here; exit\n")
        await me.until(b"\nstill here")
    await world.coordinator.ended(A)


async def test_an_older_coordinator_opens_nothing(world: World) -> None:
    world.coordinator.epoch = 5
    await running_shell(world)
    command = m.OpenStream(epoch=4, stream="pty_1", user="alice", kind="pty", attempt=A)
    reply = await world.coordinator.command(command)
    assert isinstance(reply, m.CommandReply) and reply.error


# ports


async def listening(world: World, program: str, attempt: AttemptRef = A) -> int:
    """A task that listens; returns its port."""
    await world.coordinator.assign(attempt, "python3", "-c", program)
    await world.coordinator.started(attempt)
    fetch = m.FetchLog(epoch=1, task=attempt.task, fence=1, stream=m.Stream.STDOUT, offset=0, limit=100)
    while True:
        chunk = await world.coordinator.command(fetch)
        assert isinstance(chunk, m.LogChunk)
        if chunk.data.endswith(b"\n"):
            return int(chunk.data)
        await asyncio.sleep(0.02)


@asynccontextmanager
async def forwarded(world: World, port: int) -> AsyncIterator[int]:
    """The local port that leads there."""
    reply = await opened(world, "tcp_1", "tcp", port=port)
    assert reply.code == "", reply.error
    count = 0

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        async with joined(world.user, "n1", channel("tcp_1", count)) as stream:
            await tunnel(stream, reader, writer)

    async with asyncio.timeout(30), joined(world.user, "n1", "tcp_1"):
        server = await asyncio.start_server(connect, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()


async def fetch(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET %b HTTP/1.0\r\n\r\n" % path.encode())
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_web_server_of_a_task_is_reached_by_many_at_once(world: World) -> None:
    async with forwarded(world, await listening(world, SERVER)) as port:
        answers = await asyncio.gather(*[fetch(port, f"/missing-{n}") for n in range(20)])
    assert all(b"404" in answer.splitlines()[0] for answer in answers)


async def test_each_direction_has_its_own_end(world: World) -> None:
    async with forwarded(world, await listening(world, HALF)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(40):
            writer.write(bytes(100_000))
            await writer.drain()
        writer.write_eof()
        assert await reader.read() == b"heard 4000000 bytes, and then the end"
        writer.close()


async def test_only_what_the_task_itself_listens_on_is_reached(world: World) -> None:
    port = await listening(world, SERVER)
    others = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    not_its_own = others.sockets[0].getsockname()[1]
    assert not_its_own != port
    reply = await opened(world, "tcp_1", "tcp", port=not_its_own)
    assert reply.code == ""
    async with (
        asyncio.timeout(30),
        joined(world.user, "n1", "tcp_1"),
        joined(world.user, "n1", channel("tcp_1", 1)) as stream,
    ):
        with pytest.raises(StreamBroken) as caught:
            await stream.read()
    assert caught.value.code == "E_PORT" and "another program does" in str(caught.value)
    others.close()


async def test_a_port_where_nobody_listens_is_told(world: World) -> None:
    await listening(world, SERVER)
    await opened(world, "tcp_1", "tcp", port=1)
    async with (
        asyncio.timeout(30),
        joined(world.user, "n1", "tcp_1"),
        joined(world.user, "n1", channel("tcp_1", 1)) as stream,
    ):
        with pytest.raises(StreamBroken) as caught:
            await stream.read()
    assert caught.value.code == "E_PORT"
    assert (await opened(world, "tcp_2", "tcp", port=70_000)).code == "E_PORT"
    assert (await opened(world, "tcp_3", "tcp", port="80")).code == "E_TYPE"


async def test_the_end_of_the_session_ends_its_connections(world: World) -> None:
    async with forwarded(world, await listening(world, HALF)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"half a request")
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(30):
        with pytest.raises(ConnectionError):
            if not await reader.read():
                raise ConnectionResetError
    writer.close()
