"""A modal to type into: it gets what was typed while it opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from textual.screen import ModalScreen

from tui.leaving import Leaving

if TYPE_CHECKING:
    from tui.app import Console

T = TypeVar("T")


class FormScreen(ModalScreen[T], Leaving[T]):
    """Whoever opens one has the console hold the keys first."""

    def on_descendant_focus(self) -> None:
        """A line is typed into now."""
        cast("Console", self.app).give_keys()
