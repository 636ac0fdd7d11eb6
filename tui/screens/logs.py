"""Mode 4: up to six outputs side by side, tiled as the screen allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.binding import Binding
from textual.containers import Grid
from textual.events import DescendantFocus, Resize
from textual.widget import Widget
from textual.widgets import Static

from bus.errors import CorralError
from tui.screens.reading import ReadingScreen
from tui.view.refusals import error_text
from tui.view.tiling import tiled
from tui.view.words import Word
from tui.widgets.log_pane import LogPane

if TYPE_CHECKING:
    from tui.app import Console

WINDOWS_MAX = 6
PREFIX_S = 2.0
"""So long a digit is awaited after ctrl-w."""

OF_A_WINDOW = frozenset(
    {
        "next_window", "prefix", "zoom", "close", "pin", "follow", "find", "find_next", "filter", "stamps",
        "streams", "wrap", "attempt", "save", "less_context", "more_context",
    }
)  # fmt: skip
"""What nothing can be done with where no window is open."""

EMPTY = (
    "No output is open here.\n\n"
    "o opens a task's by its name (1042.7); l on marked jobs or tasks opens all of theirs;\n"
    ":logs 1042.7 1042.8 does it from anywhere."
)


class LogsScreen(ReadingScreen):
    """ctrl-w and a digit, or tab, go from window to window; `z` shows one alone."""

    BINDINGS = [
        Binding("o", "open", "open", id="logs.open"),
        Binding("tab", "next_window(1)", "next window", show=False, id="logs.next"),
        Binding("shift+tab", "next_window(-1)", "window before", show=False, id="logs.previous"),
        Binding("ctrl+w", "prefix", "then 1 to 6: that window", show=False, id="logs.prefix"),
        *(
            Binding(str(n), f"window({n})", f"window {n}", show=False, id=f"logs.window_{n}")
            for n in range(1, WINDOWS_MAX + 1)
        ),
        Binding("z", "zoom", "one alone, or all", id="logs.zoom"),
        Binding("x", "close", "close the window", id="logs.close"),
        Binding("p", "pin", "keep it when others are opened", show=False, id="logs.pin"),
    ]
    crumb = "logs"
    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self._zoomed = False
        self._prefixed = False
        self._looked_at: LogPane | None = None
        self._came_from_elsewhere = False

    def body(self) -> list[Widget]:
        """The windows, or a note where there is none."""
        return [Grid(id="windows"), Static(EMPTY, markup=False, id="note")]

    def on_mount(self) -> None:
        """Nothing is open yet."""
        self._tile()

    @property
    def panes(self) -> list[LogPane]:
        """In the order in which they were opened."""
        return [pane for pane in self.query(LogPane) if pane.is_attached]

    @property
    def pane(self) -> LogPane | None:
        """The one that was looked at last."""
        panes = self.panes
        return self._looked_at if self._looked_at in panes else (panes[-1] if panes else None)

    def facts_text(self) -> Text:
        """How many there are, and how to get from one to the other."""
        count = len(self.panes)
        if not count:
            return Text("")
        if self._prefixed:
            return Text(f"ctrl-w … 1 to {count}", style="bold")
        shown = "one of " if len(self._visible()) < count else ""
        return Text(f"{shown}{count} windows   tab next   z zoom", style="dim")

    def words(self) -> list[Word]:
        """What else can be typed here."""
        opening = Word(
            name="open",
            about="the output of tasks, in windows",
            argument="TASK…",
            run=lambda tasks: self.open(tasks.split()),
            bare=self.action_open,
        )
        return [*super().words(), opening]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A digit is a window's only after ctrl-w: else it leads to another mode. Most need a window."""
        if action == "window":
            return self._prefixed
        if action in OF_A_WINDOW and self.is_mounted and not self.panes:
            return False
        return super().check_action(action, parameters)

    async def open(self, tasks: Sequence[str]) -> None:
        """A window for each task; the oldest that is not pinned makes room."""
        windows = self.query_one("#windows", Grid)
        for task in dict.fromkeys(tasks):
            known = next((pane for pane in self.panes if pane.task_name == task), None)
            if known is not None:
                self._look_at(known)
                continue
            panes = self.panes
            if len(panes) >= WINDOWS_MAX:
                oldest = next((pane for pane in panes if not pane.pinned), None)
                if oldest is None:
                    self.notify("All six windows are pinned: p lets one go.", markup=False)
                    break
                await oldest.remove()
            pane = LogPane(task)
            await windows.mount(pane)
            self._look_at(pane)
        self._tile()

    def action_open(self) -> None:
        """Type which."""
        self._type("open", "", example="tasks: 1042.7 1042.8")

    def action_prefix(self) -> None:
        """The digit that comes is a window's."""
        self._await_digit(True)
        self.set_timer(PREFIX_S, partial(self._await_digit, False))

    def _await_digit(self, awaited: bool) -> None:
        self._prefixed = awaited
        self.refresh_bindings()
        self.redraw_frame()

    def action_window(self, number: int) -> None:
        """Go to it."""
        self._await_digit(False)
        if number <= len(panes := self.panes):
            self._look_at(panes[number - 1])

    def action_next_window(self, step: int) -> None:
        """The one after, or before, the one that has the focus."""
        panes, pane = self.panes, self.pane
        if pane is not None:
            self._look_at(panes[(panes.index(pane) + step) % len(panes)])

    def action_zoom(self) -> None:
        """One alone, or all again."""
        self._zoomed = not self._zoomed
        self._tile()

    async def action_close(self) -> None:
        """It is not followed any more."""
        if (pane := self.pane) is not None:
            await pane.remove()
            self._tile()
            self._focus_pane()

    def action_pin(self) -> None:
        """Keep it, or do not."""
        if (pane := self.pane) is not None:
            pane.pin()

    def come_from_elsewhere(self) -> None:
        """A key of another screen opened the windows: what leads back leads there."""
        self._came_from_elsewhere = True

    def on_screen_suspend(self) -> None:
        """Who goes to another mode and comes again is not led back to where he was before."""
        if self.console.current_mode != "logs":
            self._came_from_elsewhere = False

    def action_back(self) -> None:
        """A waiting ctrl-w first, then a zoom, then to where the windows were opened from."""
        if self._prefixed:
            self._await_digit(False)
        elif self._zoomed:
            self.action_zoom()
        elif self._came_from_elsewhere:
            self.call_later(self.console.action_travel, -1)
        else:
            super().action_back()

    async def on_typed(self, purpose: str, text: str) -> None:
        """Tasks to open, or what all such screens take."""
        if purpose != "open":
            await super().on_typed(purpose, text)
            return
        for task in text.split():
            try:
                await self.session.source.task(task)
            except CorralError as error:
                raise ValueError(error_text(error)) from error
        await self.open(text.split())

    @on(DescendantFocus)
    def _note_focus(self, event: DescendantFocus) -> None:
        pane = next((each for each in event.widget.ancestors if isinstance(each, LogPane)), None)
        if pane is not None:
            self._looked_at = pane
            self.redraw_frame()

    @on(Resize)
    def _share_anew(self) -> None:
        self._tile()

    def _look_at(self, pane: LogPane) -> None:
        self._looked_at = pane
        self._tile()
        pane.log_view.focus()

    def _visible(self) -> list[LogPane]:
        return [pane for pane in self.panes if pane.display]

    def _tile(self) -> None:
        """As many columns as there is room for; where rows would be too few, one is shown alone."""
        panes = self.panes
        windows, note = self.query_one("#windows", Grid), self.query_one("#note", Static)
        windows.display, note.display = bool(panes), not panes
        columns, rows = tiled(len(panes), width=self.size.width, height=self.size.height)
        alone = self._zoomed or not rows
        for number, pane in enumerate(panes, 1):
            pane.name_window(number if len(panes) > 1 else 0)
            pane.display = not alone or pane is self.pane
        windows.styles.grid_size_columns = 1 if alone else columns
        windows.styles.grid_size_rows = 1 if alone else rows
        self.redraw_frame()
        self.refresh_bindings()


async def open_logs(console: Console, tasks: Sequence[str]) -> None:
    """Show the outputs of tasks in mode 4; Esc leads back from there."""
    is_elsewhere = console.current_mode != "logs"
    await console.action_mode("logs")
    while len(console.screen_stack) > 1:
        await console.pop_screen()
    screen = console.screen_stack[0]
    assert isinstance(screen, LogsScreen)
    await screen.open(tasks)
    if is_elsewhere:
        screen.come_from_elsewhere()


def logs_word(console: Console) -> Word:
    """`logs 1042.7 1042.8` of the command line; without tasks, the screen as it is."""

    async def check(tasks: str) -> None:
        for task in tasks.split():
            await console.session.source.task(task)

    return Word(
        name="logs",
        about="the outputs of tasks in windows side by side",
        argument="TASK…",
        run=lambda tasks: open_logs(console, tasks.split()),
        bare=partial(console.action_mode, "logs"),
        check=check,
    )
