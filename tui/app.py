"""The console: shows the cluster live and steers it. It paints first and connects then."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

from textual import work
from textual.app import App
from textual.binding import Binding

from tui.client.session import Session, Update
from tui.screens.help import Help
from tui.screens.live import LiveScreen
from tui.screens.overview import OverviewScreen


class Console(App[None]):
    """Holds the session; screens only draw what it sees."""

    CSS_PATH = "theme/console.tcss"
    TITLE = "corral"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [
        Binding("1", "overview", "overview", show=False),
        Binding("question_mark", "help", "help"),
        Binding("q", "quit", "leave"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.latest: Update | None = None

    def on_mount(self) -> None:
        """Paint first, connect then."""
        self.push_screen(OverviewScreen())
        self.call_after_refresh(self._watch)

    def action_help(self) -> None:
        """The keys."""
        self.push_screen(Help())

    def action_overview(self) -> None:
        """Back to the first screen."""
        while len(self.screen_stack) > 2:
            self.pop_screen()

    @work(exclusive=True, group="session")
    async def _watch(self) -> None:
        async with aclosing(self.session.updates()) as updates:
            async for update in updates:
                self.latest = update
                for screen in self.screen_stack:
                    if isinstance(screen, LiveScreen):
                        screen.show(update)


def open_console(*, url: str | None, credentials: Path | None, data: Path | None) -> int:
    """Run the console on this terminal until it is left; returns an exit code."""
    Console(Session(url=url, credentials=credentials, data=data)).run()
    return 0
