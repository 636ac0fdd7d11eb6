"""Whether the bus answers; a connection that is closed for good ends the coordinator, to start anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest

from bus.connection import ConnectionState, NatsBus
from bus.errors import BusError, Disconnected, Forbidden
from bus.trust import Refused
from coordinator import bus_watch as bus_watch_module
from coordinator.bus_watch import BusWatch
from tests.unit.coordinator.shell import until


class FakeBus:
    """`fault` is raised by each flush."""

    def __init__(self) -> None:
        self.fault: BusError | None = None
        self.refusal: Refused | None = None
        self.flushes = 0

    async def flush(self) -> None:
        self.flushes += 1
        if self.fault is not None:
            raise self.fault


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looks follow each other at once, and none is at the storage: that takes a server."""
    monkeypatch.setattr(bus_watch_module, "LOOK_S", 0.01)
    monkeypatch.setattr(bus_watch_module, "AWAY_AFTER_S", 0.05)

    async def nothing(_bus: object) -> None:
        return

    monkeypatch.setattr(bus_watch_module.jetstream, "ensure_streams", nothing)
    monkeypatch.setattr(bus_watch_module.jetstream, "ensure_buckets", nothing)
    yield


async def watched(bus: FakeBus, watch: BusWatch) -> asyncio.Task[None]:
    """A watch at work."""
    running = asyncio.create_task(watch.run(cast(NatsBus, bus)))
    await until(lambda: bus.flushes)
    return running


async def test_a_bus_that_answers_not_is_away_until_it_does() -> None:
    bus, watch = FakeBus(), BusWatch()
    running = await watched(bus, watch)
    bus.fault = Disconnected("no connection")
    await until(lambda: watch.away)
    assert not watch.answers
    bus.fault = None
    await until(lambda: watch.answers)
    assert not watch.away
    running.cancel()


async def test_a_denial_of_what_was_published_is_an_answer() -> None:
    bus, watch = FakeBus(), BusWatch()
    bus.fault = Forbidden("may not publish")
    running = await watched(bus, watch)
    seen = bus.flushes
    await until(lambda: bus.flushes > seen + 2)
    assert watch.answers
    running.cancel()


@pytest.mark.parametrize("refusal", [None, Refused("E_TOKEN_REVOKED", "revoked", "")])
async def test_a_connection_closed_for_good_ends_the_watch(refusal: Refused | None) -> None:
    """Otherwise a leader goes on that nobody can hear, and nobody takes its place."""
    bus, watch = FakeBus(), BusWatch()
    running = await watched(bus, watch)
    bus.fault = bus.refusal = refusal
    await until(lambda: refusal is None or not watch.answers)
    watch.on_state(ConnectionState.CLOSED)
    async with asyncio.timeout(10):
        with pytest.raises(BusError if refusal is None else Refused):
            await running


async def test_a_connection_that_comes_back_goes_on() -> None:
    bus, watch = FakeBus(), BusWatch()
    running = await watched(bus, watch)
    for state in (ConnectionState.DISCONNECTED, ConnectionState.CONNECTED):
        watch.on_state(state)
    seen = bus.flushes
    await until(lambda: bus.flushes > seen + 2)
    assert not running.done()
    running.cancel()


async def test_a_lost_connection_and_its_return_are_known_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bus_watch_module, "LOOK_S", 1000.0)
    bus, watch = FakeBus(), BusWatch()
    running = await watched(bus, watch)
    bus.fault = Disconnected("no connection")
    watch.on_state(ConnectionState.DISCONNECTED)
    assert not watch.answers and not watch.away
    bus.fault = None
    watch.on_state(ConnectionState.CONNECTED)
    await until(lambda: watch.answers)
    running.cancel()
