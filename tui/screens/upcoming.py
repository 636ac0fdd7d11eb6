"""What would start next of all that waits: when, where, and how sure that is."""

from __future__ import annotations

from tui.client.source import Source
from tui.screens.document import DocumentScreen
from tui.view.lines import Line
from tui.view.shell import command
from tui.view.upcoming import upcoming_lines

TURNS = 200


class UpcomingScreen(DocumentScreen):
    """The coordinator's plan as it is now; it changes with every end and every arrival."""

    past_note = "what would start next is told from now on"

    def __init__(self) -> None:
        super().__init__("plan", self._page)

    def shell_command(self) -> str:
        """The same turns."""
        return command("plan", next=TURNS)

    async def _page(self, source: Source) -> list[Line]:
        upcoming = await source.upcoming(TURNS)
        lines = upcoming_lines(upcoming, now_s=self.console.now_s)
        return [Line(text, "idle" if text.lstrip().startswith("STARTS") else "") for text in lines]


def upcoming_screen(_: str) -> UpcomingScreen:
    """For the command line: the word takes nothing."""
    return UpcomingScreen()
