"""A window on a big output holds a bounded part, without a gap, wherever one goes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.follow import Piece
from bus.values import Stream
from tui.client import log_window
from tui.client.fake import FakeCluster
from tui.client.fake_logs import ROW_BYTES, ROWS_MAX, row
from tui.client.fake_world import World
from tui.client.log_filter import LogFilter
from tui.client.log_window import BEFORE_LINES, LogWindow, Spot

BOTH = (Stream.STDOUT, Stream.STDERR)
OUT = (Stream.STDOUT,)


def printed(lines: int, word: str = "line") -> bytes:
    return b"".join(b"%s %d\n" % (word.encode(), number) for number in range(lines))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setattr(log_window, "STEP_BYTES", 1_000)
    monkeypatch.setattr(log_window, "HELD_LINES_MAX", 400)
    monkeypatch.setattr(log_window, "HELD_BYTES_MAX", 1_000_000)
    cluster = FakeCluster(World(seed=1, now_s=0.0, nodes=2, jobs=3))
    cluster.output = {Stream.STDOUT: [printed(5_000)]}
    return cluster


def texts(window: LogWindow) -> list[str]:
    return [line.text for line in window.lines]


def is_gapless(window: LogWindow) -> bool:
    return all(a.end == b.offset for a, b in zip(window.lines, window.lines[1:], strict=False))


async def test_it_opens_at_the_end_without_asking_for_the_rest(fake: FakeCluster) -> None:
    window = LogWindow("1.0", streams=OUT)
    await window.open_end(fake)
    assert texts(window)[-1] == "line 4999" and 50 < len(window.lines) < 150
    assert fake.asked.count("logs") == 2
    assert window.is_at_end and not window.is_at_begin and is_gapless(window)


async def test_back_to_the_first_byte_it_forgets_what_lies_behind(fake: FakeCluster) -> None:
    window = LogWindow("1.0", streams=OUT)
    await window.open_end(fake)
    seen = set(texts(window))
    while await window.step_back(fake):
        assert len(window.lines) <= 400 and is_gapless(window)
        seen.update(texts(window))
    assert window.is_at_begin and not window.is_at_end
    assert seen == {f"line {number}" for number in range(5_000)}
    while await window.step_on(fake):
        assert len(window.lines) <= 400 and is_gapless(window)
    assert window.is_at_end and texts(window)[-1] == "line 4999"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["back", "on", "begin", "end", "middle"]), max_size=12))
def test_any_walk_shows_consecutive_lines(walk: list[str]) -> None:
    cluster = FakeCluster(World(seed=1, now_s=0.0, nodes=2, jobs=3))
    cluster.output = {Stream.STDOUT: [printed(60_000)]}

    async def go() -> None:
        window = LogWindow("1.0", streams=OUT)
        await window.open_end(cluster)
        for step in walk:
            match step:
                case "back":
                    await window.step_back(cluster)
                case "on":
                    await window.step_on(cluster)
                case "begin":
                    await window.open_begin(cluster)
                case "end":
                    await window.open_end(cluster)
                case _:
                    await window.open_at(cluster, Spot(Stream.STDOUT, 300_000))
            numbers = [int(text.removeprefix("line ")) for text in texts(window)]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))

    asyncio.run(go())


async def test_two_streams_stand_in_the_order_in_which_they_came(fake: FakeCluster) -> None:
    window = LogWindow("1.0", streams=BOTH)
    window.attempt = 1
    window.take(Stream.STDOUT, Piece(1, 0, b"a\nb\n", [(2, 1.0), (4, 3.0)]))
    window.take(Stream.STDERR, Piece(1, 0, b"oh\n", [(3, 2.0)]))
    window._arrange()
    assert texts(window) == ["a", "oh", "b"]


async def test_live_pieces_and_a_later_attempt(fake: FakeCluster) -> None:
    fake.printing = True
    fake.output = {Stream.STDOUT: [b"one\ntw"]}
    window = LogWindow("1.0", streams=OUT)
    await window.open_end(fake)
    assert texts(window) == ["one"] and [rest.text for rest in window.rests] == ["tw"]
    assert [line.text for line in window.take(Stream.STDOUT, Piece(1, 4, b"two\nth"))] == ["two"]
    assert window.take(Stream.STDOUT, Piece(1, 99, b"far\n")) == [], "a gap is not papered over"
    window.take(Stream.STDOUT, Piece(2, 0, b"again\n"))
    between = "attempt 2 begins here; a shows attempt 1 whole"
    assert window.attempt == 2 and texts(window) == ["one", "two", "th", between, "again"]
    window.take(Stream.STDOUT, Piece(1, 10, b"late\n"))
    window.take(Stream.STDOUT, Piece(2, 6, b"on\n"))
    window._arrange()
    assert texts(window) == ["one", "two", "th", between, "again", "on"]
    assert window.index_of(Spot(Stream.STDOUT, 0)) == 4, "a place is one of this attempt"
    assert [window.share(line) for line in window.lines] == [0, 0, 0, 0, pytest.approx(6 / 9), 1]


async def test_of_the_attempt_before_only_the_end_stays(fake: FakeCluster) -> None:
    window = LogWindow("1.0", streams=OUT)
    window.attempt = 1
    window.take(Stream.STDOUT, Piece(1, 0, printed(5_000)))
    window.take(Stream.STDOUT, Piece(3, 0, b"again\n"))
    assert len(window.lines) == BEFORE_LINES + 2
    window.take(Stream.STDOUT, Piece(4, 0, b"once more\n"))
    assert texts(window) == ["again", "attempt 4 begins here; a shows attempt 3 whole", "once more"]


async def test_a_flood_leaves_a_bounded_rest(fake: FakeCluster) -> None:
    window = LogWindow("1.0", streams=OUT)
    window.attempt, offset = 1, 0
    for _ in range(20):
        data = printed(100)
        window.take(Stream.STDOUT, Piece(1, offset, data))
        offset += len(data)
        window.trim()
        assert len(window.lines) <= 400
    assert is_gapless(window) and window.lines[-1].end == offset


async def test_a_place_far_inside_leaves_the_other_big_stream_out(fake: FakeCluster) -> None:
    fake.output = {Stream.STDOUT: [printed(5_000)], Stream.STDERR: [printed(5_000, "oh")]}
    window = LogWindow("1.0", streams=BOTH)
    spot = Spot(Stream.STDERR, printed(2_500, "oh").__len__())
    await window.open_at(fake, spot)
    index = window.index_of(spot)
    assert index is not None and window.lines[index].text == "oh 2500"
    assert list(window.reaches) == [Stream.STDERR]


async def test_a_filter_pages_through_all_matches_with_context(fake: FakeCluster) -> None:
    found = LogFilter("1.0", "line *99", streams=BOTH, context=1)
    while not found.complete:
        await found.more(fake)
    matched = [line.text for line in found.lines if line.tone != "idle"]
    assert matched == [f"line {n}" for n in range(5_000) if "99" in str(n)]
    around = [line.text for line in found.lines[:5]]
    assert around == ["line 98", "line 99", "line 100", "⋯", "line 198"]


def test_the_demo_prints_a_hundred_megabytes_of_whole_rows() -> None:
    assert ROW_BYTES * ROWS_MAX > 100_000_000
    for number in (*range(400), ROWS_MAX - 1):
        text = row(400_001_200, number)
        assert len(text) == ROW_BYTES and text.endswith(b"\n") and text.decode()
