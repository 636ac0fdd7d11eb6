"""Output becomes lines that are safe, bounded and complete, however it is cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.view.lines import LINE_CHARS_MAX, Line, LineCutter, find_line


def cut(*pieces: bytes) -> list[str]:
    cutter = LineCutter()
    lines = [line.text for piece in pieces for line in cutter.feed(piece)]
    return lines + [line.text for line in cutter.feed(b"", final=True)]


def test_lines_end_at_newlines_returns_and_the_end() -> None:
    assert cut(b"a\nb\r\nc\rd") == ["a", "b", "c", "d"]
    assert cut(b"a\r", b"\nb") == ["a", "b"]
    assert cut(b"50 %\r", b"51 %\r", b"done\n") == ["50 %", "51 %", "done"]
    assert cut(b"\n\n") == ["", ""]
    assert cut("s\u00fc\u00df".encode()[:2], "s\u00fc\u00df".encode()[2:]) == ["s\u00fc\u00df"]


def test_escapes_are_spelled_out_and_tabs_become_blanks() -> None:
    assert cut(b"\x1b[2Jx\ty") == ["␛[2Jx   y"]


def test_an_endless_line_is_cut_and_nothing_of_it_is_lost() -> None:
    lines = cut(*[b"x" * 1_000_003] * 3)
    assert sum(map(len, lines)) == 3_000_009 and max(map(len, lines)) == LINE_CHARS_MAX


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    assert cut(*pieces) == cut(b"".join(pieces))


def test_search_goes_round_in_both_directions_and_ignores_case() -> None:
    lines = [Line("Alpha"), Line("beta"), Line("ALPHABET"), Line("")]
    assert find_line(lines, "alpha", 0, forward=True) == 2
    assert find_line(lines, "alpha", 2, forward=True) == 0
    assert find_line(lines, "alpha", 0, forward=False) == 2
    assert find_line(lines, "alpha", -1, forward=True) == 0
    assert find_line(lines, "zeta", 0, forward=True) is None
    assert find_line([], "a", 0, forward=True) is None
