"""One thing in full, as lines of facts: details of a job, a task or a node, and the answer to why."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from textual import on, work
from textual.binding import Binding
from textual.widget import Widget

from bus.errors import BusError, CorralError
from tui.client.session import Deltas
from tui.client.source import Source
from tui.client.wake import Wake
from tui.screens.live import LiveScreen, error_text
from tui.screens.searching import Searching
from tui.view.facts import job_facts, node_facts, task_facts, why_facts
from tui.view.lines import Line
from tui.widgets.virtual_log import VirtualLog

RELOAD_S = 5.0

Load = Callable[[Source], Awaitable[list[Line]]]


class DocumentScreen(Searching, LiveScreen):
    """Asked for again when something changed, and every few seconds."""

    BINDINGS = [Binding("ctrl+r", "reload", "ask again now", show=False, id="document.reload")]

    def __init__(self, crumb: str, load: Load) -> None:
        super().__init__()
        self.crumb = crumb
        self._load = load
        self._wake = Wake()

    def body(self) -> list[Widget]:
        """The page."""
        return [VirtualLog(id="log")]

    def on_mount(self) -> None:
        """Begin to keep it up to date."""
        self.log_view.replace([Line("loading …")])
        self.log_view.focus()
        self._keep()

    def on_online(self) -> None:
        """The heading only: the page has its own pace."""

    def on_screen_resume(self) -> None:
        """What was missed while away is asked for."""
        super().on_screen_resume()
        self._wake.now()

    def on_deltas(self, deltas: Deltas) -> None:
        """It may be about us."""
        self._wake.soon()

    def action_reload(self) -> None:
        """Ask again now, also for the connection."""
        self.session.hurry()
        self._wake.now()

    @work(exclusive=True, group="keep")
    async def _keep(self) -> None:
        while True:
            if self.is_current and self.is_online:
                try:
                    self.log_view.replace(await self._load(self.session.source))
                except BusError:
                    self.session.hurry()
                except CorralError as error:
                    self.log_view.replace(
                        [
                            Line(error_text(error), "bad", "✖"),
                            Line(""),
                            Line("Esc goes back, ctrl-r asks again."),
                        ]
                    )
            await self._wake.wait(RELOAD_S)

    @on(VirtualLog.Scrolled)
    def _on_scrolled(self) -> None:
        self.redraw_frame()


def job_details(job: str) -> DocumentScreen:
    """A job with what was submitted."""

    async def load(source: Source) -> list[Line]:
        return job_facts(await source.job(job), now_s=time.time())

    return DocumentScreen(f"{job} › details", load)


def task_details(task: str) -> DocumentScreen:
    """A task with its attempts and its output."""

    async def load(source: Source) -> list[Line]:
        return task_facts(await source.task(task), now_s=time.time())

    return DocumentScreen(f"{task} › details", load)


def node_details(node: str) -> DocumentScreen:
    """A node with its inventory."""

    async def load(source: Source) -> list[Line]:
        return node_facts(await source.node(node), now_s=time.time())

    return DocumentScreen(f"{node} › details", load)


def why(target: str) -> DocumentScreen:
    """Why a task is where it is, or is nowhere yet."""

    async def load(source: Source) -> list[Line]:
        return why_facts(await source.why(target))

    return DocumentScreen(f"{target} › why", load)
