"""The output of one task, live until it ends: both streams, told apart by a mark and a colour."""

from __future__ import annotations

from rich.text import Text
from textual.widget import Widget

from tui.screens.reading import ReadingScreen
from tui.widgets.log_pane import LogPane


class LogScreen(ReadingScreen):
    """One pane as large as the screen; what its title says stands in the crumbs."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.crumb = f"{task} › output"
        self._task_id = task

    def body(self) -> list[Widget]:
        """Its lines."""
        return [LogPane(self._task_id, classes="-alone")]

    @property
    def pane(self) -> LogPane | None:
        """The only one."""
        return next(iter(self.query(LogPane)), None)

    def on_mount(self) -> None:
        """Keys are for the lines."""
        self._focus_pane()

    def facts_text(self) -> Text:
        """Streams, how far one has read, whether more will come, and what is looked for."""
        pane = self.pane
        return Text("") if pane is None or not pane.is_mounted else pane.facts()
