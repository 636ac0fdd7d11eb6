"""Getting about in the console: main screens, places gone back to, the command line, the palette."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual import work
from textual.widgets import Input

from bus.errors import CorralError
from tui.dressing import Dressed
from tui.screens.listing import ListScreen
from tui.screens.live import LiveScreen
from tui.screens.openers import screen_of
from tui.view.places import History, Place, Step
from tui.view.refusals import error_text
from tui.view.safe import safe_line

if TYPE_CHECKING:
    from tui.app import Console
    from tui.modals.command import Deed
    from tui.screens.commanding import Doable

EARLIER_MAX = 200
COPIED = "copied, if this terminal has a clipboard"
COPIED_S = 12.0
"""No terminal says whether it took it: so it can be read for a while."""

OPENS_A_LINE = frozenset({"command", "palette"})


class Travelled(Dressed):
    """Knows where one is, where one was, and how to get elsewhere."""

    def __init__(self, *, settings_path: Path | None = None) -> None:
        super().__init__(settings_path=settings_path)
        self.history = History()
        self._earlier: list[str] = []
        self._is_travelling = False

    def top(self) -> LiveScreen | None:
        """The screen one looks at, below any modal."""
        live = self._live_screens()
        return live[-1] if live else None

    def place(self) -> Place:
        """Where one is: as far as it can be opened again."""
        first, *others = self._live_screens()
        steps = [Step(self.current_mode, first.step().filter, first.step().sort)]
        for screen in others:
            step = screen.step()
            if screen_of(step.line) is None:
                break
            steps.append(step)
        return Place(tuple(steps))

    def visit(self) -> None:
        """Remember where one is."""
        if not self._is_travelling and self._live_screens():
            self.history.visit(self.place())

    async def go(self, place: Place) -> None:
        """To a place; what is open already on the way there stays as it is."""
        self._is_travelling = True
        try:
            base, *pushed = place.steps
            if self.current_mode != base.line:
                await self.switch_mode(base.line)
            open_now = [screen.step().line for screen in self._live_screens()][1:]
            wanted = [step.line for step in pushed]
            kept = next(
                (at for at, line in enumerate(open_now) if wanted[at : at + 1] != [line]), len(open_now)
            )
            while len(self.screen_stack) > kept + 1:
                await self.pop_screen()
            for step in pushed[kept:]:
                if (screen := screen_of(step.line)) is not None:
                    await self.push_screen(screen)
            for screen, step in zip(self._live_screens(), place.steps, strict=False):
                self._seek(screen, step)
        finally:
            self._is_travelling = False
        self.visit()

    async def show_view(self, name: str) -> None:
        """A list as it was saved."""
        view = self.settings.views[name]
        await self.go(Place((Step(view.mode, view.filter, view.sort),)))

    async def action_show_view(self, name: str) -> None:
        """What a click on a view's name does."""
        await self.show_view(name)

    async def action_travel(self, by: int) -> None:
        """To the place before, or after."""
        place = self.history.move(by)
        if place is None:
            self.notify(
                "No place before this." if by < 0 else "No place after this.", markup=False, timeout=2
            )
        else:
            await self.go(place)

    async def action_up_to(self, depth: int) -> None:
        """Back to the screen so many below: what a click on a crumb does."""
        while len(self.screen_stack) > max(1, depth + 1):
            await self.pop_screen()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What opens a line to type into comes before other keys, but not before what is typed already."""
        if action in OPENS_A_LINE and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    async def action_command(self, line: str = "") -> None:
        """Type what to do. The line is there when this returns: the keys that follow go to it."""
        from tui.modals.command import CommandLine
        from tui.screens.commanding import words_of

        if (screen := self.top()) is not None and screen is self.screen:
            del self._earlier[:-EARLIER_MAX]
            words = words_of(self._console, screen)
            await self.push_screen(CommandLine(words, self._earlier, line=line), self._begin)

    async def action_palette(self) -> None:
        """Find anything by some of its letters."""
        from tui.modals.palette import Palette
        from tui.screens.finding import ask_of, entries_of

        if (screen := self.top()) is None or screen is not self.screen:
            return
        palette = Palette(
            entries_of(self._console, screen),
            example="a screen, an action, a job, a node, a user",
            ask=ask_of(self._console) if screen.is_online else None,
        )
        await self.push_screen(palette, self._begin)

    async def action_places(self) -> None:
        """Back to a place of late."""
        from tui.modals.palette import Palette
        from tui.screens.finding import places_of

        if self.top() is self.screen:
            palette = Palette(places_of(self._console), example="a place you were at")
            await self.push_screen(palette, self._begin)

    async def do(self, doable: Doable) -> None:
        """What its key does, if that is still there."""
        if doable.node.is_attached:
            await self.run_action(doable.action, default_namespace=doable.node)

    def action_copy(self) -> None:
        """Put the command that shows the same into the clipboard."""
        if (screen := self.top()) is None:
            return
        command = screen.shell_command()
        if not command:
            self.notify("No command shows the same.", markup=False)
            return
        self.copy_to_clipboard(command)
        self.notify(f"$ {command}", markup=False, title=COPIED, timeout=COPIED_S)

    def _begin(self, deed: Deed | None) -> None:
        """Do what was chosen once its line is gone."""
        self._perform(deed)

    @work(exclusive=True, group="command")
    async def _perform(self, deed: Deed | None) -> None:
        if deed is None:
            return
        try:
            done = deed()
            if isawaitable(done):
                await done
        except CorralError as error:
            self.notify(safe_line(error_text(error)), severity="error", markup=False, timeout=10)

    def _seek(self, screen: LiveScreen, step: Step) -> None:
        if isinstance(screen, ListScreen) and (screen.step().filter, screen.step().sort) != (
            step.filter,
            step.sort,
        ):
            screen.seek(filter=step.filter, sort=step.sort)

    def _live_screens(self) -> Sequence[LiveScreen]:
        return [screen for screen in self.screen_stack if isinstance(screen, LiveScreen)]

    @property
    def _console(self) -> Console:
        return cast("Console", self)
