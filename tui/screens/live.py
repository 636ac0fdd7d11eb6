"""What every screen has: the heading, where one is, the prompt, the keys; and how it hears of changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.text import Text
from textual import on
from textual.actions import parse
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.events import Key, ScreenResume
from textual.widget import Widget

from bus.errors import BusError, CorralError
from bus.values import Role
from tui.client.asking import Asking
from tui.client.session import Deltas, Offline, Online
from tui.screens.acting import ActingScreen
from tui.view.amounts import age
from tui.view.modes import MODE_DIGITS
from tui.view.places import CRUMB_SIGN, Step, line_of
from tui.view.refusals import AGAIN, Trouble, needs_role, trouble_of, waiting_text
from tui.view.refusals import error_text as error_text
from tui.view.safe import safe_line, text_width
from tui.view.shell import shell_command
from tui.view.words import Word
from tui.widgets.heading import WIDE, Heading
from tui.widgets.hints import Hints
from tui.widgets.nav import Nav, nav_lines
from tui.widgets.one_line import Link, OneLine
from tui.widgets.prompt import Prompt
from tui.widgets.time_bar import TimeBar

FRAME = ("Nav", "Heading", "#crumbs", "TimeBar")
TICK_S = 1
LOCKED_S = 4.0


class LiveScreen(ActingScreen):
    """Subclasses give `body` and `crumb`, and take changes in `on_deltas` and `on_online`."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (10, "-low"), (34, "-tall")]
    BINDINGS = [Binding("escape,minus", "back", "back", show=False, id="screen.back")]

    crumb = ""
    past_note = ""
    """What here is as it is now wherever the time cursor stands, and why; "": all of it follows."""

    _allowed: tuple[bool, Role, bool, bool] | None = None
    _moment: float | None = None
    _condition = ""

    def __init__(self) -> None:
        super().__init__()
        self.asking = Asking()

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        self._fit()
        yield Heading()
        yield OneLine(id="crumbs")
        yield TimeBar()
        with Horizontal(id="middle"):
            yield Nav()
            yield Vertical(*self.body(), id="body")
        yield Prompt()
        yield Hints()

    def _fit(self) -> None:
        """As wide and high as the terminal is: who says so later has all widgets styled a second time."""
        size = self.app.size
        for breakpoints, extent in (
            (self.HORIZONTAL_BREAKPOINTS, size.width),
            (self.VERTICAL_BREAKPOINTS, size.height),
        ):
            _, fitting = max(each for each in breakpoints if each[0] <= extent)
            self.add_class(fitting, update=False)

    def body(self) -> list[Widget]:
        """The widgets between the crumbs and the prompt."""
        raise NotImplementedError

    def _compositor_refresh(self) -> None:
        """Textual throws away what it draws while it gathers changes, such as the first picture."""
        if not self.app._batch_count:
            super()._compositor_refresh()

    def on_mount(self) -> None:
        """Show at once what is known."""
        self.console.every(self, TICK_S, self._tell_condition)
        self.redraw_frame()

    @on(ScreenResume)
    def _on_return(self, event: ScreenResume) -> None:
        """What came while another screen was looked at was not drawn here.

        Its styles are as they were: another size or theme is told to hidden screens, too.
        """
        event.refresh_styles = False
        if not self.is_current:
            return  # made ahead: laid out, and looked at later
        self.redraw_frame()
        self.meet_moment()
        self.console.visit()
        if self.is_online:
            self.on_online()

    @property
    def now_s(self) -> float:
        """The moment that is shown: what ages are counted to, by the coordinator's clock."""
        if self.console.moment is not None:
            return self.console.moment
        return self.console.now_s

    @property
    def ahead_s(self) -> float:
        """How far the clock here is ahead of the coordinator's, where that is more than a little."""
        online = self.console.online
        return 0.0 if online is None else online.ahead_s

    def meet_moment(self) -> None:
        """Show what the time cursor stands at; a screen nobody sees does so once it is looked at."""
        if self._moment != (moment := self.console.moment):
            self._moment = moment
            self.set_class(not self.past_note, "-travelling")
            self.redraw_frame()
            self.on_moment()

    def arrived(self) -> None:
        """What is shown is of the moment that the time cursor stands at: until then it is dimmed."""
        self.remove_class("-travelling")

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

    @property
    def is_bare(self) -> bool:
        """Whether there is nothing to see but a note, which says why."""
        return False

    @property
    def trouble(self) -> Trouble | None:
        """Why the last question had no answer; None where it had one, and where nobody can be asked."""
        return self.explain(self.asking.error) if self.asking.error is not None and self.is_online else None

    def explain(self, error: CorralError) -> Trouble:
        """What went wrong and what helps, for who looks here."""
        online = self.console.online
        return trouble_of(error, me=None if online is None else online.me)

    def note(self, empty: str) -> str:
        """What stands in the place of what there is not, and which key helps: `empty`, if that is all."""
        if (fault := self.trouble) is not None:
            return f"✖ {safe_line(fault.what)}\n\n{safe_line(fault.help)}."
        if (offline := self.console.offline) is not None:
            hint = offline.hint or "It is asked again by itself; ctrl-r does it now."
            return f"✖ {safe_line(offline.reason)}\n\n{safe_line(hint)}"
        waiting = waiting_text(self.asking.waited_s)
        if self.asking.age_s is None:
            return waiting or "loading …"
        return f"{empty}\n\n{waiting}" if waiting else empty

    def condition_text(self) -> Text:
        """Why what is shown is not as of now, and since when."""
        if self.is_bare:
            return Text("")  # the note says it
        if (offline := self.console.offline) is not None:
            # since when, says the heading, which has no room for more where it is narrow
            return Text(f"✖ {safe_line(offline.reason)}  " if self.size.width < WIDE else "", style="bold")
        age_s = self.asking.age_s
        old = "" if age_s is None else f", {age(age_s)} old"
        if waiting := waiting_text(self.asking.waited_s):
            return Text(f"{waiting}{old}  ", style="bold")
        if (fault := self.trouble) is not None:
            return Text(f"✖ {safe_line(fault.what)}{old}; {AGAIN}  ", style="bold")
        return Text("")

    def on_condition(self) -> None:
        """How long one waits has changed, or why there is no answer."""
        self.redraw_frame()

    @contextmanager
    def asks(self) -> Iterator[None]:
        """Around what is asked for this screen. It is said on the screen why there is no answer."""
        try:
            with self.asking.under_way():
                yield
        except CorralError as error:
            self.failed(error)

    def failed(self, error: CorralError) -> None:
        """An answer that did not come: the connection is looked at, and it is said on the screen."""
        if isinstance(error, BusError):
            self.session.hurry()  # it finds out whether anybody is there, and says so in the heading
        self.on_condition()

    def _tell_condition(self) -> None:
        """Once a second: how long one waits grows by itself."""
        if not self.is_current:
            return
        condition = f"{self.condition_text()}{self.is_bare and self.note('')}"
        if condition != self._condition:
            self._condition = condition
            self.on_condition()

    def on_key(self, event: Key) -> None:
        """A key that does nothing now says why."""
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if why := self.why_locked(binding.action):
                event.stop()
                self.notify(safe_line(why), severity="warning", markup=False, timeout=LOCKED_S)
                return

    def why_locked(self, action: str) -> str:
        """Why an action of a key is not to be had now; "" where it is."""
        _, name, parameters = parse(action)
        least = self.least_role(name, parameters)
        if least is None or self.check_action(name, parameters):
            return ""
        if (online := self.console.online) is None or self.console.offline is not None:
            return "nothing can be changed: nobody answers now"
        if online.me.role.rank < least.rank:
            return needs_role(least, online.me.role, online.me.user)
        return "nothing can be changed in the past: n leads back to now" if self.console.moment else ""

    def has_parts(self, *parts: str) -> bool:
        """Whether these widgets are there: not before all are made, nor while they go one by one."""
        # Textual remembers what one query led to, even once that is gone; `query` looks through all there is
        return all((widget := self.query_one_optional(part)) and widget.is_attached for part in parts)

    def redraw_frame(self) -> None:
        """Heading and crumbs as of now, other keys where others are allowed; offline, all is dimmed."""
        if not self.has_parts(*FRAME):
            return
        console = self.console
        modes = [(digit, mode) for mode, digit in MODE_DIGITS.items() if mode in console.MODES]
        views = sorted(console.settings.views)
        self.query_one(Nav).show(nav_lines(modes, views, here=console.current_mode))
        self.query_one(Heading).show(console.online, console.offline)
        self.set_class(console.offline is not None, "-offline")
        self.query_one("#crumbs", OneLine).say(self.crumbs_text(), links=self._crumb_links())
        self.redraw_time()
        if self._allowed != (allowed := (self.is_online, self.role, console.moment is None, self.is_bare)):
            self._allowed = allowed
            self.refresh_bindings()

    def redraw_time(self) -> None:
        """The time cursor's line alone, if it is there already."""
        console = self.console
        if self.has_parts("TimeBar"):
            self.query_one(TimeBar).show(
                console.moment, step_s=console.time_step_s, note=self.past_note, density=console.density
            )

    def crumbs_text(self) -> Text:
        """ "jobs › 1042 › tasks", and what `facts_text` adds."""
        stack = [screen.crumb for screen in self.app.screen_stack if isinstance(screen, LiveScreen)]
        below = stack[: stack.index(self.crumb)] if self.crumb in stack else []
        text = Text(" ", no_wrap=True, overflow="ellipsis")
        for crumb in below:
            text.append(safe_line(crumb) + CRUMB_SIGN)
        text.append(safe_line(self.crumb), style="bold")
        text.append("  ")
        text.append_text(self.condition_text())
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
        return shell_command(self.step(), at=self.console.moment)

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
