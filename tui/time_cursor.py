"""The time cursor: one moment that every screen shows, moved by keys, typed, or given by a screen."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from tui.seen import keep_seen, read_seen
from tui.travelling import Travelled
from tui.view.moments import STEP_FIRST, STEPS_S, stepped

HOUR_S = 3_600.0
SEEN = "console.seen"
"""Beside the settings: when the console was left the last time."""


class TimeCursor(Travelled):
    """`moment` is in seconds of the Unix epoch; None is now, and then everything is live."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("comma", "time_step(-1)", "back in time, or on", show=False, id="time.back"),
        Binding("full_stop", "time_step(1)", "back in time, or on", show=False, id="time.forward"),
        Binding("less_than_sign", "time_zoom(1)", "longer or shorter steps", show=False, id="time.coarser"),
        Binding("greater_than_sign", "time_zoom(-1)", "longer or shorter steps", show=False, id="time.finer"),
        Binding("n", "time_now", "back to now", show=False, id="time.now"),
        Binding("ctrl+t", "time_ask", "type a moment", show=False, id="time.ask"),
        Binding("ctrl+n", "changes", "what changed since I last looked", show=False, id="time.changes"),
    ]
    moment: float | None = None
    _time_zoom = STEP_FIRST

    @property
    def time_step_s(self) -> float:
        """How far the cursor goes at once."""
        return STEPS_S[self._time_zoom]

    def look_at(self, moment: float | None) -> None:
        """Move the time cursor: to a moment, or back to now."""
        self.moment = moment
        if (screen := self.top()) is not None:
            screen.meet_moment()
            screen.redraw_frame()

    def action_time_step(self, steps: int) -> None:
        """Into the past, or towards now."""
        self.look_at(stepped(self.moment, steps * self.time_step_s, now_s=time.time()))

    def action_time_zoom(self, steps: int) -> None:
        """Longer or shorter steps."""
        self._time_zoom = min(max(self._time_zoom + steps, 0), len(STEPS_S) - 1)
        if (screen := self.top()) is not None:
            screen.redraw_frame()

    def action_time_now(self) -> None:
        """Everything is live again."""
        self.look_at(None)

    def on_unmount(self) -> None:
        """Remember when somebody looked."""
        if self._path is not None:
            keep_seen(self._path.with_name(SEEN), time.time())

    def action_changes(self) -> None:
        """What changed since the console was left the last time; where nobody knows, in the last hour."""
        from tui.screens.past import ChangesScreen

        since = None if self._path is None else read_seen(self._path.with_name(SEEN))
        if since is None:
            self.push_screen(ChangesScreen(time.time() - HOUR_S))
        else:
            self.push_screen(ChangesScreen(since, crumb="since I last looked"))

    @work(exclusive=True, group="time")
    async def action_time_ask(self) -> None:
        """Type a moment."""
        from tui.modals.time import TimeModal

        if (chosen := await self.push_screen_wait(TimeModal(self.moment))) is not None:
            self.look_at(chosen.moment)
