"""What every modal is: a box above the screen. Its looks are read with the first one, not at every start."""

from __future__ import annotations

from typing import TypeVar

from textual.screen import ModalScreen

from tui.leaving import Leaving

T = TypeVar("T")


class Modal(ModalScreen[T], Leaving[T]):
    """Yields the box; dismissed with what was chosen."""

    DEFAULT_CSS = """
    Modal { align: center middle; }
    .box {
        width: auto; max-width: 90%; height: auto; max-height: 90%; padding: 1 2;
        border: round $primary; background: $surface;
    }
    .box Static { width: auto; max-width: 100%; }
    Modal.-flat .box, Modal.-low .box { padding: 0 1; }
    .box .about { color: $text-muted; margin-bottom: 1; }
    .question { text-style: bold; }
    .command { color: $text-accent; margin: 1 0; }
    .answers { color: $text-muted; }
    .left-out { color: $text-warning; margin-top: 1; }
    .outlook { color: $text-muted; }
    #deed-said { color: $text-muted; margin-top: 1; }
    """
