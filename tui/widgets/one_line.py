"""A line that is painted again only where it reads differently, and never asks for a new layout."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.text import Text
from textual.events import Click
from textual.widgets import Static


class Link(Struct, frozen=True):
    """The cells from `start` to before `end`, and the action that a click on them runs."""

    start: int
    end: int
    action: str


class OneLine(Static):
    """One line high by its style: so what it says cannot move anything else."""

    def __init__(self, *, id: str, classes: str | None = None) -> None:
        super().__init__("", markup=False, id=id, classes=classes)
        self._said: Text | None = None
        self._links: Sequence[Link] = ()

    def say(self, text: Text, *, links: Sequence[Link] = ()) -> None:
        """Show `text`. Links are told apart from it: no text can bring one along."""
        self._links = links
        if self._said is None or (text, text.style) != (self._said, self._said.style):
            self._said = text
            self.update(text, layout=False)

    def on_click(self, event: Click) -> None:
        """Follow a link. It may take this line away: so it is the application that follows, not the line."""
        for link in self._links:
            if link.start <= event.x < link.end:
                event.stop()
                self.app.call_next(self.app.run_action, link.action)
                return
