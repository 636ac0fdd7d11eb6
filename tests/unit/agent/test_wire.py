"""Frames survive any cutting of the stream; what the two processes must agree on, they do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.guard import client, files, wire
from bus.values import OUTPUT_LIMIT, Outcome, Resources


@given(
    st.lists(st.lists(st.integers(0, 2**40) | st.binary(max_size=50) | st.text(max_size=9), min_size=1)),
    st.integers(1, 40),
)
def test_frames_survive_any_cutting(frames: list[list[object]], step: int) -> None:
    stream = b"".join(wire.pack(*frame) for frame in frames)
    buffer = bytearray()
    found: list[list[object]] = []
    for start in range(0, len(stream), step):
        buffer += stream[start : start + step]
        found += map(list, wire.unpack_all(buffer))
    assert found == frames and not buffer


def test_a_frame_beyond_all_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="no guard"):
        list(wire.unpack_all(bytearray(b"\xff" * 8)))


def test_the_agent_reads_what_the_guard_writes() -> None:
    exit_ = wire.Exit((1, 2, 3), wire.EXITED, 2.0, 1.0, 0, None, "", b"{}", b"", 4, 5, 0.5, 1.5)
    buffer = bytearray(wire.pack(wire.EVENTS, [((1, 2, 3), 42, 1.0)], [exit_]) + b"\0")
    (frame,) = client.frames(buffer)
    assert isinstance(frame, client.Events)
    assert frame.starts[0].pid == 42
    assert frame.exits[0].attempt == (1, 2, 3) and frame.exits[0].stderr_size == 5
    assert buffer == b"\0", "the start of the next frame stays"


def test_the_guards_own_constants_agree_with_the_shared_vocabulary() -> None:
    unstarted = {Outcome.LOST}  # the agent's word for what the guard never said
    words = {
        wire.EXITED,
        wire.SIGNALED,
        wire.TIMEOUT,
        wire.CANCELLED,
        wire.NOT_FOUND,
        wire.NOT_EXECUTABLE,
        wire.NOT_STARTED,
        wire.LEASE_EXPIRED,
    }
    assert words == set(Outcome) - unstarted
    assert wire.RETURNED not in set(Outcome)
    assert files.OUTPUT_LIMIT == OUTPUT_LIMIT
    assert Resources.__struct_fields__[wire.GPU_FIELD] == "gpus"
