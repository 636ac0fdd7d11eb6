"""The first screen: the cluster in a few lines, the newest jobs, and beside them what happened last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.widget import Widget

from bus.errors import CorralError
from tui.client.asking import Asking
from tui.screens.jobs import JobsScreen
from tui.view.happenings import event_line
from tui.view.lines import Line
from tui.view.pulse import Lately
from tui.widgets.pulse import TALL_ROWS, Pulse
from tui.widgets.virtual_log import VirtualLog

if TYPE_CHECKING:
    from bus.api import Job


EVENTS_SHOWN = 60
EVENTS_EVERY_S = 2
LATELY_EVERY_S = 15
HOUR_S = 3_600.0
USERS_SHOWN = 5
PANELS = ("cpu", "memory", "gpu", "tasks", "wait", "throughput", "nodes")


class PulseScreen(JobsScreen):
    """The jobs, with the pulse above them and the newest events in the pane."""

    crumb = "pulse"
    preview_title = "lately"

    def body(self) -> list[Widget]:
        """The pulse above the list."""
        return [Pulse(), *super().body()]

    def on_mount(self) -> None:
        """Events have their own pace."""
        self._events: list[Line] = []
        self._events_asking, self._then_asking = Asking(), Asking()
        self._told = False
        self.console.every(self, EVENTS_EVERY_S, self._load_events)
        self.console.every(self, LATELY_EVERY_S, self._load_lately)

    def on_online(self) -> None:
        """One more moment for the pulse."""
        super().on_online()
        if not self.has_parts("Pulse", "#preview"):
            return
        if (online := self.console.online) is not None and self.console.moment is None:
            self.query_one(Pulse).show(online.cluster)
        if not self._events:
            self._load_events()
        if not self._told:
            self._load_lately()

    def on_resize(self) -> None:
        """There may be room for more than was asked for."""
        if not self._told:
            self.call_after_refresh(self._load_lately)

    def on_moment(self) -> None:
        """The cluster at the time cursor, the hour before it, and what happened last by then."""
        super().on_moment()
        self._load_then()
        self._load_lately()
        self._load_events()

    @work(group="then")
    async def _load_then(self) -> None:
        """The figures of the moment, one question after the other; those of now come by themselves."""
        if self._then_asking.is_under_way or not self.has_parts("Pulse"):
            return
        pulse = self.query_one(Pulse)
        while (moment := self.console.moment) is not None and self.is_current and self.is_online:
            try:
                with self._then_asking.under_way():
                    cluster = await self.session.source.cluster(at=moment)
            except CorralError:
                pulse.show_then(None)  # the list says what is wrong
                return
            if moment == self.console.moment:
                pulse.show_then(cluster)
                return
        if self.console.moment is None and self.console.online is not None:
            pulse.show(self.console.online.cluster)

    def preview(self, row: Job) -> list[Line]:
        """What happened last."""
        return self._events

    @work(group="events")
    async def _load_events(self) -> None:
        """One request after the other: a slow answer is waited for."""
        if not self.has_parts("#preview"):
            return
        pane = self.query_one("#preview", VirtualLog)
        if not (self.is_current and self.is_online and pane.display) or self._events_asking.is_under_way:
            return
        from bus.requests import EventList

        moment = self.console.moment
        try:
            with self._events_asking.under_way():
                answer = await self.session.source.events(EventList(limit=EVENTS_SHOWN, until=moment))
        except CorralError as error:
            pane.replace([Line(str(self.explain(error)), "bad", "✖"), Line(""), *self._events])
            return
        if moment != self.console.moment:
            self.call_later(self._load_events)
            return
        now_s = self.now_s
        self._events = [event_line(event, now_s=now_s) for event in answer.events]
        pane.replace(self._events)

    @work(exclusive=True, group="lately")
    async def _load_lately(self) -> None:
        """The hour, the day and who used most, where there is room for them."""
        if not (self.is_current and self.is_online) or self.app.size.height < TALL_ROWS:
            return
        from tui.view.charting import Subject, queries

        source, moment = self.session.source, self.console.moment
        since_s = self.now_s - HOUR_S
        asked = queries(Subject(), PANELS, since_s=since_s, until_s=moment, points=60)
        silent: list[str] = []
        series, day, people = [], {}, []
        try:
            series = [each for query in asked for each in (await source.series(query)).series]
        except CorralError as error:
            silent.append(f"the last hour: {self.explain(error).what}")
        if moment is None:
            try:
                day = dict((await source.states()).tasks)
            except CorralError as error:
                silent.append(f"the last day: {self.explain(error).what}")
        try:
            people = (await source.users(at=moment)).users
        except CorralError as error:
            silent.append(f"users: {self.explain(error).what}")
        if not self.has_parts("Pulse"):
            return
        self._told = True
        most = sorted(people, key=lambda user: -user.standing.used)[:USERS_SHOWN]
        self.query_one(Pulse).tell(
            Lately(
                gauges={each.metric: each.values for each in series},
                units={each.metric: each.unit for each in series},
                day=day,
                users=[(user.name, user.standing.used) for user in most if user.standing.used],
                end="now" if moment is None else "then",
                silent=silent,
            )
        )
