"""What every screen of the console has: the status bar on top, the keys below, the newest picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from bus.errors import CorralError
from tui.client.session import Session, Snapshot, Update
from tui.view.safe import safe_line
from tui.widgets.status_bar import StatusBar

if TYPE_CHECKING:
    from tui.app import Console


class LiveScreen(Screen[None]):
    """Subclasses give a `body` and may take a `Snapshot` in `on_snapshot`."""

    def compose(self) -> ComposeResult:
        """Status, body, keys."""
        yield StatusBar()
        yield from self.body()
        yield Footer(show_command_palette=False)

    def body(self) -> list[Widget]:
        """The widgets between the status bar and the footer."""
        raise NotImplementedError

    _ready = False  # a picture may come between the push of a screen and its first widget

    def on_mount(self) -> None:
        """Show at once what is known."""
        self._ready = True
        if self.console.latest is not None:
            self.show(self.console.latest)

    @property
    def console(self) -> Console:
        """The application."""
        return cast("Console", self.app)

    @property
    def session(self) -> Session:
        """The connection behind the console."""
        return self.console.session

    def show(self, update: Update) -> None:
        """Take a new picture, or the word that there is none: then the old one is dimmed."""
        if not self._ready:
            return
        self.query_one(StatusBar).show(update)
        self.set_class(not isinstance(update, Snapshot), "offline")
        if isinstance(update, Snapshot):
            self.on_snapshot(update)

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """A new picture came."""

    def tell(self, error: CorralError) -> None:
        """Say what went wrong; its text may come from anywhere."""
        self.notify(safe_line(str(error)), severity="error", markup=False)
