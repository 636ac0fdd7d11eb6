"""A real nats-server with Corral's own authority, started once a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bus import server
from bus.auth import Authority
from bus.connection import NatsBus
from bus.credentials import Credentials
from bus.jetstream import ensure_buckets, ensure_streams


@dataclass
class NatsServer:
    """Where it is, and who may mint credentials for it."""

    url: str
    authority: Authority
    process: server.NatsProcess


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """Buckets and streams exist; tests that stop the server start their own."""
    folder: Path = tmp_path_factory.mktemp("nats")
    authority = Authority.create_or_load(folder / "keys")
    process = server.prepare(folder / "nats", port=0, authority=authority)
    child = server.start(process)
    try:
        asyncio.run(_prepare(process, authority))
        yield NatsServer(process.url, authority, process)
    finally:
        server.stop(child)


@dataclass
class Connections:
    """Opens connections that are closed at the end of the test."""

    server: NatsServer
    opened: list[NatsBus] = field(default_factory=list)

    async def __call__(self, credentials: Credentials) -> NatsBus:
        bus = await NatsBus.connect(self.server.url, credentials, name="test")
        self.opened.append(bus)
        return bus


@pytest.fixture
async def nats_connect(nats_server: NatsServer) -> AsyncIterator[Callable[[Credentials], Awaitable[NatsBus]]]:
    connections = Connections(nats_server)
    yield connections
    for bus in connections.opened:
        await bus.close()


async def _prepare(process: server.NatsProcess, authority: Authority) -> None:
    await server.wait_ready(process)
    bus = await NatsBus.connect(process.url, authority.mint_coordinator(), name="test set-up")
    await ensure_buckets(bus)
    await ensure_streams(bus)
    await bus.close()
