"""Why a task is where it is, or is nowhere yet; from there to the node or the job that it is about."""

from __future__ import annotations

from textual.binding import Binding

from bus.api import Why
from tui.client.source import Source
from tui.client.then import Then
from tui.screens.document import DocumentScreen, job_details, node_details
from tui.view.lines import Line
from tui.view.why_page import why_page


class WhyScreen(DocumentScreen):
    """Enter leads to the node where it is, or to its job."""

    BINDINGS = [
        Binding("enter", "open_node", "the node", id="why.node"),
        Binding("o", "open_job", "the job", id="why.job"),
    ]

    def __init__(self, target: str) -> None:
        super().__init__(f"{target} › why", self._page)
        self._answer: Why | None = None

    async def _page(self, source: Source) -> list[Line]:
        then = Then(source, self.console.moment, ahead_s=self.ahead_s)
        self._answer = await then.why(self.crumb.partition(" ")[0])
        return why_page(self._answer, now_s=then.now_s)

    def action_open_node(self) -> None:
        """Where it is, else its job: what waits is on no node."""
        if self._answer is not None and self._answer.node is not None:
            self.app.push_screen(node_details(self._answer.node))
        else:
            self.action_open_job()

    def action_open_job(self) -> None:
        """Its job in full."""
        self.app.push_screen(job_details(self.crumb.partition(" ")[0].partition(".")[0]))
