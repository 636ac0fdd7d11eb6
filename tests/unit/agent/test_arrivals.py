"""Output is dated by what was seen: never too early, in bounded room, and for good."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.guard.arrivals import ANSWERED_MAX, MARKS_MAX, Arrivals, unpack_arrivals
from agent.guard.wire import STDERR, STDOUT


def of_sizes(*marks: tuple[int, float]) -> Arrivals:
    arrivals = Arrivals()
    for size, at in marks:
        arrivals.note(STDOUT, size, at)
    return arrivals


def test_a_piece_has_the_marks_that_date_it_and_no_others() -> None:
    arrivals = of_sizes((10, 1.0), (20, 2.0), (30, 3.0), (40, 4.0))
    assert arrivals.covering(STDOUT, 10, 25) == [(20, 2.0), (30, 3.0)]
    assert arrivals.covering(STDOUT, 0, 10) == [(10, 1.0)]
    assert arrivals.covering(STDOUT, 35, 99) == [(40, 4.0)]
    assert arrivals.covering(STDOUT, 40, 99) == []
    assert arrivals.covering(STDOUT, 7, 7) == []
    assert arrivals.covering(STDERR, 0, 99) == []


def test_what_did_not_grow_says_nothing_new() -> None:
    assert of_sizes((10, 1.0), (10, 2.0), (3, 3.0)).covering(STDOUT, 0, 9) == [(10, 1.0)]


def test_a_clock_that_was_set_back_turns_no_order_round() -> None:
    assert of_sizes((1, 50.0), (2, 20.0)).covering(STDOUT, 0, 2) == [(1, 50.0), (2, 50.0)]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3 * MARKS_MAX))
def test_room_is_bounded_and_no_byte_is_dated_before_it_was_there(steps: list[int]) -> None:
    arrivals, size, grown = Arrivals(), 0, []
    for at, step in enumerate(steps, 1):
        size += step
        grown.append((size, float(at)))
        arrivals.note(STDOUT, size, float(at))
    marks = arrivals.covering(STDOUT, 0, size)
    assert len(marks) <= ANSWERED_MAX
    assert set(marks) <= set(grown), "only what was seen"
    assert marks[-1] == grown[-1]
    assert marks == sorted(marks)


def test_a_file_gives_back_what_was_put_into_it_and_another_nothing() -> None:
    arrivals = of_sizes((10, 1.5), (20, 2.5))
    arrivals.note(STDERR, 3, 9.0)
    again = unpack_arrivals(arrivals.pack())
    assert again.covering(STDOUT, 0, 20) == [(10, 1.5), (20, 2.5)]
    assert again.covering(STDERR, 0, 3) == [(3, 9.0)]
    for garbage in (b"", arrivals.pack()[:-3], b"\x93\x01\x02\x03", b"\xc0", b"\x92\x01\x02", b"\xff" * 9):
        assert unpack_arrivals(garbage).is_empty
