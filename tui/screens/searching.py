"""Looking for words in the lines of a screen: `/`, then `n` and `N`."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.binding import Binding

from tui.screens.live import LiveScreen
from tui.view.safe import safe_line
from tui.widgets.prompt import Prompt
from tui.widgets.virtual_log import VirtualLog


class Searching(LiveScreen):
    """For screens with one VirtualLog named `log`."""

    BINDINGS = [
        Binding("escape,minus", "back", "back", id="screen.back"),
        Binding("slash", "find", "find", priority=True, id="text.find"),
        Binding("n", "find_next(True)", "next place", show=False, id="text.next"),
        Binding("N", "find_next(False)", "place before", show=False, id="text.previous"),
    ]

    _needle = ""
    _place = (0, 0)

    @property
    def log_view(self) -> VirtualLog:
        """The lines."""
        return self.query_one("#log", VirtualLog)

    def facts_text(self) -> Text:
        """What is looked for, and which of its places one sees."""
        if not self._needle:
            return Text("")
        place, places = self._place
        found = f"{place} of {places} lines" if places else "nowhere"
        return Text(f"[/{safe_line(self._needle)}] {found}  ", style="bold")

    def action_find(self) -> None:
        """Type what to look for."""
        self.query_one(Prompt).open(self._needle, example="words to look for; n next, N before")

    def action_find_next(self, forward: bool) -> None:
        """The next place, or the one before; where nothing is looked for, from the past to now."""
        if self._needle:
            self._place = self.log_view.next_match(forward=forward)
            self.redraw_frame()
        elif forward and self.console.moment is not None:
            self.console.action_time_now()

    def action_back(self) -> None:
        """The search is taken away first."""
        if self._needle:
            self._look_for("")
        else:
            super().action_back()

    @on(Prompt.Answered)
    def _on_answer(self, event: Prompt.Answered) -> None:
        self.query_one(Prompt).display = False
        self._look_for(event.text)
        self.log_view.focus()

    @on(Prompt.Closed)
    def _on_closed(self) -> None:
        self.log_view.focus()

    def _look_for(self, needle: str) -> None:
        self._needle = needle
        self._place = self.log_view.search(needle)
        self.redraw_frame()
