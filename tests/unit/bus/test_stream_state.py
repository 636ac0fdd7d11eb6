"""Byte streams as a state machine: whatever the wire loses, repeats or reorders, the bytes arrive once."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.stream_frames import (
    FRAME_BYTES,
    WINDOW_FIRST_BYTES,
    FrameError,
    Piece,
    Reset,
    decode_frame,
    encode_frame,
)
from bus.stream_state import KEEP_ALIVE_S, PEER_TIMEOUT_S, RESEND_FIRST_S, WINDOW_BYTES, StreamState

SMALL = WINDOW_FIRST_BYTES


class Pair:
    """Two ends and the wire between them, on a clock of their own."""

    def __init__(self, *, window_bytes: int = SMALL) -> None:
        self.now_s = 100.0
        self.ends = [StreamState(self.now_s, window_bytes=window_bytes) for _ in range(2)]
        self.wire: list[list[bytes]] = [[], []]

    def send(self, side: int) -> None:
        """What `side` has to say is put on the wire."""
        self.wire[side] += [encode_frame(frame) for frame in self.ends[side].frames(self.now_s)]

    def carry(self, side: int) -> None:
        """What `side` put on the wire arrives."""
        carried, self.wire[side] = self.wire[side], []
        for data in carried:
            self.ends[1 - side].receive(decode_frame(data), self.now_s)

    def exchange(self, rounds: int = 8) -> None:
        for _ in range(rounds):
            for side in (0, 1):
                self.send(side)
                self.carry(side)

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        for end in self.ends:
            end.tick(self.now_s)


def taken(end: StreamState, limit: int = 1 << 30) -> bytes:
    """All that waits to be read."""
    parts = []
    while end.waiting:
        parts.append(end.read(limit))
    return b"".join(parts)


def test_bytes_and_ends_arrive_in_both_directions() -> None:
    pair = Pair()
    left, right = pair.ends
    assert left.write(b"question") == 8
    left.end()
    pair.exchange()
    assert (taken(right), right.at_end, left.delivered) == (b"question", True, True)
    assert not left.over, "the other direction goes on"
    right.write(b"answer")
    right.end()
    pair.exchange()
    assert (taken(left), left.at_end, left.over, right.over) == (b"answer", True, True, True)


def test_a_slow_reader_holds_one_window_and_no_more() -> None:
    pair = Pair()
    left, right = pair.ends
    offered = 0
    for _ in range(50):
        offered += left.write(bytes(SMALL))
        pair.exchange(1)
    assert right.waiting <= SMALL
    assert offered <= 2 * SMALL, "what waits there, and as much waits here"
    assert left.room == 0
    while right.waiting:
        right.read(1000)
        pair.exchange(1)
    assert left.delivered and left.room == SMALL


def test_a_window_that_opens_is_told_without_being_asked() -> None:
    pair = Pair()
    left, right = pair.ends
    left.write(bytes(SMALL))
    pair.exchange()
    left.write(b"rest")
    pair.exchange()
    assert not left.delivered
    taken(right)
    assert right.has_word
    pair.exchange()
    assert taken(right) == b"rest"


def test_what_is_lost_is_sent_again_after_a_while() -> None:
    pair = Pair()
    left, right = pair.ends
    pair.exchange()
    left.write(b"lost")
    pair.send(0)
    pair.wire[0].clear()
    assert left.deadline_s == pytest.approx(pair.now_s + RESEND_FIRST_S)
    pair.pass_time(RESEND_FIRST_S)
    pair.exchange()
    assert taken(right) == b"lost"


def test_a_gap_is_asked_for_at_once_and_once() -> None:
    pair = Pair(window_bytes=WINDOW_BYTES)
    left, right = pair.ends
    pair.exchange()
    left.write(bytes(4 * FRAME_BYTES))
    pair.send(0)
    assert len(pair.wire[0]) == 4
    del pair.wire[0][0]
    pair.carry(0)
    pair.send(1)
    pair.carry(1)
    pair.send(0)
    again = [decode_frame(data) for data in pair.wire[0]]
    assert [len(frame.data) for frame in again if isinstance(frame, Piece)] == [FRAME_BYTES] * 4
    pair.carry(0)
    pair.exchange()
    assert len(taken(right)) == 4 * FRAME_BYTES and left.delivered


def test_a_reconnect_sends_what_was_on_its_way_at_once() -> None:
    pair = Pair()
    left, right = pair.ends
    pair.exchange()
    left.write(b"one")
    pair.send(0)
    left.write(b"two")
    pair.send(0)
    pair.wire[0].clear()
    left.reconnected(pair.now_s)
    pair.exchange()
    assert taken(right) == b"onetwo"


def test_time_without_answer_tries_one_piece_not_all() -> None:
    pair = Pair(window_bytes=WINDOW_BYTES)
    left, _ = pair.ends
    pair.exchange()
    left.write(bytes(4 * FRAME_BYTES))
    pair.send(0)
    pair.wire[0].clear()
    pair.pass_time(RESEND_FIRST_S)
    pair.send(0)
    assert len(pair.wire[0]) == 1


def test_an_idle_stream_gives_signs_of_life_and_stays() -> None:
    pair = Pair()
    for _ in range(20):
        pair.exchange(1)
        pair.pass_time(KEEP_ALIVE_S)
    assert [end.failure for end in pair.ends] == [None, None]


def test_a_direction_waits_for_hours_after_the_other_has_ended() -> None:
    """As a web socket's does that is told of something now and then; each tenth word is lost."""
    pair = Pair()
    left, right = pair.ends
    left.end()
    pair.exchange()
    assert right.at_end
    for word in range(int(12 * 3_600 / KEEP_ALIVE_S)):
        pair.pass_time(KEEP_ALIVE_S)
        for side in (0, 1):
            pair.send(side)
            if (word + side) % 10:
                pair.carry(side)
            else:
                pair.wire[side].clear()
    assert [end.failure for end in pair.ends] == [None, None]
    right.write(b"news")
    right.end()
    for _ in range(9):
        pair.exchange()
        pair.pass_time(RESEND_FIRST_S)
    assert (taken(left), left.at_end, left.over, right.over) == (b"news", True, True, True)


