"""What reaches a terminal can neither drive it nor deceive the eye."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.view.safe import SafeStream, fit, safe_line, safe_text, text_width

ALLOWED_CONTROLS = {"\n", "\t"}


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J", "␛[2J"),
        ("\x1b]52;c;ZXZpbA==\x07", "␛]52;c;ZXZpbA==␇"),
        ("\x9b31m", "\\x9b31m"),
        ("gnp.\u202eexe", "gnp.\\u202eexe"),
        ("a\u200bb", "a\\u200bb"),
        ("a\rb\x7f", "a␍b␡"),
        ("\ufeffx", "\\ufeffx"),
        ("\udc80", "\\udc80"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_could_drive_a_terminal_is_spelled_out(hostile: str, shown: str) -> None:
    assert safe_text(hostile) == shown


@pytest.mark.parametrize("text", ["plain", "[bold]not markup[/]", "สวัสดี", "日本語", "🚀", "a\tb\nc", "naïve"])
def test_plain_text_of_any_script_stays(text: str) -> None:
    assert safe_text(text) == text


@pytest.mark.parametrize(
    ("joined", "shown", "cells"),
    [
        ("👩\u200d👩\u200d👧\u200d👦", "👩👩👧👦", 8),
        ("❤\ufe0f\u200d🔥", "❤🔥", 3),
        ("👍🏽 ok", "👍 ok", 5),
        ("x\u200dy", "x\\u200dy", 8),
        ("a\ufe0f", "a\\ufe0f", 7),
        ("🚀\u200dx", "🚀\\u200dx", 9),
        ("\u3164", "\\u3164", 6),
    ],
)
def test_all_terminals_draw_emoji_alike_and_hidden_letters_are_spelled(
    joined: str, shown: str, cells: int
) -> None:
    assert safe_text(joined) == shown
    assert text_width(shown) == cells


@pytest.mark.contract("S3.1")
@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("สวัสดีชาวโลก", 10),
        ("วิเคราะห์ข้อมูล", 11),
        ("ก็", 1),
        ("数据处理", 8),
        ("한국어", 6),
        ("e\u0301", 1),
        ("🚀", 2),
    ],
)
def test_a_column_is_as_wide_as_what_a_terminal_draws(text: str, cells: int) -> None:
    assert text_width(safe_line(text)) == cells
    assert text_width(fit(safe_line(text), cells + 3)) == cells + 3


JOINING = st.text(st.sampled_from("👩❤🚀x \u200d\ufe0f\U0001f3fd\ufe0e"))


@given(JOINING, st.lists(st.integers(0, 12)))
def test_pieces_of_joined_emoji_read_as_the_whole(text: str, cuts: list[int]) -> None:
    test_pieces_of_a_stream_read_as_the_whole.hypothesis.inner_test(text.encode(), cuts)  # type: ignore[attr-defined]


@given(st.text(st.characters()))
def test_no_control_or_format_character_survives(text: str) -> None:
    shown = safe_text(text)
    for character in shown:
        category = unicodedata.category(character)
        assert category not in ("Cc", "Cs") or character in ALLOWED_CONTROLS
        assert unicodedata.bidirectional(character) not in (
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        )
    assert safe_text(shown) == shown
    shown.encode()


@given(st.text())
def test_a_line_stays_one_line(text: str) -> None:
    assert len(safe_line(text).splitlines()) <= 1


@given(st.text(), st.integers(1, 40))
def test_a_cell_takes_exactly_its_width(text: str, width: int) -> None:
    assert text_width(fit(safe_line(text), width)) == width


@pytest.mark.parametrize("letter", ["x", "ก", "数", "e\u0301"])
def test_of_a_megabyte_what_one_sees_is_cut(letter: str) -> None:
    cut = fit(letter * 500_000, 10)
    assert text_width(cut) == 10 and cut.rstrip().endswith("…") and len(cut) <= 20
    assert fit(letter * 3, 3 * text_width(letter)) == letter * 3


def test_a_letter_under_a_heap_of_marks_is_cut_as_well() -> None:
    assert text_width(heap := fit("e" + "\u0301" * 100, 2)) == 2 and heap.endswith("…")
    assert fit("x", 0) == ""


@given(st.binary(), st.lists(st.integers(0, 50)))
def test_pieces_of_a_stream_read_as_the_whole(data: bytes, cuts: list[int]) -> None:
    stream, shown, rest = SafeStream(), "", data
    for cut in cuts:
        shown += stream.feed(rest[:cut])
        rest = rest[cut:]
    shown += stream.feed(rest, final=True)
    assert shown == safe_text(data.decode("utf-8", "replace"))
