"""A cable that is pulled carries nothing, loses nothing, and can be cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.chaos.proxy import Proxy


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server that echoes lines."""

    talks: set[asyncio.Task[None]] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while line := await reader.readline():
                writer.write(line)
        writer.close()

    def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(echo(reader, writer)))

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    proxy = await Proxy.in_front_of(server.sockets[0].getsockname()[1])
    yield proxy
    await proxy.close()
    server.close()
    await asyncio.gather(*talks)


async def asked(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"one\n")
    return reader, writer


async def test_it_carries(proxy: Proxy) -> None:
    reader, writer = await asked(proxy)
    assert await asyncio.wait_for(reader.readline(), 5) == b"one\n"
    writer.close()


async def test_what_is_held_back_arrives_later(proxy: Proxy) -> None:
    reader, writer = await asked(proxy)
    await asyncio.wait_for(reader.readline(), 5)
    proxy.hold()
    writer.write(b"two\n")
    later = asyncio.create_task(reader.readline())
    newcomer, other = await asked(proxy)  # the kernel takes its connection; nobody answers it
    late = asyncio.create_task(newcomer.readline())
    done, _ = await asyncio.wait({later, late}, timeout=0.2)
    assert not done
    proxy.mend()
    assert await asyncio.wait_for(later, 5) == b"two\n"
    assert await asyncio.wait_for(late, 5) == b"one\n"
    for each in (writer, other):
        each.close()


async def test_a_cut_ends_every_connection(proxy: Proxy) -> None:
    reader, writer = await asked(proxy)
    await asyncio.wait_for(reader.readline(), 5)
    proxy.cut()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()
    proxy.mend()
    reader, writer = await asked(proxy)
    assert await asyncio.wait_for(reader.readline(), 5) == b"one\n"
    writer.close()


async def test_its_end_is_quiet(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    """With a connection that it serves, and one that the loop has taken and not handed over."""
    served, first = await asked(proxy)
    await asyncio.wait_for(served.readline(), 5)
    before = asyncio.all_tasks()
    new, second = await asked(proxy)
    while asyncio.all_tasks() == before:
        await asyncio.sleep(0)
    await proxy.close()
    for reader, writer in ((served, first), (new, second)):
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        writer.close()
    assert not caplog.records