def test_a_peer_that_vanished_is_given_up() -> None:
    pair = Pair()
    left = pair.ends[0]
    pair.exchange()
    left.write(b"anybody?")
    while left.failure is None:
        assert left.deadline_s is not None and left.deadline_s <= pair.now_s + KEEP_ALIVE_S
        pair.now_s += 1.0
        left.tick(pair.now_s)
        list(left.frames(pair.now_s))
    assert left.failure.code == "E_STREAM_LOST"
    assert pair.now_s == 100.0 + PEER_TIMEOUT_S
    assert left.deadline_s is None and left.room == 0


def test_a_reset_reaches_the_other_end_though_its_frame_is_lost() -> None:
    pair = Pair()
    left, right = pair.ends
    pair.exchange()
    left.reset("E_PORT", "nothing listens there")
    pair.send(0)
    pair.wire[0].clear()
    right.write(b"still talking")
    pair.exchange()
    assert right.failure == Reset("E_PORT", "nothing listens there")
    assert not right.waiting and right.over and left.over


def test_a_reset_after_the_end_changes_nothing() -> None:
    pair = Pair()
    left, right = pair.ends
    left.end()
    right.end()
    pair.exchange()
    left.reset("E_STREAM_LEFT")
    left.receive(Reset("E_STREAM_GONE"), pair.now_s)
    assert left.over and left.failure is None


def test_a_last_word_that_was_lost_is_said_again() -> None:
    pair = Pair()
    left, right = pair.ends
    pair.exchange()
    left.end()
    right.end()
    pair.send(0)
    pair.carry(0)
    pair.send(1)
    pair.carry(1)
    pair.send(0)
    pair.wire[0].clear()
    assert left.over and not right.over
    pair.pass_time(RESEND_FIRST_S)
    pair.exchange()
    assert right.over


@pytest.mark.parametrize(
    "frame",
    [
        Piece(offset=SMALL + 1, ack=0, limit=0, data=b"x" * 10),
        Piece(offset=0, ack=0, limit=0, data=b"x" * (SMALL + 1)),
        Piece(offset=0, ack=1, limit=0),
    ],
    ids=["far ahead", "more than granted", "acknowledges what was not sent"],
)
def test_a_peer_that_breaks_the_rules_is_cut_off(frame: Piece) -> None:
    end = StreamState(0.0, window_bytes=SMALL)
    end.receive(frame, 0.0)
    assert end.failure is not None and end.failure.code == "E_STREAM"
    assert end.failure in list(end.frames(0.0))


