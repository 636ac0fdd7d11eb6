"""The console: shows the cluster live and steers it. It paints first and connects then."""

from __future__ import annotations

import gc
import os
from contextlib import AbstractAsyncContextManager, aclosing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.binding import Binding
from textual.drivers.linux_driver import LinuxDriver

from tui import loading
from tui.client.session import Offline, Online, Session
from tui.client.source import Source
from tui.early_actions import EarlyActions
from tui.early_driver import GoingOn
from tui.early_picture import EarlyPicture, encoding_is_unicode
from tui.lending import Lending
from tui.settings import settings_path
from tui.theme.plain import AsciiOnly, is_monochrome
from tui.ticking import Ticking
from tui.time_cursor import TimeCursor
from tui.typing_ahead import TypingAhead
from tui.view.modes import MODE_DIGITS

if TYPE_CHECKING:
    from tui.view.deeds import Journal


class Console(TypingAhead, EarlyActions, Lending, loading.Ahead, Ticking, TimeCursor):
    """Holds the connection and what it last said; screens draw it."""

    CSS_PATH = "theme/console.tcss"
    TITLE = "corral"
    ENABLE_COMMAND_PALETTE = False
    MODES = {
        "pulse": loading.at("tui.screens.pulse:PulseScreen"),
        "nodes": loading.at("tui.screens.nodes:NodesScreen"),
        "jobs": loading.at("tui.screens.jobs:JobsScreen"),
        "logs": loading.at("tui.screens.logs:LogsScreen"),
        "charts": loading.at("tui.screens.charts:ChartsScreen"),
        "scheduler": loading.at("tui.screens.scheduler:SchedulerScreen"),
        "events": loading.at("tui.screens.events:EventsScreen"),
        "storage": loading.at("tui.screens.storage:StorageScreen"),
        "tools": loading.at("tui.screens.tools:ToolsScreen"),
        "users": loading.at("tui.screens.users:UsersScreen"),
    }
    DEFAULT_MODE = "pulse"
    BINDINGS = [
        *(
            Binding(digit, f"mode('{mode}')", mode, show=False, id=f"mode.{mode}")
            for mode, digit in MODE_DIGITS.items()
        ),
        Binding("question_mark", "help", "help", id="console.help"),
        Binding("x", "xray", "who runs what where", show=False, id="console.xray"),
        Binding("colon", "command", "command line", show=False, priority=True, id="console.command"),
        Binding("ctrl+p", "palette", "find anything", show=False, priority=True, id="console.palette"),
        Binding("ctrl+o", "places", "places visited lately", show=False, id="console.places"),
        Binding("left_square_bracket", "travel(-1)", "place before", show=False, id="console.earlier"),
        Binding("right_square_bracket", "travel(1)", "place after", show=False, id="console.later"),
        Binding("Y", "copy", "copy the corral command", show=False, id="console.copy"),
        Binding("q", "quit", "leave", id="console.quit"),
    ]

    def __init__(
        self,
        session: Session,
        *,
        ascii_only: bool = False,
        settings_path: Path | None = None,
        makes_ahead: bool = False,
    ) -> None:
        """`makes_ahead`: screens are made before they are opened, which takes memory and saves a wait."""
        super().__init__(settings_path=settings_path)
        self._makes_ahead = makes_ahead
        self.session = session
        self.online: Online | None = None
        self.offline: Offline | None = None
        if ascii_only:
            self._filters.append(AsciiOnly())

    @cached_property
    def journal(self) -> Journal:
        """What was done from here; its words are read once there are rows that could have been acted on."""
        from tui.view.deeds import Journal

        return Journal()

    def on_mount(self) -> None:
        """Paint first, connect then."""
        self.call_after_refresh(self._watch)

    def action_help(self) -> None:
        """The keys of the screen one looks at."""
        from tui.modals.help import Help

        self.push_screen(Help(self.screen))

    def action_xray(self) -> None:
        """Users, their jobs, tasks and nodes as a tree; of the user whose job is under the cursor."""
        from tui.screens.jobs import JobsScreen
        from tui.screens.xray import XRayScreen

        screen = self.screen
        row = screen.table.row if isinstance(screen, JobsScreen) else None
        self.push_screen(XRayScreen("" if row is None else row.user))

    async def action_mode(self, mode: str) -> None:
        """Another of the main screens; a second press leads back to its beginning."""
        if mode not in self.MODES:
            self.notify(f"There is no screen of {mode} yet.", markup=False)
            return
        if self.current_mode != mode:
            await self.switch_mode(mode)
            return
        while len(self.screen_stack) > 1:
            await self.pop_screen()

    @work(exclusive=True, group="session")
    async def _watch(self) -> None:
        async with aclosing(self.session.updates()) as updates:
            async for update in updates:
                match update:
                    case Online():
                        if self.online is None:
                            self.run_worker(self.get_ahead(screens=self._makes_ahead), group="loading")
                        self.online, self.offline = update, None
                    case Offline():
                        self.offline = update
                    case _:
                        pass
                if (screen := self.top()) is not None:
                    screen.hear(update)


def open_console(
    *,
    url: str | None,
    credentials: Path | None,
    data: Path | None,
    ca: str | None = None,
    demo: bool = False,
    picture: EarlyPicture | None = None,
) -> int:
    """Run the console on this terminal until it is left; returns an exit code.

    `demo`: on a cluster that exists only in this process. `picture`: what stands on the terminal by now.
    """
    if is_monochrome():
        os.environ["NO_COLOR"] = "1"

    def connect() -> AbstractAsyncContextManager[Source]:
        from bus.client import Client

        return Client.connect(url, credentials, data, ca=ca, name="corral console")

    console = Console(
        Session(_demo if demo else connect),
        ascii_only=not encoding_is_unicode(),
        settings_path=settings_path(),
        makes_ahead=True,
    )
    if picture is not None and console.driver_class is LinuxDriver and picture.hand_over():
        console.driver_class = GoingOn
    elif picture is not None:
        picture.take_down()
    gc.freeze()  # what was read stays: nobody has to look through it for garbage
    gc.enable()
    console.run()
    return console.return_code or 0


def _demo() -> AbstractAsyncContextManager[Source]:
    """The made-up cluster, made when it is first looked at: the console is painted by then."""
    from tui.client.fake import demo_cluster

    return demo_cluster().connect()
