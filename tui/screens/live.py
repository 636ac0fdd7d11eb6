"""What every screen has: the heading, where one is, the prompt, the keys; and how it hears of changes."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from bus.values import Role
from tui.client.session import Deltas, Offline, Online
from tui.screens.acting import ActingScreen
from tui.view.modes import MODE_DIGITS
from tui.view.places import CRUMB_SIGN, Step, line_of, shell_command
from tui.view.refusals import error_text as error_text
from tui.view.safe import safe_line, text_width
from tui.view.words import Word
from tui.widgets.heading import Heading
from tui.widgets.hints import Hints
from tui.widgets.nav import Nav, nav_lines
from tui.widgets.one_line import Link, OneLine
from tui.widgets.prompt import Prompt
from tui.widgets.time_bar import TimeBar

FRAME = ("Nav", "Heading", "#crumbs", "TimeBar")


class LiveScreen(ActingScreen):
    """Subclasses give `body` and `crumb`, and take changes in `on_deltas` and `on_online`."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (10, "-low"), (34, "-tall")]
    BINDINGS = [Binding("escape,minus", "back", "back", show=False, id="screen.back")]

    crumb = ""
    _allowed: tuple[bool, Role, bool] | None = None
    _moment: float | None = None

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Heading()
        yield OneLine(id="crumbs")
        yield TimeBar()
        with Horizontal(id="middle"):
            yield Nav()
            yield Vertical(*self.body(), id="body")
        yield Prompt()
        yield Hints()

    def body(self) -> list[Widget]:
        """The widgets between the crumbs and the prompt."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Show at once what is known."""
        self.redraw_frame()

    def on_screen_resume(self) -> None:
        """What came while another screen was looked at was not drawn here."""
        self.redraw_frame()
        self.meet_moment()
        self.console.visit()
        if self.is_online:
            self.on_online()

    @property
    def now_s(self) -> float:
        """The moment that is shown: what ages are counted to."""
        return time.time() if self.console.moment is None else self.console.moment

    def meet_moment(self) -> None:
        """Show what the time cursor stands at; a screen nobody sees does so once it is looked at."""
        if self._moment != (moment := self.console.moment):
            self._moment = moment
            self.redraw_frame()
            self.on_moment()

    def hear(self, update: Online | Offline | Deltas) -> None:
        """Take the newest word. Only the screen one looks at is told."""
        if not self.is_mounted:
            return
        if isinstance(update, Deltas):
            self.on_deltas(update)
            return
        self.redraw_frame()
        if isinstance(update, Online):
            self.on_online()
        else:
            self.on_offline()

    def on_online(self) -> None:
        """The cluster answers."""

    def on_offline(self) -> None:
        """It does not, or does not want us."""

    def on_moment(self) -> None:
        """The time cursor is elsewhere: at `console.moment`."""

    def on_deltas(self, deltas: Deltas) -> None:
        """Things changed."""

    def redraw_frame(self) -> None:
        """Heading and crumbs as of now, other keys where others are allowed; offline, all is dimmed."""
        if not all(self.query(part) for part in FRAME):
            return  # not composed yet, or on the way out, where widgets go one after the other
        console = self.console
        modes = [(digit, mode) for mode, digit in MODE_DIGITS.items() if mode in console.MODES]
        views = sorted(console.settings.views)
        self.query_one(Nav).show(nav_lines(modes, views, here=console.current_mode))
        self.query_one(Heading).show(console.online, console.offline)
        self.set_class(console.offline is not None, "-offline")
        self.query_one("#crumbs", OneLine).say(self.crumbs_text(), links=self._crumb_links())
        self.query_one(TimeBar).show(console.moment, step_s=console.time_step_s)
        if self._allowed != (allowed := (self.is_online, self.role, console.moment is None)):
            self._allowed = allowed
            self.refresh_bindings()

    def crumbs_text(self) -> Text:
        """ "jobs › 1042 › tasks", and what `facts_text` adds."""
        stack = [screen.crumb for screen in self.app.screen_stack if isinstance(screen, LiveScreen)]
        below = stack[: stack.index(self.crumb)] if self.crumb in stack else []
        text = Text(" ", no_wrap=True, overflow="ellipsis")
        for crumb in below:
            text.append(safe_line(crumb) + CRUMB_SIGN)
        text.append(safe_line(self.crumb), style="bold")
        text.append("  ")
        text.append_text(self.facts_text())
        return text

    def _crumb_links(self) -> list[Link]:
        """A click on a crumb leads back to it."""
        links, start = [], 1
        for depth, screen in enumerate(self.app.screen_stack):
            if screen is self or not isinstance(screen, LiveScreen):
                break
            end = start + text_width(safe_line(screen.crumb))
            links.append(Link(start, end, f"app.up_to({depth})"))
            start = end + text_width(CRUMB_SIGN)
        return links

    def step(self) -> Step:
        """This screen as a step of a place: the line that opens it again."""
        return Step(line_of(self.crumb))

    def shell_command(self) -> str:
        """The command that shows the same in a shell, made safe; "" where none does."""
        return shell_command(self.step())

    def words(self) -> Sequence[Word]:
        """Words of the command line that only this screen knows."""
        return ()

    def targets(self) -> Sequence[str]:
        """Names of what is listed here, to complete a line with."""
        return ()

    def facts_text(self) -> Text:
        """What a subclass says about what it shows."""
        return Text("")

    def action_back(self) -> None:
        """To the screen before."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()
