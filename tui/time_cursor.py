"""The time cursor: one moment that every screen shows, moved by keys, typed, or given by a screen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType

from bus.errors import CorralError
from tui.screens.live import LiveScreen
from tui.seen import keep_seen, read_seen
from tui.travelling import Travelled
from tui.view.moments import STEP_FIRST, STEPS_S, Density, bar_span_s, stepped
from tui.widgets.time_bar import BAR_MOST

HOUR_S = 3_600.0
DENSITY_TICK_S, DENSITY_EVERY_S = 1.0, 60.0
BAR_COLUMNS = 160
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
    density: Density | None = None
    _density_due_s = 0.0
    _time_zoom = STEP_FIRST

    @property
    def now_s(self) -> float:
        """By the coordinator's clock, which is not the one here where that is off: Unix epoch."""
        online = self._console.online
        return time.time() - (0.0 if online is None else online.ahead_s)

    @property
    def time_step_s(self) -> float:
        """How far the cursor goes at once."""
        return STEPS_S[self._time_zoom]

    def on_mount(self) -> None:
        """Keep what the bar shows."""
        self.set_interval(DENSITY_TICK_S, self._keep_density)

    def look_at(self, moment: float | None) -> None:
        """Move the time cursor: to a moment, or back to now."""
        self.moment = moment
        self._density_due_s = 0.0
        if (screen := self.top()) is not None and screen.is_mounted:  # else it looks once it is
            screen.meet_moment()
            screen.redraw_frame()

    def action_time_step(self, steps: int) -> None:
        """Into the past, or towards now."""
        self.look_at(stepped(self.moment, steps * self.time_step_s, now_s=self.now_s))

    def action_time_zoom(self, steps: int) -> None:
        """Longer or shorter steps."""
        self._time_zoom = min(max(self._time_zoom + steps, 0), len(STEPS_S) - 1)
        self._density_due_s = 0.0
        if (screen := self.top()) is not None and screen.is_mounted:  # else it looks once it is
            screen.redraw_frame()

    def action_time_now(self) -> None:
        """Everything is live again."""
        self.look_at(None)

    def on_unmount(self) -> None:
        """Remember when somebody looked."""
        if self._path is not None:
            keep_seen(self._path.with_name(SEEN), self.now_s)

    def action_changes(self) -> None:
        """What changed since the console was left the last time; where nobody knows, in the last hour."""
        from tui.screens.past import ChangesScreen

        since = None if self._path is None else read_seen(self._path.with_name(SEEN))
        if since is None:
            self.push_screen(ChangesScreen(self.now_s - HOUR_S, crumb="1h00m › changes"))
        else:
            self.push_screen(ChangesScreen(since, crumb="since I last looked"))

    def _keep_density(self) -> None:
        """How much happened over the time that is on the bar: where there is one, and now and then."""
        screen, now_s = self.top(), self.now_s
        is_seen = self.moment is not None or self.size.width >= BAR_COLUMNS
        if screen is not None and screen.is_online and is_seen and now_s >= self._density_due_s:
            self._density_due_s = now_s + DENSITY_EVERY_S
            self._load_density(screen, now_s=now_s)

    @work(exclusive=True, group="density")
    async def _load_density(self, screen: LiveScreen, *, now_s: float) -> None:
        from bus.series import SeriesKind, SeriesQuery

        span_s = bar_span_s(self.moment, step_s=self.time_step_s, now_s=now_s)
        asked = SeriesQuery(
            kind=SeriesKind.CLUSTER, metrics=["completed", "failed"], since=now_s - span_s, points=BAR_MOST
        )
        try:
            found = await screen.session.source.series(asked)
        except CorralError:
            self.density = None
            return  # the screen says what is wrong
        if found.times:
            sums = [_sum(values) for values in zip(*(each.values for each in found.series), strict=True)]
            self.density = Density(found.times[0], found.step_s, sums)
        if (top := self.top()) is not None:
            top.redraw_time()

    @work(exclusive=True, group="time")
    async def action_time_ask(self) -> None:
        """Type a moment."""
        from tui.modals.time import TimeModal

        if (chosen := await self.push_screen_wait(TimeModal(self.moment))) is not None:
            self.look_at(chosen.moment)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
