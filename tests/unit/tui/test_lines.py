"""Output becomes lines that are safe, bounded, complete and dated, however it is cut into pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.view.inks import Ink
from tui.view.lines import LINE_CHARS_MAX, Line, LineCutter, find_line
from tui.view.painting import needle_spans, runs_of
from tui.view.safe import safe_line, text_width
from tui.view.wrapping import row_count, wrapped


def lines_of(*pieces: bytes, came: list[tuple[int, float]] | None = None) -> list[Line]:
    cutter = LineCutter()
    lines = [line for piece in pieces for line in cutter.feed(piece, came=came or [])]
    return lines + cutter.feed(b"", final=True)


def cut(*pieces: bytes) -> list[str]:
    return [line.text for line in lines_of(*pieces)]


PRINTED = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b"\t", b"\x1b[31m", b"\x1b[0m", b"\x1b[2J", b"\x1b[38;5;9", "ก้".encode()]
        ),
    ),
    max_size=12,
).map(b"".join)


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


def test_an_endless_line_is_not_cut_within_a_character() -> None:
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(cut(("ก" * 9_000).encode()))


@given(st.lists(PRINTED, max_size=8))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    assert lines_of(*pieces) == lines_of(b"".join(pieces))


@given(PRINTED)
def test_lines_cover_the_stream_without_a_gap(data: bytes) -> None:
    lines = lines_of(data)
    assert [line.offset for line in lines] == [0, *(line.end for line in lines)][: len(lines)]
    assert (lines[-1].end if lines else 0) == len(data)


@given(PRINTED)
def test_no_control_byte_is_left_and_the_width_is_what_is_painted(data: bytes) -> None:
    for line in lines_of(data):
        assert safe_line(line.text) == line.text
        assert all(ord(sign) >= 0x20 and not 0x7F <= ord(sign) < 0xA0 for sign in line.text)
        assert all(0 <= ink.begin < ink.end <= len(line.text) for ink in line.inks)
        runs = runs_of(line, needle_spans(line.text, "a*b"), begin=0, end=len(line.text))
        assert "".join(line.text[run.begin : run.end] for run in runs) == line.text


@given(st.text(st.sampled_from("abกี้日🚀e\u0301 "), max_size=60), st.integers(2, 12))
def test_rows_of_a_wrapped_line_fit_and_hold_all_of_it(text: str, width: int) -> None:
    rows = wrapped(text, width)
    assert "".join(text[begin:end] for begin, end in rows) == text
    assert all(text_width(text[begin:end]) <= width for begin, end in rows)
    assert row_count(text, width) == len(rows)


def test_a_line_is_dated_by_the_first_look_that_saw_its_end() -> None:
    lines = lines_of(b"one\ntwo\nthr", b"ee\nfour", came=[(4, 1.0), (11, 2.0), (14, 3.0)])
    assert [line.at for line in lines] == [1.0, 2.0, 3.0, None]


def test_colours_become_tones_and_hold_until_they_are_switched_off() -> None:
    first, second, third = lines_of(b"\x1b[1;31mbad\x1b[0m good\n\x1b[32mfine\nstill\n")
    assert (first.text, first.inks) == ("bad good", (Ink(0, 3, "bad", bold=True),))
    assert (second.inks, third.inks) == ((Ink(0, 4, "ok"),), (Ink(0, 5, "ok"),))


def test_colours_of_every_depth_come_near() -> None:
    tones = {
        b"38;5;9": "bad",
        b"38;5;46": "ok",
        b"38;2;250;240;20": "warn",
        b"38;2;10;10;200": "busy",
        b"95": "wait",
        b"90": "idle",
        b"38;5;236": "idle",
    }
    for code, tone in tones.items():
        (line,) = lines_of(b"\x1b[" + code + b"mx\n")
        assert line.inks == (Ink(0, 1, tone),), code
    for code in (b"37", b"48;2;1;2;3", b"38;5", b"38;9;9", b"999", b""):
        assert lines_of(b"\x1b[" + code + b"mx\n") == [Line("x", offset=0, end=len(code) + 5)], code


def test_a_hundred_thousand_colours_in_one_line_are_painted_in_one_pass() -> None:
    (line,) = lines_of(b"\x1b[31mx\x1b[32my" * 300 + b"\n")
    runs = runs_of(line, needle_spans(line.text, "x"), begin=0, end=len(line.text))
    assert len(runs) == 600 and all(run.is_found == (run.begin % 2 == 0) for run in runs)


def test_what_is_looked_for_is_painted_where_all_of_it_is_there() -> None:
    assert needle_spans("Loss is NaN, loss", "loss*nan") == [(0, 4), (13, 17), (8, 11)]
    assert needle_spans("nan loss", "loss*nan") == []


def test_search_goes_round_in_both_directions_and_ignores_case() -> None:
    lines = [Line("Alpha"), Line("beta"), Line("ALPHABET"), Line("")]
    assert find_line(lines, "alpha", 0, forward=True) == 2
    assert find_line(lines, "alpha", 2, forward=True) == 0
    assert find_line(lines, "alpha", 0, forward=False) == 2
    assert find_line(lines, "alpha", -1, forward=True) == 0
    assert find_line(lines, "zeta", 0, forward=True) is None
    assert find_line([], "a", 0, forward=True) is None