def test_bytes_after_the_end_break_the_rules() -> None:
    end = StreamState(0.0, window_bytes=SMALL)
    end.receive(Piece(0, 0, 0, b"ab", True), 0.0)
    end.receive(Piece(0, 0, 0, b"ab", True), 0.0)
    assert end.failure is None and taken(end) == b"ab" and end.at_end
    end.receive(Piece(3, 0, 0, b"c"), 0.0)
    assert end.failure is not None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    try:
        frame = decode_frame(data)
    except FrameError:
        return
    end = StreamState(0.0, window_bytes=SMALL)
    end.receive(frame, 0.0)
    assert end.waiting <= SMALL


@given(
    offsets=st.tuples(*[st.integers(0, 2**62)] * 3),
    data=st.binary(max_size=100),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_frames_come_back_as_they_were(
    offsets: tuple[int, int, int], data: bytes, flags: tuple[bool, bool]
) -> None:
    frame = Piece(*offsets, data, *flags)
    assert decode_frame(encode_frame(frame)) == frame


def test_a_frame_that_is_none_says_so() -> None:
    for data in (
        b"",
        b"{}",
        b"\xc1",
        encode_frame(Reset("E" * 41)),
        encode_frame(Piece(0, 0, 0, bytes(FRAME_BYTES + 1))),
    ):
        with pytest.raises(FrameError):
            decode_frame(data)


def hurt(frames: list[bytes], chance: random.Random, severity: float) -> list[bytes]:
    """Some lost, some twice, some out of order."""
    kept = [data for data in frames if chance.random() >= severity]
    kept += [data for data in frames if chance.random() < severity]
    if chance.random() < severity:
        chance.shuffle(kept)
    return kept


@given(
    seed=st.integers(0, 2**32),
    sizes=st.tuples(st.integers(0, 5 * SMALL), st.integers(0, 5 * SMALL)),
    severity=st.sampled_from([0.0, 0.1, 0.5]),
    bites=st.sampled_from([1000, 30_000, 10 * SMALL]),
)
def test_whatever_the_wire_does_all_bytes_arrive_once_and_in_order(
    seed: int, sizes: tuple[int, int], severity: float, bites: int
) -> None:
    chance = random.Random(seed)
    pair = Pair()
    texts = [chance.randbytes(size) for size in sizes]
    written, read = [0, 0], [b"", b""]
    begin_s = pair.now_s
    for _ in range(3000):
        # a wire that never heals is none: by chance, nothing might come through for as long as an end waits
        calm = pair.now_s - begin_s > PEER_TIMEOUT_S / 2
        for side, end in enumerate(pair.ends):
            written[side] += end.write(memoryview(texts[side])[written[side] :][:bites])
            if written[side] == len(texts[side]):
                end.end()
            if chance.random() < 0.7:
                read[side] += end.read(bites)
            pair.send(side)
            if not calm:
                pair.wire[side] = hurt(pair.wire[side], chance, severity)
            pair.carry(side)
            assert end.waiting <= SMALL
        if all(end.over and not end.waiting for end in pair.ends):
            break
        pair.pass_time(chance.choice([0.0, 0.01, 0.5]))
    assert [end.failure for end in pair.ends] == [None, None]
    assert read[0] == texts[1] and read[1] == texts[0]
    assert all(end.over for end in pair.ends)


@given(seed=st.integers(0, 2**32), at=st.integers(0, 30), severity=st.sampled_from([0.0, 0.3]))
def test_a_reset_at_any_moment_leaves_a_prefix_and_ends_both(seed: int, at: int, severity: float) -> None:
    chance = random.Random(seed)
    pair = Pair()
    text = chance.randbytes(3 * SMALL)
    written, read = 0, b""
    for turn in range(400):
        if turn == at:
            pair.ends[chance.randrange(2)].reset("E_STREAM_LEFT")
        written += pair.ends[0].write(memoryview(text)[written:])
        read += pair.ends[1].read(SMALL)
        for side in (0, 1):
            pair.send(side)
            pair.wire[side] = hurt(pair.wire[side], chance, severity)
            pair.carry(side)
        pair.pass_time(0.3)
    assert text.startswith(read)
    assert all(end.failure is not None and end.failure.code == "E_STREAM_LEFT" for end in pair.ends)
