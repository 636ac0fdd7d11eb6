"""A connection that breaks during COMMIT leaves a question, and `committed` answers it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from bus.values import Role
from coordinator.store.errors import OutcomeUnknown, StoreUnavailable
from coordinator.store.relational import RelationalStore
from coordinator.store.rows import Batch
from tests.store_rows import ALICE, new_job, node

COMMIT = b"commit\0"

_FIELDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
FATAL = b"E" + (len(_FIELDS) + 4).to_bytes(4, "big") + _FIELDS
"""What a server that is being stopped says to who asks nothing: an ErrorResponse of the protocol."""


class Proxy:
    """Passes bytes on to PostgreSQL until it sees `last`; then it cuts, before or after passing that on."""

    def __init__(self, dsn: str, last: bytes) -> None:
        self._target = urlsplit(dsn)
        self._last = last
        self.cut: str | None = None  # "before", "after", or None
        self._connections: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()

    async def say_last(self, message: bytes) -> None:
        """To every client, as if PostgreSQL said it, and nothing after it; the connections stay."""
        clients, self._clients = self._clients, set()
        for writer in clients:
            writer.write(message)
        for _ in range(10):  # the loopback delivers at once: all that is left is that our loop reads it
            await asyncio.sleep(0)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """The address to connect to instead."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        netloc = f"{self._target.username}:{self._target.password}@{host}:{port}"
        try:
            yield self._target._replace(netloc=netloc, query="sslmode=disable").geturl()
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        self._connections.add(asyncio.create_task(self._relay(reader, writer)))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        answers = asyncio.create_task(self._answers(up_reader, writer))
        try:
            while data := await reader.read(65536):
                cut = self.cut if self._last in data else None
                if cut == "before":
                    return
                if cut == "after":
                    answers.cancel()
                    await asyncio.wait([answers])
                up_writer.write(data)
                await up_writer.drain()
                if cut == "after":
                    await up_reader.read(1)  # PostgreSQL has answered: it is committed
                    return
        finally:
            answers.cancel()
            for end in (writer, up_writer):
                end.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled it closes nothing: the client must not learn of the cut before the data is passed on.
        while data := await reader.read(65536):
            if writer in self._clients:
                writer.write(data)
                await writer.drain()
        writer.close()


ONE_CALL, PIECES = "one-call", "pieces"


@pytest.mark.parametrize("way", [ONE_CALL, PIECES])
@pytest.mark.parametrize(("cut", "outcome"), [("before", False), ("after", True)])
async def test_the_outcome_of_a_broken_commit_can_be_asked(
    coordinator_dsn: str, cut: str, outcome: bool, way: str
) -> None:
    job = new_job(name=f"{cut}-{way}")
    batch = Batch(number=1, new_jobs=[job])
    if way == PIECES:
        batch.nodes = [node(job.name)]  # a registration
    proxy = Proxy(coordinator_dsn, job.name.encode() if way == ONE_CALL else COMMIT)
    async with proxy.listening() as dsn:
        store = await RelationalStore.connect(dsn)
        await store.ensure_user(ALICE, Role.USER)
        await store.lead(job.name, 10)
        proxy.cut = cut
        with pytest.raises(OutcomeUnknown):
            await store.commit(batch)
        proxy.cut = None
        assert await store.committed(1) is outcome
        await store.commit(batch)
        assert await store.committed(1)
        assert [row.job.name for row in (await store.load()).jobs].count(job.name) == 1
        await store.resign()
        await store.close()


async def test_a_server_that_says_farewell_and_does_not_hang_up_yet(coordinator_dsn: str) -> None:
    """Between the two the driver takes the connection for one that is amid an answer."""
    proxy = Proxy(coordinator_dsn, COMMIT)
    async with proxy.listening() as dsn:
        store = await RelationalStore.connect(dsn)
        await store.ensure_user(ALICE, Role.USER)
        await store.lead("farewell", 10)
        await store.commit(Batch(number=1))
        batch = Batch(number=2, new_jobs=[new_job(name="farewell")])
        await proxy.say_last(FATAL)
        with pytest.raises(OutcomeUnknown, match="another operation"):
            await store.commit(batch)
        with pytest.raises(StoreUnavailable, match="another operation"):
            await store.renew()
        assert not await store.committed(2)
        await store.commit(batch)
        await store.renew()
        await store.resign()
        await store.close()
