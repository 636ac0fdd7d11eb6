"""Following gives every byte once and in order, whatever the live stream loses, repeats or reorders."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from bus import follow
from bus.errors import Error
from bus.requests import LogFollow, LogQuery
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


async def test_what_began_anew_elsewhere_is_read_while_the_old_node_is_away() -> None:
    fake = await FakeCoordinator().start()
    fake.outputs[1] = b"first try"
    fake.task_state = TaskState.RUNNING

    def away(request: Struct) -> Struct | None:
        """The node of the first attempt answers nobody from its ninth byte on."""
        is_gone = isinstance(request, LogQuery) and request.attempt == 1 and request.offset == 9
        return Error(code="E_UNAVAILABLE", message="n1 is away", status=503) if is_gone else None

    fake.on_asked = away
    reading = asyncio.create_task(read(fake))
    while not any(getattr(request, "offset", 0) == 9 for request in fake.asked):
        await asyncio.sleep(0)
    assert not reading.done()
    fake.fence, fake.outputs[2] = 2, b"second try"
    fake.ended.add(2)
    fake.task_state = TaskState.COMPLETED
    assert await asyncio.wait_for(reading, 5) == b"first try" + b"second try"
    await fake.stop()


async def test_another_reader_goes_on_from_the_place_of_one_who_was_cut_off() -> None:
    fake = await FakeCoordinator().start()
    fake.outputs[1] = b"first try"
    place = follow.Place()
    pieces = fake.client.follow("7", place=place)
    assert await asyncio.wait_for(anext(pieces), 5) == b"first try"
    await pieces.aclose()
    assert place == follow.Place(attempt=1, offset=9)
    fake.outputs = {1: b"first try, and more", 2: b"second try"}
    fake.ended |= {1, 2}
    fake.fence, fake.task_state = 2, TaskState.COMPLETED
    rest = b"".join([piece async for piece in fake.client.follow("7", place=place)])
    assert rest == b", and more" + b"second try"
    assert place == follow.Place(attempt=2, offset=10)
    await fake.stop()


async def test_each_piece_says_where_it_stands_and_when_it_came() -> None:
    fake = await FakeCoordinator().start()
    fake.outputs[1] = b"0123456789abc"
    fake.came = [(10, 5.0), (13, 6.0)]
    pieces = fake.client.pieces("7", place=follow.Place(attempt=1, offset=4))
    assert await asyncio.wait_for(anext(pieces), 5) == follow.Piece(1, 4, b"456789abc", fake.came)
    following = asyncio.ensure_future(anext(pieces))
    await _idle(fake)
    fake.outputs[1] += b"def"
    fake.came = [(16, 7.0)]
    await fake.say_live(11, b"bcdef")
    assert await asyncio.wait_for(following, 5) == follow.Piece(1, 13, b"def", fake.came)
    await pieces.aclose()
    await fake.stop()


async def test_live_pieces_need_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "RECHECK_S", 3600.0)
    fake = await FakeCoordinator().start()
    pieces = fake.client.follow("7.0")
    first = asyncio.ensure_future(anext(pieces))
    await _idle(fake)
    asked = len(fake.asked)
    fake.outputs[1] = b"live"
    await fake.say_live(0, b"other", stream=Stream.STDERR)
    await fake.say_live(0, b"live")
    assert await asyncio.wait_for(first, 5) == b"live"
    assert len(fake.asked) == asked
    await pieces.aclose()
    await fake.stop()


async def test_a_rank_of_a_gang_has_an_output_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "RECHECK_S", 3600.0)
    fake = await FakeCoordinator().start()
    pieces = fake.client.follow("7.0:2")
    first = asyncio.ensure_future(anext(pieces))
    await _idle(fake)
    fake.outputs[1] = b"rank 2"
    await fake.say_live(0, b"rank 0")
    await fake.say_live(0, b"rank 2", rank=2)
    assert await asyncio.wait_for(first, 5) == b"rank 2"
    assert {request.task for request in fake.asked if isinstance(request, LogQuery | LogFollow)} == {"7.0:2"}
    await pieces.aclose()
    await fake.stop()


async def test_a_late_piece_of_an_older_attempt_is_not_given_out() -> None:
    fake = await FakeCoordinator().start()
    fake.fence, fake.outputs = 2, {1: b"first", 2: b""}
    reading = asyncio.create_task(read(fake))
    await _idle(fake)
    await fake.say_live(0, b"first", fence=1)
    await _idle(fake)
    fake.outputs[2] = b"second"
    fake.ended.add(2)
    fake.task_state = TaskState.COMPLETED
    await fake.say_task()
    assert await asyncio.wait_for(reading, 5) == b"second"
    await fake.stop()


class Piece(NamedTuple):
    """`caught_up`: the reader waits for live pieces before this one is written."""

    size: int
    fate: str
    caught_up: bool


PIECES = st.builds(
    Piece,
    st.integers(1, 12),
    st.sampled_from(["live", "lost", "twice", "late", "overlapping"]),
    st.booleans(),
)


@given(st.lists(PIECES, min_size=1, max_size=12))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([Piece(4, "live", True), Piece(4, "twice", True), Piece(4, "lost", True), Piece(4, "live", False)])
@example(
    [Piece(4, "live", True), Piece(4, "overlapping", True), Piece(4, "late", True), Piece(4, "live", True)]
)
def test_every_byte_once_and_in_order(pieces: list[Piece]) -> None:
    asyncio.run(asyncio.wait_for(_every_byte(pieces), 30))


async def _idle(fake: FakeCoordinator) -> None:
    """Until the reader has asked for all there is and waits for live pieces."""
    asked = -1
    while asked != len(fake.asked):
        asked = len(fake.asked)
        for _ in range(30):
            await asyncio.sleep(0)


async def _every_byte(pieces: list[Piece]) -> None:
    fake = await FakeCoordinator().start()
    received = bytearray()

    async def read_on() -> None:
        async for piece in fake.client.follow("7"):
            received.extend(piece)

    reading = asyncio.create_task(read_on())
    held: list[tuple[int, bytes]] = []
    for number, piece in enumerate(pieces):
        if piece.caught_up:
            await _idle(fake)
        offset, data = len(fake.outputs[1]), bytes([number]) * piece.size
        if piece.fate == "overlapping":
            back = min(3, offset)
            offset, data = offset - back, fake.outputs[1][offset - back :] + data
        fake.outputs[1] = fake.outputs[1][:offset] + data
        if piece.fate == "late":
            held.append((offset, data))
        for _ in range({"late": 0, "lost": 0, "twice": 2}.get(piece.fate, 1)):
            await fake.say_live(offset, data)
        await asyncio.sleep(0)
    for offset, data in held:
        await fake.say_live(offset, data)
    fake.ended.add(1)
    fake.task_state = TaskState.COMPLETED
    await fake.say_task()
    await reading
    assert bytes(received) == fake.outputs[1]
    await fake.stop()
