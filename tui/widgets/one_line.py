"""A line that is painted again only where it reads differently, and never asks for a new layout."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static


class OneLine(Static):
    """One line high by its style: so what it says cannot move anything else."""

    def __init__(self, *, id: str) -> None:
        super().__init__("", markup=False, id=id)
        self._said: Text | None = None

    def say(self, text: Text) -> None:
        """Show `text`."""
        if self._said is None or (text, text.style) != (self._said, self._said.style):
            self._said = text
            self.update(text, layout=False)
