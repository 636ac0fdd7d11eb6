"""The first screen: the cluster in a few lines, the newest jobs, and beside them what happened last."""

from __future__ import annotations

import time

from textual import work
from textual.widget import Widget

from bus.api import Job
from bus.errors import CorralError
from bus.requests import EventList
from tui.screens.jobs import JobsScreen
from tui.view.columns import about
from tui.view.instants import local_short
from tui.view.lines import Line
from tui.view.safe import fit, safe_line
from tui.view.states import SEVERITY_BADGES
from tui.widgets.pulse import Pulse
from tui.widgets.virtual_log import VirtualLog

EVENTS_SHOWN = 60
EVENTS_EVERY_S = 2.0


class PulseScreen(JobsScreen):
    """The jobs, with the pulse above them and the newest events in the pane."""

    crumb = "pulse"

    def body(self) -> list[Widget]:
        """The pulse above the list."""
        return [Pulse(), *super().body()]

    def on_mount(self) -> None:
        """Events have their own pace."""
        self._events: list[Line] = []
        self.set_interval(EVENTS_EVERY_S, self._load_events)

    def on_online(self) -> None:
        """One more moment for the pulse."""
        super().on_online()
        if (online := self.console.online) is not None:
            self.query_one(Pulse).show(online.cluster)
        if not self._events:
            self._load_events()

    def preview(self, row: Job) -> list[Line]:
        """What happened last."""
        return self._events

    @work(exclusive=True, group="events")
    async def _load_events(self) -> None:
        pane = self.query_one("#preview", VirtualLog)
        if not (self.is_current and self.is_online and pane.display):
            return
        try:
            answer = await self.session.source.events(EventList(limit=EVENTS_SHOWN))
        except CorralError:
            return  # the list says what is wrong
        now_s = time.time()
        self._events = []
        for event in answer.events:
            badge = SEVERITY_BADGES.get(event.severity, SEVERITY_BADGES["info"])
            at = local_short(event.at, now_s=now_s)
            subject = fit(safe_line(about(event)), 12)
            self._events.append(
                Line(f"{at}  {subject}  {event.message or event.kind}", badge.tone, badge.glyph)
            )
        pane.replace(self._events)
