"""Who orders the tasks, on what evidence, and how what was learned came to be; operators change its mode."""

from __future__ import annotations

from typing import Literal

from textual import work
from textual.binding import Binding

from bus.errors import CorralError
from bus.requests import EventList
from tui.client.source import Source
from tui.modals.confirm import Answer
from tui.screens.charts import ChartsScreen
from tui.screens.document import DocumentScreen
from tui.screens.upcoming import UpcomingScreen
from tui.view.charting import learning
from tui.view.lines import Line
from tui.view.scheduler_page import scheduler_page
from tui.view.steering import steer_mode

CHANGES_SHOWN = 20
NEXT: dict[str, Literal["off", "shadow", "on"]] = {"off": "shadow", "shadow": "on", "on": "off"}


class SchedulerScreen(DocumentScreen):
    """The mode goes off, shadow, on, and off again."""

    BINDINGS = [
        Binding("m", "steer('scheduler_mode')", "next mode", id="scheduler.mode"),
        Binding("c", "chart", "charts", id="scheduler.chart"),
        Binding("p", "plan", "what starts next", id="scheduler.plan"),
    ]

    def __init__(self) -> None:
        super().__init__("scheduler", self._page)

    async def _page(self, source: Source) -> list[Line]:
        status = await source.scheduler(at=self.console.moment)
        asked = EventList(filter="kind~scheduler_", limit=CHANGES_SHOWN, until=self.console.moment)
        return scheduler_page(status, (await source.events(asked)).events, now_s=self.now_s)

    def action_chart(self) -> None:
        """Rewards, exploring, the policy against its baseline, over time."""
        self.app.push_screen(ChartsScreen(learning()))

    def action_plan(self) -> None:
        """What would start next, when and where."""
        self.app.push_screen(UpcomingScreen())

    @work(exclusive=True, group="mode")
    async def action_steer(self, verb: str) -> None:
        """Ask whether the scheduler shall have its next mode."""
        try:
            before = (await self.session.source.scheduler()).mode
        except CorralError as error:
            self.tell(error)
            return
        if before not in NEXT:
            return  # a newer coordinator has more modes than we know
        steering = steer_mode(NEXT[before], before=_mode(before))
        if await self.ask(steering) is Answer.YES:
            self.carry_out(steering)

    def on_steered(self) -> None:
        """Show it."""
        self._wake.now()


def _mode(word: str) -> Literal["off", "shadow", "on"]:
    for mode in NEXT.values():
        if mode == word:
            return mode
    raise AssertionError(f"no mode: {word}")
