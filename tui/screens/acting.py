"""What every screen can do to the cluster: ask, do it, and say what came of it.

Which actions are offered follows from the role; while nobody answers, and in the past, none is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import work
from textual.screen import Screen

from bus.errors import CorralError
from bus.units import counted
from bus.values import Role
from tui.client.session import Session
from tui.modals.confirm import Confirm
from tui.view.refusals import error_text
from tui.view.safe import safe_line
from tui.view.steering import ROLES, Steering

if TYPE_CHECKING:
    from tui.app import Console


class ActingScreen(Screen[None]):
    """The lower half of `LiveScreen`: who looks, whether anything can be asked, and steering."""

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offered: what the role may do, while there is somebody to ask; the past cannot be changed."""
        if action != "steer":
            return True
        if self.role.rank < ROLES[str(parameters[0])].rank:
            return False
        return True if self.is_online and self.console.moment is None else None

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
