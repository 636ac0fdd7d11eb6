"""What every screen has: the heading, where one is, the prompt, the keys; and how it hears of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widget import Widget

from bus.api import Error
from bus.errors import ApiError, CorralError
from bus.units import counted
from bus.values import Role
from tui.client.session import Deltas, Offline, Online, Session
from tui.modals.confirm import Confirm
from tui.view.safe import safe_line
from tui.view.steering import ROLES, Steering
from tui.widgets.heading import Heading
from tui.widgets.hints import Hints
from tui.widgets.one_line import OneLine
from tui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from tui.app import Console

CRUMB_SIGN = " › "


class LiveScreen(Screen[None]):
    """Subclasses give `body` and `crumb`, and take changes in `on_deltas` and `on_online`."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (10, "-low"), (34, "-tall")]
    BINDINGS = [Binding("escape,minus", "back", "back", show=False)]

    crumb = ""
    _allowed: tuple[bool, Role] | None = None

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Heading()
        yield OneLine(id="crumbs")
        yield from self.body()
        yield Prompt()
        yield Hints()

    def body(self) -> list[Widget]:
        """The widgets between the crumbs and the prompt."""
        raise NotImplementedError

    @property
    def console(self) -> Console:
        """The application."""
        return cast("Console", self.app)

    @property
    def session(self) -> Session:
        """The connection behind the console."""
        return self.console.session

    @property
    def is_online(self) -> bool:
        """Whether anything can be asked now."""
        return self.console.offline is None and self.console.online is not None

    @property
    def role(self) -> Role:
        """Of who looks; the least while nobody has said."""
        online = self.console.online
        return Role.READONLY if online is None else online.me.role

    def on_mount(self) -> None:
        """Show at once what is known."""
        self.redraw_frame()

    def on_screen_resume(self) -> None:
        """What came while another screen was looked at was not drawn here."""
        self.redraw_frame()
        if self.is_online:
            self.on_online()

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

    def on_deltas(self, deltas: Deltas) -> None:
        """Things changed."""

    def redraw_frame(self) -> None:
        """Heading and crumbs as of now, other keys where others are allowed; offline, all is dimmed."""
        if not self.query(Heading):
            return
        console = self.console
        self.query_one(Heading).show(console.online, console.offline)
        self.set_class(console.offline is not None, "-offline")
        self.query_one("#crumbs", OneLine).say(self.crumbs_text())
        if self._allowed != (allowed := (self.is_online, self.role)):
            self._allowed = allowed
            self.refresh_bindings()

    def crumbs_text(self) -> Text:
        """ "jobs › 1042 › tasks", and what `facts_text` adds."""
        stack = [screen.crumb for screen in self.app.screen_stack if isinstance(screen, LiveScreen)]
        below = stack[: stack.index(self.crumb)] if self.crumb in stack else []
        text = Text(" ", no_wrap=True, overflow="ellipsis")
        for crumb in below:
            text.append(safe_line(crumb) + CRUMB_SIGN, style="dim")
        text.append(safe_line(self.crumb), style="bold")
        text.append("  ")
        text.append_text(self.facts_text())
        return text

    def facts_text(self) -> Text:
        """What a subclass says about what it shows."""
        return Text("")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offered: what the role may do, while there is somebody to ask."""
        if action != "steer":
            return True
        if self.role.rank < ROLES[str(parameters[0])].rank:
            return False
        return True if self.is_online else None

    def action_back(self) -> None:
        """To the screen before."""
        if len(self.app.screen_stack) > 1:
            self.app.pop_screen()

    @work(exclusive=True, group="act")
    async def steer(self, steering: Steering) -> None:
        """Ask, then do it, then say what came of it."""
        if not await self.app.push_screen_wait(Confirm(steering)):
            return
        self.notify(safe_line(f"{steering.command} …"), markup=False, timeout=2)
        try:
            answer = await getattr(self.session.source, steering.verb)(steering.target)
        except CorralError as error:
            self.tell(error)
            return
        changed = getattr(answer, "tasks", None)
        done = "done" if changed is None else counted(changed, "task")
        self.notify(safe_line(f"✔ {steering.command}: {done}"), markup=False)
        self.session.hurry()
        self.on_steered()

    def on_steered(self) -> None:
        """Something was changed from here."""

    def tell(self, error: CorralError) -> None:
        """Say what went wrong; its text may come from anywhere."""
        self.notify(safe_line(error_text(error)), severity="error", markup=False, timeout=10)


def error_text(error: CorralError) -> str:
    """An error in one line, with its hint."""
    if isinstance(error, ApiError):
        return refusal_text(error.error)
    return str(error) or type(error).__name__


def refusal_text(error: Error) -> str:
    """ "E_ENUM: what is wrong; expected this or that (hint)"."""
    expected = f"; expected {error.expected}" if error.expected else ""
    hint = f" ({error.hint})" if error.hint else ""
    return f"{error.code}: {error.message}{expected}{hint}"
