"""The last line says keys whole, or not at all, and always the one for help."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.hints import Hint, fitting

HELP: Hint = ("?", "help", "app.help")
LEAVE: Hint = ("q", "leave", "app.quit")
FIND: Hint = ("/", "find", "screen.find")
WIDER: Hint = ("e", "up to now, whatever was looked at", "screen.end")


def test_the_last_goes_first_and_help_stays() -> None:
    assert fitting([FIND, WIDER, HELP], width=80) == [FIND, WIDER, HELP]
    assert fitting([FIND, WIDER, HELP], width=30) == [FIND, HELP]
    assert fitting([FIND, HELP, LEAVE, WIDER], width=30) == [FIND, HELP, LEAVE]
    assert fitting([FIND, HELP, LEAVE], width=17) == [FIND, HELP]
    assert fitting([WIDER, FIND], width=3) == [WIDER]


@given(st.permutations([HELP, LEAVE, FIND, WIDER]), st.integers(1, 100))
def test_what_is_left_fits_in_its_order(hints: list[Hint], width: int) -> None:
    kept = fitting(hints, width=width)
    assert HELP in kept
    assert kept == [hint for hint in hints if hint in kept]
    line = " " + "   ".join(f"{key} {label}" for key, label, _ in kept)
    assert len(line) <= width or len(kept) == 1
