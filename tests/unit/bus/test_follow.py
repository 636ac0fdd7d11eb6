"""Following gives every byte once and in order, whatever the live stream loses, repeats or reorders."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus import follow
from bus.values import Stream, TaskState
from tests.unit.bus.fake_coordinator import FakeCoordinator


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "RECHECK_S", 0.002)


async def read(fake: FakeCoordinator, stream: Stream = Stream.STDOUT) -> bytes:
    return b"".join([piece async for piece in fake.client.follow("7", stream=stream)])


async def test_a_finished_task_is_read_to_its_end() -> None:
    """B111."""
    fake = await FakeCoordinator().start()
    fake.outputs[1], fake.task_state = bytes(range(256)), TaskState.COMPLETED
    fake.ended.add(1)
    assert await asyncio.wait_for(read(fake), 5) == bytes(range(256))
    await fake.stop()


async def test_a_retried_task_starts_over_with_its_new_attempt() -> None:
    fake = await FakeCoordinator().start()
    fake.outputs[1] = b"first try"
    fake.ended.add(1)
    reading = asyncio.create_task(read(fake))
    while not any(getattr(request, "offset", 0) == 9 for request in fake.asked):
        await asyncio.sleep(0)
    fake.fence, fake.outputs[2] = 2, b"second try"
    fake.ended.add(2)
    fake.task_state = TaskState.COMPLETED
    await fake.say_task()
    assert await asyncio.wait_for(reading, 5) == b"first try" + b"second try"
    await fake.stop()


async def test_live_pieces_need_no_query() -> None:
    fake = await FakeCoordinator().start()
    pieces = fake.client.follow("7.0")
    first = asyncio.ensure_future(anext(pieces))
    while len(fake.asked) < 3:
        await asyncio.sleep(0)
    fake.outputs[1] = b"live"
    await fake.say_live(0, b"other", stream=Stream.STDERR)
    await fake.say_live(0, b"live")
    assert await asyncio.wait_for(first, 5) == b"live"
    await pieces.aclose()
    await fake.stop()


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    fates=st.lists(st.sampled_from(["live", "lost", "twice", "late"]), min_size=12, max_size=12),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_byte_once_and_in_order(sizes: list[int], fates: list[str]) -> None:
    asyncio.run(asyncio.wait_for(_every_byte(sizes, fates), 30))


async def _every_byte(sizes: list[int], fates: list[str]) -> None:
    fake = await FakeCoordinator().start()
    reading = asyncio.create_task(read(fake))
    held: list[tuple[int, bytes]] = []
    for number, (size, fate) in enumerate(zip(sizes, fates, strict=False)):
        offset, data = len(fake.outputs[1]), bytes([number]) * size
        fake.outputs[1] += data
        if fate == "late":
            held.append((offset, data))
        for _ in range({"live": 1, "twice": 2}.get(fate, 0)):
            await fake.say_live(offset, data)
        for _ in range(number % 4):
            await asyncio.sleep(0)
    for offset, data in held:
        await fake.say_live(offset, data)
    fake.ended.add(1)
    fake.task_state = TaskState.COMPLETED
    await fake.say_task()
    assert await reading == fake.outputs[1]
    await fake.stop()
