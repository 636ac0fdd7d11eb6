"""Whoever publishes faster than the server takes waits, and is told where it takes nothing at all."""

from __future__ import annotations

import asyncio

import pytest

from bus import pressure
from bus.errors import Disconnected, Stalled
from bus.pressure import LIMIT_BYTES, Pressure


class Writer:
    """Bytes that were written, and that the system has not taken."""

    def __init__(self) -> None:
        self.transport = self
        self._io_writer = self
        self.size = 0

    def get_write_buffer_size(self) -> int:
        return self.size


class Connection:
    """A client of nats-py whose flusher is the test."""

    def __init__(self) -> None:
        self._pending = [b"x" * LIMIT_BYTES]
        self._flush_queue: asyncio.Queue[asyncio.Future[None]] | None = asyncio.Queue(maxsize=1)
        self._transport = Writer()
        self.is_connected = True

    @property
    def pending_data_size(self) -> int:
        return sum(map(len, self._pending))

    async def flush(self) -> None:
        assert self._flush_queue is not None
        asked = await self._flush_queue.get()
        self._pending = []
        if not asked.done():
            asked.set_result(None)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure, "STALL_S", 0.02)


async def test_where_there_is_room_nobody_waits() -> None:
    client = Connection()
    client._pending = [b"x" * (LIMIT_BYTES - 1)]
    await Pressure(client).room("a")
    assert client._flush_queue is not None and client._flush_queue.empty()


async def test_all_who_wait_are_let_in_by_one_flush() -> None:
    client = Connection()
    door = Pressure(client)
    async with asyncio.timeout(30), asyncio.TaskGroup() as waiting:
        for _ in range(3):
            waiting.create_task(door.room("a"))
        await client.flush()


async def test_where_nothing_moves_it_is_said_and_from_then_on_at_once(short: None) -> None:
    client = Connection()
    client._transport.size = 7
    door = Pressure(client)
    with pytest.raises(Stalled, match=r"^a: not sent: .* and 2,097,159 bytes wait for it$"):
        await door.room("a")
    at_once = door.room("b")
    with pytest.raises(Stalled, match=r"^b: "):
        at_once.send(None)  # it does not even yield
    await client.flush()
    await door.room("c")
    client._pending = [b"x" * LIMIT_BYTES]
    waits = asyncio.create_task(door.room("d"))
    await client.flush()
    await waits


async def test_a_slow_server_is_waited_for(short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Connection()
    looks = 0

    def one_byte_less_each_time() -> int:
        nonlocal looks
        looks += 1
        return 1_000 - looks

    monkeypatch.setattr(client._transport, "get_write_buffer_size", one_byte_less_each_time)
    waits = asyncio.create_task(Pressure(client).room("a"))
    async with asyncio.timeout(30):
        while looks < 9:
            await asyncio.sleep(0.001)
        assert not waits.done()
        await client.flush()
        await waits


async def test_a_lost_connection_is_waited_for_by_nobody() -> None:
    client = Connection()
    door = Pressure(client)
    waits = asyncio.create_task(door.room("a"))
    await asyncio.sleep(0)
    client.is_connected = False
    door.lost()
    with pytest.raises(Disconnected) as lost:
        await waits
    assert not isinstance(lost.value, Stalled)


async def test_a_full_line_of_flushes_is_left_alone(short: None) -> None:
    client = Connection()
    assert client._flush_queue is not None
    client._flush_queue.put_nowait(asyncio.get_running_loop().create_future())
    with pytest.raises(Stalled):
        await Pressure(client).room("a")
    assert client._flush_queue.qsize() == 1
